"""Runs of the graph that are killed: a process that has everything imported forks one for each line it reads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

_NURSERY = """
import os, signal, sys, time
from pathlib import Path
import dagster as dg
from dagster_project import demo
from ml4t_backtest.data.calendar import calendar_names
from ml4t_backtest.reporting import tearsheet

calendar_names()  # imports what is imported late; Polars itself must not run before a fork

def work(root):
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


class Nursery:
    """Starts runs of the configuration `hold`, one after the other, and kills them."""

    def __init__(self, configs: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", _NURSERY],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "ML4T_CONFIGS": str(configs), "POLARS_MAX_THREADS": "1"},
        )

    def run(self, root: Path, seconds: float = 120.0) -> bool:
        """Let a run work for so long, and return whether it came to its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{root} {seconds}\n")
        self._process.stdin.flush()
        ended = int(self._process.stdout.readline())
        assert ended in (0, -signal.SIGKILL), ended
        return ended == 0

    def close(self) -> None:
        """End the process that starts them."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
