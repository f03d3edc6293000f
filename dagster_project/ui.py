"""Serves the Dagster UI on this machine only: `python -m dagster_project.ui PORT OUTPUT_ROOT [automate]`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import dagster as dg

from ml4t_backtest.pipeline.serving import dagster_home, serve

_SETTINGS = Path(__file__).with_name("dagster.yaml")


def prepare_home(output_root: Path) -> Path:
    """Return `$DAGSTER_HOME`, or `<output root>/dagster`, made with this package's settings unless it has some."""
    home = dagster_home(output_root)
    home.mkdir(parents=True, exist_ok=True)
    if not (home / _SETTINGS.name).exists():
        shutil.copy(_SETTINGS, home)
    return home


def main(port: str, output_root: str, automate: str = "") -> int:
    """Fail the runs that a crash left, then serve until told to stop; returns the exit code."""
    from dagster_project.caretaker import fail_dead_runs

    home = prepare_home(Path(output_root))
    with dg.DagsterInstance.from_config(str(home)) as instance:
        fail_dead_runs(instance)
    return serve(Path(output_root), home, int(port), automate=bool(automate))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
