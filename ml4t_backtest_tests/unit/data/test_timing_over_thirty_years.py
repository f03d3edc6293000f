"""When rows become known, over thirty years of four exchanges: every session, half days and clock changes included.

What is expected is found by plain search in `exchange_hours`, which knows nothing of this package.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from exchange_hours import CALENDARS, FIRST, HOURS, LAST, RULES, Exchange, exchange, hours_by_hand

from ml4t_backtest.data.bar_time import BarClock
from ml4t_backtest.data.loading import ValueSource, load_values
from ml4t_backtest.data.preparation import join_context, join_signals

DAY, TICK = timedelta(days=1), timedelta(microseconds=1)
ALL_DAYS = [FIRST + number * DAY for number in range((LAST - FIRST).days + 1)]
UTC_US = pl.Datetime("us", "UTC")


def loaded(stamps: Sequence[date], calendar: str, *, timezone: str = "UTC", **source: Any) -> pl.DataFrame:
    """Return the rows of a source of signals as preparation loads them: one row per stamp, valued by its number."""
    made = {"timestamp": stamps, "symbol": ["A"] * len(stamps), "value": [float(row) for row in range(len(stamps))]}
    extra = {"available_at": source.pop("known")} if "known" in source else {}
    spec = ValueSource(pl.DataFrame({**made, **extra}), ("value",), **source)
    return load_values(spec, BarClock(calendar, timezone), by_symbol=True)


def known(stamps: Sequence[date], calendar: str, **how: Any) -> list[datetime]:
    return loaded(stamps, calendar, **how)["available_at"].to_list()


def edges(market: Exchange) -> list[datetime]:
    """Return the moments at and beside every open and close, the middle of every session and what lies between two."""
    moments = [datetime.combine(FIRST, time(12), UTC), datetime.combine(LAST, time(12), UTC)]
    sessions = market.sessions(FIRST, LAST)
    for (_, opened, closed), (_, following, _) in pairwise(sessions):
        moments += [opened - TICK, opened, opened + TICK, closed - TICK, closed, closed + TICK]
        moments += [opened + (closed - opened) / 2, closed + (following - closed) / 2]
    return [moment for moment in moments if FIRST <= moment.date() <= LAST]


# --- the sessions themselves, by hand --------------------------------------------------------------------------------


def thanksgiving(year: int) -> date:
    """Return the fourth Thursday of November."""
    first = date(year, 11, 1)
    return first + timedelta((3 - first.weekday()) % 7 + 21)


def half_days_of_new_york(year: int) -> set[date]:
    """Return the days on which the exchange closes at 13:00, as its rules were in these thirty years."""
    days = {thanksgiving(year) + DAY}
    eve, third = date(year, 12, 24), date(year, 7, 3)
    # Christmas Eve from Monday to Thursday: on a Friday the holiday itself is kept then.
    if eve.weekday() < 4:
        days.add(eve)
    # The third of July, not on a Wednesday until 2012: then twice the Friday after the holiday instead.
    if third.weekday() in (0, 1, 3) or (third.weekday() == 2 and year >= 2013):
        days.add(third)
    if third.weekday() == 2 and year in (1996, 2002):
        days.add(date(year, 7, 5))
    return days | {day for day in (date(1997, 12, 26), date(1999, 12, 31), date(2003, 12, 26)) if day.year == year}


def test_half_days_of_new_york_are_those_of_its_rules() -> None:
    early = [
        day for day, opened, closed in exchange("XNYS").sessions(FIRST, LAST) if closed - opened < timedelta(hours=6)
    ]
    ruled = sorted(day for year in range(1995, 2025) for day in half_days_of_new_york(year))
    assert early == ruled
    assert len(ruled) == 68


def test_half_days_of_london_are_the_last_days_before_christmas_and_new_year() -> None:
    sessions = exchange("XLON").sessions(FIRST, LAST)
    early = [day for day, opened, closed in sessions if closed - opened < timedelta(hours=8)]
    days = [day for day, _, _ in sessions]
    last = [
        max(day for day in days if day < holiday)
        for year in range(1995, 2025)
        for holiday in (date(year, 12, 25), date(year + 1, 1, 1))
        # The last trading day of the old millennium was whole a day before: its 31st was no trading day.
        if holiday != date(2000, 1, 1)
    ]
    assert early == last


@pytest.mark.parametrize("name", CALENDARS)
def test_sessions_keep_local_hours_through_every_clock_change(name: str) -> None:
    """Opens and closes from local times; of whether a day is a half day only the library knows here."""
    shifts = set()
    for day, opened, closed in exchange(name).sessions(FIRST, LAST):
        usual, half = (hours_by_hand(name, day, early=early) for early in (False, True))
        assert (opened, closed) in (usual, half), day
        shifts.add(opened.hour)
    # Summer and winter both occur where clocks change.
    assert len(shifts) == (1 if name == "24/7" else 2)


# --- when rows become known ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", CALENDARS)
def test_a_session_label_is_known_when_the_rule_says(name: str, rule: str) -> None:
    """Every date, also those without a session, which count for the first one after."""
    market = exchange(name)
    assert known(ALL_DAYS, name, available_at=rule) == [market.known(rule, day) for day in ALL_DAYS]


@pytest.mark.parametrize("written", ["naive, in UTC", "naive, local", "aware, UTC", "aware, local"])
@pytest.mark.parametrize("name", CALENDARS)
def test_a_daily_row_stamped_at_midnight_is_about_the_day_that_begins(name: str, written: str) -> None:
    market, zone = exchange(name), ZoneInfo(HOURS[name][0])
    clock = UTC if "UTC" in written else zone
    tz = clock if "aware" in written else None
    stamps = pl.Series([datetime.combine(day, time(0)) for day in ALL_DAYS]).dt.replace_time_zone(tz and str(tz))
    for rule in RULES:
        found = known(stamps, name, timezone=str(clock), frequency="1d", available_at=rule)
        assert found == [market.known(rule, day) for day in ALL_DAYS]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", CALENDARS)
def test_an_instant_is_known_when_the_rule_says_and_never_before_itself(name: str, rule: str) -> None:
    market = exchange(name)
    moments = edges(market)
    found = known(moments, name, available_at=rule)
    assert found == [market.known(rule, moment) for moment in moments]
    assert all(became >= moment for became, moment in zip(found, moments, strict=True))


@pytest.mark.parametrize("name", CALENDARS)
def test_a_midnight_that_nobody_declared_daily_is_an_instant(name: str) -> None:
    market = exchange(name)
    midnights = [datetime.combine(day, time(0), UTC) for day in ALL_DAYS]
    for rule in RULES:
        assert known(midnights, name, available_at=rule) == [market.known(rule, moment) for moment in midnights]


@pytest.mark.parametrize(
    ("latency", "span"), [("15m", timedelta(minutes=15)), ("90s", timedelta(seconds=90)), ("2d", 2 * DAY)]
)
@pytest.mark.parametrize("name", CALENDARS)
def test_latency_is_time_that_passes_whatever_the_clocks_do(name: str, latency: str, span: timedelta) -> None:
    market = exchange(name)
    for rule in RULES:
        found = known(ALL_DAYS, name, available_at=rule, latency=latency)
        assert found == [market.known(rule, day) + span for day in ALL_DAYS]


@pytest.mark.parametrize("name", CALENDARS)
def test_a_stated_moment_is_read_on_the_declared_clock(name: str) -> None:
    """Five past six in the evening by local time, each day for thirty years, and 20 minutes until it can be used."""
    zone = ZoneInfo(HOURS[name][0])
    stated = [datetime.combine(day, time(18, 5)) for day in ALL_DAYS]
    found = known(ALL_DAYS, name, timezone=str(zone), known=stated, latency="20m")
    assert found == [local.replace(tzinfo=zone).astimezone(UTC) + timedelta(minutes=20) for local in stated]
    assert len({moment.hour for moment in found}) == (1 if name == "24/7" else 2)


# --- what bars see ---------------------------------------------------------------------------------------------------


def seen(
    bars: Sequence[tuple[datetime, datetime]], rows: Sequence[tuple[Any, datetime]]
) -> list[tuple[float | None, bool]]:
    """Return for each bar (timestamp, decision) the number of the row it sees, and whether it is the first to.

    Rows are (what about, known): among those known by then, the one about the latest moment; none is known twice.
    """
    by_known = sorted(range(len(rows)), key=lambda row: rows[row][1])
    out: list[tuple[float | None, bool]] = []
    best, shown, following = None, None, 0
    for _, decided in bars:
        while following < len(by_known) and rows[by_known[following]][1] <= decided:
            row = by_known[following]
            best = row if best is None or rows[row][0] >= rows[best][0] else best
            following += 1
        out.append((best, best is not None and best != shown))
        shown = best
    return out


def bars_of(times: Sequence[tuple[datetime, datetime]]) -> pl.DataFrame:
    stamps, decided = zip(*times, strict=True)
    made = {"timestamp": stamps, "symbol": ["A"] * len(times), "decision_instant": decided}
    return pl.DataFrame(made, schema={"timestamp": UTC_US, "symbol": pl.String, "decision_instant": UTC_US})


def shown_on(bars: Sequence[tuple[datetime, datetime]], rows: pl.DataFrame) -> list[tuple[float | None, bool]]:
    spec = ValueSource(rows, ("value",))
    return join_signals(bars_of(bars), [(spec, rows)]).select("value", "value_is_new").rows()


@pytest.mark.parametrize("decide_at", ["close", "next_open"])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", CALENDARS)
def test_daily_bars_see_daily_signals_from_their_moment_on(name: str, rule: str, decide_at: str) -> None:
    market = exchange(name)
    sessions = market.sessions(FIRST, LAST)
    bars = [(closed, closed if decide_at == "close" else market.next_open(closed)) for _, _, closed in sessions]
    about = [day for day, _, _ in sessions]
    rows = loaded(about, name, available_at=rule)
    expected = seen(bars, [(day, market.known(rule, day)) for day in about])
    assert shown_on(bars, rows) == expected
    # And counted by hand: how many sessions ahead of the bar's own, at its close or at the open that follows.
    for number, ((_, _, closed), (_, following, _)) in enumerate(pairwise(sessions)):
        is_open = decide_at == "next_open" or closed == following
        ahead = {"market_open": int(is_open), "market_close": 0, "next_day": int(is_open) - 1}[rule]
        assert expected[number][0] == (number + ahead if number + ahead >= 0 else None)


WEEKS = {
    # The Monday after clocks changed (in spring, in autumn, before and after the American rule of 2007), and half days.
    "XNYS": ("1995-04-03", "2006-10-30", "2007-03-12", "2024-11-04", "2024-07-01", "2011-11-21", "2024-12-23"),
    "XLON": ("1995-03-27", "1995-10-23", "2024-04-01", "2024-10-28", "2012-12-24", "2024-12-30"),
    "CMES": ("1995-04-03", "2006-10-30", "2007-03-12", "2024-11-04", "2024-07-01", "2011-11-21"),
    "24/7": ("2024-03-11", "2024-11-04"),
}


@pytest.mark.parametrize(("name", "monday"), [(name, week) for name, weeks in WEEKS.items() for week in weeks])
def test_five_minute_bars_see_daily_and_late_rows_from_their_moment_on(name: str, monday: str) -> None:
    market = exchange(name)
    begin = date.fromisoformat(monday) - 3 * DAY
    length, end = timedelta(minutes=5), begin + 8 * DAY
    closes = []
    for _, opened, closed in market.sessions(begin, end):
        closes += [min(opened + number * length, closed) for number in range(1, -(-(closed - opened) // length) + 1)]
    bars = [(moment, moment) for moment in closes]
    days = [begin + number * DAY for number in range(-5, 9)]
    hours = [datetime.combine(begin, time(0, 1), UTC) + timedelta(hours=7 * number) for number in range(30)]
    for rule in RULES:
        for about, latency in ((days, timedelta(0)), (days, timedelta(minutes=7)), (hours, timedelta(minutes=3))):
            rows = loaded(about, name, available_at=rule, latency=f"{latency.seconds}s")
            moments = [(stamp, market.known(rule, stamp) + latency) for stamp in about]
            expected = seen(bars, moments)
            assert shown_on(bars, rows) == expected
            assert sum(new for _, new in expected) >= 3
            context = join_context(bars_of(bars), [(ValueSource(rows, ("value",)), rows.drop("symbol"))])
            assert context["value"].to_list() == [row for row, _ in expected]
