"""Runs of the graph that are killed."""

from __future__ import annotations

from pathlib import Path

from nursery import Nursery

_CODE = """
import os, signal, sys, time
from pathlib import Path
import dagster as dg
from dagster_project import demo
from ml4t_backtest.data.calendar import calendar_names
from ml4t_backtest.reporting import tearsheet

calendar_names()  # imports what is imported late; Polars itself must not run before a fork

def work(root):
    sys.stderr = open(os.devnull, "w")  # a log of what was killed
    with dg.DagsterInstance.from_config(str(demo.prepare_home(Path(root)))) as instance:
        demo.materialize_all(["hold"], root, instance)
    os._exit(0)

def waited(child, until):
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.0005)
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]

for line in sys.stdin:
    root, seconds = line.rsplit(" ", 1)
    child = os.fork()
    if child == 0:
        work(root)
    status = waited(child, time.monotonic() + float(seconds))
    print(-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status), flush=True)
"""


class GraphRuns(Nursery):
    """Starts runs of the configuration `hold`, one after the other, and kills them."""

    def __init__(self, configs: Path) -> None:
        super().__init__(_CODE, ML4T_CONFIGS=str(configs))

    def run(self, root: Path, seconds: float = 120.0) -> bool:
        """Let a run work for so long, and return whether it came to its end."""
        return self._ended(f"{root} {seconds}")
