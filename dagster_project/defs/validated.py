"""Validated tables: on this package's clock, every row checked. The gate: nothing bad is published behind it."""

import dagster as dg

from dagster_project.contracts import check_specs, guarded, recorded
from dagster_project.defs.common import Events, Store, asset, unchanged
from dagster_project.io_manager import INPUTS, AssetStore
from dagster_project.metadata import tables_metadata
from dagster_project.partitions import DATASETS
from ml4t_backtest.data.storage import content_hash
from ml4t_backtest.pipeline.asset_shelf import Tables
from ml4t_backtest.pipeline.checks import rule_outcomes
from ml4t_backtest.pipeline.partition_names import dataset_of
from ml4t_backtest.pipeline.stage_tables import loaded_schemas, or_empty, stage_inputs
from ml4t_backtest.runner import RawKind, validated_tables

_KINDS = ("polars", "parquet", "pandera")


@asset("validated", *_KINDS, partitions_def=DATASETS, check_specs=check_specs("validated_prices"))
def validated_prices(context: dg.AssetExecutionContext, store: Store, raw_prices: Tables) -> Events:
    """Bars whose timestamp is the moment they are complete, with the moment they open."""
    yield from _validated("prices", context, store, raw_prices)


@asset("validated", *_KINDS, partitions_def=DATASETS, check_specs=check_specs("validated_signals"))
def validated_signals(context: dg.AssetExecutionContext, store: Store, raw_signals: Tables) -> Events:
    """Predictions with the moment each could first be used."""
    yield from _validated("signals", context, store, raw_signals)


@asset("validated", *_KINDS, partitions_def=DATASETS, check_specs=check_specs("validated_context"))
def validated_context(context: dg.AssetExecutionContext, store: Store, raw_context: Tables) -> Events:
    """Market context with the moment each row could first be used."""
    yield from _validated("context", context, store, raw_context)


@asset("validated", *_KINDS, partitions_def=DATASETS, check_specs=check_specs("validated_corporate_actions"))
def validated_corporate_actions(
    context: dg.AssetExecutionContext, store: Store, raw_corporate_actions: Tables
) -> Events:
    """Splits and cash dividends by ex-date."""
    yield from _validated("corporate_actions", context, store, raw_corporate_actions)


def _validated(kind: RawKind, context: dg.AssetExecutionContext, store: AssetStore, raw: Tables) -> Events:
    asset, dataset = f"validated_{kind}", dataset_of(context.partition_key)
    inputs, schemas = stage_inputs(dataset, {kind: raw}), loaded_schemas(dataset, kind)
    found = unchanged(context, store, [asset], inputs)
    tables = found[asset] if found else None
    if tables is None:
        tables = or_empty((yield from guarded(lambda: validated_tables(dataset, kind, raw), {kind: asset})), schemas)
    yield from recorded(rule_outcomes(asset, [], sum(frame.height for frame in tables.values())))
    yield dg.MaterializeResult(
        value=tables,
        metadata={**tables_metadata(tables, schemas), INPUTS: inputs},
        data_version=dg.DataVersion(content_hash(tables)),
    )
