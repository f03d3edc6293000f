"""From a source's bar labels to instants: when a bar opened, when it was complete, when a strategy decides on it.

Sources label a bar by its open, by its close or by its session. Inside, `timestamp` is always the close: the moment
the bar is known. See docs/concepts/event_order.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, time, timedelta
from typing import Any, Literal, get_args

import polars as pl

from ml4t_backtest.core.choices import require_choice, require_timezone
from ml4t_backtest.core.instants import UTC_MICROSECONDS, span_microseconds
from ml4t_backtest.data.calendar import TradingCalendar
from ml4t_backtest.data.sources import unflagged
from ml4t_backtest.data.stamps import Stamps
from ml4t_backtest.data.zones import foreign_zone
from ml4t_backtest.errors import ConfigError

BarLabel = Literal["close", "open", "session"]
DecideAt = Literal["close", "next_open"]
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class BarClock:
    """How a data set tells time.

    Attributes:
        calendar: Exchange whose sessions the bars belong to.
        timezone: Zone of timestamps that carry none.
        label: What a bar's timestamp in the source means.
        frequency: Length of a bar, `1d` for one bar per session.
        decide_at: When a strategy decides on a slice: at the bar's close, or at the next session's open.
        enforce_sessions: Whether bars outside the sessions of the calendar are refused.

    Raises:
        ConfigError: A word is none of its choices, or the frequency is no span of time.
    """

    calendar: str = "XNYS"
    timezone: str = "UTC"
    label: BarLabel = "close"
    frequency: str = "1d"
    decide_at: DecideAt = "close"
    enforce_sessions: bool = False

    def __post_init__(self) -> None:
        require_timezone(self.timezone)
        require_choice("bar_label", self.label, get_args(BarLabel))
        require_choice("decide_at", self.decide_at, get_args(DecideAt))
        if span_microseconds(self.frequency) == 0:
            raise ConfigError(f"frequency must be longer than nothing, got {self.frequency!r}")

    @property
    def is_daily(self) -> bool:
        """Whether there is one bar per session."""
        return self.frequency == "1d"

    def sessions_around(self, stamps: pl.Series) -> TradingCalendar:
        """Return the calendar over the span of `stamps` (dates or datetimes)."""
        days = stamps.cast(pl.Date)
        first, last = days.min(), days.max()
        if not (isinstance(first, date) and isinstance(last, date)):
            first = last = date(2000, 1, 3)
        return TradingCalendar(self.calendar, first, last)


def add_instants(
    bars: pl.DataFrame,
    clock: BarClock,
    *,
    file: str | None = None,
    first_row: int = 0,
    calendar: TradingCalendar | None = None,
) -> pl.DataFrame:
    """Replace the source's `timestamp` label by the close instant and add the open and decision instants.

    Args:
        bars: Frame with `timestamp` (Date or Datetime), rows in any order.
        clock: How the source tells time.
        file: Where the bars came from, for messages.
        first_row: Number of the first of these rows in their source.
        calendar: Sessions around all bars of the source; None where these are all.

    Returns:
        `bars` with `timestamp`, `open_instant`, `decision_instant` as UTC microseconds, rows in the same order.

    Raises:
        DataValidationError: A timestamp is null, of a wrong type, out of range, not a session, or contradicts its
            label; everything at once.
    """
    labels = Stamps(bars["timestamp"], clock.timezone, dataset="prices", file=file, first_row=first_row)
    calendar = calendar or clock.sessions_around(labels.utc)
    if labels.utc.dtype == pl.Date or clock.label == "session":
        instants = _of_sessions(labels, clock, calendar)
    elif clock.is_daily:
        _refuse_midnights(labels, clock, calendar)
        if clock.label == "open":
            _refuse_closes(labels, calendar)
        instants = _of_daily_stamps(labels.utc, clock, calendar)
    else:
        instants = _of_intraday_stamps(labels.utc, clock, calendar)
    if not (labels.utc.dtype == pl.Date or clock.label == "session"):
        labels.violations += foreign_zone(labels.given, instants, calendar, file, first_row)
    if clock.enforce_sessions:
        _refuse_outside(labels, instants["timestamp"], clock, calendar)
    labels.raise_refused()
    decided = calendar.next_open(instants["timestamp"]) if clock.decide_at == "next_open" else instants["timestamp"]
    return bars.with_columns(instants["timestamp"], instants["open_instant"], decided.alias("decision_instant"))


def as_utc(stamps: pl.Series, timezone: str, *, dataset: str, **place: Any) -> pl.Series:
    """Return dates unchanged and datetimes as UTC microseconds; naive ones are read in `timezone`.

    Args:
        stamps: Dates or datetimes.
        timezone: Zone of stamps that carry none.
        dataset: What they belong to, for messages.
        **place: `file`, `column`, `nullable` and `first_row`, as for `Stamps`.

    Raises:
        DataValidationError: Null, of a wrong type or out of range, or a local time that does not exist or happens
            twice.
    """
    read = Stamps(stamps, timezone, dataset=dataset, **place)
    read.raise_refused()
    return read.utc


def _of_sessions(labels: Stamps, clock: BarClock, calendar: TradingCalendar) -> pl.DataFrame:
    days = labels.days(clock.timezone, calendar.timezone)
    hint = "declare the calendar the data belongs to, or drop the rows"
    labels.refuse(~calendar.is_session(days), "E-TS-HOLIDAY", f"is no session of {calendar.name}", hint)
    return pl.DataFrame({"timestamp": calendar.close_of(days), "open_instant": calendar.open_of(days)})


def _refuse_midnights(labels: Stamps, clock: BarClock, calendar: TradingCalendar) -> None:
    """Refuse daily bars stamped at midnight: they are labelled by session, and taken for closes they leak a day."""
    closes = calendar.sessions["close"]
    if any((closes.dt.convert_time_zone(zone).dt.time() == time(0)).any() for zone in ("UTC", calendar.timezone)):
        return
    midnight = labels.is_midnight(clock.timezone, calendar.timezone)
    if clock.label == "open":
        # In Tokyo trading begins at midnight UTC.
        midnight &= ~labels.utc.is_in(calendar.sessions["open"].implode())
    labels.refuse(
        midnight,
        "E-TS-LABEL",
        f"daily bars are stamped at midnight but declared as bar_label: {clock.label}",
        f"declare bar_label: session ({clock.calendar} does not close at midnight)",
    )


def _refuse_closes(labels: Stamps, calendar: TradingCalendar) -> None:
    """Refuse daily bars "labelled by their open" that are stamped at a close: each would be taken for the next session.

    Its prices, a day old by then, would fill orders that were decided after them.
    """
    opens, closes = calendar.sessions["open"], calendar.sessions["close"]
    at_close = labels.utc.is_in(closes.implode()) & ~labels.utc.is_in(opens.implode())
    labels.refuse(
        at_close,
        "E-TS-LABEL",
        "daily bars are stamped at their session's close but declared as bar_label: open",
        "declare bar_label: close, or session where half days carry the usual hour too",
    )


def _refuse_outside(labels: Stamps, closes: pl.Series, clock: BarClock, calendar: TradingCalendar) -> None:
    """Refuse bars that close outside the sessions of the calendar, daily ones not at a session's close."""
    session = calendar.session_at(closes)
    outside = closes != session["close"] if clock.is_daily else closes <= session["open"]
    holiday = ~calendar.is_session(closes.dt.convert_time_zone(calendar.timezone).dt.date())
    hint = "drop the rows, or do not enforce sessions (enforce_sessions: false)"
    labels.refuse(outside & holiday, "E-TS-HOLIDAY", f"falls on no session of {calendar.name}", hint)
    labels.refuse(outside & ~holiday, "E-TS-SESSION", f"lies outside the session of {calendar.name}", hint)


