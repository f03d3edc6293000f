"""Figures of round trips: a position from flat to flat is one trade, however many exits it took."""

from __future__ import annotations

import math
from collections.abc import Sequence

import polars as pl


def trade_figures(trades: pl.DataFrame) -> dict[str, float | int | None]:
    """Return what the trades of a run were like; None where there were none.

    * `hit_rate`: round trips with a net gain / all.
    * `profit_factor`: net gains / net losses; None without a loss.
    * `payoff_ratio`: mean gain / mean loss; None without either.
    * `expectancy`: mean net result, money.
    * `system_quality_number`: sqrt(n) x mean / sample deviation of net results (Van Tharp 2008; he divides each result
      by what it risked, which is not known of a trade without a stop).

    Args:
        trades: Schema `trades`.
    """
    pnl = round_trips(trades)
    gains, losses = [x for x in pnl if x > 0.0], [x for x in pnl if x < 0.0]
    gained, lost = math.fsum(gains), -math.fsum(losses)
    closing = trades.filter(pl.col("status") == "closed")
    return {
        "num_trades": len(pnl),
        "num_exits": trades.filter(pl.col("status") != "open").height,
        "num_open_trades": trades.filter(pl.col("status") == "open").height,
        "hit_rate": len(gains) / len(pnl) if pnl else None,
        "profit_factor": gained / lost if losses else None,
        "payoff_ratio": (gained / len(gains)) / (lost / len(losses)) if gains and losses else None,
        "expectancy": average(pnl),
        "system_quality_number": system_quality_number(pnl),
        "average_holding_bars": average(closing["holding_period_bars"].cast(pl.Float64).to_list()),
    }


def round_trips(trades: pl.DataFrame) -> list[float]:
    """Return the net result of each position that has ended, all its exits together."""
    exits: dict[int, list[float]] = {}
    ended: list[float] = []
    for position_id, status, net in trades.select("position_id", "status", "pnl_net").iter_rows():
        exits.setdefault(position_id, []).append(net)
        if status == "closed":
            ended.append(math.fsum(exits[position_id]))
    return ended


def system_quality_number(results: Sequence[float]) -> float | None:
    """Return sqrt(n) x mean / sample deviation; None for fewer than two results, or without spread.

    >>> system_quality_number([30.0, -10.0])  # sqrt(2) x 10 / (20 sqrt(2))
    0.5
    """
    mean, deviation = average(results), sample_deviation(results)
    return math.sqrt(len(results)) * mean / deviation if mean is not None and deviation else None


def profit_figures(trades: pl.DataFrame) -> dict[str, float | int | None]:
    """Return the net result of all rows, open ones at the last mark, and where ambiguous bars could have put it."""
    net, doubtful = trades["pnl_net"], trades.filter("ambiguous_bar")
    return {
        "pnl_net": math.fsum(net.to_list()),
        "num_ambiguous_trades": doubtful.height,
        "num_ambiguous_without_range": doubtful["pnl_net_optimistic"].null_count(),
        "pnl_net_pessimistic": math.fsum(trades["pnl_net_pessimistic"].fill_null(net).to_list()),
        "pnl_net_optimistic": math.fsum(trades["pnl_net_optimistic"].fill_null(net).to_list()),
    }


def average(values: Sequence[float]) -> float | None:
    """Return the mean, exactly rounded in the sum; None of nothing."""
    return math.fsum(values) / len(values) if values else None


def sample_deviation(values: Sequence[float]) -> float | None:
    """Return the standard deviation with n - 1; None for fewer than two values."""
    mean = average(values)
    if mean is None or len(values) < 2:
        return None
    if min(values) == max(values):
        return 0.0  # The mean of equal values may differ from them in the last bit, which is no spread.
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
