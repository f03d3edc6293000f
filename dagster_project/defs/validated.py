"""Validated tables: on this package's clock, every row checked. The gate: nothing bad is published behind it."""

import dagster as dg

from dagster_project.contracts import check_results, check_specs, guarded
from dagster_project.defs.common import Events, asset
from dagster_project.io_manager import Tables
from dagster_project.metadata import tables_metadata
from dagster_project.partitions import DATASETS, dataset_of
from dagster_project.tables import loaded_schemas, or_empty
from ml4t_backtest.data.storage import content_hash
from ml4t_backtest.runner import RawKind, validated_tables

_KINDS = ("polars", "parquet", "pandera")


@asset("validated", *_KINDS, partitions_def=DATASETS, check_specs=check_specs("validated_prices"))
def validated_prices(context: dg.AssetExecutionContext, raw_prices: Tables) -> Events:
    """Bars whose timestamp is the moment they are complete, with the moment they open."""
    yield from _validated("prices", context.partition_key, raw_prices)


@asset("validated", *_KINDS, partitions_def=DATASETS, check_specs=check_specs("validated_signals"))
def validated_signals(context: dg.AssetExecutionContext, raw_signals: Tables) -> Events:
    """Predictions with the moment each could first be used."""
    yield from _validated("signals", context.partition_key, raw_signals)


@asset("validated", *_KINDS, partitions_def=DATASETS, check_specs=check_specs("validated_context"))
def validated_context(context: dg.AssetExecutionContext, raw_context: Tables) -> Events:
    """Market context with the moment each row could first be used."""
    yield from _validated("context", context.partition_key, raw_context)


@asset("validated", *_KINDS, partitions_def=DATASETS, check_specs=check_specs("validated_corporate_actions"))
def validated_corporate_actions(context: dg.AssetExecutionContext, raw_corporate_actions: Tables) -> Events:
    """Splits and cash dividends by ex-date."""
    yield from _validated("corporate_actions", context.partition_key, raw_corporate_actions)


def _validated(kind: RawKind, key: str, raw: Tables) -> Events:
    dataset, asset = dataset_of(key), f"validated_{kind}"
    checked = yield from guarded(lambda: validated_tables(dataset, kind, raw), {kind: asset})
    schemas = loaded_schemas(dataset, kind)
    tables = or_empty(checked, schemas)
    yield from check_results(asset, [], sum(frame.height for frame in tables.values()))
    yield dg.MaterializeResult(
        value=tables,
        metadata=tables_metadata(tables, schemas),
        data_version=dg.DataVersion(content_hash(tables)),
    )
