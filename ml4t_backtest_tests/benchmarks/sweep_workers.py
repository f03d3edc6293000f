"""What a sweep gains by a second process, and what a trial costs: time, memory, network, disk.

    PYTHONPATH=ml4t_backtest_tests python -m benchmarks.sweep_workers [--symbols 30] [--sessions 1260] [--variants 64]

Bars and predictions of so many symbols are made and prepared once. Then the same sweep, with an empty ledger each time,
is run by one process and by two, in turns, `--rounds` times; each run is a process of its own, in which Polars has one
thread, and so have its workers. Wall is that of `run_sweep`, the start of the workers included; cpu is that of all
processes. Memory is what is a worker's alone (USS), looked at ten times a second in runs of their own, because looking
costs time too. What a trial adds to it is the difference between 32 variants that ride one pass and one. The load
average is that before each run.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from statistics import median
from typing import Any

import polars as pl
import psutil

from ml4t_backtest.data.synthetic import random_bars
from ml4t_backtest.sweep.loading import Sweep, sweep_from_mapping
from ml4t_backtest.sweep.run import LEDGER, SWEEPS, run_sweep

RIDERS = 32
_BACKTEST = """
data:
  source:
    adjustment: total_return
    bar_label: close
    frequency: 1d
    prices: {path: bars.parquet}
    signals: [{path: signals.parquet, names: [prediction], available_at: null}]
strategy:
  path: ml4t_backtest.strategy.library.PredictionThreshold
  params: {enter_above: 2.0, exit_below: 0.0, position_percent: 0.02}
