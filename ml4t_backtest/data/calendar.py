"""Trading sessions of an exchange, as instants.

The only place that talks to `exchange_calendars`. Inside this package an instant is an integer: microseconds since
1970-01-01 UTC. Dates and datetimes appear only at the edge.
"""

from __future__ import annotations

import difflib
import warnings
from datetime import date, timedelta
from functools import lru_cache

import polars as pl

from ml4t_backtest.core.instants import UTC_MICROSECONDS
from ml4t_backtest.errors import ConfigError

_PADDING = timedelta(days=15)


class TradingCalendar:
    """Session opens and closes of one exchange over a span of dates.

    Attributes:
        name: Calendar name of `exchange_calendars`, for example `XNYS`.
        sessions: Frame `session` (Date), `open`, `close` (Datetime us UTC), one row per session, ascending. Early
            closes are in `close`.
    """

    def __init__(self, name: str, first: date, last: date) -> None:
        """Load the sessions from two weeks before `first` to two weeks after `last`."""
        self.name = name
        self.sessions = _sessions(name, first - _PADDING, last + _PADDING)

    def __repr__(self) -> str:
        days = self.sessions["session"]
        return f"TradingCalendar({self.name!r}, {days.len()} sessions, {days[0]} to {days[-1]})"

    def session_at(self, instants: pl.Series) -> pl.DataFrame:
        """Return for each instant the session it belongs to: the first one whose close is at or after it.

        Args:
            instants: Datetimes (us, UTC), any order, no nulls.

        Returns:
            Frame `session, open, close`, aligned with `instants`.
        """
        position = self.sessions["close"].search_sorted(instants, side="left")
        return self.sessions[position]

    def next_open(self, instants: pl.Series) -> pl.Series:
        """Return for each instant the first session open at or after it."""
        return self.sessions["open"].gather(self.sessions["open"].search_sorted(instants, side="left"))

    def next_close(self, instants: pl.Series) -> pl.Series:
        """Return for each instant the first session close at or after it."""
        return self.sessions["close"].gather(self.sessions["close"].search_sorted(instants, side="left"))

    def open_of(self, days: pl.Series) -> pl.Series:
        """Return for each date the open of the first session on or after it, null after the last session."""
        row = self.sessions["session"].search_sorted(days, side="left")
        return self.sessions["open"].gather(row, null_on_oob=True)

    def close_of(self, days: pl.Series) -> pl.Series:
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


@lru_cache(maxsize=16)
def _sessions(name: str, first: date, last: date) -> pl.DataFrame:
    import exchange_calendars
    import pandas as pd

    names = calendar_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=3) or names[:3]
        raise ConfigError(f"calendar {name!r} is unknown; nearest: {', '.join(near)}")
    with warnings.catch_warnings():
        # A notice of pandas 3 to the library about its own code; nothing a user of this package could act on.
        warnings.filterwarnings("ignore", message="Series.values returning an ndarray")
        # Without an explicit start the library reaches back twenty years only.
        schedule = exchange_calendars.get_calendar(name, start=pd.Timestamp(first), end=pd.Timestamp(last)).schedule
    return pl.DataFrame(
        {
            "session": schedule.index.to_numpy().astype("datetime64[us]"),
            "open": schedule["open"].dt.tz_localize(None).to_numpy().astype("datetime64[us]"),
            "close": schedule["close"].dt.tz_localize(None).to_numpy().astype("datetime64[us]"),
        }
    ).select(
        pl.col("session").cast(pl.Date),
        pl.col("open", "close").dt.replace_time_zone("UTC").cast(UTC_MICROSECONDS),
    )