def _of_daily_stamps(labels: pl.Series, clock: BarClock, calendar: TradingCalendar) -> pl.DataFrame:
    # The first close after an open, so that the bar opening at a session's open belongs to that session.
    close = calendar.next_close(labels + _TICK) if clock.label == "open" else labels
    return pl.DataFrame({"timestamp": close, "open_instant": calendar.open_before(close)})


def _of_intraday_stamps(labels: pl.Series, clock: BarClock, calendar: TradingCalendar) -> pl.DataFrame:
    length = timedelta(microseconds=span_microseconds(clock.frequency))
    by_open = clock.label == "open"
    session = calendar.session_at(labels + _TICK if by_open else labels)
    begins = labels if by_open else labels - length
    bars = session.select("open", "close").with_columns(begins.alias("begins"), labels.alias("timestamp"))
    if by_open:
        bars = bars.with_columns(timestamp=pl.min_horizontal(pl.col("begins") + length, "close"))
    # A bar outside sessions precedes the open of the session found: it keeps its own length.
    inside = pl.col("timestamp") > pl.col("open")
    opened = pl.when(inside).then(pl.max_horizontal("begins", "open")).otherwise("begins")
    return bars.select("timestamp", open_instant=opened)


def infer_frequency(stamps: pl.Series) -> str:
    """Return the most frequent distance between neighbouring distinct timestamps as a span, `1d` from 20 hours on.

    Args:
        stamps: Dates or datetimes in any order; the first thousand distinct ones are looked at.
    """
    # What is no time at all is refused by name when it is read.
    if not isinstance(stamps.dtype, pl.Datetime):
        return "1d"
    read = unflagged(stamps.head(100_000)).cast(UTC_MICROSECONDS, strict=False).drop_nulls()
    distinct = read.cast(pl.Int64).unique().sort().head(1_000)
    if distinct.len() < 2:
        return "1d"
    steps = distinct.diff().drop_nulls().value_counts().sort("count", distinct.name, descending=[True, False])
    seconds = int(steps[distinct.name][0]) // 1_000_000
    if seconds >= 20 * 3600:
        return "1d"
    if seconds == 0 or seconds % 60:
        raise ConfigError(f"the bars are {seconds or 'no full'} seconds apart: declare their frequency")
    return f"{seconds // 60}m"
