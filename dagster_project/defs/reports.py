"""Pages and tables for people: one report per configuration, and all runs side by side."""

from collections.abc import Mapping

import dagster as dg
import polars as pl

from dagster_project.contracts import audited, check_specs, step_failures
from dagster_project.defs.common import Events, Store, asset
from dagster_project.io_manager import EVERY_PARTITION, INPUTS
from dagster_project.metadata import run_metadata, table_metadata
from dagster_project.partitions import CONFIGS
from ml4t_backtest.data.store.storage import content_hash
from ml4t_backtest.pipeline.asset_shelf import Document
from ml4t_backtest.pipeline.column_lineage import comparison_lineage
from ml4t_backtest.pipeline.pages import markdown_table
from ml4t_backtest.pipeline.partition_names import config_of, dataset_key
from ml4t_backtest.pipeline.published_run import RUN_TABLES, bars_of, published_run
from ml4t_backtest.pipeline.run_row import compare_runs, comparison_page, comparison_schema
from ml4t_backtest.reporting.summary import summary_rows
from ml4t_backtest.runner import report_of


@asset("reports", "html", partitions_def=CONFIGS, deps=list(RUN_TABLES))
def run_report(context: dg.AssetExecutionContext, store: Store) -> Events:
    """The run as a page: curves, figures, trades, what it was made from."""
    with step_failures():
        config = config_of(context.partition_key)
        result, inputs = published_run(store.shelf, context.partition_key)
        bars = bars_of(store.shelf, dataset_key(config, context.partition_key), inputs)
        page = report_of(config, result, inputs, bars)
    yield dg.MaterializeResult(
        value=Document("report.html", page),
        metadata={
            "report": dg.MetadataValue.url(f"/reports/{context.partition_key}"),
            "summary": dg.MetadataValue.md(markdown_table(("", config.name), summary_rows(result))),
            **run_metadata(result, config.reporting.benchmark),
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
    yield from audited({"comparison_report": table}, {"comparison_report": comparison_schema()})
    yield dg.MaterializeResult(
        value=table,
        metadata={
            "runs": dg.MetadataValue.md(markdown_table(*comparison_page(table))),
            **table_metadata(table, comparison_schema(), comparison_lineage(table.columns)),
        },
        data_version=dg.DataVersion(content_hash({"runs": table})),
    )
