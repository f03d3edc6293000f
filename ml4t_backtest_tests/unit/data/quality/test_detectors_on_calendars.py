"""Honest bars of many kinds raise no alarm; clocks, labels and breaks that are wrong on real calendars do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from planted_defects import MINUTE, MOMENTS, PRICES, SCHEMA, copied, of_symbol, scaled, shifted, without

from ml4t_backtest import PolarsDataFeed
from ml4t_backtest.data.checked_bars import inspect_bars
from ml4t_backtest.data.quality.data_quality import Finding
from ml4t_backtest.data.quality.inspector import Inspector
from ml4t_backtest.data.synthetic import random_bars

EVERY = ["DQ-CLOCK", "DQ-COPY", "DQ-GAP", "DQ-GRID", "DQ-LABEL", "DQ-REPEAT", "DQ-SESSION", "DQ-SHIFT", "DQ-SPLIT?"]
EVERY += ["DQ-F32", "DQ-LAST", "DQ-REUSE", "DQ-SCALE", "DQ-SPIKE", "DQ-STALE", "DQ-ZEROVOL", "DQ-CASE"]


def bars_of(symbols: int, sessions: int, calendar: str = "XNYS", *, minutes: bool = True) -> pl.DataFrame:
    return random_bars(symbols, sessions, minutes=minutes, calendar=calendar).select(list(SCHEMA.columns))


def every(bars: pl.DataFrame, length: str) -> pl.DataFrame:
    """Return bars of several minutes each, counted from the open of their session, of bars of one minute."""
    opened = pl.col("open_instant").min().over(pl.col("open_instant").dt.date(), "symbol")
    number = (pl.col("open_instant") - opened).dt.total_minutes() // int(length[:-1])
    grouped = bars.group_by(
        number.alias("n"), pl.col("open_instant").dt.date().alias("d"), "symbol", maintain_order=True
    )
    first, last = pl.col("open", "open_instant").first(), pl.col("timestamp", "close", "decision_instant").last()
    joined = grouped.agg(first, last, pl.col("high").max(), pl.col("low").min(), pl.col("volume").sum())
    return joined.select(bars.columns).sort("timestamp", "symbol")


def findings(bars: pl.DataFrame, calendar: str = "XNYS", **known: Any) -> list[Finding]:
    inspector = Inspector("paranoid", calendar, accept=EVERY, **known)
    inspect_bars(bars, inspector, file=None)
    return [each for each in inspector.findings if each.severity != "note"]


def codes(bars: pl.DataFrame, calendar: str = "XNYS", **known: Any) -> set[str]:
    return {each.what for each in findings(bars, calendar, **known)}


@pytest.fixture(scope="module")
def year() -> pl.DataFrame:
    """One symbol over a year of minutes in New York: two changes of the clock, two half days, all its holidays."""
    return bars_of(1, 252)


# --- honest bars -----------------------------------------------------------------------------------------------------


def test_a_year_of_minutes_is_clean(year: pl.DataFrame) -> None:
    assert year["timestamp"][-1] == datetime(2020, 12, 30, 21, tzinfo=UTC)
    assert findings(year) == []


@pytest.mark.parametrize(("length", "shorter"), [("5m", 0), ("30m", 0), ("45m", 252), ("60m", 252)])
def test_longer_bars_of_which_the_last_is_short_are_clean(year: pl.DataFrame, length: str, shorter: int) -> None:
    bars = every(year, length)
    lengths = (bars["timestamp"] - bars["open_instant"]).dt.total_minutes()
    assert (lengths < int(length[:-1])).sum() == shorter
    assert findings(bars) == []


@pytest.mark.parametrize("calendar", ["XLON", "CMES", "24/7", "24/5", "XTKS", "XHKG", "XSHG", "XETR"])
def test_minutes_and_days_of_other_exchanges_are_clean(calendar: str) -> None:
    """Sessions over midnight, without an end, with a break at noon; forty of them reach over holidays."""
    assert findings(bars_of(1, 40, calendar), calendar) == []
    assert findings(bars_of(2, 400, calendar, minutes=False), calendar) == []


def test_extended_hours_are_out_of_session_and_nothing_worse(year: pl.DataFrame) -> None:
    """From 4:00 to 20:00 in New York, summer and winter: every session's minutes, and as many before and after."""
    hours = [year, *(shifted(year, by * timedelta(minutes=330), range(year.height)) for by in (-1, 1))]
    bars = pl.concat(hours).unique("timestamp").sort("timestamp")
    assert codes(bars) <= {"DQ-SESSION", "DQ-GAP"}
    assert "DQ-SESSION" in codes(bars)


def test_a_fall_that_is_no_ratio_of_a_split_is_none() -> None:
    bars = bars_of(3, 120, minutes=False)
    rows = of_symbol(bars)
    for factor in (0.55, 0.45, 1.3, 0.7, 1.75, 0.28):
        assert codes(scaled(bars, factor, rows[50:])) == set(), factor


