"""What strategies cost, orders, fills and records included, in both modes, on the works of the comparison."""

from __future__ import annotations

import os
from functools import lru_cache

import polars as pl
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.rounds import measured
from benchmarks.strategies import strategy_of
from benchmarks.tasks import task_of
from benchmarks.works import CAPITAL, COMMISSION, SIZES, SLIPPAGE, Facts, made
from ml4t_backtest import BacktestEngine, BacktestResult, PolarsDataFeed
from ml4t_backtest.execution.commission import PercentageCommission
from ml4t_backtest.execution.slippage import PercentageSlippage

SIZE = os.environ.get("ML4T_BENCHMARK_SIZE", "quick")
CASES = [
    *(("W2", task) for task in ("0", "hold", "0.01", "0.1", "brackets")),
    *(("W1", task) for task in ("0.01", "top25")),
    *(("S", task) for task in ("0", "0.01")),
]


@lru_cache(maxsize=1)
def opened(work: str) -> tuple[PolarsDataFeed, Facts]:
    """Return a work's bars in memory."""
    facts = made(SIZES[SIZE][work])
    bars = pl.read_parquet(f"{SIZES[SIZE][work].bars}/*.parquet")
    return PolarsDataFeed(bars, signal_columns=["p"]), facts


def run(work: str, name: str, mode: str) -> BacktestResult:
    """Run one of the tasks."""
    feed, facts = opened(work)
    task = task_of(name, facts)
    last = SIZES[SIZE][work].last_symbol
    strategy = strategy_of(task.strategy, mode, enter=task.enter, leave=task.leave, last=last)
    costs = {"slippage": PercentageSlippage(SLIPPAGE), "commission": PercentageCommission(COMMISSION)}
    return BacktestEngine(feed, strategy, initial_capital=CAPITAL, **costs).run()


@pytest.mark.parametrize(("work", "task"), CASES)
@pytest.mark.parametrize("mode", ["batch", "symbol"])
@pytest.mark.benchmark(group="strategies")
def test_strategy(benchmark: BenchmarkFixture, work: str, task: str, mode: str) -> None:
    feed, facts = opened(work)
    result = measured(benchmark, lambda: run(work, task, mode))
    told = {"rows": facts.rows, "fills": result.fills.height, "trades": result.trades.height}
    benchmark.extra_info |= {"work": work, "task": task, "mode": mode, "symbols": len(feed.symbols), **told}
