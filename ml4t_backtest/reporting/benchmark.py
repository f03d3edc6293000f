"""The benchmark's own figures, by the same formulas as the strategy's."""

from __future__ import annotations

import math
from itertools import pairwise

import polars as pl

from ml4t_backtest.errors import ConfigError
from ml4t_backtest.reporting.formats import Number
from ml4t_backtest.reporting.metrics import annual_return, annual_volatility, max_drawdown, sharpe_ratio
from ml4t_backtest.reporting.result import BacktestResult


def benchmark_level(points: pl.DataFrame, benchmark: str) -> list[float | None]:
    """Return the benchmark's level per row; None where it has no positive number.

    Args:
        points: `daily_returns` or `portfolio_states` of a run; both show the context.
        benchmark: Context column with a level such as an index.

    Raises:
        ConfigError: There is no such column, or it holds no numbers.
    """
    if benchmark not in points.columns:
        raise ConfigError(f"benchmark {benchmark!r} is no column of the states; there are {points.columns}")
    dtype = points.schema[benchmark]
    if not (dtype.is_numeric() or dtype == pl.Null):
        raise ConfigError(f"benchmark {benchmark!r} holds {dtype}; it must be a level, a number per slice")
    level = points[benchmark].cast(pl.Float64).to_list()
    return [value if value is not None and 0.0 < value < math.inf else None for value in level]


def benchmark_metrics(result: BacktestResult, benchmark: str) -> dict[str, Number]:
    """Return the benchmark's figures under the names of `result.metrics`, from its first to its last session's level.

    Raises:
        ConfigError: There is no such column, or it holds no numbers.
    """
    level = [value for value in benchmark_level(result.daily_returns, benchmark) if value is not None]
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
