"""One partition per sweep, its trials inside: the same ledger as `ml4t-backtest sweep`, so that neither repeats any."""

from functools import partial

import dagster as dg
import polars as pl
from pydantic import Field

from dagster_project.contracts import step_failures
from dagster_project.defs.common import Events, Store, asset
from dagster_project.io_manager import INPUTS
from dagster_project.partitions import SWEEPS
from ml4t_backtest.data.store.storage import content_hash
from ml4t_backtest.pipeline.asset_shelf import Document
from ml4t_backtest.sweep.pages import at_each_percent, sweep_figures, sweep_pages
from ml4t_backtest.sweep.report import render_sweep_report
from ml4t_backtest.sweep.run import run_sweep


class Workforce(dg.Config):
    """Who does the work; the figures are the same."""

    workers: int = Field(default=1, ge=1, description="Processes that share the trials.")


@asset("sweeps", "html", partitions_def=SWEEPS)
def sweep_report(context: dg.AssetExecutionContext, config: Workforce, store: Store) -> Events:
    """The variants of a backtest, what was chosen of them and what that is worth; every trial is on record."""
    key, progress = context.partition_key, at_each_percent(partial(_tell, context))
    with step_failures():
        result = run_sweep(key, workers=config.workers, output_root=store.root, on_progress=progress)
        page = render_sweep_report(result)
    known = result.trials.select("trial", "status").with_columns(tried=pl.lit(result.tried))
    version = content_hash({"trials": known})
    pages = {title: dg.MetadataValue.md(text) for title, text in sweep_pages(result).items()}
    yield dg.MaterializeResult(
        value=Document("report.html", page),
        metadata={**pages, **sweep_figures(result), INPUTS: {"trials": version}},
        data_version=dg.DataVersion(version),
    )


def _tell(context: dg.AssetExecutionContext, done: int, total: int) -> None:
    """Say how far the sweep is: in the log, and as an observation that the asset's page shows while it runs."""
    context.log.info(f"{done} of {total} trials of {context.partition_key} are on record")
    so_far = {"trials_done": done, "trials": total, "share_done": done / total}
    key, partition = context.asset_key, context.partition_key
    context.log_event(dg.AssetObservation(key, partition=partition, metadata=so_far))
