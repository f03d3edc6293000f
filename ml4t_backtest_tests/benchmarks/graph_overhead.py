"""What Dagster adds to a backtest: its start, its cost per run and asset, its answer to a changed file, a backfill.

    PYTHONPATH=ml4t_backtest_tests:. python -m benchmarks.graph_overhead [start] [run] [change] [--backfill 200]

Without names all but the backfill are measured. Each prints a line with its figures. The world is small on purpose,
ten bars of two symbols: what is left of the time is overhead. `run` uses the embedded sample.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import polars as pl
import psutil

_ROUNDS = 3
_SAMPLE = "simple_ml_strategy"
_FULL = {"ml4t/full": "true"}
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_CONFIG = "backtest: {{initial_capital: {capital}}}\ndata: {{dataset: mine}}\nstrategy: {{path: 'hold.py:Hold'}}\n"
_STRATEGY = """from ml4t_backtest import Strategy


class Hold(Strategy):
    def on_market_data(self, event):
        if not self.get_position(event.symbol):
            self.buy(event.symbol, quantity=1)
"""


def start(root: Path) -> str:
    """Return how long the page takes from the command to its first answer."""
    from docs.ui_pages import served

    begun = time.perf_counter()
    with served(root):
        return f"start of the page, its definitions loaded: {time.perf_counter() - begun:.1f} s"


def run(root: Path) -> str:
    """Return what a run costs in the graph, every asset computed anew, beside the same call without it."""
    import dagster as dg

    from dagster_project.definitions import defs
    from dagster_project.defs.resources import resources
    from dagster_project.demo import materialize_all
    from dagster_project.ui import prepare_home
    from ml4t_backtest.runner import run_backtest

    job = defs.resolve_job_def("run_backtests")
    with dg.DagsterInstance.from_config(str(prepare_home(root))) as instance:
        materialize_all([_SAMPLE], root, instance)
        options = {"run_config": _QUIET, "partition_key": _SAMPLE, "resources": resources(root), "instance": instance}
        anew = _median(lambda: job.execute_in_process(**options, tags=_FULL))
        unchanged = _median(lambda: job.execute_in_process(**options))
    direct = _median(lambda: run_backtest(_SAMPLE, output_root=root / "direct"))
    assets = len(job.asset_layer.selected_asset_keys)
    return (
        f"run_backtests of {_SAMPLE}: direct {direct:.2f} s; in the graph {anew:.2f} s computed anew, "
        f"{unchanged:.2f} s unchanged; {anew - direct:.2f} s per run more, {(anew - direct) / assets:.3f} s per asset "
        f"of {assets}; medians of {_ROUNDS}"
    )


def change(root: Path) -> str:
    """Return the time from a changed configuration to its report, with `--automate` and nobody at the keys."""
    from docs.ui_pages import served
    from ml4t_backtest.pipeline.asset_shelf import AssetShelf

    configs = _world(root / "configs", ["hold"])
    os.environ |= {"ML4T_CONFIGS": str(configs), "ML4T_AUTOMATION": "on"}
    shelf = AssetShelf(root / "out")
    with served(root / "out"):
        _prepare(root / "out")
        _write(configs, "hold", 20_000)
        _wait(lambda: shelf.holds("run_report", "hold"))
        before, begun = shelf.inputs_of("run_report", "hold"), time.perf_counter()
        _write(configs, "hold", 30_000)
        _wait(lambda: shelf.inputs_of("run_report", "hold") != before)
        return f"from a changed file to its new report, nobody at the keys: {time.perf_counter() - begun:.1f} s"


def backfill(root: Path, partitions: int) -> str:
    """Return what a backfill of so many configurations takes through Dagster's queue and launcher."""
    from backfill import desk

    from dagster_project.ui import prepare_home
    from ml4t_backtest.pipeline.asset_shelf import AssetShelf
    from ml4t_backtest.pipeline.serving import ROOT_VARIABLE

    names = [f"hold_{number:03}" for number in range(partitions)]
    configs = _world(root / "configs", names)
    os.environ |= {"ML4T_CONFIGS": str(configs), ROOT_VARIABLE: str(root / "out")}
    home = prepare_home(root / "out")
    _prepare(root / "out")
    with desk(home) as at, _Tree() as tree:
        begun = time.perf_counter()
        runs = at.backfill("run_backtests", names, seconds=3600.0 * 4)
        seconds = time.perf_counter() - begun
        processor = tree.processor_seconds()
    ended = Counter(run.status.value.lower() for run in runs)
    published = sum(AssetShelf(root / "out").holds("run_report", name) for name in names)
    return (
        f"backfill of {partitions} partitions: {seconds:.0f} s, {seconds / partitions:.1f} s each; "
        f"processor {processor:.0f} s, {processor / partitions:.1f} s each; runs {dict(ended)}, {published} reports; "
        f"peak of the process tree {tree.peak / 1e6:.0f} MB resident, pages that are shared counted each time; "
        f"event log {_size(home / 'history' / 'runs') / 1e6:.1f} MB, all of the history {_size(home) / 1e6:.1f} MB"
    )


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


