"""Trading sessions of an exchange, as instants.

The only place that talks to `exchange_calendars`. Inside this package an instant is an integer: microseconds since
1970-01-01 UTC. Dates and datetimes appear only at the edge.
"""

from __future__ import annotations

import warnings
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

import polars as pl

from ml4t_backtest.core.choices import require_choice
from ml4t_backtest.core.instants import UTC_MICROSECONDS
from ml4t_backtest.errors import DataValidationError, Violation

_PADDING = timedelta(days=15)


class TradingCalendar:
    """Session opens and closes of one exchange over a span of dates.

    Attributes:
        name: Calendar name of `exchange_calendars`, for example `XNYS`.
        timezone: Zone of the exchange.
        sessions: Frame `session` (Date), `open`, `close` (Datetime us UTC), one row per session, ascending. Early
            closes are in `close`. `break_start` and `break_end` are null where an exchange has no break at noon.
    """

    def __init__(self, name: str, first: date, last: date) -> None:
        """Load the sessions from two weeks before `first` to two weeks after `last`.

        Raises:
            ConfigError: No calendar has this name.
            DataValidationError: The exchange's sessions are not recorded for these dates.
        """
        self.name = name
        self.timezone, self.sessions = _sessions(name, first, last)

    def __repr__(self) -> str:
        days = self.sessions["session"]
        return f"TradingCalendar({self.name!r}, {days.len()} sessions, {days[0]} to {days[-1]})"

    def session_at(self, instants: pl.Series) -> pl.DataFrame:
        """Return for each instant the session it belongs to: the first one whose close is at or after it.

        Args:
            instants: Datetimes (us, UTC), any order.

        Returns:
            Frame `session, open, close, ...`, aligned with `instants`; null where no such session is recorded.
        """
        position = self.sessions["close"].search_sorted(instants, side="left")
        return self.sessions.select(pl.all().gather(position, null_on_oob=True))

    def next_open(self, instants: pl.Series) -> pl.Series:
        """Return for each instant the first session open at or after it, null after the last session."""
        return _gather(self.sessions["open"], self.sessions["open"].search_sorted(instants, side="left"))

    def next_close(self, instants: pl.Series) -> pl.Series:
        """Return for each instant the first session close at or after it, null after the last session."""
        return _gather(self.sessions["close"], self.sessions["close"].search_sorted(instants, side="left"))

    def open_before(self, instants: pl.Series) -> pl.Series:
        """Return for each instant the last session open strictly before it."""
        following = self.sessions["open"].search_sorted(instants, side="left")
        return _gather(self.sessions["open"].shift(1), following)

    def open_of(self, days: pl.Series) -> pl.Series:
        """Return for each date the open of the first session on or after it, null after the last session."""
        return _gather(self.sessions["open"], self.sessions["session"].search_sorted(days, side="left"))

    def open_after(self, days: pl.Series) -> pl.Series:
        """Return for each date the open of the first session after it, null after the last session."""
        return _gather(self.sessions["open"], self.sessions["session"].search_sorted(days, side="right"))

    def close_of(self, days: pl.Series) -> pl.Series:
        """Return for each date the close of the first session on or after it, null after the last session."""
        return _gather(self.sessions["close"], self.sessions["session"].search_sorted(days, side="left"))

    def last_close_of(self, days: pl.Series) -> pl.Series:
        """Return for each date the close of the last session on or before it, null before the first session."""
        row = self.sessions["session"].search_sorted(days, side="right").cast(pl.Int64) - 1
        return self.sessions["close"].gather(row.set(row < 0, None), null_on_oob=True)

    def is_session(self, days: pl.Series) -> pl.Series:
        """Return for each date whether the exchange trades on it."""
        return days.is_in(self.sessions["session"].implode())


def calendar_names() -> list[str]:
    """Return the calendar names that `exchange_calendars` knows, sorted."""
    import exchange_calendars

    return sorted(exchange_calendars.get_calendar_names())


def _gather(moments: pl.Series, position: pl.Series) -> pl.Series:
    return moments.gather(position, null_on_oob=True)


@lru_cache(maxsize=16)
def _sessions(name: str, first: date, last: date) -> tuple[str, pl.DataFrame]:
    require_choice("calendar", name, calendar_names())
    try:
        with warnings.catch_warnings():
            # Notices of pandas to the library about its own code; nothing a user of this package could act on.
            warnings.simplefilter("ignore")
            calendar = _recorded(name, first, last)
    except (ValueError, OverflowError) as error:
        text = f"calendar {name} has no record of the sessions from {first} to {last} ({error})"
        raise DataValidationError([Violation("E-TS-RANGE", "calendar", text, hint="check the dates")]) from error
    schedule, moments = calendar.schedule, ("open", "close", "break_start", "break_end")
    sessions = pl.DataFrame(
        {
            "session": schedule.index.to_numpy().astype("datetime64[us]"),
            **{name: schedule[name].dt.tz_localize(None).to_numpy().astype("datetime64[us]") for name in moments},
        }
    ).select(
        pl.col("session").cast(pl.Date),
        pl.col(moments).dt.replace_time_zone("UTC").cast(UTC_MICROSECONDS),
    )
    return str(calendar.tz), sessions


def _recorded(name: str, first: date, last: date) -> Any:
    """Return the library's calendar with two weeks around the span, or less where its record ends."""
    import exchange_calendars
    import pandas as pd

    # Without an explicit start the library reaches back twenty years only.
    start, end = pd.Timestamp(first - _PADDING), pd.Timestamp(last + _PADDING)
    try:
        return exchange_calendars.get_calendar(name, start=start, end=end)
    except ValueError:
        known = exchange_calendars.get_calendar(name)
        start = min(max(start, known.bound_min() or start), pd.Timestamp(first))
        end = max(min(end, known.bound_max() or end), pd.Timestamp(last))
        return exchange_calendars.get_calendar(name, start=start, end=end)
