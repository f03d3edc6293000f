"""What walking costs: rows, callbacks, what a callback reads, chunks, and how slices are found.

`make bench` runs it; `ML4T_BENCHMARK_SIZE=full` up to ten million rows.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.frames import SYMBOLS, minute_bars
from benchmarks.rounds import measured
from ml4t_backtest import BacktestEngine, MarketEvent, PolarsDataFeed, Strategy

FULL = os.environ.get("ML4T_BENCHMARK_SIZE") == "full"
ROWS = (10_000, 100_000, 1_000_000, *((10_000_000,) if FULL else ()))
# What the callbacks read is measured at one size.
READ = 1_000_000 if FULL else 100_000
# A filter per timestamp walks all rows for each slice: some of them tell enough.
FILTERED = 50


class SeesSlices(Strategy):
    """Reads some columns of each slice."""

    def __init__(self, *columns: str, context: bool = False) -> None:
        self.columns, self.context = columns, context

    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Mapping[str, Any]) -> None:
        for column in self.columns:
            asset_batch[column].to_numpy()
        if self.context:
            context["vix"]


class SeesBars(Strategy):
    """Does nothing with each bar."""

    def on_market_data(self, event: MarketEvent) -> None:
        pass


class SeesSignals(Strategy):
    def on_market_data(self, event: MarketEvent) -> None:
        event.signals["p"]


class SeesIndicators(Strategy):
    def on_market_data(self, event: MarketEvent) -> None:
        event.indicators["momentum"]


class SeesContext(Strategy):
    def on_market_data(self, event: MarketEvent) -> None:
        event.context["vix"]


def measure(
    benchmark: BenchmarkFixture, rows: int, make: Callable[[], PolarsDataFeed], strategy: Callable[[], Strategy] | None
) -> None:
    """Measure passes over a feed: the feed alone, or the engine with a strategy."""
    feed = make()
    benchmark.extra_info |= {"rows": rows, "symbols": SYMBOLS}
    measured(
        benchmark,
        lambda: _walk(feed) if strategy is None else BacktestEngine(feed, strategy()).run(),
        rounds=5 if rows <= 1_000_000 else 2,
    )


def _walk(feed: PolarsDataFeed) -> int:
    return sum(1 for _ in feed)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.benchmark(group="rows: the feed alone")
def test_feed_alone(benchmark: BenchmarkFixture, rows: int) -> None:
    measure(benchmark, rows, minute_bars(rows).feed, None)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.benchmark(group="rows: batch mode")
def test_batch_mode(benchmark: BenchmarkFixture, rows: int) -> None:
    measure(benchmark, rows, minute_bars(rows).feed, SeesSlices)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.benchmark(group="rows: per-symbol mode")
def test_per_symbol_mode(benchmark: BenchmarkFixture, rows: int) -> None:
    measure(benchmark, rows, minute_bars(rows).feed, SeesBars)


READS: dict[str, tuple[Callable[[], Strategy], Callable[[], Strategy], dict[str, bool]]] = {
    "nothing": (SeesSlices, SeesBars, {}),
    "signals": (lambda: SeesSlices("p"), SeesSignals, {}),
    "indicators": (lambda: SeesSlices("momentum"), SeesIndicators, {"indicators": True}),
    "context": (lambda: SeesSlices(context=True), SeesContext, {"context": True}),
}


@pytest.mark.parametrize("reads", READS)
@pytest.mark.parametrize("mode", ["batch", "symbol"])
@pytest.mark.benchmark(group="what a callback reads")
def test_reading(benchmark: BenchmarkFixture, mode: str, reads: str) -> None:
    by_slice, by_symbol, words = READS[reads]
    strategy = by_slice if mode == "batch" else by_symbol
    measure(benchmark, READ, lambda: minute_bars(READ).feed(**words), strategy)


# What strategies do with a slice of a hundred rows, over and over.
CALLS = 1_000
ROWS_WANTED = np.array([1, 5, 9])
OPERATIONS: dict[str, Callable[[pl.DataFrame], object]] = {
    "a column as an array": lambda batch: batch["p"].to_numpy(),
    "a column as an array, compared": lambda batch: batch["p"].to_numpy() > 1.0,
    "three symbols gathered by an array": lambda batch: batch["symbol"].gather(ROWS_WANTED),
    "the frame filtered": lambda batch: batch.filter(pl.col("p") > 1.0),
    "the frame sorted": lambda batch: batch.sort("p"),
    "its rows as dictionaries": lambda batch: list(batch.iter_rows(named=True)),
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.benchmark(group="what an operation on a slice costs")
def test_operation(benchmark: BenchmarkFixture, operation: str) -> None:
    batch, act = minute_bars(SYMBOLS).assets, OPERATIONS[operation]
    benchmark.extra_info |= {"rows": SYMBOLS * CALLS, "calls": CALLS}
    measured(benchmark, lambda: [act(batch) for _ in range(CALLS)])


@pytest.mark.parametrize("chunk", [10, 100, "1d", "1mo", "auto", "10y"])
@pytest.mark.benchmark(group="chunks")
def test_chunks(benchmark: BenchmarkFixture, chunk: str | int) -> None:
    measure(benchmark, READ, lambda: minute_bars(READ).feed(chunk=chunk), SeesSlices)


@pytest.mark.parametrize("rows", ROWS[:3])
@pytest.mark.benchmark(group="slices: one group_by and slices against a filter per timestamp")
def test_grouping_beats_filtering(benchmark: BenchmarkFixture, rows: int) -> None:
    """At a million rows at least thirty times: a ratio of one run, whatever the machine."""
    bars = minute_bars(rows).assets
    stamps = bars["timestamp"].unique(maintain_order=True)
    begun = time.perf_counter()
    for stamp in stamps[:: max(len(stamps) // FILTERED, 1)]:
        bars.filter(pl.col("timestamp") == stamp)
    filtering = (time.perf_counter() - begun) / len(stamps[:: max(len(stamps) // FILTERED, 1)])
    measured(benchmark, lambda: _slices(bars))
    slicing = benchmark.stats.stats.median / len(stamps)
    benchmark.extra_info |= {"rows": rows, "filter_us": filtering * 1e6, "ratio": filtering / slicing}
    if rows >= 1_000_000:
        assert filtering / slicing >= 30.0


def _slices(bars: pl.DataFrame) -> list[pl.DataFrame]:
    sizes = bars.group_by("timestamp", maintain_order=True).len()["len"].to_list()
    first, slices = 0, []
    for size in sizes:
        slices.append(bars.slice(first, size))
        first += size
    return slices
