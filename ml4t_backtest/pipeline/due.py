"""When a data set is due again, by the closes of its exchange's own calendar and by its files; how far it is behind."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl

from ml4t_backtest.config.dataset_schema import DatasetConfig
from ml4t_backtest.data.calendar import TradingCalendar
from ml4t_backtest.data.provenance import text_hash
from ml4t_backtest.dataset_stages import stamps_of
from ml4t_backtest.errors import BacktestError

_LOOKED_BACK = timedelta(days=14)
_DELAY = timedelta(minutes=30)


def last_closed_session(calendar: str, now: datetime, delay: timedelta = _DELAY) -> date | None:
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


def sessions_behind(calendar: str, newest: datetime, now: datetime, delay: timedelta = _DELAY) -> int:
    """Return how many sessions closed after the newest bar, at least `delay` ago.

    Args:
        calendar: Exchange calendar.
        newest: When the newest bar was complete.
        now: Time-zone-aware.
        delay: How long after the close the source is expected to be complete.
    """
    first, last = newest.astimezone(UTC).date(), now.astimezone(UTC).date()
    closes = TradingCalendar(calendar, first, max(first, last)).sessions["close"]
    return int(((closes > newest) & (closes <= now - delay)).sum())


def sources_now(dataset: DatasetConfig) -> str:
    """Return a short name of what the files of the sources are: another one once a file changed, came or went.

    Of what lies on other machines nothing is asked.
    """
    try:
        said = repr(stamps_of(dataset))
    except BacktestError as error:
        said = str(error)
    return text_hash(said)[:12]
