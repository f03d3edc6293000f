"""The commands about what was run: `report`, `export`, `runs`, `reproduce`, `clean`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ml4t_backtest.cli.group import complete_runs, main, output_root_option, show_summary
from ml4t_backtest.errors import BacktestError

if TYPE_CHECKING:
    import polars as pl

DIFFERENT = 3


@main.command()
@click.argument("run_folder", metavar="RUN", shell_complete=complete_runs)
@output_root_option
def report(run_folder: str, output_root: Path) -> None:
    """Show the summary and the report of RUN (a run's name, or a folder with a result)."""
    from ml4t_backtest.reporting.parquet import read_result, report_path

    version = _run_version(run_folder, output_root)
    show_summary(Path(_run_name(run_folder)).name, read_result(version))
    page = report_path(version)
    click.echo(f"report  {page.absolute()}" if page else "this run was written without a report")


@main.command()
@click.argument("run_folder", metavar="RUN", shell_complete=complete_runs)
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "ml4t-diagnostic"]),
    default="csv",
    show_default=True,
    help="csv: every table, for spreadsheets, no cell a formula. ml4t-diagnostic: a folder its 0.2 reads.",
)
@click.option(
    "--to", "folder", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder to write."
)
@output_root_option
def export(run_folder: str, form: str, folder: Path, output_root: Path) -> None:
    """Write the tables of RUN (a run's name, or a folder with a result) for other programs."""
    from ml4t_backtest.reporting.parquet import read_result

    version = _run_version(run_folder, output_root)
    result = read_result(version)
    if form == "csv":
        click.echo(f"written  {result.write_csv(folder)}")
        return
    predictions = _predictions_of(version, output_root)
    click.echo(f"written  {result.write_diagnostic(folder, predictions=predictions)}")


def _predictions_of(version: Path, output_root: Path) -> pl.DataFrame | None:
    """Return what the model of a run said, and what came of it; None, saying why, where its data is not as it was."""
    from ml4t_backtest.reproduction import config_as_it_was, predictions_of

    try:
        config = config_as_it_was(version)
    except BacktestError as error:
        click.echo(f"note     without predictions: {error}")
        return None
    predictions = predictions_of(config, output_root)
    if predictions is None:
        click.echo("note     without predictions: the data set has no signals")
    return predictions


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print everything that is known, as a JSON list.")
@output_root_option
def runs(as_json: bool, output_root: Path) -> None:
    """List past runs, the youngest first: when, on what, by which code, and what came out.

    A star marks the version that the run's name stands for; `reproduce NAME@VERSION` takes any of them.
    """
    import json

    from ml4t_backtest.reporting.formats import count, percent, ratio
    from ml4t_backtest.reporting.terminal import show_columns
    from ml4t_backtest.reproduction import past_runs

    found, broken = past_runs(output_root)
    for line in broken:
        click.echo(f"passed over  {line}", err=True)
    if as_json:
        click.echo(json.dumps([run.as_json() for run in found], indent=1))
        return
    figures = (("return", "total_return", percent), ("Sharpe", "sharpe_ratio", ratio), ("trades", "num_trades", count))
    rows = []
    for run in found:
        told = run.as_json()
        star = "*" if run.is_current else ""
        hashes = [str(told["inputs"].get("config"))[:8], str(told["inputs"].get("data"))[:8], str(told["code"])[:8]]
        known = [write(run.metrics.get(name)) for _, name, write in figures]
        made = [f"{run.written:%Y-%m-%d %H:%M}", told["dataset"] or "?", *hashes]
        rows.append([run.name, f"{told['version'][:12]}{star}", *made, *known])
    if not rows:
        click.echo(f"no runs under {output_root}; make one with: ml4t-backtest run simple_ml_strategy")
        return
    header = ("run", "version", "written (UTC)", "data set", "config", "data", "code")
    show_columns((*header, *(label for label, _, _ in figures)), rows)
    click.echo("* what the run's name stands for")


@main.command("reproduce")
@click.argument("run_name", metavar="RUN", shell_complete=complete_runs)
@output_root_option
def reproduce_run(run_name: str, output_root: Path) -> None:
    """Make RUN (a name, NAME@VERSION, or a folder) again from its manifest alone and compare it bit for bit.

    Its data is prepared from the sources again; nothing is written. Exit code 0: identical. 3: something differs, the
    first place of each table is named. 2: it could not be made again, because an input is gone or changed.
    """
    from ml4t_backtest.reproduction import find_run, reproduce

    version = find_run(_run_name(run_name), output_root)
    again = reproduce(version)
    for line in again.environment:
        click.echo(f"note       {line}")
    for line in again.differences:
        click.echo(f"differs    {line}")
    if not again.is_identical:
        sys.exit(DIFFERENT)
    click.echo(f"identical  {version.name[:12]}: every table and every figure, to the bit")


@main.command()
@click.option("--keep", type=click.IntRange(min=1), default=5, show_default=True, help="Versions of each that stay.")
@click.option("--dry-run", is_flag=True, help="Only list what would go.")
@output_root_option
def clean(keep: int, dry_run: bool, output_root: Path) -> None:
    """Remove old versions of data sets and results, and what killed runs left behind.

    What is current stays, and so does what a run is writing, what was current within the last hour, and whatever this
    package did not make.
    """
    from ml4t_backtest.data.store.object_upkeep import clean as clean_up

    done = clean_up(output_root, keep=keep, dry_run=dry_run)
    for path, reason in done.left:
        click.echo(f"left     {path}: {reason}")
    for path, reason in done.removed:
        click.echo(f"{'would go' if dry_run else 'removed '} {path}: {reason}")
    click.echo(f"{len(done.removed)} {'would be removed' if dry_run else 'removed'}, {len(done.left)} left")


def _run_version(run: str, output_root: Path) -> Path:
    """Return the folder of a run's current version, from its name, its configuration's file or its folder."""
    from ml4t_backtest.reporting.parquet import resolve_version
    from ml4t_backtest.runner import RUNS

    # os.path takes a name that is too long for one that does not exist.
    return resolve_version(run if os.path.isdir(run) else output_root / RUNS / _run_name(run))


def _run_name(run: str) -> str:
    """Return the name of a run; of the file of a configuration that of its run."""
    from ml4t_backtest.config.folders import SUFFIXES
    from ml4t_backtest.config.loader import load_config

    return load_config(run).name if run.endswith(SUFFIXES) and os.path.isfile(run) else run
