"""Which slices a run walks through: from the warm-up before its start to its end."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from ml4t_backtest.core.instants import to_instant
from ml4t_backtest.data.bar_time import BarClock
from ml4t_backtest.data.calendar import TradingCalendar
from ml4t_backtest.errors import ConfigError

# Days an exchange stays closed at most in an ordinary year: a long holiday with its weekends.
_LONGEST_CLOSURE_DAYS = 10


def check_warm_up(days: int, start: date | datetime | None) -> None:
    """Refuse a warm-up that is no whole number of days, or that nothing begins after."""
    if isinstance(days, bool) or not isinstance(days, int) or days < 0:
        raise ConfigError(f"warm_up_days must be a whole number from 0, got {days!r}")
    if days and start is None:
        raise ConfigError(f"warm_up_days are days before start, but there is no start (got {days} days)")


def slices_within(
    slices: pl.DataFrame,
    start: date | datetime | None,
    end: date | datetime | None,
    warm_up_days: int,
    calendar: TradingCalendar,
    clock: BarClock,
) -> tuple[pl.DataFrame, int | None]:
    """Return the slices from the warm-up before `start` to `end`, and the first instant that is traded."""
    begin, finish = _begin(start, calendar, clock), _finish(end, calendar, clock)
    # Days are counted by date: an hour of summer time must not cut the first of them short.
    shown = _begin(start and start - timedelta(days=warm_up_days), calendar, clock)
    stamp, inside = pl.col("timestamp"), pl.lit(True)
    if shown is not None:
        inside &= stamp >= pl.lit(shown)
    if finish is not None:
        inside &= stamp <= pl.lit(finish)
    kept = slices.filter(inside)
    if kept.filter(stamp >= pl.lit(begin)).is_empty() if begin is not None else kept.is_empty():
        stamps = slices["timestamp"]
        available = f"{stamps[0]:%Y-%m-%d} to {stamps[-1]:%Y-%m-%d}"
        raise ConfigError(f"no data between {start or 'its begin'} and {end or 'its end'}: it spans {available}")
    return kept, None if begin is None else to_instant(begin)


def short_warm_up(first: datetime, start: date | datetime, days: int) -> tuple[str, ...]:
    """Return a note where the data begins later than the warm-up should: sessions are at most a few days apart."""
    begin = start if isinstance(start, datetime) else datetime(start.year, start.month, start.day)
    wanted = (begin - timedelta(days=days)).date()
    if first.date() - wanted <= timedelta(days=_LONGEST_CLOSURE_DAYS):
        return ()
    return (f"warm-up is shorter than asked for: {days} days before start begin on {wanted}, the data on {first:%F}",)


def _begin(start: date | datetime | None, calendar: TradingCalendar, clock: BarClock) -> datetime | None:
    """Return the first instant of a span that starts with session `start` (or at the instant itself)."""
    if start is None or isinstance(start, datetime):
        return None if start is None else _moment(start, clock)
    opened: datetime = calendar.open_of(pl.Series([_within(start, calendar)]))[0]
    # Strictly after the open: on a calendar without breaks the session before closes at this very instant.
    return opened + timedelta(microseconds=1)


def _finish(end: date | datetime | None, calendar: TradingCalendar, clock: BarClock) -> datetime | None:
    """Return the last instant of a span that ends with session `end`, inclusive."""
    if end is None or isinstance(end, datetime):
        return None if end is None else _moment(end, clock)
    closes = calendar.sessions.filter(pl.col("session") <= _within(end, calendar))["close"]
    closed: datetime = closes[-1]
    return closed


def _moment(moment: datetime, clock: BarClock) -> datetime:
    """Return an instant in UTC; without a zone it is read in the declared one."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(clock.timezone))).astimezone(UTC)


def _within(day: date, calendar: TradingCalendar) -> date:
    """Move a date that lies outside the calendar's span to its edge; there is no data beyond it anyway."""
    first: date = calendar.sessions["session"][0]
    last: date = calendar.sessions["session"][-1]
    return min(max(day, first), last)
