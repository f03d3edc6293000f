"""The group that every command belongs to: its errors, its options, and how it shows what it does."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ml4t_backtest import __version__
from ml4t_backtest.errors import BacktestError

if TYPE_CHECKING:
    from ml4t_backtest.reporting.result import BacktestResult

USER_ERROR = 2
_OUTPUT_VARIABLE = "ML4T_OUTPUT_ROOT"
output_root_option = click.option(
    "--output-root",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".runs"),
    show_default=True,
    envvar=_OUTPUT_VARIABLE,
    help="Folder for everything that is written, or s3://BUCKET/PREFIX.",
)


def complete_configs(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Return the configurations that begin with what was typed."""
    from ml4t_backtest.config.folders import config_names

    with suppress(BacktestError):
        return [name for name in config_names() if name.startswith(incomplete)]
    return []


def complete_sweeps(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Return the sweeps that begin with what was typed."""
    from ml4t_backtest.config.folders import sweep_names

    with suppress(BacktestError):
        return [name for name in sweep_names() if name.startswith(incomplete)]
    return []


def complete_runs(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the runs that begin with what was typed."""
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
            click.echo(f"{type(error).__name__}: {_from_here(str(error))}", err=True)
            ctx.exit(USER_ERROR)


def _from_here(text: str) -> str:
    """Return a text whose absolute paths begin at the folder one stands in, where they lie under it."""
    here = str(Path.cwd()).rstrip(os.sep)
    return re.sub(rf"(?<![\w.{re.escape(os.sep)}]){re.escape(here + os.sep)}", "", text) if here else text


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ml4t-backtest")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Backtest machine-learning predictions, honestly.

    \b
    Start here:  ml4t-backtest demo
    Your own:    ml4t-backtest run my_config.yaml
    """  # noqa: D301 - click reads the \b as "keep these lines"


def show_summary(title: str, result: BacktestResult) -> None:
    """Print the figures of a result and what is to be said of them."""
    from ml4t_backtest.reporting.summary import figure_rows, remarks
    from ml4t_backtest.reporting.terminal import show_table

    show_table(title, figure_rows(result))
    for label, text in remarks(result):
        click.echo(f"{label.lower():<12}  {text}")


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None] | None]:
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
