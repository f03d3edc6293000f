"""Raw tables: the source's rows in the source's order, under this package's names. They may be dirty."""

import dagster as dg

from dagster_project.contracts import check_specs, guarded, recorded
from dagster_project.defs.common import Events, Store, asset, tag_run, unchanged
from dagster_project.io_manager import INPUTS, AssetStore
from dagster_project.metadata import tables_metadata
from dagster_project.partitions import DATASETS
from ml4t_backtest.data.storage import content_hash
from ml4t_backtest.data.validation import find_violations
from ml4t_backtest.dataset_stages import source_paths
from ml4t_backtest.pipeline.checks import rule_outcomes
from ml4t_backtest.pipeline.partition_names import dataset_of
from ml4t_backtest.pipeline.stage_tables import loaded_schemas, or_empty, raw_inputs, raw_schema
from ml4t_backtest.runner import RawKind, raw_tables


@asset("raw", partitions_def=DATASETS, check_specs=check_specs("raw_prices", blocking=False))
def raw_prices(context: dg.AssetExecutionContext, store: Store) -> Events:
    """Price bars, and who belonged to the universe when, as the sources have them."""
    yield from _raw("prices", context, store)


@asset("raw", partitions_def=DATASETS, check_specs=check_specs("raw_signals", blocking=False))
def raw_signals(context: dg.AssetExecutionContext, store: Store) -> Events:
    """Model predictions as the sources have them, one table per source; empty without any."""
    yield from _raw("signals", context, store)


@asset("raw", partitions_def=DATASETS, check_specs=check_specs("raw_context", blocking=False))
def raw_context(context: dg.AssetExecutionContext, store: Store) -> Events:
    """Market context as the sources have it, one table per source; empty without any."""
    yield from _raw("context", context, store)


@asset("raw", partitions_def=DATASETS, check_specs=check_specs("raw_corporate_actions", blocking=False))
def raw_corporate_actions(context: dg.AssetExecutionContext, store: Store) -> Events:
    """Splits and dividends as the source has them; empty without any."""
    yield from _raw("corporate_actions", context, store)


def _raw(kind: RawKind, context: dg.AssetExecutionContext, store: AssetStore) -> Events:
    asset, dataset = f"raw_{kind}", dataset_of(context.partition_key)
    inputs = yield from guarded(lambda: raw_inputs(dataset, kind), {kind: asset})
    loaded = loaded_schemas(dataset, kind)
    found = unchanged(context, store, [asset], inputs)
    tables = found[asset] if found else None
    if tables is None:
        tables = or_empty((yield from guarded(lambda: raw_tables(dataset, kind), {kind: asset})), loaded)
    schemas = {name: raw_schema(loaded[name], frame.columns) for name, frame in tables.items()}
    violations = [
        violation
        for name in source_paths(dataset, kind)
        for violation in find_violations(tables[name], schemas[name], allow_empty=kind == "corporate_actions")
    ]
    yield from recorded(rule_outcomes(asset, violations, sum(frame.height for frame in tables.values()), warn=True))
    tag_run(context, {"dataset": context.partition_key})
    yield dg.MaterializeResult(
        value=tables,
        metadata={**tables_metadata(tables, schemas), INPUTS: inputs or {}},
        data_version=dg.DataVersion(content_hash(tables)),
    )
