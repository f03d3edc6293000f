"""Engines side by side, on the same data, the same orders and the same fills: `python -m benchmarks.peers --help`.

Every engine is a process of its own, loads once, runs once to get warm, and then all run in turns. Times are of the
run: from loaded data to final equity and fills. Final equity must agree to the cent and fills in number.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks.engines import ENGINES, Engine
from benchmarks.measured import Measured
from benchmarks.works import WORKS, Facts, Work, made

_CENT = 0.01


@dataclass
class Measurement:
    """What one engine did with one work at one order rate.

    Attributes:
        engine: Its name.
        version: Its version.
        rows: Number of bars.
        load: Seconds to load.
        first: Seconds of the first run.
        runs: Answers to the other runs.
        whole: `wall`, `cpu`, `peak_mb` of a process that starts, loads, runs once and ends; empty if not asked for.
    """

    engine: str
    version: str
    rows: int
    load: float
    first: float
    runs: list[dict[str, Any]] = field(default_factory=list)
    whole: dict[str, float] = field(default_factory=dict)

    @property
    def walls(self) -> list[float]:
        """Seconds of each warm run."""
        return [run["wall"] for run in self.runs]

    @property
    def equity(self) -> float:
        """Final equity."""
        return float(self.runs[-1]["equity"])

    @property
    def fills(self) -> int:
        """Number of fills."""
        return int(self.runs[-1]["fills"])


def compare(work: Work, rates: Sequence[str], engines: Sequence[Engine], rounds: int) -> dict[str, list[Measurement]]:
    """Return measurements by order rate; the processes stay the same over all rates."""
    facts = made(work)
    with ExitStack() as stack:
        processes = [stack.enter_context(engine.start()) for engine in engines]
        loads = [engine.load(process, work)["wall"] for engine, process in zip(engines, processes, strict=True)]
        return {rate: _in_turns(work, facts, rate, engines, processes, loads, rounds) for rate in rates}


def _in_turns(
    work: Work,
    facts: Facts,
    rate: str,
    engines: Sequence[Engine],
    processes: Sequence[Measured],
    loads: Sequence[float],
    rounds: int,
) -> list[Measurement]:
    pairs = list(zip(engines, processes, strict=True))
    found = [
        Measurement(
            engine.name, process.hello["version"], facts.rows, load, engine.run(process, work, facts, rate)["wall"]
        )
        for (engine, process), load in zip(pairs, loads, strict=True)
    ]
    for _ in range(rounds):
        for (engine, process), measurement in zip(pairs, found, strict=True):
            measurement.runs.append(engine.run(process, work, facts, rate))
    return found


def whole_process(work: Work, rate: str, engine: Engine) -> dict[str, float]:
    """Return what a process takes that starts, loads, runs once and ends."""
    facts = made(work)
    process = engine.start()
    engine.load(process, work)
    engine.run(process, work, facts, rate)
    return process.close()


def disagreements(measurements: Sequence[Measurement]) -> list[str]:
    """Return a sentence about each engine whose equity or fills are not those of the first."""
    first = measurements[0]
    return [
        f"{other.engine}: {other.fills:,} fills, equity {other.equity:,.4f}; "
        f"{first.engine}: {first.fills:,} fills, equity {first.equity:,.4f}"
        for other in measurements[1:]
        if other.fills != first.fills or not abs(other.equity - first.equity) < _CENT
    ]


def lines(measurements: Sequence[Measurement]) -> list[str]:
    """Return a table: bars per second at best and in the middle, and how many times as fast as each the first is."""
    first = measurements[0]
    head = f"{'engine':24}{'load s':>8}{'first s':>9}{'best s':>9}{'median s':>9}{'cpu s':>8}{'best Mbar/s':>12}"
    told = [f"{head}  {first.engine} is as fast, pairwise by wall: median (least to most), by cpu: median"]
    for each in measurements:
        walls, cpus = ratios(first, each, "wall"), ratios(first, each, "cpu")
        cpu = median(run["cpu"] for run in each.runs)
        best, middle = min(each.walls), median(each.walls)
        told.append(
            f"{each.engine + ' ' + each.version:24}{each.load:8.2f}{each.first:9.3f}{best:9.3f}{middle:9.3f}{cpu:8.3f}"
            f"{each.rows / best / 1e6:12.2f}  {median(walls):6.2f} x ({walls[0]:.2f} to {walls[-1]:.2f}), "
            f"cpu {median(cpus):.2f} x"
        )
    return told


def ratios(ours: Measurement, theirs: Measurement, clock: str) -> list[float]:
    """Return how many times as long the other engine took as ours, round by round, ascending; by `wall` or `cpu`."""
    return sorted(other[clock] / mine[clock] for mine, other in zip(ours.runs, theirs.runs, strict=True))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return 1 when engines disagree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", choices=sorted(WORKS), default="W2")
    parser.add_argument("--orders", nargs="+", default=["0", "0.01", "0.1"], help="order rates: 0 0.01 0.1")
    parser.add_argument("--engines", default="ours,ours-symbol,vectorbt", help=f"of {', '.join(ENGINES)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--whole", action="store_true", help="measure whole processes too, with their memory")
    asked = parser.parse_args(arguments)
    engines, work = [ENGINES[name] for name in asked.engines.split(",")], WORKS[asked.work]
    for engine in engines:
        engine.make()
    wrong = False
    print(f"load average {os.getloadavg()[0]:.1f} at the start")
    for rate, found in compare(work, asked.orders, engines, asked.rounds).items():
        print(f"\n{work.name}, order rate {float(rate):g}: {found[0].rows:,} bars, {found[0].fills:,} fills")
        print("\n".join(lines(found)))
        for sentence in disagreements(found):
            print(f"DIFFERS: {sentence}")
            wrong = True
        for engine in engines if asked.whole else ():
            took = whole_process(work, rate, engine)
            print(f"whole {engine.name:18}{took['wall']:8.1f} s {took['cpu']:8.1f} s cpu {took['peak_mb']:8.0f} MB")
    print(f"\nload average {os.getloadavg()[0]:.1f} at the end")
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