"""
Figures = dict[str, float]


def write_project(folder: Path, symbols: int, sessions: int) -> None:
    """Write bars, predictions and the backtest that is varied."""
    (folder / SWEEPS).mkdir(parents=True)
    bars = random_bars(symbols, sessions, seed=1)
    bars.select("timestamp", "symbol", "open", "high", "low", "close", "volume").write_parquet(folder / "bars.parquet")
    known = pl.col("prediction_available_at").alias("available_at")
    bars.select("timestamp", "symbol", "prediction", known).write_parquet(folder / "signals.parquet")
    (folder / "base.yaml").write_text(_BACKTEST, encoding="utf-8")


def sweep_of(folder: Path, variants: int) -> Sweep:
    """Return the sweep: the level above which is bought, in small steps."""
    levels = [round(2.0 + step * 0.005, 6) for step in range(variants)]
    space = {"model": "grid", "parameters": {"strategy.params.enter_above": levels}}
    return sweep_from_mapping({"sweep": {"base": "base"}, "space": space}, name="measured", folder=folder / SWEEPS)


def measure(folder: Path, root: Path, workers: int, variants: int, *, watch: bool) -> Figures:
    """Run the sweep and return what it took; memory where it is watched."""
    sweep = sweep_of(folder, variants)
    before, began = _cpu(), time.perf_counter()
    with _watched() if watch else nullcontext([0]) as seen:
        result = run_sweep(sweep, workers=workers, output_root=root)
    wall = time.perf_counter() - began
    files = list((root / SWEEPS / LEDGER).glob("*.parquet"))
    orders = result.trials["num_fills"].mean()
    return {
        "wall": wall,
        "cpu": _cpu() - before,
        "uss_mb": max(seen) / 1e6,
        "ledger_bytes": sum(file.stat().st_size for file in files) / variants,
        "fills": float(orders) if isinstance(orders, float) else 0.0,
    }


def network(folder: Path, root: Path, variants: int) -> Figures:
    """Return the bytes that go to a worker and come back, per trial, and those of the data, once per node."""
    from ml4t_backtest.sweep import trial_runner
    from ml4t_backtest.sweep.trial_task import run_task

    runner = trial_runner.TrialRunner("measured", root, 1, None, lambda done, total: None)
    sweep = sweep_of(folder, variants)
    tasks = list(runner._tasks(runner.trials(sweep, sweep.variants, [None])))
    there = sum(len(pickle.dumps(task)) for task in tasks) / variants
    back = sum(len(pickle.dumps(run_task(task))) for task in tasks) / variants
    shared = sum(file.stat().st_size for file in (root / SWEEPS / "shared").rglob("*.arrow"))
    return {"bytes_there": there, "bytes_back": back, "data_mb": shared / 1e6}


@contextmanager
def _watched() -> Iterator[list[int]]:
    """Collect the memory that is each worker's alone, or this process's where it has none."""
    own, seen, ended = psutil.Process(), [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.1):
            for process in [each for each in own.children() if _is_worker(each)] or [own]:
                with suppress(psutil.Error):
                    seen.append(process.memory_full_info().uss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        ended.set()
        watcher.join()


def _is_worker(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return "spawn_main" in " ".join(process.cmdline())
    return False


def _cpu() -> float:
    kinds = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in kinds)


def _apart(folder: Path, prepared: Path, workers: int, variants: int, *, watch: bool = False) -> Figures:
    """Measure in a process of its own, over data that is prepared already and an empty ledger."""
    load = os.getloadavg()[0]
    for file in (prepared / SWEEPS / LEDGER).glob("*.parquet"):
        file.unlink()
    command = [sys.executable, "-m", "benchmarks.sweep_workers", "--one", str(workers), str(folder), str(prepared)]
    environment = {**os.environ, "POLARS_MAX_THREADS": "1"}
    command += ["--variants", str(variants), *(["--watch"] if watch else [])]
    told = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    return {**json.loads(told), "load": load}


def compare(folder: Path, symbols: int, sessions: int, variants: int, rounds: int) -> dict[str, Any]:
    """Return the figures of every run, in turns, and those of a trial."""
    write_project(folder, symbols, sessions)
    prepared = folder / "out"
    _apart(folder, prepared, 1, 1)  # prepares, too
    alone, ridden = (_apart(folder, prepared, 1, riders, watch=True)["uss_mb"] for riders in (1, RIDERS))
    worker = _apart(folder, prepared, 2, variants, watch=True)["uss_mb"]
    runs: dict[int, list[Figures]] = {1: [], 2: []}
    for number in range(rounds):
        for workers in (1, 2) if number % 2 == 0 else (2, 1):
            runs[workers].append(_apart(folder, prepared, workers, variants))
            print(workers, {name: round(value, 2) for name, value in runs[workers][-1].items()}, flush=True)
    memory = {"mb_per_rider": (ridden - alone) / (RIDERS - 1), "alone_mb": alone, "worker_mb": worker}
    return {"runs": runs, **memory, **network(folder, prepared, variants)}


def told(found: dict[str, Any], variants: int) -> str:
    """Return the figures in lines."""
    one, two = ({name: median(run[name] for run in runs) for name in runs[0]} for runs in found["runs"].values())
    loads = [run["load"] for runs in found["runs"].values() for run in runs]
    each = one["cpu"] / variants
    ratios = sorted(a["wall"] / b["wall"] for a, b in zip(*found["runs"].values(), strict=True))
    lines = [
        f"load averages before the runs: {min(loads):.1f} to {max(loads):.1f}",
        f"wall, median: {one['wall']:.2f} s by one, {two['wall']:.2f} s by two processes",
        f"speed-up: {one['wall'] / two['wall']:.2f} of the medians; per round {', '.join(f'{r:.2f}' for r in ratios)}",
        f"cpu, median: {one['cpu']:.2f} s by one, {two['cpu']:.2f} s by two (the start of both included)",
        f"per trial: {each * 1e3:.0f} ms of one core, {one['fills']:.0f} fills, "
        f"{found['mb_per_rider']:.2f} MB while it rides",
        f"per worker: {found['worker_mb']:.0f} MB of its own; {found['alone_mb']:.0f} MB with a single trial",
        f"network per trial: {found['bytes_there'] / 1e3:.1f} kB there, {found['bytes_back'] / 1e3:.1f} kB back; "
        f"data once per node: {found['data_mb']:.1f} MB",
        f"ledger per trial: {one['ledger_bytes'] / 1e3:.1f} kB",
        f"10,000 trials: {each * 10_000 / 3600:.2f} core hours, "
        f"{(found['bytes_there'] + found['bytes_back']) * 10_000 / 1e6:.0f} MB over the network, "
        f"{one['ledger_bytes'] * 10_000 / 1e6:.0f} MB of ledger",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", type=int, default=30)
    parser.add_argument("--sessions", type=int, default=1260)
    parser.add_argument("--variants", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--watch", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--one", nargs=3, metavar=("WORKERS", "FOLDER", "ROOT"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        workers, folder, root = given.one
        print(json.dumps(measure(Path(folder), Path(root), int(workers), given.variants, watch=given.watch)))
        return
    with tempfile.TemporaryDirectory() as folder:
        found = compare(Path(folder), given.symbols, given.sessions, given.variants, given.rounds)
        print(told(found, given.variants))


if __name__ == "__main__":
    main()
