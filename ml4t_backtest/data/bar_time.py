"""From a source's bar labels to instants: when a bar opened, when it was complete, when a strategy decides on it.

Sources label a bar by its open, by its close or by its session. Inside, `timestamp` is always the close: the moment
the bar is known. See docs/concepts/event_order.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, time, timedelta
from typing import Literal

import polars as pl

from ml4t_backtest.core.instants import UTC_MICROSECONDS, span_microseconds
from ml4t_backtest.data.calendar import TradingCalendar
from ml4t_backtest.errors import ConfigError, DataValidationError, Violation

BarLabel = Literal["close", "open", "session"]
DecideAt = Literal["close", "next_open"]
_SAMPLES = 5


@dataclass(frozen=True, slots=True)
class BarClock:
    """How a data set tells time.

    Attributes:
        calendar: Exchange whose sessions the bars belong to.
        timezone: Zone of timestamps that carry none.
        label: What a bar's timestamp in the source means.
        frequency: Length of a bar, `1d` for one bar per session.
        decide_at: When a strategy decides on a slice: at the bar's close, or at the next session's open.
    """

    calendar: str = "XNYS"
    timezone: str = "UTC"
    label: BarLabel = "close"
    frequency: str = "1d"
    decide_at: DecideAt = "close"

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


def add_instants(bars: pl.DataFrame, clock: BarClock, *, file: str | None = None) -> pl.DataFrame:
    """Replace the source's `timestamp` label by the close instant and add the open and decision instants.

    Args:
        bars: Frame with `timestamp` (Date or Datetime), rows in any order.
        clock: How the source tells time.
        file: Where the bars came from, for messages.

    Returns:
        `bars` with `timestamp`, `open_instant`, `decision_instant` as UTC microseconds, rows in the same order.

    Raises:
        DataValidationError: A timestamp is null, of a wrong type, not a session, or contradicts its label.
    """
    labels = as_utc(bars["timestamp"], clock.timezone, dataset="prices", file=file)
    calendar = clock.sessions_around(labels)
    if labels.dtype == pl.Date or clock.label == "session":
        instants = _of_sessions(labels, calendar, file)
    else:
        _refuse_midnight_labels(labels, clock, calendar, file)
        instants = _of_stamps(labels, clock, calendar)
    decided = calendar.next_open(instants["timestamp"]) if clock.decide_at == "next_open" else instants["timestamp"]
    return bars.with_columns(instants["timestamp"], instants["open_instant"], decided.alias("decision_instant"))


def as_utc(stamps: pl.Series, timezone: str, *, dataset: str, file: str | None = None) -> pl.Series:
    """Return dates unchanged and datetimes as UTC microseconds; naive ones are read in `timezone`.

    Raises:
        DataValidationError: Null or wrong type, or a local time that does not exist or happens twice.
    """
    if stamps.null_count():
        raise _time_error("E-TS-NULL", dataset, "timestamp is null", stamps.is_null(), stamps, file, "drop the row")
    if stamps.dtype == pl.Date:
        return stamps
    if not isinstance(stamps.dtype, pl.Datetime):
        raise DataValidationError(
            [
                Violation(
                    "E-SC-DTYPE",
                    dataset,
                    f"timestamp must be Date or Datetime, found {stamps.dtype}",
                    file=file,
                    column="timestamp",
                    hint="cast it in the source; integers need a unit, text a format",
                )
            ]
        )
    if stamps.dtype.time_zone is not None:
        return stamps.cast(UTC_MICROSECONDS)
    return _localize(stamps.cast(pl.Datetime("us")), timezone, dataset, file)


def _localize(stamps: pl.Series, timezone: str, dataset: str, file: str | None) -> pl.Series:
    local = stamps.dt.replace_time_zone(timezone, ambiguous="null", non_existent="null")
    if local.null_count():
        offenders = local.is_null()
        exists = stamps.dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null")
        missing = exists.is_null().any()
        code, what = ("E-TS-NONEXIST", "does not exist") if missing else ("E-TS-AMBIG", "happens twice")
        hint = "store timestamps in UTC or with their zone"
        raise _time_error(code, dataset, f"local time in {timezone} {what}", offenders, stamps, file, hint)
    return local.dt.convert_time_zone("UTC").cast(UTC_MICROSECONDS)


def _of_sessions(labels: pl.Series, calendar: TradingCalendar, file: str | None) -> pl.DataFrame:
    days = labels.cast(pl.Date)
    outside = ~calendar.is_session(days)
    if outside.any():
        hint = "declare the calendar the data belongs to, or drop the rows"
        raise _time_error("E-TS-HOLIDAY", "prices", f"is no session of {calendar.name}", outside, days, file, hint)
    rows = calendar.sessions["session"].search_sorted(days, side="left")
    found = calendar.sessions[rows]
    return found.select(timestamp="close", open_instant="open")


def _of_stamps(labels: pl.Series, clock: BarClock, calendar: TradingCalendar) -> pl.DataFrame:
    length = timedelta(microseconds=0 if clock.is_daily else span_microseconds(clock.frequency))
    frame = pl.DataFrame({"label": labels})
    if clock.label == "open":
        # The first close after the open, so that the bar opening at a session's open belongs to that session.
        session = calendar.session_at(labels + timedelta(microseconds=1))
        close = (
            pl.col("session_close") if clock.is_daily else pl.min_horizontal(pl.col("label") + length, "session_close")
        )
        frame = frame.with_columns(session_close=session["close"])
        return frame.select(timestamp=close, open_instant=pl.col("label"))
    session = calendar.session_at(labels)
    frame = frame.with_columns(session_open=session["open"])
    start = pl.col("session_open") if clock.is_daily else pl.max_horizontal(pl.col("label") - length, "session_open")
    # A bar outside sessions precedes the open of the session found: it keeps its own length.
    outside = pl.col("session_open") >= pl.col("label")
    return frame.select(
        timestamp="label", open_instant=pl.when(outside).then(pl.col("label") - length).otherwise(start)
    )


def _refuse_midnight_labels(labels: pl.Series, clock: BarClock, calendar: TradingCalendar, file: str | None) -> None:
    """Refuse daily bars stamped at midnight: they are labelled by session, and taken for closes they leak a day."""
    closes_at_midnight = (calendar.sessions["close"].dt.time() == time(0)).any()
    if not clock.is_daily or closes_at_midnight or not (labels.dt.time() == time(0)).all():
        return
    raise DataValidationError(
        [
            Violation(
                "E-TS-LABEL",
                "prices",
                f"daily bars are stamped at midnight but declared as bar_label: {clock.label}",
                file=file,
                row=0,
                column="timestamp",
                value=str(labels[0]),
                count=labels.len(),
                hint=f"declare bar_label: session ({clock.calendar} does not close at midnight)",
            )
        ]
    )


def _time_error(
    code: str,
    dataset: str,
    message: str,
    offenders: pl.Series,
    stamps: pl.Series,
    file: str | None,
    hint: str,
) -> DataValidationError:
    rows = [int(row) for row in offenders.arg_true().head(_SAMPLES)]
    samples = tuple(f"row {row} {stamps[row]}" for row in rows)
    return DataValidationError(
        [
            Violation(
                code,
                dataset,
                message,
                file=file,
                row=rows[0],
                column="timestamp",
                value=str(stamps[rows[0]]),
                count=int(offenders.sum()),
                samples=samples,
                hint=hint,
            )
        ]
    )


def infer_frequency(stamps: pl.Series) -> str:
    """Return the most frequent distance between neighbouring distinct timestamps as a span, `1d` from 20 hours on.

    Args:
        stamps: Dates or datetimes in any order; the first thousand distinct ones are looked at.
    """
    if stamps.dtype == pl.Date:
        return "1d"
    distinct = stamps.head(100_000).unique().sort().head(1_000).cast(UTC_MICROSECONDS).cast(pl.Int64)
    if distinct.len() < 2:
        return "1d"
    steps = distinct.diff().drop_nulls().value_counts().sort("count", distinct.name, descending=[True, False])
    seconds = int(steps[distinct.name][0]) // 1_000_000
    if seconds >= 20 * 3600:
        return "1d"
    if seconds % 60:
        raise ConfigError(f"the bars are {seconds} seconds apart: declare their frequency")
    return f"{seconds // 60}m"
