"""When a data set is due again: after each close of its exchange, by its own calendar."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import polars as pl

from ml4t_backtest.data.calendar import TradingCalendar

_LOOKED_BACK = timedelta(days=14)


def last_closed_session(calendar: str, now: datetime, delay: timedelta = timedelta(minutes=30)) -> date | None:
    """Return the last session whose close is at least `delay` ago; None where there was none for two weeks.

    Args:
        calendar: Exchange calendar.
        now: Time-zone-aware.
        delay: How long after the close the source is expected to be complete.
    """
    today = now.date()
    sessions = TradingCalendar(calendar, today - _LOOKED_BACK, today).sessions
    done = sessions.filter(
        (pl.col("close") <= now - delay) & (pl.col("session") >= today - _LOOKED_BACK),
    )
    found: date | None = done["session"][-1] if done.height else None
    return found
