"""Performance figures by the field's definitions, on daily returns (one per session) and round trips.

A *trade* here is a round trip: a position from flat to flat, however many exits it took. Rows of the table `trades` are
exits; `num_exits` counts those.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import polars as pl

SESSIONS_PER_YEAR = 252
# A month. The compound return of fewer sessions, raised to a power above 12, says nothing about a year.
SESSIONS_TO_ANNUALISE = 21


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
        "num_sessions": len(returns),
        "exposure": _mean(portfolio_states["gross_leverage"].drop_nulls().to_list()),
        **_trade_figures(trades),
        **_profit_figures(trades),
        **_cost_figures(fills),
    }


def annual_return(growth: float, sessions: int) -> float | None:
    """Return the compound growth per year of 252 sessions; None for fewer than 21 sessions, or after ruin."""
    if sessions < SESSIONS_TO_ANNUALISE or growth <= 0.0:
        return None
    return float(growth ** (SESSIONS_PER_YEAR / sessions)) - 1.0


def annual_volatility(returns: Sequence[float]) -> float | None:
    """Return the sample standard deviation (n - 1) times sqrt(252)."""
    deviation = _sample_deviation(returns)
    return None if deviation is None else deviation * math.sqrt(SESSIONS_PER_YEAR)


def sharpe_ratio(returns: Sequence[float]) -> float | None:
    """Return mean over sample standard deviation times sqrt(252), no risk-free rate (Sharpe 1994)."""
    deviation, mean = _sample_deviation(returns), _mean(returns)
    if mean is None or not deviation:
        return None
    return mean / deviation * math.sqrt(SESSIONS_PER_YEAR)


def sortino_ratio(returns: Sequence[float]) -> float | None:
    """Return mean over downside deviation (root mean square of losses over all days) times sqrt(252).

    Sortino and van der Meer 1991, target 0.
    """
    mean = _mean(returns)
    if mean is None:
        return None
    downside = math.sqrt(math.fsum(min(value, 0.0) ** 2 for value in returns) / len(returns))
    return mean / downside * math.sqrt(SESSIONS_PER_YEAR) if downside > 0.0 else None


def max_drawdown(equity: Sequence[float]) -> float:
    """Return the deepest fall from a peak as a fraction <= 0."""
    peak, deepest = -math.inf, 0.0
    for value in equity:
        peak = max(peak, value)
        deepest = min(deepest, value / peak - 1.0)
    return deepest


def _trade_figures(trades: pl.DataFrame) -> dict[str, float | int | None]:
    pnl = _round_trips(trades)
    gains, losses = math.fsum(x for x in pnl if x > 0.0), math.fsum(x for x in pnl if x < 0.0)
    closing = trades.filter(pl.col("status") == "closed")
    return {
        "num_trades": len(pnl),
        "num_exits": trades.filter(pl.col("status") != "open").height,
        "num_open_trades": trades.filter(pl.col("status") == "open").height,
        "hit_rate": sum(1 for x in pnl if x > 0.0) / len(pnl) if pnl else None,
        "profit_factor": gains / -losses if losses < 0.0 else None,
        "expectancy": _mean(pnl),
        "average_holding_bars": _mean(closing["holding_period_bars"].cast(pl.Float64).to_list()),
    }


def _round_trips(trades: pl.DataFrame) -> list[float]:
    """Return the net result of each position that has ended, all its exits together."""
    exits: dict[int, list[float]] = {}
    ended: list[float] = []
    for position_id, status, net in trades.select("position_id", "status", "pnl_net").iter_rows():
        exits.setdefault(position_id, []).append(net)
        if status == "closed":
            ended.append(math.fsum(exits[position_id]))
    return ended


def _profit_figures(trades: pl.DataFrame) -> dict[str, float | int | None]:
    """Return the net result of all rows, open ones at the last mark, and where ambiguous bars could have put it."""
    net, doubtful = trades["pnl_net"], trades.filter("ambiguous_bar")
    return {
        "pnl_net": math.fsum(net.to_list()),
        "num_ambiguous_trades": doubtful.height,
        "num_ambiguous_without_range": doubtful["pnl_net_optimistic"].null_count(),
        "pnl_net_pessimistic": math.fsum(trades["pnl_net_pessimistic"].fill_null(net).to_list()),
        "pnl_net_optimistic": math.fsum(trades["pnl_net_optimistic"].fill_null(net).to_list()),
    }


def _cost_figures(fills: pl.DataFrame) -> dict[str, float | int | None]:
    commission = math.fsum(fills["commission"].to_list())
    slippage = math.fsum(fills["slippage"].to_list())
    return {
        "num_fills": fills.height,
        "turnover": math.fsum((fills["quantity"] * fills["price"]).to_list()),
        "total_commission": commission,
        "total_slippage": slippage,
        "total_costs": commission + slippage,
    }


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _sample_deviation(values: Sequence[float]) -> float | None:
    mean = _mean(values)
    if mean is None or len(values) < 2:
        return None
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
