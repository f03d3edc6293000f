"""One engine call per configuration, and everything it recorded."""

import dagster as dg

from dagster_project.contracts import audited, balanced, check_specs, required, step_failures
from dagster_project.defs.common import Events, Store, about, tag_run, unchanged
from dagster_project.io_manager import INPUTS
from dagster_project.metadata import run_metadata, table_metadata
from dagster_project.partitions import CONFIG_TO_DATASET, CONFIGS
from ml4t_backtest.data.prepared import PREPARED_TABLES
from ml4t_backtest.pipeline.asset_meanings import MEANING
from ml4t_backtest.pipeline.column_lineage import run_lineage
from ml4t_backtest.pipeline.output_checks import run_outcomes
from ml4t_backtest.pipeline.partition_names import config_of, dataset_key
from ml4t_backtest.pipeline.published_run import (
    RUN_TABLES,
    made_from,
    record_run,
    result_of,
    rows_of_run,
    run_schemas,
    run_tables,
    table_version,
)
from ml4t_backtest.pipeline.stage_tables import prepared_from
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
        config = config_of(key)
        tables = store.shelf.read_together(PREPARED_TABLES, dataset_key(config, key))
        prepared = prepared_from(config.dataset, tables)
        inputs = made_from(config, prepared.content_hash)
    hashes = {f"hash/{name}": value for name, value in inputs.items()}
    tag_run(context, {"config": key, "dataset": config.dataset.name, **hashes})
    found = unchanged(context, store, RUN_TABLES, inputs)
    result = result_of(found) if found else None
    if result is None:
        result = yield from balanced(lambda: run_prepared(config, prepared))
    records = found or run_tables(key, config, result, inputs)
    schemas = run_schemas()
    yield from audited(records, schemas)
    rows = rows_of_run(store.shelf, key, records)
    yield from required(run_outcomes(config, prepared, result, rows, is_new=found is None))
    if found is None:
        with step_failures():
            record_run(store.shelf.root, config, result, prepared)
    pictures, lineage = run_metadata(result, config.reporting.benchmark), run_lineage(config.dataset, records)
    for name, frame in records.items():
        shown = pictures if name in _PICTURED else {}
        yield dg.MaterializeResult(
            asset_key=name,
            value=frame,
            metadata={**shown, **table_metadata(frame, schemas[name], lineage[name]), INPUTS: inputs},
            data_version=dg.DataVersion(table_version(name, inputs)),
        )
