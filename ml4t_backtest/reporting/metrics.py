"""Performance figures by the field's definitions, on daily returns (one per session) and round trips.

Each function states its formula and source; docs/concepts/metrics.md compares them with those of other libraries.
Returns are fractions per session and the risk-free rate is zero. A *trade* here is a round trip: a position from flat
to flat, however many exits it took. Rows of the table `trades` are exits; `num_exits` counts those.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import polars as pl

from ml4t_backtest.reporting.sharpe_statistics import (
    minimum_track_record_length,
    probabilistic_sharpe_ratio,
    sharpe_estimate,
)
from ml4t_backtest.reporting.trade_figures import average, profit_figures, sample_deviation, trade_figures

SESSIONS_PER_YEAR = 252
# A month. The compound return of fewer sessions, raised to a power above 12, says nothing about a year.
SESSIONS_TO_ANNUALISE = 21
# The share of days that are in a tail.
TAIL = 0.05


def compute_metrics(
    daily_returns: pl.DataFrame,
    trades: pl.DataFrame,
    fills: pl.DataFrame,
    portfolio_states: pl.DataFrame,
    initial_capital: float,
) -> dict[str, float | int | None]:
    """Return the figures of a run; None where one is undefined (too few sessions, no trade, no spread).

    Sums are exactly rounded (`math.fsum`), so the figures do not depend on threads or order.

    Args:
        daily_returns: Schema `daily_returns`.
        trades: Schema `trades`.
        fills: Schema `fills`.
        portfolio_states: Schema `portfolio_states`.
        initial_capital: Account currency.
    """
    returns = daily_returns["daily_return"].drop_nulls().to_list()
    equity = daily_returns["equity"].to_list()
    final = equity[-1] if equity else initial_capital
    drawdown = max_drawdown([initial_capital, *equity])
    annual = annual_return(final / initial_capital, len(returns))
    return {
        "initial_capital": initial_capital,
        "final_equity": final,
        "total_return": final / initial_capital - 1.0,
        "annual_return": annual,
        "annual_volatility": annual_volatility(returns),
        "sharpe_ratio": sharpe_ratio(returns),
        "sortino_ratio": sortino_ratio(returns),
        "calmar_ratio": annual / -drawdown if annual is not None and drawdown < 0.0 else None,
        "max_drawdown": drawdown,
        "longest_drawdown_sessions": longest_drawdown([initial_capital, *equity]),
        "num_sessions": len(returns),
        **_tail_figures(returns),
        **_sharpe_confidence(returns),
        "exposure": average(portfolio_states["gross_leverage"].drop_nulls().to_list()),
        "time_in_market": _time_in_market(trades, daily_returns["timestamp"]),
        **trade_figures(trades),
        **profit_figures(trades),
        **_cost_figures(fills),
        "annual_turnover": _annual_turnover(fills, equity, len(returns)),
        "break_even_cost": _break_even_cost(trades, fills),
    }


def annual_return(growth: float, sessions: int) -> float | None:
    """Return growth^(252 / sessions) - 1, the compound growth per year; None for under 21 sessions, or after ruin.

    CFA Institute, GIPS 2020, which forbids annualising less than a year; here a month is the least.

    Args:
        growth: Last equity over first.
        sessions: Number of returns it took.
    """
    if sessions < SESSIONS_TO_ANNUALISE or growth <= 0.0:
        return None
    return float(growth ** (SESSIONS_PER_YEAR / sessions)) - 1.0


def annual_volatility(returns: Sequence[float]) -> float | None:
    """Return the sample standard deviation (n - 1) of daily returns times sqrt(252), which assumes independent days.

    >>> round(annual_volatility([0.01, -0.01, 0.01, -0.01]), 4)
    0.1833
    """
    deviation = sample_deviation(returns)
    return None if deviation is None else deviation * math.sqrt(SESSIONS_PER_YEAR)


def sharpe_ratio(returns: Sequence[float]) -> float | None:
    """Return mean over sample standard deviation times sqrt(252), no risk-free rate (Sharpe 1994)."""
    deviation, mean = sample_deviation(returns), average(returns)
    if mean is None or not deviation:
        return None
    return mean / deviation * math.sqrt(SESSIONS_PER_YEAR)


def sortino_ratio(returns: Sequence[float]) -> float | None:
    """Return mean over downside deviation (root mean square of losses over all days) times sqrt(252).

    Sortino and van der Meer 1991, target 0.
    """
    mean = average(returns)
    if mean is None:
        return None
    downside = math.sqrt(math.fsum(min(value, 0.0) ** 2 for value in returns) / len(returns))
    return mean / downside * math.sqrt(SESSIONS_PER_YEAR) if downside > 0.0 else None


def max_drawdown(equity: Sequence[float]) -> float:
    """Return the deepest fall from a peak, min(equity / highest equity so far - 1), as a fraction <= 0.

    >>> max_drawdown([100.0, 120.0, 90.0, 130.0])
    -0.25
    """
    peak, deepest = -math.inf, 0.0
    for value in equity:
        peak = max(peak, value)
        deepest = min(deepest, value / peak - 1.0)
    return deepest


def longest_drawdown(equity: Sequence[float]) -> int:
    """Return the most sessions that equity took from a high to the first level at or above it, or to the end.

    >>> longest_drawdown([100.0, 120.0, 90.0, 130.0, 125.0])
    2
    """
    peak, peak_at, longest = -math.inf, 0, 0
    for index, value in enumerate(equity):
        below = index - peak_at
        if value < peak:
            longest = max(longest, below)
        else:
            # A session that only regains the high ends the time under water; one that follows a high never was.
            longest = max(longest, below if below > 1 else 0)
            peak, peak_at = value, index
    return longest


def value_at_risk(returns: Sequence[float], tail: float = TAIL) -> float | None:
    """Return the daily return that `tail` of the days fell below: the historical quantile, linear between days.

    Jorion, Value at Risk, 3rd ed. 2006. A loss is negative, as in a column of returns.

    >>> value_at_risk([-0.04, -0.02, 0.0, 0.01, 0.03], tail=0.25)
    -0.02
    """
    return float(np.quantile(np.asarray(returns), tail)) if len(returns) else None


def conditional_value_at_risk(returns: Sequence[float], tail: float = TAIL) -> float | None:
    """Return the mean of the worst days: the lowest floor((n - 1) tail) + 1 returns, those not above the value at risk.

    Rockafellar and Uryasev 2002 (expected shortfall), on the days that were.

    >>> conditional_value_at_risk([-0.04, -0.02, 0.0, 0.01, 0.03], tail=0.25)
    -0.03
    """
    return average(sorted(returns)[: int((len(returns) - 1) * tail) + 1]) if len(returns) else None


def tail_ratio(returns: Sequence[float], tail: float = TAIL) -> float | None:
    """Return |95th percentile| / |5th percentile| of daily returns: how large good days are beside bad ones.

    The definition of pyfolio and empyrical. Above 1 the good tail is the larger one.

    >>> tail_ratio([-0.02, -0.01, 0.0, 0.02, 0.04], tail=0.25)
    2.0
    """
    if not len(returns):
        return None
    low, high = np.quantile(np.asarray(returns), [tail, 1.0 - tail])
    return float(abs(high) / abs(low)) if low != 0.0 else None


def beta(returns: Sequence[float], benchmark: Sequence[float]) -> float | None:
    """Return the slope of returns on the benchmark's, cov / var, over the same sessions (Sharpe 1964).

    None for fewer than two sessions or a benchmark that does not move.

    >>> beta([0.02, -0.02, 0.04], [0.01, -0.01, 0.02])
    2.0
    """
    here, there = average(returns), average(benchmark)
    if here is None or there is None or len(returns) < 2:
        return None
    covered = math.fsum((x - here) * (y - there) for x, y in zip(returns, benchmark, strict=True))
    moved = math.fsum((y - there) ** 2 for y in benchmark)
    return covered / moved if moved > 0.0 else None


def alpha(returns: Sequence[float], benchmark: Sequence[float]) -> float | None:
    """Return (1 + mean(return - beta benchmark))^252 - 1: a year's return beyond the benchmark's share in it.

    Jensen 1968, compounded. None where beta is, and for fewer than 21 sessions.
    """
    slope = beta(returns, benchmark)
    if slope is None or len(returns) < SESSIONS_TO_ANNUALISE:
        return None
    own = average([x - slope * y for x, y in zip(returns, benchmark, strict=True)])
    return None if own is None or own <= -1.0 else float((1.0 + own) ** SESSIONS_PER_YEAR) - 1.0


def _tail_figures(returns: Sequence[float]) -> dict[str, float | int | None]:
    estimate = sharpe_estimate(returns)
    return {
        "value_at_risk": value_at_risk(returns),
        "conditional_value_at_risk": conditional_value_at_risk(returns),
        "tail_ratio": tail_ratio(returns),
        "skewness": None if estimate is None else estimate.skewness,
        "excess_kurtosis": None if estimate is None else estimate.kurtosis - 3.0,
    }


def _sharpe_confidence(returns: Sequence[float]) -> dict[str, float | int | None]:
    """Return how sure a Sharpe ratio above zero is, and how long a record it takes to be 95 % sure."""
    estimate = sharpe_estimate(returns)
    if estimate is None:
        return {"probabilistic_sharpe_ratio": None, "minimum_track_record_sessions": None}
    return {
        "probabilistic_sharpe_ratio": probabilistic_sharpe_ratio(estimate),
        "minimum_track_record_sessions": minimum_track_record_length(estimate),
    }


def _time_in_market(trades: pl.DataFrame, session_ends: pl.Series) -> float | None:
    """Return the share of sessions at whose last slice any position was held; None without sessions."""
    begun, ended = trades["entry_timestamp"].sort(), trades["exit_timestamp"].drop_nulls().sort()
    held = begun.search_sorted(session_ends, side="right") > ended.search_sorted(session_ends, side="right")
    return held.mean() if len(session_ends) else None  # type: ignore[return-value]


def _annual_turnover(fills: pl.DataFrame, equity: Sequence[float], sessions: int) -> float | None:
    """Return traded money over mean equity per year; buying and selling a whole account once a year is 2."""
    mean = average(equity)
    if not mean or mean < 0.0 or sessions < SESSIONS_TO_ANNUALISE:
        return None
    return _traded(fills) / mean * SESSIONS_PER_YEAR / sessions


def _break_even_cost(trades: pl.DataFrame, fills: pl.DataFrame) -> float | None:
    """Return the cost per money traded at which nothing is left: (net + costs) / traded; None without fills.

    A hint at capacity: impact grows with size, and the run is not worth more of it than this.
    """
    traded = _traded(fills)
    kept = math.fsum([*trades["pnl_net"].to_list(), *trades["total_cost"].to_list()])
    return kept / traded if traded > 0.0 else None


def _traded(fills: pl.DataFrame) -> float:
    return math.fsum((fills["quantity"] * fills["price"]).to_list())


def _cost_figures(fills: pl.DataFrame) -> dict[str, float | int | None]:
    commission = math.fsum(fills["commission"].to_list())
    slippage = math.fsum(fills["slippage"].to_list())
    return {
        "num_fills": fills.height,
        "turnover": _traded(fills),
        "total_commission": commission,
        "total_slippage": slippage,
        "total_costs": commission + slippage,
    }
