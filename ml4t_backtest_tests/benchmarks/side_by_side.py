"""Engines in turns: ours and a peer, each in a process of its own, on the same data, orders and fills."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from benchmarks.engines import Engine
from benchmarks.measured import Measured
from benchmarks.tasks import Task, task_of
from benchmarks.works import Facts, Work, made

CENT = 0.01
# An engine whose run takes more than this many seconds of all threads is not asked again.
PATIENCE = 30.0


@dataclass
class Measurement:
    """What one engine did with one work in one task.

    Attributes:
        engine: Its name.
        version: Its version.
        rule: Where its orders fill.
        rows: Number of bars.
        load: `wall` and `cpu` seconds to load.
        runs: `wall` and `cpu` seconds of each run, final `equity` and `fills`; the first, cold one left out unless it
            is the only one.
        first: The first run.
        whole: `wall`, `cpu`, `peak_mb` of processes that start, load, run once and end.
    """

    engine: str
    version: str
    rule: str
    rows: int
    load: dict[str, float]
    first: dict[str, Any]
    runs: list[dict[str, Any]] = field(default_factory=list)
    whole: list[dict[str, float]] = field(default_factory=list)

    def seconds(self, clock: str = "wall") -> list[float]:
        """Return the seconds of each run, by `wall` or `cpu`."""
        return [run[clock] for run in self.runs]

    @property
    def best_rate(self) -> float:
        """Bars per second of the fastest run."""
        return self.rows / min(self.seconds())

    @property
    def equity(self) -> float | None:
        """Final equity; None for what is no backtest."""
        return None if self.runs[-1]["equity"] is None else float(self.runs[-1]["equity"])

    @property
    def fills(self) -> int | None:
        """Number of fills."""
        return None if self.runs[-1]["fills"] is None else int(self.runs[-1]["fills"])

    def told(self) -> str:
        """Return what came out as words."""
        return f"{self.engine}: {self.fills} fills, equity {self.equity}"

    def as_json(self) -> dict[str, Any]:
        """Return what `json` can write."""
        return asdict(self)


def compare(
    work: Work, tasks: Sequence[str], engines: Sequence[Engine], *, rounds: int, whole: int = 0
) -> Iterator[tuple[Task, list[Measurement]]]:
    """Yield tasks with the measurements of all engines; the processes stay the same over all tasks.

    Args:
        work: What they work on.
        tasks: Names of tasks.
        engines: The first is what the others are compared with.
        rounds: Warm runs of each, in turns.
        whole: Processes of each that are measured from start to end, in turns.
    """
    facts = made(work)
    with ExitStack() as stack:
        pairs = [(engine, stack.enter_context(engine.start())) for engine in engines]
        loads = [engine.load(process, work) for engine, process in pairs]
        for task in (task_of(name, facts) for name in tasks):
            found = _in_turns(work, facts, task, pairs, loads, rounds)
            for _ in range(whole):
                for engine, measurement in zip(engines, found, strict=True):
                    measurement.whole.append(whole_process(work, task, engine))
            yield task, found


def _in_turns(
    work: Work,
    facts: Facts,
    task: Task,
    pairs: Sequence[tuple[Engine, Measured]],
    loads: Sequence[dict[str, float]],
    rounds: int,
) -> list[Measurement]:
    found = []
    for (engine, process), load in zip(pairs, loads, strict=True):
        first = engine.run(process, work, task)
        found.append(Measurement(engine.name, process.hello["version"], engine.rule, facts.rows, load, first))
    for number in range(rounds):
        for (engine, process), measurement in zip(pairs, found, strict=True):
            if measurement.first["cpu"] <= PATIENCE:
                measurement.runs.append(engine.run(process, work, task))
            elif number == 0:
                measurement.runs.append(measurement.first)
    return found


def whole_process(work: Work, task: Task, engine: Engine) -> dict[str, float]:
    """Return what a process takes that starts, loads, runs once and ends."""
    process = engine.start()
    engine.load(process, work)
    engine.run(process, work, task)
    return process.close()


def disagreements(measurements: Sequence[Measurement]) -> list[str]:
    """Return a sentence about each engine whose equity or fills are not those of the first, as far as they tell."""
    first = measurements[0]
    return [f"{each.told()}; {first.told()}" for each in measurements[1:] if not agree(first, each)]


def agree(one: Measurement, other: Measurement) -> bool:
    """Return whether equity agrees to the cent and fills in number; what one of them does not tell agrees."""
    same_fills = None in (one.fills, other.fills) or one.fills == other.fills
    return same_fills and (one.equity is None or other.equity is None or abs(one.equity - other.equity) < CENT)


def ratios(ours: Measurement, theirs: Measurement, clock: str = "wall") -> list[float]:
    """Return how many times as long the other engine took as ours, round by round, ascending; by `wall` or `cpu`."""
    return sorted(other / mine for mine, other in zip(ours.seconds(clock), theirs.seconds(clock), strict=False))


def table(measurements: Sequence[Measurement]) -> list[str]:
    """Return what was measured as lines of text: the first engine against the others."""
    first = measurements[0]
    head = f"{'engine':26}{'load s':>8}{'first s':>9}{'best s':>9}{'median s':>9}{'cpu s':>8}{'best Mbar/s':>12}"
    told = [f"{head}  {first.engine} is as fast, pairwise by wall: median (least to most), by cpu: median"]
    for each in measurements:
        walls, cpus = ratios(first, each), ratios(first, each, "cpu")
        told.append(
            f"{each.engine + ' ' + each.version:26}{each.load['wall']:8.2f}{each.first['wall']:9.3f}"
            f"{min(each.seconds()):9.3f}{median(each.seconds()):9.3f}{median(each.seconds('cpu')):8.3f}"
            f"{each.best_rate / 1e6:12.2f}  {median(walls):6.2f} x ({walls[0]:.2f} to {walls[-1]:.2f}), "
            f"cpu {median(cpus):.2f} x"
        )
    for each in measurements:
        for took in each.whole:
            seconds, peak = f"{took['wall']:8.1f} s {took['cpu']:8.1f} s cpu", f"{took['peak_mb']:8.0f} MB"
            told.append(f"whole process {each.engine:18}{seconds}{peak}")
    return told
