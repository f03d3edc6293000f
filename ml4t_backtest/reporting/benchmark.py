"""The benchmark's own figures, by the same formulas as the strategy's."""

from __future__ import annotations

import math
from itertools import pairwise

import polars as pl

from ml4t_backtest.errors import ConfigError
from ml4t_backtest.reporting.formats import Number
from ml4t_backtest.reporting.metrics import annual_return, annual_volatility, max_drawdown, sharpe_ratio
from ml4t_backtest.reporting.result import BacktestResult


def benchmark_level(result: BacktestResult, benchmark: str, stamps: pl.Series) -> list[float | None]:
    """Return the benchmark's level at some slices; None where it has no positive number.

    Args:
        result: The run.
        benchmark: Column of `portfolio_states` with a level such as an index.
        stamps: Slices.

    Raises:
        ConfigError: The states have no such column, or it holds no numbers.
    """
    states = result.portfolio_states
    if benchmark not in states.columns:
        raise ConfigError(f"benchmark {benchmark!r} is no column of portfolio_states; there are {states.columns}")
    dtype = states.schema[benchmark]
    if not (dtype.is_numeric() or dtype == pl.Null):
        raise ConfigError(f"benchmark {benchmark!r} holds {dtype}; it must be a level, a number per slice")
    known = states.select("timestamp", level=pl.col(benchmark).cast(pl.Float64))
    joined = stamps.to_frame("timestamp").join(known, on="timestamp", how="left", maintain_order="left")
    return [value if value is not None and 0.0 < value < math.inf else None for value in joined["level"].to_list()]


def benchmark_metrics(result: BacktestResult, benchmark: str) -> dict[str, Number]:
    """Return the benchmark's figures under the names of `result.metrics`, from its first to its last session's level.

    Raises:
        ConfigError: The states have no such column, or it holds no numbers.
    """
    daily = benchmark_level(result, benchmark, result.daily_returns["timestamp"])
    level = [value for value in daily if value is not None]
    if len(level) < 2:
        return {}
    returns = [now / before - 1.0 for before, now in pairwise(level)]
    growth = level[-1] / level[0]
    return {
        "total_return": growth - 1.0,
        "annual_return": annual_return(growth, len(returns)),
        "annual_volatility": annual_volatility(returns),
        "sharpe_ratio": sharpe_ratio(returns),
        "max_drawdown": max_drawdown(level),
    }
