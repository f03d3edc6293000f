"""Runs of the graph that are killed: whole, a step of them, or the daemon that starts them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
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


_STEPS_CODE = """
import sys, threading, time
from pathlib import Path
import dagster as dg
import psutil
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster_project.ui import prepare_home

home, repository = prepare_home(Path(sys.argv[1])), ReconstructableRepository.for_module(
    "dagster_project.definitions", "defs", working_directory=None
)

def kill_a_step(until, is_over):
    is_over.wait(max(0.0, until - time.monotonic()))
    while not is_over.is_set():
        # They are started by a process that has everything imported, which this one started.
        steps = [step for started in psutil.Process().children() for step in started.children()]
        if steps:
            steps[0].kill()
            return
        time.sleep(0.001)

def succeeds(job, partition):
    with dg.DagsterInstance.from_config(str(home)) as instance:
        target = repository.get_reconstructable_job(job)
        with dg.execute_job(
            target,
            instance,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            tags={"dagster/partition": partition},
            raise_on_error=False,
        ) as done:
            return done.success

for line in sys.stdin:
    is_over = threading.Event()
    killer = threading.Thread(target=kill_a_step, args=(time.monotonic() + float(line), is_over))
    killer.start()
    ended = succeeds("prepare_data", "mine") and succeeds("run_backtests", "hold")
    is_over.set()
    killer.join()
    print(0 if ended else -9, flush=True)
"""
_BY_STEPS = """
executor: multiprocess
config:
  max_concurrent: 2
  start_method: {forkserver: {preload_modules: [dagster_project.definitions, ml4t_backtest.reporting.tearsheet]}}
"""


class GraphSteps(Nursery):
    """Runs the data set `mine` and the configuration `hold`, each step in a process of its own, and kills one."""

    def __init__(self, configs: Path, root: Path) -> None:
        executor = configs.with_name("steps.yaml")
        executor.write_text(_BY_STEPS)
        super().__init__(
            f"import sys; sys.argv.append({str(root)!r})\n{_STEPS_CODE}",
            ML4T_CONFIGS=str(configs),
            ML4T_OUTPUT_ROOT=str(root),
            ML4T_EXECUTOR=str(executor),
        )

    def run(self, seconds: float = 3600.0) -> bool:
        """Kill the step that works after so many seconds, and return whether the runs came to their end before."""
        return self._ended(str(seconds))


class Daemon:
    """The daemon of a desk, with everything switched on that starts runs, and all that it starts."""

    def __init__(self, configs: Path, root: Path, home: Path) -> None:
        environment = {
            **os.environ,
            "ML4T_CONFIGS": str(configs),
            "ML4T_OUTPUT_ROOT": str(root),
            "ML4T_AUTOMATION": "on",
            "DAGSTER_HOME": str(home),
        }
        command = [sys.executable, "-W", "ignore", "-m", "dagster._daemon", "run", "-m", "dagster_project.definitions"]
        self._process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def kill(self) -> None:
        """Kill the daemon; what it has started works on, or ends when nobody asks for it any more."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End it and all that it started, in a session of their own."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
