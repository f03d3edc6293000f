"""The commands that check and run: `run`, `validate`, `prepare`, `check-lookahead`, `sweep`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ml4t_backtest.cli.group import complete_configs, complete_sweeps, main, output_root_option, progress, show_summary

if TYPE_CHECKING:
    import polars as pl

    from ml4t_backtest.data.prepared import Prepared

# Not 1, which is also what a crash of Python ends with.
LOOK_AHEAD = 3


@main.command()
@click.argument("config", shell_complete=complete_configs)
@click.option("--twice", is_flag=True, help="Run it twice and refuse a strategy that does not come to the same.")
@output_root_option
def run(config: str, twice: bool, output_root: Path) -> None:
    """Run the backtest of CONFIG (a name or a path) and write its result."""
    from ml4t_backtest.config.components import build_components
    from ml4t_backtest.config.loader import load_config
    from ml4t_backtest.reporting.parquet import report_path
    from ml4t_backtest.run_provenance import run_provenance
    from ml4t_backtest.runner import check_determinism, prepared_dataset, publish_run, run_inputs, run_prepared

    loaded = load_config(config)
    build_components(loaded)
    if twice:
        check_determinism(loaded)
    with progress("Preparing") as show:
        prepared = prepared_dataset(loaded.dataset, output_root, on_progress=show)
    slices = prepared.context_data.height
    with progress("Running") as show:
        result = run_prepared(loaded, prepared, on_progress=show and (lambda done: show(done, slices)))
    made_by = run_provenance(loaded, prepared)
    version = publish_run(
        loaded, result, run_inputs(loaded, prepared), output_root, provenance=made_by, bars=prepared.rows
    )
    show_summary(loaded.name, result)
    click.echo(f"result  {version}")
    if (page := report_path(version)) is not None:
        click.echo(f"report  {page.absolute()}")


@main.command()
@click.argument("config", shell_complete=complete_configs)
@output_root_option
def validate(config: str, output_root: Path) -> None:
    """Check CONFIG and every row of its data, without running or writing anything.

    Data that is prepared already under the output root is taken from there.
    """
    from ml4t_backtest.config.components import build_components
    from ml4t_backtest.config.loader import load_config
    from ml4t_backtest.runner import dataset_at_hand, dataset_notes, feed_of

    loaded = load_config(config)
    build_components(loaded)
    with progress("Checking") as show, dataset_at_hand(loaded.dataset, output_root, on_progress=show) as prepared:
        found = feed_of(loaded, prepared).data_quality
        click.echo(f"{loaded.name}: configuration and data are fine; {_described(prepared)}, every row checked")
    _show_findings(found)
    for note in dataset_notes(loaded.dataset):
        click.echo(f"note    {note}")


@main.command()
@click.argument("dataset")
@output_root_option
def prepare(dataset: str, output_root: Path) -> None:
    """Check, join and publish DATASET (a name or a path) as `run` reads it; unchanged data stays as it is.

    DATASET may be a backtest's configuration too: then it is the data of that.
    """
    from ml4t_backtest.config.loader import load_dataset_of
    from ml4t_backtest.runner import prepared_dataset

    loaded = load_dataset_of(dataset)
    with progress("Preparing") as show:
        prepared = prepared_dataset(loaded, output_root, on_progress=show)
    click.echo(f"{loaded.name}: {_described(prepared)}, every row checked")
    _show_findings(prepared.data_quality)
    click.echo(f"prepared  {prepared.version}")


@main.command("check-lookahead")
@click.argument("config", shell_complete=complete_configs)
@click.option(
    "--signals",
    metavar="MODULE:FUNCTION",
    help="Your function from data to signals (also file.py:function beside CONFIG): it is computed again on data "
    "with another future.",
)
@click.option("--cuts", default=12, show_default=True, help="At how many moments past and future are parted, at most.")
def check_lookahead(config: str, signals: str | None, cuts: int) -> None:
    """Find out whether anything in CONFIG, or in its data, knows the future. Exit code 3 says that something does.

    Prices, signals and context after many moments are cut off and exchanged for others; preparation and backtest up to
    there must stay the same, to the bit. Values that came with the data are held against later bars.
    """
    from ml4t_backtest.config.components import load_function
    from ml4t_backtest.config.loader import load_config
    from ml4t_backtest.lookahead.check import check_lookahead as check
    from ml4t_backtest.reporting.terminal import show_columns

    loaded = load_config(config)
    pipeline = None if signals is None else load_function(signals, loaded.folder)
    with progress("Living other futures") as on_progress:
        report = check(loaded, pipeline=pipeline, cuts=cuts, on_progress=on_progress)
    if report.leaks:
        show_columns(report.COLUMNS, [leak.cells() for leak in report.leaks])
    for line in report.lines():
        click.echo(line)
    if not report.is_clean:
        sys.exit(LOOK_AHEAD)


@main.command("sweep")
@click.argument("name", metavar="SWEEP", shell_complete=complete_sweeps)
@click.option(
    "--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes that share the work."
)
@click.option(
    "--cluster", metavar="ADDRESS", help="Ray cluster that does the work: HOST:PORT, ray://HOST:PORT or local."
)
@output_root_option
def run_the_sweep(name: str, workers: int, cluster: str | None, output_root: Path) -> None:
    """Run the trials of SWEEP (a name or a path) that are not on record yet, and show what was best.

    Every trial is a row of the ledger under the output root. Interrupted, the same command goes on where it was.
    """
    from ml4t_backtest.reporting.terminal import show_columns
    from ml4t_backtest.sweep.loading import load_sweep
    from ml4t_backtest.sweep.ray_cluster import RayExecutor
    from ml4t_backtest.sweep.report import write_sweep_report
    from ml4t_backtest.sweep.run import run_sweep
    from ml4t_backtest.sweep.summary import COLUMNS, summary_lines, summary_rows

    loaded = load_sweep(name)
    executor = None if cluster is None else RayExecutor(cluster)
    try:
        with progress("Sweeping") as show:
            result = run_sweep(loaded, workers=workers, executor=executor, output_root=output_root, on_progress=show)
    finally:
        if executor is not None:
            executor.shutdown()
    show_columns(COLUMNS, summary_rows(result))
    for line in summary_lines(result):
        click.echo(line)
    click.echo(f"report  {write_sweep_report(result, output_root)}")


def _described(prepared: Prepared) -> str:
    """Return rows, symbols and span of prepared bars as text."""
    bars = prepared.description
    return f"{bars['rows']:,} bars of {bars['symbols']:,} symbols, {bars['first'][:10]} to {bars['last'][:10]}"


def _show_findings(found: pl.DataFrame) -> None:
    """Print what was found in the data that is no error, a line per kind."""
    from ml4t_backtest.data.quality.data_quality import summarize

    for line in summarize(found):
        click.echo(f"found   {line}")
