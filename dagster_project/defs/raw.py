"""Raw tables: the source's rows in the source's order, under this package's names. They may be dirty."""

import dagster as dg

from dagster_project.contracts import check_results, check_specs, guarded
from dagster_project.defs.common import Events, asset
from dagster_project.metadata import tables_metadata
from dagster_project.partitions import DATASETS, dataset_of
from dagster_project.tables import loaded_schemas, or_empty, raw_schema
from ml4t_backtest.data.storage import content_hash
from ml4t_backtest.data.validation import find_violations
from ml4t_backtest.runner import RawKind, raw_tables


@asset("raw", partitions_def=DATASETS, check_specs=check_specs("raw_prices", blocking=False))
def raw_prices(context: dg.AssetExecutionContext) -> Events:
    """Price bars as the source has them."""
    yield from _raw("prices", context.partition_key)


@asset("raw", partitions_def=DATASETS, check_specs=check_specs("raw_signals", blocking=False))
def raw_signals(context: dg.AssetExecutionContext) -> Events:
    """Model predictions as the sources have them, one table per source; empty without any."""
    yield from _raw("signals", context.partition_key)


@asset("raw", partitions_def=DATASETS, check_specs=check_specs("raw_context", blocking=False))
def raw_context(context: dg.AssetExecutionContext) -> Events:
    """Market context as the sources have it, one table per source; empty without any."""
    yield from _raw("context", context.partition_key)


@asset("raw", partitions_def=DATASETS, check_specs=check_specs("raw_corporate_actions", blocking=False))
def raw_corporate_actions(context: dg.AssetExecutionContext) -> Events:
    """Splits and dividends as the source has them; empty without any."""
    yield from _raw("corporate_actions", context.partition_key)


def _raw(kind: RawKind, key: str) -> Events:
    asset = f"raw_{kind}"
    dataset = dataset_of(key)
    sources = yield from guarded(lambda: raw_tables(dataset, kind), {kind: asset})
    loaded = loaded_schemas(dataset, kind)
    tables = or_empty(sources, loaded)
    schemas = {name: raw_schema(loaded[name], frame.columns) for name, frame in tables.items()}
    violations = [
        violation
        for name, frame in sources.items()
        for violation in find_violations(frame, schemas[name], allow_empty=kind == "corporate_actions")
    ]
    rows = sum(frame.height for frame in tables.values())
    yield from check_results(asset, violations, rows, warn=True)
    yield dg.MaterializeResult(
        value=tables,
        metadata=tables_metadata(tables, schemas),
        data_version=dg.DataVersion(content_hash(tables)),
    )
