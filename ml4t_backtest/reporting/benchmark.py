"""The benchmark's own figures, by the same formulas as the strategy's, and how the strategy moved with it."""

from __future__ import annotations

import math
from itertools import pairwise

import polars as pl

from ml4t_backtest.errors import ConfigError
from ml4t_backtest.reporting.formats import Number
from ml4t_backtest.reporting.metrics import (
    alpha,
    annual_return,
    annual_volatility,
    beta,
    longest_drawdown,
    max_drawdown,
    sharpe_ratio,
    sortino_ratio,
    value_at_risk,
)
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
        "sortino_ratio": sortino_ratio(returns),
        "max_drawdown": max_drawdown(level),
        "longest_drawdown_sessions": longest_drawdown(level),
        "value_at_risk": value_at_risk(returns),
    }


def relative_metrics(result: BacktestResult, benchmark: str) -> dict[str, Number]:
    """Return beta, alpha per year and tracking error of a run against a benchmark.

    Only sessions at whose end, and before which, the benchmark has a level are compared. `tracking_error` is the annual
    volatility of the daily differences, `information_ratio` their Sharpe ratio (Grinold and Kahn 1999).

    Raises:
        ConfigError: There is no such column, or it holds no numbers.
    """
    pairs = _returns_side_by_side(result, benchmark)
    own, theirs = [x for x, _ in pairs], [y for _, y in pairs]
    differences = [x - y for x, y in pairs]
    return {
        "beta": beta(own, theirs),
        "alpha": alpha(own, theirs),
        "tracking_error": annual_volatility(differences),
        "information_ratio": sharpe_ratio(differences),
    }


def _returns_side_by_side(result: BacktestResult, benchmark: str) -> list[tuple[float, float]]:
    level = benchmark_level(result.daily_returns, benchmark)
    own = result.daily_returns["daily_return"].to_list()
    return [
        (mine, now / before - 1.0)
        for mine, (before, now) in zip(own[1:], pairwise(level), strict=True)
        if mine is not None and before is not None and now is not None
    ]
