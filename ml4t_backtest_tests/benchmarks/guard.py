"""The guard of speed: has the engine become slower, measured against floors of the same run?

`PYTHONPATH=ml4t_backtest_tests python -m benchmarks.guard`

Each case is a ratio: the engine's seconds over those of a floor that no change of the engine touches, both seconds of
all threads, both the least of some passes in turns, in one process. Seconds themselves are never compared. A case is
told to be slower when its ratio is beyond what `guard.json` holds by more than half; `--strict` makes that an error,
`--record` writes what was measured.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.frames import Bars, minute_bars
from benchmarks.strategies import strategy_of
from benchmarks.works import CAPITAL
from ml4t_backtest import BacktestEngine, PolarsDataFeed

RECORDED = Path(__file__).parent / "guard.json"
TOLERANCE = 1.5
ROWS, PASSES = 200_000, 7
# Thresholds of a standard normal prediction at which 1 % and 10 % of all bars have an order.
FEW, MANY, NONE = 2.326, 1.282, 1e9


@dataclass(frozen=True)
class Case:
    """A ratio that is watched.

    Attributes:
        name: What is measured against what.
        ours: A pass of the engine.
        floor: A pass of what it is measured against.
    """

    name: str
    ours: Callable[[], object]
    floor: Callable[[], object]


def cases(bars: Bars) -> list[Case]:
    """Return what is watched: both modes, without and with orders."""
    feed, decoded = bars.feed(), written(bars.assets)
    found = []
    for mode in ("batch", "symbol"):
        for told, t in (("no orders", NONE), ("1 % orders", FEW), ("10 % orders", MANY)):
            name = f"{mode} mode, {told}, against a loop of NumPy calls"
            found.append(Case(name, backtest(feed, mode, t), numpy_loop))
    return [*found, Case("batch mode, no orders, against decoding", backtest(feed, "batch", NONE), decoded)]


def backtest(feed: PolarsDataFeed, mode: str, t: float) -> Callable[[], object]:
    """Return a pass of the noise strategy."""
    last = feed.symbols[-1]
    return lambda: BacktestEngine(
        feed, strategy_of("noise", mode, enter=t, leave=-t, last=last), initial_capital=CAPITAL
    ).run()


def written(bars: pl.DataFrame) -> Callable[[], object]:
    """Return a pass of reading these bars from Parquet in memory."""
    import io

    file = io.BytesIO()
    bars.write_parquet(file, compression="zstd")
    return lambda: pl.read_parquet(file.getvalue())


def numpy_loop() -> None:
    """Do what a slice costs at least in this language: a dozen NumPy calls on a hundred numbers, over and over."""
    numbers = np.linspace(0.0, 1.0, 100)
    for _ in range(2_000):
        strong = np.flatnonzero(numbers > 0.9)
        np.where(numbers[strong] > 0.95, 1.0, -1.0).sum()
        np.maximum(numbers, 0.5).any()


def measure(watched: Sequence[Case], passes: int) -> dict[str, float]:
    """Return the ratio of each case."""
    least: dict[str, list[float]] = {case.name: [np.inf, np.inf] for case in watched}
    for _ in range(passes):
        for case in watched:
            for place, way in enumerate((case.ours, case.floor)):
                least[case.name][place] = min(least[case.name][place], _seconds(way))
    return {name: ours / floor for name, (ours, floor) in least.items()}


def _seconds(way: Callable[[], object]) -> float:
    begun = time.process_time()
    way()
    return time.process_time() - begun


def verdicts(measured: Mapping[str, float], recorded: Mapping[str, float]) -> list[tuple[str, bool]]:
    """Return a sentence for each case, and whether it is slower than what was recorded by more than is tolerated."""
    told = []
    for name, ratio in measured.items():
        before = recorded.get(name)
        slower = before is not None and ratio > before * TOLERANCE
        compared = "nothing recorded" if before is None else f"recorded {before:.2f}"
        told.append((f"{'SLOWER' if slower else 'ok':8}{ratio:8.2f} ({compared})  {name}", slower))
    return told


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and tell; return 1 when something is slower and `--strict` is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strict", action="store_true", help="exit code 1 when a case is slower")
    parser.add_argument("--record", action="store_true", help=f"write what was measured to {RECORDED.name}")
    parser.add_argument("--passes", type=int, default=PASSES)
    parser.add_argument("--rows", type=int, default=ROWS)
    asked = parser.parse_args(arguments)
    measured = measure(cases(minute_bars(asked.rows)), asked.passes)
    recorded = json.loads(RECORDED.read_text(encoding="utf-8")) if RECORDED.exists() else {}
    told = verdicts(measured, recorded)
    print("\n".join(sentence for sentence, _ in told))
    if asked.record:
        rounded = {name: round(ratio, 2) for name, ratio in measured.items()}
        RECORDED.write_text(json.dumps(rounded, indent=1) + "\n", encoding="utf-8")
    return int(asked.strict and any(slower for _, slower in told))


if __name__ == "__main__":
    sys.exit(main())
