"""How much more `run_many` gets through than single runs, with 50 variants of one rule.

    python -m benchmarks.many_at_once [--work W2] [--size full] [--variants 50] [--most 0.01] [--rounds 3]

(from `ml4t_backtest_tests/`). The variants are thresholds of the rule that all engines are measured with; the quickest
to order does so on a share `--most` of all bars, the others on less, evenly spaced. Single runs are measured as people
make them, each with a feed of its own that opens the files, and as a loop over engines that share an open feed. The
three ways take turns; the results have to be the same to the bit.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from operator import truediv
from typing import Any

import polars as pl

from benchmarks.strategies import NoiseBySlice
from benchmarks.works import CAPITAL, COMMISSION, SIZES, SLIPPAGE, Work, made, threshold
from ml4t_backtest import BacktestEngine, BacktestResult, PercentageCommission, PercentageSlippage, PolarsDataFeed
from ml4t_backtest.data.content_hash import content_hash
from ml4t_backtest.one_pass import run_many
from ml4t_backtest.reporting.result import TABLES

Way = Callable[[], list[BacktestResult]]


def variants(work: Work, number: int, most: float) -> list[tuple[float, float]]:
    """Return the thresholds of rules that order on `most` of all bars, and on less in even steps."""
    predictions = pl.scan_parquet(work.bars / "*.parquet").select("p").collect()["p"].to_numpy()
    by_slice = predictions.reshape(-1, work.symbols)
    entered = [threshold(by_slice, most * (each + 1) / number) for each in range(number)]
    return [(each, -each) for each in entered]


def opened(work: Work) -> PolarsDataFeed:
    """Open the files as people do: the level of validation is the default one."""
    return PolarsDataFeed(work.bars, signal_columns=["p"])


def ways(work: Work, rules: Sequence[tuple[float, float]]) -> dict[str, Way]:
    """Return what is compared, by name."""
    account: dict[str, Any] = {
        "initial_capital": CAPITAL,
        "slippage": PercentageSlippage(SLIPPAGE),
        "commission": PercentageCommission(COMMISSION),
    }

    def each_with_its_feed() -> list[BacktestResult]:
        return [BacktestEngine(opened(work), NoiseBySlice(*rule), **account).run() for rule in rules]

    def one_feed() -> list[BacktestResult]:
        feed = opened(work)
        return [BacktestEngine(feed, NoiseBySlice(*rule), **account).run() for rule in rules]

    def one_pass() -> list[BacktestResult]:
        return run_many(opened(work), [NoiseBySlice(*rule) for rule in rules], **account)

    return {"single runs": each_with_its_feed, "single runs, one feed": one_feed, "one pass": one_pass}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", choices=("W1", "W2", "W3"), default="W2")
    parser.add_argument("--size", choices=tuple(SIZES), default="full")
    parser.add_argument("--variants", type=int, default=50)
    parser.add_argument("--most", type=float, default=0.01)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args(arguments)
    work = SIZES[asked.size][asked.work]
    facts, rules = made(work), variants(work, asked.variants, asked.most)
    print(f"{asked.variants} variants, {facts.rows:,} bars, at most {asked.most:.1%} orders", flush=True)
    compared, walls, cpus, hashes = ways(work, rules), defaultdict(list), defaultdict(list), set()
    for _ in range(asked.rounds):
        for name, way in compared.items():
            gc.collect()
            wall, cpu = time.perf_counter(), time.process_time()
            results = way()
            walls[name].append(time.perf_counter() - wall)
            cpus[name].append(time.process_time() - cpu)
            hashes.add(tuple(content_hash({table: getattr(result, table) for table in TABLES}) for result in results))
    assert len(hashes) == 1, "the results of the three ways differ"
    for name in compared:
        ratios = [statistics.median(map(truediv, each[name], each["one pass"])) for each in (walls, cpus)]
        print(f"{name:24}{statistics.median(walls[name]):8.2f} s {ratios[0]:6.2f} x one pass, by cpu {ratios[1]:.2f} x")
    print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
