"""How much memory the path from raw files to trades takes, phase by phase.

    PYTHONPATH=ml4t_backtest_tests python -m benchmarks.memory_of_the_path [--symbols 250] [--sessions 252]

The files are made month by month (`minute_world.py`). The path runs in a process of its own: its sources are read,
prepared and published, the feed opens and checks what was published, the engine walks through it, one bar in a hundred
is ordered on, the result is written. Meanwhile the parent looks at all processes of the tree: resident memory (RSS),
and less often what is theirs alone (USS) and their share of what is mapped (PSS). `--twice` runs half of the sessions
and then all, `--repeat 50` the same small backtest in one process so many times.
"""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import psutil

from benchmarks.minute_world import write_world

MEGABYTE = 1_000_000
_EVERY = 0.02
# Reading every mapping of a process takes a while, and slows that process down.
_MAPPINGS_EVERY = 0.5


@dataclass
class Phase:
    """What a phase took.

    Attributes:
        name: What was done.
        begun: When it began, seconds of the parent's clock.
        cpu: Processor seconds, of all threads.
        wall: Seconds by the clock.
        peaks: Greatest RSS, USS and PSS seen, bytes.
    """

    name: str
    begun: float
    cpu: float = 0.0
    wall: float = 0.0
    peaks: dict[str, int] = field(default_factory=lambda: {"rss": 0, "uss": 0, "pss": 0})


def walk(config: Path, root: Path) -> None:
    """Go the whole path, and print when each phase begins; what the child process does."""
    _tell("import")
    from ml4t_backtest.config import load_config
    from ml4t_backtest.runner import prepared_dataset, publish_run, run_inputs, run_prepared

    _tell("prepare")
    loaded = load_config(config)
    prepared = prepared_dataset(loaded.dataset, root)
    _tell("run")
    result = run_prepared(loaded, prepared)
    _tell("write")
    publish_run(loaded, result, run_inputs(loaded, prepared), root)
    _tell(f"end {prepared.description['rows']} bars, {result.orders.height} orders, {result.trades.height} trades")


def repeat(config: Path, times: int) -> None:
    """Run a backtest so many times in one process, and print the resident memory after each."""
    from ml4t_backtest.runner import run_backtest

    for _ in range(times):
        run_backtest(config)
        gc.collect()
        print(psutil.Process().memory_info().rss, flush=True)


def measure(config: Path, root: Path) -> tuple[list[Phase], str]:
    """Return the phases of the path in a process of its own, and what came of it."""
    command = [sys.executable, "-m", __spec__.name, "--walk", str(config), str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=_variables()) as child:
        phases, last = [Phase("start", time.perf_counter())], [""]
        teller = threading.Thread(target=_listen, args=(child, phases, last))
        teller.start()
        _watch(child, phases)
        teller.join()
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command)
    return [phase for phase in phases if phase.name not in ("start", "end")], last[0]


def table(phases: list[Phase]) -> pl.DataFrame:
    """Return phases as a table, the greatest memory of all at the end."""
    rows = [
        {
            "phase": phase.name,
            "wall": phase.wall,
            "cpu": phase.cpu,
            **{f"{kind}_mb": peak / MEGABYTE for kind, peak in phase.peaks.items()},
        }
        for phase in phases
    ]
    frame = pl.DataFrame(rows)
    whole = frame.select(
        pl.lit("whole").alias("phase"), pl.col("wall", "cpu").sum(), pl.col("rss_mb", "uss_mb", "pss_mb").max()
    )
    return pl.concat([frame, whole])


def peak_mb(phases: list[Phase]) -> float:
    """Return the greatest resident memory of all phases."""
    return max(phase.peaks["rss"] for phase in phases) / MEGABYTE


def growth_mb(config: Path, times: int) -> tuple[float, list[float]]:
    """Return by how much memory grew from the first run to the last of some, and the memory after each."""
    command = [sys.executable, "-m", __spec__.name, "--again", str(config), "--repeat", str(times)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=_variables())
    sizes = [int(line) / MEGABYTE for line in done.stdout.split()]
    return sizes[-1] - sizes[0], sizes


def _variables() -> dict[str, str]:
    """Return the environment in which a process finds what this one imports."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}


def _tell(phase: str) -> None:
    print(f"{psutil.Process().cpu_times().user + psutil.Process().cpu_times().system} {phase}", flush=True)


def _listen(child: subprocess.Popen[str], phases: list[Phase], last: list[str]) -> None:
    assert child.stdout is not None
    begun_cpu = 0.0
    for line in child.stdout:
        cpu, _, told = line.strip().partition(" ")
        name, _, last[0] = told.partition(" ")
        now = time.perf_counter()
        phases[-1].cpu, phases[-1].wall = float(cpu) - begun_cpu, now - phases[-1].begun
        begun_cpu = float(cpu)
        phases.append(Phase(name, now))


def _watch(child: subprocess.Popen[str], phases: list[Phase]) -> None:
    """Look at the tree of processes until it ends."""
    looked_closely = 0.0
    while child.poll() is None:
        phase, closely = phases[-1], time.perf_counter() - looked_closely > _MAPPINGS_EVERY
        with suppress(psutil.Error):
            seen = dict.fromkeys(phase.peaks, 0)
            for process in _tree(child.pid):
                memory = process.memory_full_info() if closely else process.memory_info()
                for kind in seen:
                    seen[kind] += getattr(memory, kind, 0)
            for kind, size in seen.items():
                phase.peaks[kind] = max(phase.peaks[kind], size)
        looked_closely = time.perf_counter() if closely else looked_closely
        time.sleep(_EVERY)


def _tree(root: int) -> Iterator[psutil.Process]:
    process = psutil.Process(root)
    yield process
    yield from process.children(recursive=True)


def main() -> None:
    """Print the tables, or be the process that is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=250)
    parser.add_argument("--sessions", type=int, default=252)
    parser.add_argument("--indicators", nargs="*", default=[])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--twice", action="store_true")
    parser.add_argument("--repeat", type=int, default=0)
    parser.add_argument("--walk", nargs=2, type=Path)
    parser.add_argument("--again", type=Path)
    asked = parser.parse_args()
    if asked.walk:
        walk(*asked.walk)
    elif asked.again:
        repeat(asked.again, asked.repeat)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            _report(asked, asked.data or Path(temporary))


def _report(asked: argparse.Namespace, folder: Path) -> None:
    if asked.repeat:
        growth, sizes = growth_mb(write_world(folder, asked.symbols, asked.sessions), asked.repeat)
        print(f"{asked.repeat} runs: {sizes[0]:.0f} MB after the first, {sizes[-1]:.0f} after the last: {growth:+.1f}")
        return
    peaks = []
    for sessions in (asked.sessions // 2, asked.sessions) if asked.twice else (asked.sessions,):
        world = folder / f"{asked.symbols}x{sessions}"
        config = write_world(world, asked.symbols, sessions, indicators=tuple(asked.indicators))
        phases, last = measure(config, world / "out")
        peaks.append(peak_mb(phases))
        print(f"{asked.symbols} symbols, {sessions} sessions: {last}")
        with pl.Config(tbl_rows=-1, float_precision=1):
            print(table(phases))
    if asked.twice:
        print(f"twice the time: {peaks[1] / peaks[0] - 1:+.1%}")


if __name__ == "__main__":
    main()