def test_a_move_that_is_small_or_stays_is_no_spike() -> None:
    bars = bars_of(3, 120, minutes=False)
    rows = of_symbol(bars)
    assert codes(scaled(bars, 1.35, rows[50:51])) == set()
    # Half of the way back is not back.
    assert codes(scaled(scaled(bars, 1.8, rows[50:51]), 1.4, rows[51:])) == set()


def test_fifty_nine_equal_closes_or_sixty_without_volume_are_no_frozen_feed() -> None:
    bars = bars_of(3, 120, minutes=False)
    rows = of_symbol(bars)

    def still(count: int) -> pl.DataFrame:
        here = pl.int_range(pl.len()).is_in(rows[20 : 20 + count])
        price = bars["close"][rows[20]]
        return bars.with_columns(pl.when(here).then(price).otherwise(name).alias(name) for name in PRICES)

    assert codes(still(59)) == set()
    assert codes(scaled(still(60), 0.0, rows[20:80], ["volume"])) == set()
    assert codes(still(60)) == {"DQ-STALE"}


def test_two_symbols_alike_for_fourteen_bars_or_while_both_stand_still_are_two() -> None:
    bars = bars_of(2, 120, minutes=False)
    first, second = of_symbol(bars, 0), of_symbol(bars, 1)
    alike = bars
    for one, other in zip(first[30:44], second[30:44], strict=True):
        alike = copied(alike, PRICES, one, other)
    assert "DQ-COPY" not in codes(alike)
    flat = bars.with_columns(pl.lit(20.0).alias(name) for name in PRICES).with_columns(volume=pl.lit(0.0))
    assert codes(flat) == set()


def test_a_repeated_bar_without_a_range_is_none() -> None:
    bars = bars_of(1, 120, minutes=False).with_columns(pl.lit(20.0).alias(name) for name in PRICES)
    moving = bars.with_columns(
        pl.when(pl.int_range(pl.len()) % 2 == 0).then(20.0).otherwise(21.0).alias(n) for n in PRICES
    )
    assert "DQ-REPEAT" not in codes(moving)


def test_a_symbol_that_is_halted_for_three_weeks_has_a_gap_and_nothing_worse() -> None:
    bars = bars_of(3, 120, minutes=False)
    assert codes(without(bars, of_symbol(bars)[30:45])) == {"DQ-GAP"}


# --- wrong clocks, labels and breaks ---------------------------------------------------------------------------------


def on_clock(bars: pl.DataFrame, written: str, read: str) -> pl.DataFrame:
    """Return bars whose times were written down by one clock and are read by another."""
    walls = (pl.col(name).dt.convert_time_zone(written).dt.replace_time_zone(None) for name in MOMENTS)
    moved = bars.with_columns(walls)
    zoned = (pl.col(name).dt.replace_time_zone(read, ambiguous="earliest", non_existent="null") for name in MOMENTS)
    return moved.with_columns(zoned).with_columns(pl.col(MOMENTS).dt.convert_time_zone("UTC")).select(bars.columns)


@pytest.mark.parametrize(
    ("written", "read", "said"),
    [
        # New York's own time, taken for UTC: five hours early in winter, four in summer.
        ("America/New_York", "UTC", "moved by +5 h, all (sessions from 14:30 UTC)"),
        # A zone that keeps winter time, read as one that does not: an hour early in summer.
        ("Etc/GMT+5", "America/New_York", "moved by +1 h, all (sessions from 13:30 UTC)"),
        ("UTC", "America/New_York", "moved by -4 h, all (sessions from 13:30 UTC)"),
        ("Asia/Kolkata", "UTC", "moved by -5.5 h, all (sessions from 13:30 UTC)"),
    ],
)
def test_a_wrong_clock_is_found_though_it_is_wrong_by_another_hour_in_summer(
    year: pl.DataFrame, written: str, read: str, said: str
) -> None:
    five = every(year, "5m")
    (clock,) = (each for each in findings(on_clock(five, written, read)) if each.what == "DQ-CLOCK")
    assert said in clock.example
    assert clock.symbol == "S0000"
    assert "DQ-CLOCK" not in codes(on_clock(five, written, written))


def test_the_clock_of_one_symbol_is_found_among_right_ones() -> None:
    bars = bars_of(3, 6)
    wrong = shifted(bars, timedelta(hours=1), of_symbol(bars))
    assert [each.symbol for each in findings(wrong) if each.what == "DQ-CLOCK"] == ["S0001"]


@pytest.mark.parametrize(("sessions", "found"), [(2, False), (4, True), (10, True), (20, True)])
def test_labels_that_changed_at_some_time_are_found(sessions: int, found: bool) -> None:
    """Of twenty sessions, so many are labelled by the open of each minute and the others by its close."""
    bars = bars_of(2, 20)
    days = bars["timestamp"].dt.date()
    early = (days.is_in(days.unique().sort()[:sessions].implode()) & (bars["symbol"] == "S0001")).arg_true()
    labels = [each for each in findings(shifted(bars, -MINUTE, early.to_list())) if each.what == "DQ-LABEL"]
    assert [(each.symbol, each.count) for each in labels] == ([("S0001", sessions)] if found else [])


