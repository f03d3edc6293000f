"""Sessions of an exchange: half days, holidays, clock changes, and which session an instant belongs to."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest

from ml4t_backtest import BacktestError, ConfigError
from ml4t_backtest.data.calendar import TradingCalendar, calendar_names


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def instants(*moments: datetime) -> pl.Series:
    return pl.Series("t", moments, dtype=pl.Datetime("us", "UTC"))


def hours_of(name: str, day: date) -> tuple[datetime, datetime]:
    sessions = TradingCalendar(name, day, day).sessions.filter(pl.col("session") == day)
    return sessions["open"].item(), sessions["close"].item()


@pytest.mark.parametrize(
    ("name", "day", "opened", "closed"),
    [
        # New York trades 9:30 to 16:00 local time: UTC-5 in winter, UTC-4 from 2024-03-10 to 2024-11-03.
        ("XNYS", date(2024, 3, 8), at(2024, 3, 8, 14, 30), at(2024, 3, 8, 21)),
        ("XNYS", date(2024, 3, 11), at(2024, 3, 11, 13, 30), at(2024, 3, 11, 20)),
        ("XNYS", date(2024, 11, 1), at(2024, 11, 1, 13, 30), at(2024, 11, 1, 20)),
        ("XNYS", date(2024, 11, 4), at(2024, 11, 4, 14, 30), at(2024, 11, 4, 21)),
        # Half days end at 13:00 local time: the day after Thanksgiving, Christmas Eve, the day before 4 July.
        ("XNYS", date(2012, 11, 23), at(2012, 11, 23, 14, 30), at(2012, 11, 23, 18)),
        ("XNYS", date(2024, 12, 24), at(2024, 12, 24, 14, 30), at(2024, 12, 24, 18)),
        ("XNYS", date(2024, 7, 3), at(2024, 7, 3, 13, 30), at(2024, 7, 3, 17)),
        # London trades 8:00 to 16:30 local time and to 12:30 on Christmas Eve; its clocks change on 2024-03-31.
        ("XLON", date(2024, 3, 28), at(2024, 3, 28, 8), at(2024, 3, 28, 16, 30)),
        ("XLON", date(2024, 4, 2), at(2024, 4, 2, 7), at(2024, 4, 2, 15, 30)),
        ("XLON", date(2024, 12, 24), at(2024, 12, 24, 8), at(2024, 12, 24, 12, 30)),
        # Tokyo has no summer time; its close moved from 15:00 to 15:30 local time (UTC+9) on 2024-11-05.
        ("XTKS", date(2024, 11, 1), at(2024, 11, 1, 0), at(2024, 11, 1, 6)),
        ("XTKS", date(2024, 11, 5), at(2024, 11, 5, 0), at(2024, 11, 5, 6, 30)),
        # Far beyond the twenty years that the library covers by default.
        ("XNYS", date(1985, 7, 1), at(1985, 7, 1, 13, 30), at(1985, 7, 1, 20)),
    ],
)
def test_a_session_opens_and_closes_at_the_exchanges_hours(
    name: str, day: date, opened: datetime, closed: datetime
) -> None:
    assert hours_of(name, day) == (opened, closed)


@pytest.mark.parametrize(
    ("name", "day", "trades"),
    [
        ("XNYS", date(2024, 3, 28), True),
        ("XNYS", date(2024, 3, 29), False),  # Good Friday
        ("XNYS", date(2024, 3, 30), False),  # a Saturday
        ("XNYS", date(2001, 9, 10), True),
        ("XNYS", date(2001, 9, 11), False),
        ("XNYS", date(2001, 9, 14), False),
        ("XNYS", date(2001, 9, 17), True),
        ("XLON", date(2024, 4, 1), False),  # Easter Monday
        ("XNYS", date(2024, 4, 1), True),
        ("XNYS", date(2024, 2, 29), True),
    ],
)
def test_holidays_and_weekends_are_no_sessions(name: str, day: date, trades: bool) -> None:
    assert TradingCalendar(name, day, day).is_session(pl.Series([day])).to_list() == [trades]


def test_an_instant_belongs_to_the_session_whose_close_is_at_or_after_it() -> None:
    calendar = TradingCalendar("XNYS", date(2024, 1, 2), date(2024, 1, 8))
    moments = instants(
        at(2024, 1, 5, 14, 29),  # before the open of Friday 5 January
        at(2024, 1, 5, 21, 0),  # its close
        at(2024, 1, 5, 21, 0, 0, 1),  # a microsecond later: Monday's
        at(2024, 1, 6, 12),  # Saturday
        at(2024, 1, 2, 15),
    )
    found = calendar.session_at(moments)
    friday, monday, tuesday = date(2024, 1, 5), date(2024, 1, 8), date(2024, 1, 2)
    assert found["session"].to_list() == [friday, friday, monday, monday, tuesday]
    assert found["close"][0] == at(2024, 1, 5, 21)
    assert found["open"][2] == at(2024, 1, 8, 14, 30)


def test_the_next_open_and_close_include_the_instant_itself() -> None:
    calendar = TradingCalendar("XNYS", date(2024, 7, 1), date(2024, 7, 8))
    moments = instants(at(2024, 7, 3, 13, 30), at(2024, 7, 3, 13, 30, 0, 1), at(2024, 7, 3, 17))
    # 3 July closes at 17:00 UTC, 4 July is a holiday.
    assert calendar.next_open(moments).to_list() == [
        at(2024, 7, 3, 13, 30),
        at(2024, 7, 5, 13, 30),
        at(2024, 7, 5, 13, 30),
    ]
    assert calendar.next_close(moments).to_list() == [at(2024, 7, 3, 17)] * 3


def test_the_open_of_a_date_without_trading_is_that_of_the_first_session_after() -> None:
    calendar = TradingCalendar("XNYS", date(2024, 3, 28), date(2024, 4, 1))
    days = pl.Series([date(2024, 3, 29), date(2024, 3, 28), date(2024, 3, 31)])
    first_of_april = at(2024, 4, 1, 13, 30)
    assert calendar.open_of(days).to_list() == [first_of_april, at(2024, 3, 28, 13, 30), first_of_april]


def test_sessions_are_ascending_and_cover_two_weeks_around_the_span() -> None:
    sessions = TradingCalendar("XNYS", date(2024, 1, 16), date(2024, 1, 16)).sessions
    assert sessions["session"].to_list() == sorted(sessions["session"].to_list())
    assert sessions["session"].min() == date(2024, 1, 2)
    assert sessions["session"].max() == date(2024, 1, 31)
    assert sessions.schema["open"] == sessions.schema["close"] == pl.Datetime("us", "UTC")


def test_a_calendar_says_what_it_covers() -> None:
    assert repr(TradingCalendar("XNYS", date(2024, 1, 16), date(2024, 1, 16))).startswith("TradingCalendar('XNYS', 21 ")


def test_an_unknown_calendar_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(ConfigError, match=r"XNYZ.*XNYS"):
        TradingCalendar("XNYZ", date(2024, 1, 2), date(2024, 1, 3))


def test_dates_that_a_calendar_does_not_reach_are_refused_in_this_packages_words() -> None:
    # Hong Kong's holidays are recorded from 1960 on.
    with pytest.raises(BacktestError, match="XHKG"):
        TradingCalendar("XHKG", date(1950, 6, 1), date(1950, 6, 30))


@pytest.mark.parametrize("day", [date(1677, 9, 22), date(2263, 9, 22), date(9999, 12, 20), date(1, 1, 5)])
def test_dates_beyond_the_range_of_nanoseconds_are_refused_in_this_packages_words(day: date) -> None:
    with pytest.raises(BacktestError):
        TradingCalendar("XNYS", day, day)


def test_calendar_names_are_sorted_and_hold_the_big_exchanges() -> None:
    names = calendar_names()
    assert names == sorted(names)
    assert {"XNYS", "XLON", "XTKS", "24/7"} <= set(names)
