"""The commands that hand over to Dagster: `demo` and `ui`."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import click

from ml4t_backtest.cli.group import main, output_root_option


@main.command()
@click.option("--config", default="simple_ml_strategy", show_default=True, help="Name of the configuration to run.")
@output_root_option
def demo(config: str, output_root: Path) -> None:
    """Materialize the whole asset graph for the embedded sample data: five shares, thirteen years, real prices."""
    sys.exit(_in_dagster("dagster_project.demo", config, str(output_root)))


@main.command()
@click.option("--port", default=3000, show_default=True, help="Port on 127.0.0.1.")
@click.option("--automate", is_flag=True, help="Switch on what starts runs by itself: after closes and changed files.")
@output_root_option
def ui(port: int, automate: bool, output_root: Path) -> None:
    """Open the Dagster UI on this machine only: look at assets, materialize, compare."""
    switched = ("automate",) if automate else ()
    sys.exit(_in_dagster("dagster_project.ui", str(port), str(output_root), *switched))


def _in_dagster(module: str, *arguments: str) -> int:
    """Run a module of `dagster_project` in a process of its own: this package never imports Dagster."""
    if find_spec("dagster") is None:
        raise click.ClickException('this command needs Dagster: pip install "ml4t-backtest-pipeline[dagster]"')
    return subprocess.call([sys.executable, "-m", module, *arguments])
