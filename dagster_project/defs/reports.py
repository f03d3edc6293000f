"""Pages and tables for people: one report per configuration, and all runs side by side."""

from collections.abc import Mapping

import dagster as dg
import polars as pl

from dagster_project.contracts import audit, check_specs, failing_once
from dagster_project.defs.backtest import RUN_TABLES
from dagster_project.defs.common import Events, asset
from dagster_project.io_manager import EVERY_PARTITION, INPUTS, AssetStore, Document
from dagster_project.metadata import equity_pictures, key_numbers, markdown_table, table_metadata
from dagster_project.partitions import CONFIGS, config_of
from dagster_project.tables import compare_runs, comparison_schema
from ml4t_backtest.data.storage import content_hash
from ml4t_backtest.reporting.formats import count, money, percent, ratio
from ml4t_backtest.reporting.result import RECORDED, BacktestResult
from ml4t_backtest.runner import report_of

_COMPARED = (
    ("return", "total_return", percent),
    ("per year", "annual_return", percent),
    ("Sharpe", "sharpe_ratio", ratio),
    ("drawdown", "max_drawdown", percent),
    ("trades", "num_trades", count),
    ("costs", "total_costs", money),
)


@asset("reports", "html", partitions_def=CONFIGS, deps=list(RUN_TABLES))
def run_report(context: dg.AssetExecutionContext, store: dg.ResourceParam[AssetStore]) -> Events:
    """The run as a page: curves, figures, trades, what it was made from."""
    from ml4t_backtest.reporting.tearsheet import summary_rows

    with failing_once():
        config = config_of(context.partition_key)
        result, inputs = published_run(store, context.partition_key)
        page = report_of(config, result, inputs)
    yield dg.MaterializeResult(
        value=Document("report.html", page),
        metadata={
            **equity_pictures(result, config.reporting.benchmark),
            "summary": dg.MetadataValue.md(markdown_table(("", config.name), summary_rows(result))),
            **key_numbers(result),
            INPUTS: inputs,
        },
        data_version=dg.DataVersion(content_hash({"inputs": pl.DataFrame([inputs])})),
    )


@asset(
    "reports",
    ins={"backtest_run": dg.AssetIn(metadata=EVERY_PARTITION)},
    check_specs=check_specs("comparison_report"),
)
def comparison_report(backtest_run: Mapping[str, pl.DataFrame]) -> Events:
    """All runs side by side; runs that used different versions of a data set or of the engine are marked."""
    table = compare_runs(list(backtest_run.values()))
    yield from audit({"comparison_report": table}, {"comparison_report": comparison_schema()})
    rows = [
        (run["config"], *(write(run[name]) for _, name, write in _COMPARED), "yes" if run["is_comparable"] else "no")
        for run in table.to_dicts()
    ]
    header = ("config", *(label for label, _, _ in _COMPARED), "comparable")
    yield dg.MaterializeResult(
        value=table,
        metadata={
            "runs": dg.MetadataValue.md(markdown_table(header, rows)),
            **table_metadata(table, comparison_schema()),
        },
        data_version=dg.DataVersion(content_hash({"runs": table})),
    )


def published_run(store: AssetStore, key: str) -> tuple[BacktestResult, dict[str, str]]:
    """Return a run as it was published, and the hashes of what it was made from.

    Raises:
        CorruptDatasetError: It is incomplete, or its tables are of different runs.
    """
    tables = store.read_together(RUN_TABLES, key)
    run = tables["backtest_run"].row(0, named=True)
    facts = {name: run[name] for name in ("rows_checked", "slices", "symbols")}
    result = BacktestResult(
        **{name: tables[name] for name in RECORDED},
        initial_capital=run["initial_capital"],
        facts={**facts, "notes": run["notes"].splitlines()},
    )
    inputs = {"config": run["config_hash"], "data": run["data_hash"], "ml4t_backtest": run["engine_version"]}
    return result, inputs
