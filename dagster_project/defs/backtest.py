"""One engine call per configuration, and everything it recorded."""

import hashlib
import json
from collections.abc import Mapping

import dagster as dg
import polars as pl

from dagster_project.contracts import audited, balanced, check_specs, required, step_failures
from dagster_project.defs.common import Events, Store, about, tag_run, unchanged
from dagster_project.io_manager import INPUTS
from dagster_project.metadata import run_metadata, table_metadata
from dagster_project.partitions import CONFIG_TO_DATASET, CONFIGS
from ml4t_backtest.config import BacktestConfig
from ml4t_backtest.core.schemas import result_schemas
from ml4t_backtest.data.prepared import PREPARED_TABLES, PreparedData
from ml4t_backtest.pipeline.asset_shelf import AssetShelf
from ml4t_backtest.pipeline.checks import Outcome
from ml4t_backtest.pipeline.column_lineage import run_lineage
from ml4t_backtest.pipeline.output_checks import look_ahead_outcome, run_drift, traded
from ml4t_backtest.pipeline.partition_names import config_of, dataset_key
from ml4t_backtest.pipeline.published_run import RUN_TABLES, made_from, record_run, result_of, run_tables
from ml4t_backtest.pipeline.run_row import run_summary_schema
from ml4t_backtest.pipeline.stage_tables import prepared_from
from ml4t_backtest.reporting.result import BacktestResult
from ml4t_backtest.runner import run_prepared

_MEANING = {
    "backtest_run": "The run as one row: what it was made from and what came out.",
    "trades": "Round trips with the signals, indicators and context at decision, entry and exit.",
    "fills": "Executions, in the order they happened.",
    "orders": "Every order, whatever became of it.",
    "rejected_orders": "Orders that were refused, each with its reason and the numbers behind it.",
    "cash_flows": "Dividends, fees and other cash that moved without a fill.",
    "portfolio_states": "The account after each slice, or the last one of each session, week or month.",
    "daily_returns": "The last slice of each session.",
    "data_quality": "What was found in the data that is no error: codes, symbols, examples, what it may mean.",
}
_PICTURED = ("backtest_run", "portfolio_states")


@dg.multi_asset(
    outs={name: dg.AssetOut(description=_MEANING[name], **about("backtest")) for name in RUN_TABLES},
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
    if found:
        result = result_of(found)
    else:
        result = yield from balanced(lambda: run_prepared(config, prepared))
    records = found or run_tables(key, config, result, inputs)
    schemas = {"backtest_run": run_summary_schema(), **result_schemas()}
    yield from audited(records, schemas)
    yield from required(_outcomes(config, prepared, result, records, store.shelf, is_new=found is None))
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
            data_version=_version(name, inputs),
        )


def _outcomes(
    config: BacktestConfig,
    prepared: PreparedData,
    result: BacktestResult,
    records: Mapping[str, pl.DataFrame],
    shelf: AssetShelf,
    *,
    is_new: bool,
) -> list[Outcome]:
    """Return what else is asked of a run; of one that was published before it was asked then."""
    row = records["backtest_run"].row(0, named=True)
    before = shelf.frame_before("backtest_run", row["config"])
    ahead = Outcome("backtest_run", "no_look_ahead", True, text="unchanged: looked at when it was published")
    return [
        look_ahead_outcome(config, prepared, result) if is_new else ahead,
        run_drift(None if before is None else before.row(0, named=True), row),
        traded(config, result.trades),
    ]


def _version(table: str, inputs: Mapping[str, str]) -> dg.DataVersion:
    """Return the version that follows from the inputs alone: one input, one answer."""
    return dg.DataVersion(hashlib.sha256(json.dumps([table, dict(inputs)], sort_keys=True).encode()).hexdigest())
