"""What the pictures and tables are drawn from: the equity curve, its drawdowns, the returns of months.

Everything here walks in time order over Python floats, so the same result gives the same numbers on any thread count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from ml4t_backtest.reporting.benchmark import benchmark_level
from ml4t_backtest.reporting.result import BacktestResult

# With fewer sessions the curve is drawn slice by slice, else one point per session.
FEW_SESSIONS = 40
_DAY = "%Y-%m-%d"
_MINUTE = "%Y-%m-%d %H:%M"


@dataclass(frozen=True)
class EquityCurve:
    """Equity over time, ready to draw; all lists have the same length.

    Attributes:
        labels: ISO date of each session, or UTC minute of each slice where there are few sessions.
        equity: Account currency.
        drawdown: Fraction <= 0 below the highest equity so far, initial capital included.
        benchmark: The benchmark rebased to the initial capital at its first value; empty without one.
    """

    labels: list[str]
    equity: list[float]
    drawdown: list[float]
    benchmark: list[float | None]


@dataclass(frozen=True)
class Drawdown:
    """A fall from a high of the equity until that high is reached again.

    Attributes:
        peak: Session of the high; None for the initial capital.
        trough: Session of the lowest equity.
        recovered: First session at or above the high; None when the run ended before.
        depth: Fraction < 0.
        sessions: From the high to the recovery, or to the end of the run.
    """

    peak: date | None
    trough: date
    recovered: date | None
    depth: float
    sessions: int


def equity_curve(result: BacktestResult, benchmark: str | None = None) -> EquityCurve:
    """Return the curve of a run, per session or (for a short run) per slice.

    Args:
        result: The run.
        benchmark: Context column with a level such as an index; None for no comparison.

    Raises:
        ConfigError: There is no such column, or it holds no numbers.
    """
    states = result.portfolio_states
    by_slice = result.daily_returns.height < FEW_SESSIONS < states.height
    points = states if by_slice else result.daily_returns
    labels = points["timestamp"].dt.strftime(_MINUTE) if by_slice else points["session"].dt.strftime(_DAY)
    equity = points["equity"].to_list()
    level = benchmark_level(points, benchmark) if benchmark else []
    return EquityCurve(
        labels=labels.to_list(),
        equity=equity,
        drawdown=drawdowns_from_peak(equity, result.initial_capital),
        benchmark=rebased(level, result.initial_capital),
    )


def rebased(level: Sequence[float | None], base: float) -> list[float | None]:
    """Scale a level so that its first value equals `base`; empty where it has no value."""
    first = next((value for value in level if value is not None), None)
    if first is None:
        return []
    return [None if value is None else value * (base / first) for value in level]


def drawdowns_from_peak(equity: Sequence[float], initial: float) -> list[float]:
    """Return how far each value lies below the highest so far, as a fraction <= 0."""
    peak, below = initial, []
    for value in equity:
        peak = max(peak, value)
        below.append(value / peak - 1.0)
    return below


def worst_drawdowns(result: BacktestResult, limit: int = 10) -> list[Drawdown]:
    """Return the deepest drawdowns of the daily equity, deepest first."""
    found: list[Drawdown] = []
    sessions, equity = result.daily_returns["session"].to_list(), result.daily_returns["equity"].to_list()
    peak, peak_at, low_at = result.initial_capital, -1, -1
    for index, value in enumerate(equity):
        if value >= peak:
            if low_at > peak_at:
                found.append(_drawdown(sessions, peak_at, low_at, index, equity[low_at] / peak - 1.0))
            peak, peak_at, low_at = value, index, index
        elif low_at <= peak_at or value < equity[low_at]:
            low_at = index
    if low_at > peak_at:
        found.append(_drawdown(sessions, peak_at, low_at, None, equity[low_at] / peak - 1.0))
    return sorted(found, key=lambda each: each.depth)[:limit]


def _drawdown(sessions: Sequence[date], peak: int, low: int, recovered: int | None, depth: float) -> Drawdown:
    end = len(sessions) - 1 if recovered is None else recovered
    return Drawdown(
        peak=sessions[peak] if peak >= 0 else None,
        trough=sessions[low],
        recovered=None if recovered is None else sessions[recovered],
        depth=depth,
        sessions=end - peak,
    )


def monthly_returns(result: BacktestResult) -> dict[int, list[float | None]]:
    """Return per year the returns of its 12 months and, 13th, of the year; None where there is none."""
    table: dict[int, list[float | None]] = {}
    month_base = year_base = last = result.initial_capital
    month: tuple[int, int] | None = None
    year: int | None = None
    daily = result.daily_returns
    for session, equity in zip(daily["session"].to_list(), daily["equity"].to_list(), strict=True):
        if (session.year, session.month) != month:
            month, month_base = (session.year, session.month), last
        if session.year != year:
            year, year_base = session.year, last
        row = table.setdefault(session.year, [None] * 13)
        row[session.month - 1] = growth(month_base, equity)
        row[12] = growth(year_base, equity)
        last = equity
    return table


def growth(before: float, now: float) -> float | None:
    """Return the return from `before` to `now`; None when there was nothing to grow from."""
    return now / before - 1.0 if before > 0.0 else None


def thinned(values: Sequence[float], most: int) -> list[int]:
    """Return at most `most` positions that keep the shape: first, last and the extremes of equal buckets."""
    size = len(values)
    if size <= most:
        return list(range(size))
    buckets = max(1, (most - 2) // 2)
    kept = {0, size - 1}
    for bucket in range(buckets):
        span = range(bucket * size // buckets, (bucket + 1) * size // buckets)
        kept.add(min(span, key=values.__getitem__))
        kept.add(max(span, key=values.__getitem__))
    return sorted(kept)


def evenly(size: int, most: int) -> list[int]:
    """Return at most `most` positions spread evenly over `size`; the same ones every time."""
    return list(range(size)) if size <= most else [index * size // most for index in range(most)]


def session_labels(result: BacktestResult, stamps: pl.Series) -> list[str | None]:
    """Return for each slice the text to show: its session for one slice per session, else its UTC minute."""
    if _is_intraday(result):
        return stamps.dt.strftime(_MINUTE).to_list()
    return sessions_of(result, stamps).dt.strftime(_DAY).to_list()


def _is_intraday(result: BacktestResult) -> bool:
    """Whether sessions have more than one slice, as far as states and fills tell."""
    last_slices, filled = result.daily_returns["timestamp"], result.fills["timestamp"]
    return last_slices.len() < result.portfolio_states.height or not filled.is_in(last_slices.implode()).all()


def sessions_of(result: BacktestResult, stamps: pl.Series) -> pl.Series:
    """Return the session each slice belongs to; null stays null."""
    days = result.daily_returns.select("timestamp", "session").sort("timestamp")
    asked = pl.DataFrame({"timestamp": stamps}).with_row_index("row").sort("timestamp")
    # A session's row carries its last slice, so the first one at or after a slice is its own.
    found = asked.join_asof(days, on="timestamp", strategy="forward").sort("row")
    return found.select(pl.when(pl.col("timestamp").is_not_null()).then("session").alias("session")).to_series()