def test_a_market_that_opens_an_hour_before_its_calendar_has_no_mixed_labels() -> None:
    """Bars end at the open of every week then, and at the close of the same sessions too."""
    hourly = every(bars_of(1, 20, "CMES"), "60m")
    first = hourly.filter(pl.col("open_instant").dt.weekday() == 7).unique(
        pl.col("open_instant").dt.date(), keep="first"
    )
    early = scaled(shifted(first, timedelta(hours=-1), range(first.height)), 1.001, range(first.height))
    assert early.height >= 4
    assert {each.what for each in findings(pl.concat([hourly, early]).sort("timestamp"), "CMES")} == {"DQ-SESSION"}


def test_bars_a_minute_late_are_found() -> None:
    bars = bars_of(3, 6)
    (label,) = (each for each in findings(shifted(bars, MINUTE, of_symbol(bars))) if each.what == "DQ-LABEL")
    assert (label.symbol, label.count) == ("S0001", 6)
    assert "one bar late" in label.example


def test_a_break_at_noon_is_no_gap_and_bars_in_it_are_out_of_session() -> None:
    bars = bars_of(2, 10, "XTKS")
    # 150 minutes in the morning, 150 in the afternoon.
    assert bars.height == 2 * 10 * 300
    assert findings(bars, "XTKS") == []
    rows = of_symbol(bars)
    noon = shifted(bars, timedelta(minutes=30), rows[149:150])
    assert {(each.what, each.count) for each in findings(noon, "XTKS")} == {("DQ-SESSION", 1)}
    (gap,) = findings(without(bars, rows[145:155]), "XTKS")
    assert (gap.what, gap.count) == ("DQ-GAP", 10)


def test_a_month_that_is_missing_is_counted_in_sessions(year: pl.DataFrame) -> None:
    daily = bars_of(2, 252, minutes=False)
    june = daily.filter(pl.col("timestamp").dt.month() != 6)
    assert [(each.what, each.symbol, each.count) for each in findings(june)] == [
        ("DQ-GAP", symbol, 22) for symbol in ("S0000", "S0001")
    ]
    june = year.filter(pl.col("timestamp").dt.month() != 6)
    assert [(each.what, each.count) for each in findings(june)] == [("DQ-GAP", 22 * 390)]


def test_declared_splits_of_another_day_or_symbol_excuse_nothing() -> None:
    bars = bars_of(3, 120, minutes=False)
    split = scaled(bars, 0.5, of_symbol(bars)[50:])
    day = f"{bars['timestamp'][of_symbol(bars)[50]]:%F}"
    assert codes(split, splits=[("S0001", day)]) == set()
    for symbol, ex_date in (("S0002", day), ("S0001", "2020-01-02")):
        assert codes(split, splits=[(symbol, ex_date)]) == {"DQ-SPLIT?"}


def revisions(second: Sequence[float | None]) -> list[str]:
    day, later = datetime(2020, 1, 2, 22, tzinfo=UTC), datetime(2020, 1, 6, 22, tzinfo=UTC)
    known = {"timestamp": [day] * 4, "symbol": ["S0000", "S0001"] * 2, "available_at": [day] * 2 + [later] * 2}
    signals = pl.DataFrame({**known, "score": [1.0, 2.0, *second]})
    feed = PolarsDataFeed(
        bars_of(2, 20, minutes=False).drop("open_instant", "decision_instant"),
        signals_data=signals,
        signal_columns=["score"],
    )
    return feed.data_quality.filter(pl.col("what") == "DQ-REVISED")["example"].to_list()


def test_a_signal_that_was_changed_after_it_was_known_is_noted_and_one_that_was_said_again_is_not() -> None:
    assert revisions([1.0, 2.0]) == []
    assert revisions([1.0, 2.5]) == ["S0001 2020-01-02: known 2020-01-02, again 2020-01-06"]
    assert revisions([None, 2.0]) == ["S0000 2020-01-02: known 2020-01-02, again 2020-01-06"]


@pytest.mark.parametrize(
    ("factor", "found"), [(0.5, True), (1_000.0, True), (1.45, True), (0.75, False), (1.35, False)]
)
def test_a_jump_on_the_last_bar_of_a_symbol_is_a_doubt(factor: float, found: bool) -> None:
    """Also where the symbol ends before the others."""
    bars = bars_of(3, 120, minutes=False)
    for rows in (of_symbol(bars), of_symbol(bars)[:90]):
        ended = without(scaled(bars, factor, rows[-1:]), of_symbol(bars)[len(rows) :])
        expected = [("DQ-LAST", "S0001", 1, "doubt")] if found else []
        assert [(each.what, each.symbol, each.count, each.severity) for each in findings(ended)] == expected