class _Tree:
    """This process and all that it started: the greatest resident memory, and the time of processors."""

    def __init__(self) -> None:
        self.peak, self._before = 0, 0.0
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch)

    def __enter__(self) -> _Tree:
        self._before = self.processor_seconds()
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._watcher.join()

    def processor_seconds(self) -> float:
        """Return the time taken since this began; a process that ended counts with the one that waited for it."""
        return self._sum(lambda process: sum(process.cpu_times()[:4])) - self._before

    def _watch(self) -> None:
        while not self._ended.wait(0.2):
            self.peak = max(self.peak, round(self._sum(lambda process: process.memory_info().rss)))

    def _sum(self, figure: Callable[[psutil.Process], float]) -> float:
        total, me = 0.0, psutil.Process()
        for process in (me, *me.children(recursive=True)):
            # It may have ended since it was listed.
            with suppress(psutil.Error):
                total += figure(process)
        return total


def _world(configs: Path, names: list[str]) -> Path:
    """Write a data set of ten bars and some backtests of it."""
    (configs / "datasets").mkdir(parents=True)
    days = [f"2024-01-{day:02}" for day in (8, 9, 10, 11, 12)]
    close = [100.0, 101.0, 102.0, 103.0, 104.0]
    one = pl.DataFrame({"timestamp": days, **dict.fromkeys(("open", "high", "low", "close", "volume"), close)})
    both = pl.concat([one.with_columns(symbol=pl.lit(symbol)) for symbol in ("A", "B")])
    both.with_columns(pl.col("timestamp").str.to_date()).write_parquet(configs / "bars.parquet")
    (configs / "datasets" / "mine.yaml").write_text(
        "bar_label: session\nadjustment: total_return\nprices: {path: ../bars.parquet}\n"
    )
    (configs / "hold.py").write_text(_STRATEGY)
    for number, name in enumerate(names):
        _write(configs, name, 10_000 + number)
    return configs


def _write(configs: Path, name: str, capital: int) -> None:
    (configs / f"{name}.yaml").write_text(_CONFIG.format(capital=capital))


def _prepare(root: Path) -> None:
    from dagster_project.definitions import defs
    from dagster_project.defs.resources import resources

    job = defs.resolve_job_def("prepare_data")
    job.execute_in_process(run_config=_QUIET, partition_key="mine", resources=resources(root))


def _wait(is_so: Callable[[], bool], seconds: float = 300.0) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > until:
            raise TimeoutError(f"nothing came of it within {seconds:.0f} s")
        time.sleep(0.1)


def _median(call: Callable[[], object]) -> float:
    call()
    taken = []
    for _ in range(_ROUNDS):
        begun = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def main() -> None:
    """Measure what was asked for, each in a folder of its own."""
    parts = {"start": start, "run": run, "change": change}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *parts])
    parser.add_argument("--backfill", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        if asked.backfill:
            print(backfill(Path(root), asked.backfill))
        elif len(asked.parts) == 1:
            print(parts[asked.parts[0]](Path(root)))
        else:
            # Each in a process of its own: a graph is loaded once, with the configurations of that time.
            for name in asked.parts or parts:
                subprocess.run([sys.executable, "-m", __spec__.name, name], check=True)
            return
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")


if __name__ == "__main__":
    main()
