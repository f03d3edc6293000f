"""The command line: `ml4t-backtest run | validate | prepare | report | runs | reproduce`, and what else `--help` lists.

A user's error ends with exit code 2 and the error's own text; `--debug` shows the traceback. Heavy imports happen
inside the commands, so that `--help` is quick.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ml4t_backtest import __version__
from ml4t_backtest.errors import BacktestError

if TYPE_CHECKING:
    import polars as pl

    from ml4t_backtest.data.prepared import Prepared
    from ml4t_backtest.reporting.result import BacktestResult
    from ml4t_backtest.scaffold.found import Found

USER_ERROR = 2
# Not 1, which is also what a crash of Python ends with.
LOOK_AHEAD = 3
DIFFERENT = 3
_OUTPUT_VARIABLE = "ML4T_OUTPUT_ROOT"
_output_root = click.option(
    "--output-root",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".runs"),
    show_default=True,
    envvar=_OUTPUT_VARIABLE,
    help="Folder for everything that is written, or s3://BUCKET/PREFIX.",
)


def _complete_configs(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    from ml4t_backtest.config.folders import config_names

    with suppress(BacktestError):
        return [name for name in config_names() if name.startswith(incomplete)]
    return []


def _complete_sweeps(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    from ml4t_backtest.config.folders import sweep_names

    with suppress(BacktestError):
        return [name for name in sweep_names() if name.startswith(incomplete)]
    return []


def _complete_runs(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    home = Path(ctx.params.get("output_root") or os.environ.get(_OUTPUT_VARIABLE) or ".runs") / "runs"
    names = sorted(each.name for each in home.iterdir()) if home.is_dir() else []
    return [name for name in names if name.startswith(incomplete)]


class Commands(click.Group):
    """A group whose commands turn the package's errors into one text and exit code 2."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except BacktestError as error:
            if ctx.params.get("debug"):
                raise
            click.echo(f"{type(error).__name__}: {error}", err=True)
            ctx.exit(USER_ERROR)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ml4t-backtest")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Backtest machine-learning predictions, honestly.

    \b
    Start here:  ml4t-backtest demo
    Your own:    ml4t-backtest run my_config.yaml
    """  # noqa: D301 - click reads the \b as "keep these lines"


@main.command()
@click.argument("config", shell_complete=_complete_configs)
@click.option("--twice", is_flag=True, help="Run it twice and refuse a strategy that does not come to the same.")
@_output_root
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
    with _progress("Preparing") as show:
        prepared = prepared_dataset(loaded.dataset, output_root, on_progress=show)
    slices = prepared.context_data.height
    with _progress("Running") as show:
        result = run_prepared(loaded, prepared, on_progress=show and (lambda done: show(done, slices)))
    made_by = run_provenance(loaded, prepared)
    version = publish_run(
        loaded, result, run_inputs(loaded, prepared), output_root, provenance=made_by, bars=prepared.rows
    )
    _show_summary(loaded.name, result)
    click.echo(f"result  {version}")
    if (page := report_path(version)) is not None:
        click.echo(f"report  {page.absolute()}")


@main.command()
@click.argument("config", shell_complete=_complete_configs)
@_output_root
def validate(config: str, output_root: Path) -> None:
    """Check CONFIG and every row of its data, without running or writing anything.

    Data that is prepared already under the output root is taken from there.
    """
    from ml4t_backtest.config.components import build_components
    from ml4t_backtest.config.loader import load_config
    from ml4t_backtest.runner import dataset_at_hand, feed_of

    loaded = load_config(config)
    build_components(loaded)
    with _progress("Checking") as show, dataset_at_hand(loaded.dataset, output_root, on_progress=show) as prepared:
        found = feed_of(loaded, prepared).data_quality
        click.echo(f"{loaded.name}: configuration and data are fine; {_described(prepared)}, every row checked")
    _show_findings(found)


@main.command()
@click.argument("dataset")
@_output_root
def prepare(dataset: str, output_root: Path) -> None:
    """Check, join and publish DATASET (a name or a path) as `run` reads it; unchanged data stays as it is."""
    from ml4t_backtest.config.loader import load_dataset_config
    from ml4t_backtest.runner import prepared_dataset

    loaded = load_dataset_config(dataset)
    with _progress("Preparing") as show:
        prepared = prepared_dataset(loaded, output_root, on_progress=show)
    click.echo(f"{loaded.name}: {_described(prepared)}, every row checked")
    _show_findings(prepared.data_quality)
    click.echo(f"prepared  {prepared.version}")


@main.command("check-lookahead")
@click.argument("config", shell_complete=_complete_configs)
@click.option(
    "--signals",
    metavar="MODULE:FUNCTION",
    help="Your function from data to signals (also file.py:function beside CONFIG): it is computed again on data "
    "with another future.",
)
@click.option("--cuts", default=12, show_default=True, help="At how many moments past and future are parted.")
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
    with _progress("Living other futures") as on_progress:
        report = check(loaded, pipeline=pipeline, cuts=cuts, on_progress=on_progress)
    if report.leaks:
        show_columns(report.COLUMNS, [leak.cells() for leak in report.leaks])
    for line in report.lines():
        click.echo(line)
    if not report.is_clean:
        sys.exit(LOOK_AHEAD)


@main.command("sweep")
@click.argument("name", metavar="SWEEP", shell_complete=_complete_sweeps)
@click.option(
    "--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes that share the work."
)
@click.option(
    "--cluster", metavar="ADDRESS", help="Ray cluster that does the work: HOST:PORT, ray://HOST:PORT or local."
)
@_output_root
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
        with _progress("Sweeping") as show:
            result = run_sweep(loaded, workers=workers, executor=executor, output_root=output_root, on_progress=show)
    finally:
        if executor is not None:
            executor.shutdown()
    show_columns(COLUMNS, summary_rows(result))
    for line in summary_lines(result):
        click.echo(line)
    click.echo(f"report  {write_sweep_report(result, output_root)}")


@main.command()
@click.argument("run_folder", metavar="RUN", shell_complete=_complete_runs)
@_output_root
def report(run_folder: str, output_root: Path) -> None:
    """Show the summary and the report of RUN (a run's name, or a folder with a result)."""
    from ml4t_backtest.reporting.parquet import read_result, report_path

    version = _run_version(run_folder, output_root)
    _show_summary(Path(_run_name(run_folder)).name, read_result(version))
    page = report_path(version)
    click.echo(f"report  {page.absolute()}" if page else "this run was written without a report")


@main.command()
@click.argument("run_folder", metavar="RUN", shell_complete=_complete_runs)
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
@_output_root
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
    from ml4t_backtest.data.store.storage import read_manifest
    from ml4t_backtest.reporting.prediction_export import prediction_table
    from ml4t_backtest.reproduction import config_of
    from ml4t_backtest.run_provenance import require_same_inputs
    from ml4t_backtest.runner import dataset_at_hand

    try:
        manifest = read_manifest(version)
        config = config_of(manifest, version)
        require_same_inputs(manifest.provenance, config)
    except BacktestError as error:
        click.echo(f"note     without predictions: {error}")
        return None
    dataset = config.dataset
    if not dataset.signal_names:
        click.echo("note     without predictions: the data set has no signals")
        return None
    with dataset_at_hand(dataset, output_root) as prepared:
        return prediction_table(
            prepared.rows,
            prepared.signals,
            corporate_actions=prepared.corporate_actions,
            adjustment=dataset.adjustment,
            calendar=dataset.calendar,
        )


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print everything that is known, as a JSON list.")
@_output_root
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
@click.argument("run_name", metavar="RUN", shell_complete=_complete_runs)
@_output_root
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


def _pairs(_: click.Context, __: click.Parameter, text: str | None) -> dict[str, str]:
    """Return `timestamp=ts_event,symbol=Ticker` as a mapping."""
    found = {}
    for pair in filter(None, (text or "").split(",")):
        ours, sign, theirs = pair.partition("=")
        if not (sign and ours.strip() and theirs.strip()):
            raise click.BadParameter(f"{pair!r}: write OURS=THEIRS, for example timestamp=ts_event,symbol=Ticker")
        found[ours.strip()] = theirs.strip()
    return found


_KNOWN_AT = click.Choice(["market_open", "market_close", "next_day"])
_DATA_FILE = click.Path(dir_okay=True)


@main.command()
@click.argument("name")
@click.option("--prices", required=True, type=_DATA_FILE, help="Bars: a Parquet, CSV or Arrow file.")
@click.option("--signals", type=_DATA_FILE, help="Predictions: symbol, date or time, and their numbers.")
@click.option("--context", type=_DATA_FILE, help="Market-wide values such as the VIX: date or time, and numbers.")
@click.option("--columns", callback=_pairs, metavar="OURS=THEIRS,...", help="What columns of --prices are called.")
@click.option("--signal-columns", callback=_pairs, metavar="OURS=THEIRS,...", help="The same of --signals.")
@click.option("--context-columns", callback=_pairs, metavar="OURS=THEIRS,...", help="The same of --context.")
@click.option("--bar-label", type=click.Choice(["close", "open", "session"]), help="What a bar's timestamp names.")
@click.option(
    "--adjustment",
    type=click.Choice(["none", "split", "total_return"]),
    help="What the prices contain already: as traded, adjusted for splits, or for dividends too.",
)
@click.option("--signal-available-at", type=_KNOWN_AT, help="When a prediction of a session could first be used.")
@click.option("--context-available-at", type=_KNOWN_AT, help="The same of a value of --context.")
@click.option("--timezone", help="Of times of day that carry none, for example America/New_York.")
@click.option("--calendar", default="XNYS", show_default=True, help="The exchange whose sessions count.")
@click.option("--to", "folder", default=".", show_default=True, type=click.Path(file_okay=False), help="Where to.")
def new(
    name: str,
    prices: str,
    signals: str | None,
    context: str | None,
    columns: dict[str, str],
    signal_columns: dict[str, str],
    context_columns: dict[str, str],
    folder: str,
    **told: Any,
) -> None:
    """Write a configuration NAME and a strategy for your files; what they cannot show is asked for.

    Columns and the length of a bar are detected. What was written runs: ml4t-backtest run NAME.yaml
    """
    from ml4t_backtest.config.fields import check_safe_name
    from ml4t_backtest.scaffold.found import look_at
    from ml4t_backtest.scaffold.project import Answers, write_project

    check_safe_name(name, "configuration")
    bars = look_at(prices, ("timestamp", "symbol", "open", "high", "low", "close", "volume"), columns)
    known = look_at(signals, ("timestamp", "symbol"), signal_columns, "--signal-columns") if signals else None
    market = look_at(context, ("timestamp",), context_columns, "--context-columns") if context else None
    answers = Answers(name=name, **_asked(told, bars, known, market))
    for path in write_project(folder, answers, bars, known, market):
        click.echo(f"written  {path}")


def _asked(told: dict[str, Any], bars: Found, known: Found | None, market: Found | None) -> dict[str, Any]:
    """Return the answers to what the files cannot show: as they were given, or asked for, all at once."""
    from ml4t_backtest.scaffold.questions import open_questions

    questions = open_questions(told, bars, known, market)
    if questions and not _is_a_person():
        raise BacktestError("\n".join(question.unanswered() for question in questions))
    for option, text, choices in questions:
        told[option] = click.prompt(text, type=click.Choice(choices) if choices else str)
    return {**told, "timezone": told["timezone"] or "UTC"}


def _is_a_person() -> bool:
    return sys.stdin.isatty()


@main.command()
@click.option("--keep", type=click.IntRange(min=1), default=5, show_default=True, help="Versions of each that stay.")
@click.option("--dry-run", is_flag=True, help="Only list what would go.")
@_output_root
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


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion of SHELL; bash: eval "$(ml4t-backtest completion bash)" in ~/.bashrc."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(main, {}, "ml4t-backtest", "_ML4T_BACKTEST_COMPLETE").source())


@main.command()
@click.option("--config", default="simple_ml_strategy", show_default=True, help="Name of the configuration to run.")
@_output_root
def demo(config: str, output_root: Path) -> None:
    """Materialize the whole asset graph for the embedded sample data: five shares, thirteen years, real prices."""
    sys.exit(_in_dagster("dagster_project.demo", config, str(output_root)))


@main.command()
@click.option("--port", default=3000, show_default=True, help="Port on 127.0.0.1.")
@click.option("--automate", is_flag=True, help="Switch on what starts runs by itself: after closes and changed files.")
@_output_root
def ui(port: int, automate: bool, output_root: Path) -> None:
    """Open the Dagster UI on this machine only: look at assets, materialize, compare."""
    switched = ("automate",) if automate else ()
    sys.exit(_in_dagster("dagster_project.ui", str(port), str(output_root), *switched))


def _in_dagster(module: str, *arguments: str) -> int:
    """Run a module of `dagster_project` in a process of its own: this package never imports Dagster."""
    if find_spec("dagster") is None:
        raise click.ClickException('this command needs Dagster: pip install "ml4t-backtest-pipeline[dagster]"')
    return subprocess.call([sys.executable, "-m", module, *arguments])


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


def _show_summary(title: str, result: BacktestResult) -> None:
    from ml4t_backtest.reporting.summary import figure_rows, remarks
    from ml4t_backtest.reporting.terminal import show_table

    show_table(title, figure_rows(result))
    for label, text in remarks(result):
        click.echo(f"{label.lower():<12}  {text}")


def _described(prepared: Prepared) -> str:
    """Return rows, symbols and span of prepared bars as text."""
    bars = prepared.description
    return f"{bars['rows']:,} bars of {bars['symbols']:,} symbols, {bars['first'][:10]} to {bars['last'][:10]}"


def _show_findings(found: pl.DataFrame) -> None:
    """Print what was found in the data that is no error, a line per kind."""
    from ml4t_backtest.data.quality.data_quality import summarize

    for line in summarize(found):
        click.echo(f"found   {line}")


@contextmanager
def _progress(label: str) -> Iterator[Callable[[int, int], None] | None]:
    """Show a progress bar on a terminal, and nothing anywhere else."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


if __name__ == "__main__":
    main()
