"""One engine call per configuration, and everything it recorded."""

import hashlib
import json
from collections.abc import Mapping

import dagster as dg

from dagster_project.contracts import audit, balanced, check_specs, failing_once
from dagster_project.defs.common import Events, about
from dagster_project.io_manager import INPUTS, AssetStore
from dagster_project.metadata import equity_pictures, key_numbers, table_metadata
from dagster_project.partitions import CONFIG_TO_DATASET, CONFIGS, config_of, dataset_key
from dagster_project.tables import run_summary, run_summary_schema
from ml4t_backtest.config import BacktestConfig
from ml4t_backtest.core.schemas import result_schemas
from ml4t_backtest.data.prepared import PREPARED_TABLES, PreparedData
from ml4t_backtest.reporting.result import TABLES
from ml4t_backtest.runner import run_inputs, run_prepared

RUN_TABLES = ("backtest_run", *TABLES)
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


@dg.multi_asset(
    outs={name: dg.AssetOut(description=_MEANING[name], **about("backtest")) for name in RUN_TABLES},
    deps=[dg.AssetDep(name, partition_mapping=CONFIG_TO_DATASET) for name in PREPARED_TABLES],
    check_specs=check_specs(*RUN_TABLES),
    partitions_def=CONFIGS,
)
def backtest(context: dg.AssetExecutionContext, store: dg.ResourceParam[AssetStore]) -> Events:
    """Run a configuration's strategy over its prepared data."""
    with failing_once():
        config = config_of(context.partition_key)
        prepared = _prepared(config, store, dataset_key(config, context.partition_key))
    result = yield from balanced(lambda: run_prepared(config, prepared))
    inputs = run_inputs(config, prepared)
    tables = {"backtest_run": run_summary(context.partition_key, config, result, inputs), **result.tables()}
    schemas = {"backtest_run": run_summary_schema(), **result_schemas()}
    yield from audit(tables, schemas)
    pictures = {**equity_pictures(result, config.reporting.benchmark), **key_numbers(result)}
    for name, frame in tables.items():
        shown = pictures if name in ("backtest_run", "portfolio_states") else {}
        yield dg.MaterializeResult(
            asset_key=name,
            value=frame,
            metadata={**shown, **table_metadata(frame, schemas[name]), INPUTS: inputs},
            data_version=_version(name, inputs),
        )


def _prepared(config: BacktestConfig, store: AssetStore, dataset: str) -> PreparedData:
    tables = store.read_together(PREPARED_TABLES, dataset)
    source = config.dataset
    return PreparedData(
        **tables, signals=source.signal_names, indicators=source.indicator_names, context=source.context_names
    )


def _version(table: str, inputs: Mapping[str, str]) -> dg.DataVersion:
    """Return the version that follows from the inputs alone: one input, one answer."""
    return dg.DataVersion(hashlib.sha256(json.dumps([table, dict(inputs)], sort_keys=True).encode()).hexdigest())
