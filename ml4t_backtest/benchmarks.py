"""How fast the engine is on this machine, on synthetic bars: the loop, strategies, growth with size.

Times are wall-clock seconds of one pass, the best of `repeats`; making the data is not counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl

from ml4t_backtest.core.event import MarketEvent
from ml4t_backtest.data.polars_feed import PolarsDataFeed
from ml4t_backtest.data.synthetic import random_bars
from ml4t_backtest.engine import BacktestEngine
from ml4t_backtest.strategy.base import Strategy
from ml4t_backtest.strategy.library import PredictionThreshold, TopNByPrediction

if TYPE_CHECKING:
    import pandera.polars as pa

    from ml4t_backtest.reporting.result import BacktestResult

Made = TypeVar("Made")
_AGAIN = "measure again"
_SIZES = ((5, 250), (50, 250), (200, 250), (50, 1000))


class WatchSlices(Strategy):
    """Sees every slice and does nothing."""

    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Mapping[str, Any]) -> None:
        """Do nothing."""


class WatchBars(Strategy):
    """Sees every bar and does nothing."""

    def on_market_data(self, event: MarketEvent) -> None:
        """Do nothing."""


def event_loop_benchmark(
    num_symbols: int = 50, num_sessions: int = 500, *, repeats: int = 2, seed: int = 0
) -> pl.DataFrame:
    """Return what walking costs when nobody orders: the feed alone, and the engine in both callback modes.

    Returns:
        Columns `mode` (feed, batch, symbol), `symbols, slices, rows, seconds, bars_per_second`.
    """
    bars = random_bars(num_symbols, num_sessions, seed=seed)
    ways: dict[str, Callable[[], object]] = {
        "feed": lambda: _walk(bars),
        "batch": lambda: _run(bars, WatchSlices()),
        "symbol": lambda: _run(bars, WatchBars()),
    }
    rows = [{"mode": mode, **_figures(bars, _best(way, repeats)[0])} for mode, way in ways.items()]
    return _frame("event_loop_benchmark", rows)


def strategy_benchmark(
    num_symbols: int = 50, num_sessions: int = 500, *, repeats: int = 2, seed: int = 0
) -> pl.DataFrame:
    """Return what strategies of the library cost, orders and records included.

    Returns:
        Columns `strategy, mode, symbols, slices, rows, seconds, bars_per_second, fills, trades`.
    """
    bars = random_bars(num_symbols, num_sessions, seed=seed)
    # Predictions are standard normal: one bar in forty enters, every second one leaves.
    ways: dict[str, tuple[str, Callable[[], Strategy]]] = {
        "PredictionThreshold": ("symbol", lambda: PredictionThreshold(enter_above=2.0, exit_below=0.0)),
        "TopNByPrediction": ("batch", lambda: TopNByPrediction(top_n=5)),
    }
    rows = []
    for name, (mode, make) in ways.items():
        seconds, result = _best(lambda make=make: _run(bars, make()), repeats)  # type: ignore[misc]
        done = {"fills": result.fills.height, "trades": result.trades.height}
        rows.append({"strategy": name, "mode": mode, **_figures(bars, seconds), **done})
    return _frame("strategy_benchmark", rows)


def scalability_benchmark(
    sizes: Sequence[tuple[int, int]] = _SIZES, *, repeats: int = 2, seed: int = 0
) -> pl.DataFrame:
    """Return how time grows with the number of symbols and of timestamps, `TopNByPrediction` in batch mode.

    Args:
        sizes: Pairs of symbols and sessions.
        repeats: Passes per size.
        seed: Of the bars.

    Returns:
        Columns `symbols, slices, rows, seconds, bars_per_second, microseconds_per_slice`.
    """
    rows = []
    for num_symbols, num_sessions in sizes:
        bars = random_bars(num_symbols, num_sessions, seed=seed)
        seconds, _ = _best(lambda bars=bars: _run(bars, TopNByPrediction(top_n=5)), repeats)  # type: ignore[misc]
        per_slice = seconds * 1e6 / num_sessions
        rows.append({**_figures(bars, seconds), "microseconds_per_slice": per_slice})
    return _frame("scalability_benchmark", rows)


@cache
def benchmark_schemas() -> dict[str, pa.DataFrameSchema]:
    """Return the schema of every benchmark's table, by the function's name."""
    import pandera.polars as pa

    text = {
        "mode": pa.Column(pl.String, description="what is walked: the feed alone, or the engine by slice or by symbol"),
        "strategy": pa.Column(pl.String, description="class of `ml4t_backtest.strategy.library`"),
    }
    whole = {
        "symbols": "instruments",
        "slices": "timestamps",
        "rows": "bars",
        "fills": "executions",
        "trades": "trades",
    }
    numbers = {
        "seconds": ("wall-clock time of one pass, the best one", "seconds"),
        "bars_per_second": ("rows over seconds", "bars per second"),
        "microseconds_per_slice": ("time over slices", "microseconds"),
    }
    known = {
        **text,
        **{name: _counted(meaning) for name, meaning in whole.items()},
        **{name: _measured(meaning, unit) for name, (meaning, unit) in numbers.items()},
    }
    size = ("symbols", "slices", "rows", "seconds", "bars_per_second")
    columns = {
        "event_loop_benchmark": (("mode",), size),
        "strategy_benchmark": (("strategy",), ("mode", *size, "fills", "trades")),
        "scalability_benchmark": ((), (*size, "microseconds_per_slice")),
    }
    return {
        table: pa.DataFrameSchema(
            {name: known[name] for name in (*key, *rest)}, name=table, metadata={"key": key or ("symbols", "slices")}
        )
        for table, (key, rest) in columns.items()
    }


def _counted(meaning: str) -> pa.Column:
    from ml4t_backtest.core.columns import column, rule

    counted = rule("E-BM-NEG", lambda c: c >= 0, "is negative", _AGAIN)
    return column(pl.Int64, meaning, meaning, checks=[counted])


def _measured(meaning: str, unit: str) -> pa.Column:
    from ml4t_backtest.core.columns import column, rule

    measured = rule("E-BM-NONPOS", lambda c: c > 0, "is not positive", _AGAIN)
    return column(pl.Float64, meaning, unit, checks=[measured])


def _walk(bars: pl.DataFrame) -> int:
    return sum(1 for _ in _feed(bars))


def _run(bars: pl.DataFrame, strategy: Strategy) -> BacktestResult:
    return BacktestEngine(_feed(bars), strategy).run()


def _feed(bars: pl.DataFrame) -> PolarsDataFeed:
    return PolarsDataFeed(bars, signal_columns=["prediction"])


def _best(way: Callable[[], Made], repeats: int) -> tuple[float, Made]:
    """Return the shortest of some passes in seconds, and what the last one gave."""
    times = []
    for _ in range(max(1, repeats)):
        begun = time.perf_counter()
        made = way()
        times.append(time.perf_counter() - begun)
    return min(times), made


def _figures(bars: pl.DataFrame, seconds: float) -> dict[str, int | float]:
    return {
        "symbols": bars["symbol"].n_unique(),
        "slices": bars["timestamp"].n_unique(),
        "rows": bars.height,
        "seconds": seconds,
        "bars_per_second": bars.height / seconds,
    }


def _frame(table: str, rows: Sequence[Mapping[str, object]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=[*benchmark_schemas()[table].columns])
