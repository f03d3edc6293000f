"""One engine call per configuration, and everything it recorded."""

import dagster as dg

from dagster_project.contracts import audited, check_specs, guarded, required, step_failures
from dagster_project.defs.common import Events, Store, about, tag_run, unchanged
from dagster_project.metadata import published, run_metadata
from dagster_project.partitions import CONFIG_TO_DATASET, CONFIGS
from ml4t_backtest.data.prepared import PREPARED_TABLES
from ml4t_backtest.pipeline.asset_meanings import MEANING
from ml4t_backtest.pipeline.column_lineage import run_lineage
from ml4t_backtest.pipeline.output_checks import run_outcomes
from ml4t_backtest.pipeline.published_run import (
    RUN_TABLES,
    record_run,
    result_of,
    rows_of_run,
    run_schemas,
    run_tables,
    table_version,
    what_runs,
)
from ml4t_backtest.runner import run_prepared

_PICTURED = ("backtest_run", "portfolio_states")


@dg.multi_asset(
    outs={name: dg.AssetOut(description=MEANING[name], **about("backtest")) for name in RUN_TABLES},
    deps=[dg.AssetDep(name, partition_mapping=CONFIG_TO_DATASET) for name in PREPARED_TABLES],
    check_specs=check_specs(*RUN_TABLES),
    partitions_def=CONFIGS,
)
def backtest(context: dg.AssetExecutionContext, store: Store) -> Events:
    """Run a configuration's strategy over its prepared data."""
    key = context.partition_key
    with step_failures():
        config, prepared, inputs = what_runs(store.shelf, key)
    hashes = {f"hash/{name}": value for name, value in inputs.items()}
    tag_run(context, {"config": key, "dataset": config.dataset.name, **hashes})
    found = unchanged(context, store, RUN_TABLES, inputs)
    result = result_of(found) if found else None
    if result is None:
        result = yield from guarded(lambda: run_prepared(config, prepared), {})
    records, schemas = found or run_tables(key, config, result, inputs), run_schemas()
    yield from audited(records, schemas)
    rows = rows_of_run(store.shelf, key, records)
    yield from required(run_outcomes(config, prepared, result, rows, is_new=found is None))
    if found is None:
        with step_failures():
            record_run(store.shelf.root, config, result, prepared)
    lineage, versions = run_lineage(config.dataset, records), {name: table_version(name, inputs) for name in records}
    pictures = dict.fromkeys(_PICTURED, run_metadata(result, config.reporting.benchmark))
    yield from published(records, schemas, lineage, inputs, versions, pictures)
