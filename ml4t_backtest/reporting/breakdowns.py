"""What the result is made of: trades by what ended them and by what was known when they were decided, and over time.

Sums are exactly rounded and groups have a fixed order, so the same result gives the same numbers on any thread count.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from ml4t_backtest.core import schemas
from ml4t_backtest.reporting.formats import plain
from ml4t_backtest.reporting.metrics import SESSIONS_PER_YEAR
from ml4t_backtest.reporting.result import BacktestResult

_DECISION = "decision_"
_MOST_TEXT_VALUES = 12


@dataclass(frozen=True)
class Bucket:
    """Trades that have something in common; open ones count at their last mark.

    Attributes:
        label: What they have in common.
        trades: Number of rows of the table `trades`.
        gains: How many of them gained.
        pnl_net: Their net result, account currency.
        mean_return: Mean net return, a fraction of entry notional.
    """

    label: str
    trades: int
    gains: int
    pnl_net: float
    mean_return: float


def by_exit_reason(trades: pl.DataFrame) -> list[Bucket]:
    """Return the trades by what ended them, the largest gain first; those still open are one bucket."""
    reasons = [
        "still open" if status == "open" else str(reason)
        for status, reason in trades.select("status", "exit_reason").iter_rows()
    ]
    found = _grouped(trades, reasons, sorted(set(reasons)))
    return sorted(found, key=lambda bucket: (-bucket.pnl_net, bucket.label))


def by_known_value(trades: pl.DataFrame, name: str, buckets: int) -> list[Bucket]:
    """Return the trades by what a column showed when they were decided, from low to high.

    Equal values are never parted, so there may be fewer buckets, of unequal size. Trades that saw null are in none.

    Args:
        trades: Schema `trades`.
        name: Signal, indicator or context column, without `decision_`.
        buckets: How many, of equal number: 10 for deciles. A column of few values has one bucket for each.
    """
    known = trades.filter(pl.col(_DECISION + name).is_not_null())
    if known.schema[_DECISION + name].is_float():
        known = known.filter(pl.col(_DECISION + name).is_finite())
    values: list[Any] = known[_DECISION + name].to_list()
    distinct = sorted(set(values))
    if len(distinct) <= buckets:
        return _grouped(known, values, distinct)
    ranked = sorted(values)
    cuts = sorted({ranked[index * len(ranked) // buckets] for index in range(1, buckets)} - {ranked[0]})
    places = [bisect_right(cuts, value) for value in values]
    found = _grouped(known, places, range(len(cuts) + 1))
    spans = [_span([v for v, place in zip(values, places, strict=True) if place == p]) for p in range(len(cuts) + 1)]
    return [
        Bucket(span, each.trades, each.gains, each.pnl_net, each.mean_return)
        for each, span in zip(found, spans, strict=True)
    ]


def known_columns(result: BacktestResult) -> tuple[list[str], list[str]]:
    """Return the names of what trades knew when they were decided: of their symbol, and of the market (context).

    Left out is what has no two values, and texts of many values.
    """
    market = set(result.portfolio_states.columns) - set(schemas.portfolio_states_schema().columns)
    fixed = set(schemas.trades_schema().columns)
    names = [
        column.removeprefix(_DECISION)
        for column in result.trades.columns
        if column.startswith(_DECISION) and column not in fixed and _worth_grouping(result.trades[column])
    ]
    return [name for name in names if name not in market], [name for name in names if name in market]


def rolling_sharpe(returns: Sequence[float], window: int) -> list[float | None]:
    """Return the annual Sharpe ratio of each `window` returns, at the last of them; None before, and without spread."""
    if len(returns) < window:
        return [None] * len(returns)
    spans = np.lib.stride_tricks.sliding_window_view(np.asarray(returns, dtype=np.float64), window)
    means, deviations = spans.mean(axis=1), spans.std(axis=1, ddof=1)
    moved = spans.max(axis=1) > spans.min(axis=1)
    ratios = [
        float(mean / deviation) * math.sqrt(SESSIONS_PER_YEAR) if moves else None
        for mean, deviation, moves in zip(means, deviations, moved, strict=True)
    ]
    return [None] * (window - 1) + ratios


def histogram(values: Sequence[float], most_bins: int = 60) -> tuple[list[float], list[int], float]:
    """Return centres, counts and width of bins of a round width, zero being an edge.

    >>> histogram([-0.02, -0.01, 0.004, 0.006, 0.021], most_bins=5)
    ([-0.015, -0.005, 0.005, 0.015, 0.025], [1, 1, 2, 0, 1], 0.01)
    """
    low, high = min(values), max(values)
    width = _round_width((high - low) / most_bins)
    first = math.floor(low / width)
    counts: dict[int, int] = {}
    for value in values:
        place = math.floor(value / width)
        counts[place] = counts.get(place, 0) + 1
    places = range(first, max(counts) + 1)
    return [(place + 0.5) * width for place in places], [counts.get(place, 0) for place in places], width


def monthly_turnover(result: BacktestResult) -> list[tuple[str, float]]:
    """Return per month (`2024-05`) the money traded over the equity at its end; months without equity are left out."""
    month = pl.col("timestamp").dt.strftime("%Y-%m").alias("month")
    traded = result.fills.select(month, (pl.col("quantity") * pl.col("price")).alias("money"))
    per_month = {name: math.fsum(money) for name, money in traded.group_by("month").agg("money").iter_rows()}
    ends = result.daily_returns.select(pl.col("session").dt.strftime("%Y-%m").alias("month"), "equity")
    equity = dict(ends.iter_rows())
    return [(name, per_month.get(name, 0.0) / value) for name, value in equity.items() if value > 0.0]


def _grouped(trades: pl.DataFrame, keys: Sequence[Any], order: Sequence[Any]) -> list[Bucket]:
    money: dict[Any, list[float]] = {key: [] for key in order}
    returns: dict[Any, list[float]] = {key: [] for key in order}
    for key, (net, fraction) in zip(keys, trades.select("pnl_net", "pnl_percent").iter_rows(), strict=True):
        money[key].append(net)
        returns[key].append(fraction)
    return [
        Bucket(
            label=key if isinstance(key, str) else plain(key),
            trades=len(money[key]),
            gains=sum(1 for net in money[key] if net > 0.0),
            pnl_net=math.fsum(money[key]),
            mean_return=math.fsum(returns[key]) / len(returns[key]),
        )
        for key in order
        if money[key]
    ]


def _span(values: Sequence[float]) -> str:
    low, high = (f"{value:.4g}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def _worth_grouping(values: pl.Series) -> bool:
    distinct = values.drop_nulls().n_unique()
    if values.dtype.is_numeric():
        return distinct > 1
    return values.dtype in (pl.Boolean, pl.String, pl.Enum, pl.Categorical) and 1 < distinct <= _MOST_TEXT_VALUES


def _round_width(least: float) -> float:
    """Return the next of 1, 2, 5 x 10^n that is not smaller."""
    if least <= 0.0:
        return 0.001
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in (1.0, 2.0, 5.0, 10.0) if step * power >= least * (1.0 - 1e-9))
