"""Other futures: the past is the same to the bit, and what comes after it is not."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from lookahead import data
from ml4t_backtest.core.instants import to_instant
from ml4t_backtest.core.schemas import prices_schema
from ml4t_backtest.data.validation import find_violations
from ml4t_backtest.lookahead.futures import FUTURES, Future, OtherTables
from ml4t_backtest.lookahead.timed import TimedTable, moments

DAYS = data.daily()["timestamp"].unique().sort()
CUTS = [DAYS[0], DAYS[70], DAYS[70] - timedelta(hours=3), DAYS[-2]]


def other(name: str, cut: datetime, future: Future) -> pl.DataFrame:
    timed = {each: TimedTable.of(frame) for each, frame in data.tables().items()}
    return OtherTables(timed, to_instant(cut), future)[name]


@pytest.mark.parametrize("future", FUTURES)
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", ["prices", "minutes", "context", "earnings", "forecasts", "corporate_actions"])
def test_the_past_stays_and_the_future_does_not(name: str, cut: datetime, future: Future) -> None:
    frame, changed = data.tables()[name], other(name, cut, future)
    time = next(column for column in ("available_at", "ex_date", "timestamp") if column in frame.columns)
    # An ex-date is known from its first moment on, anything else from its own on.
    limit = cut.date() if time == "ex_date" else cut
    assert_frame_equal(changed.filter(pl.col(time) <= limit), frame.filter(pl.col(time) <= limit), check_exact=True)
    later = frame.filter(pl.col(time) > limit)
    # One row of each symbol is the same in any order, and so are a few equal dividends.
    few = name == "corporate_actions" or cut == CUTS[-1]
    if later.height and not (few and future == "shuffled"):
        assert not changed.filter(pl.col(time) > limit).equals(later)


@pytest.mark.parametrize("future", FUTURES)
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", ["prices", "minutes"])
def test_bars_of_another_future_are_bars(name: str, cut: datetime, future: Future) -> None:
    assert find_violations(other(name, cut, future), prices_schema()) == []


@pytest.mark.parametrize("future", FUTURES)
def test_the_same_world_comes_out_twice(future: Future) -> None:
    assert_frame_equal(other("prices", CUTS[1], future), other("prices", CUTS[1], future), check_exact=True)


def test_a_bar_that_has_just_opened_shows_its_open_and_nothing_else() -> None:
    bar = data.daily().filter(pl.col("symbol") == "S0000")[10]
    opened = bar["open_instant"][0] + timedelta(minutes=1)
    shown = other("prices", opened, "cut off").filter(pl.col("symbol") == "S0000")[10]
    price = bar["open"][0]
    assert shown.select("open", "high", "low", "close", "volume").rows() == [(price, price, price, price, 0.0)]


def test_at_the_very_opening_not_even_the_open_is_known() -> None:
    bars = data.daily().filter(pl.col("symbol") == "S0000")
    shown = other("prices", bars["open_instant"][10], "cut off").filter(pl.col("symbol") == "S0000")
    assert shown.height == 11
    assert shown["open"][10] == bars["close"][9]


def test_the_end_of_a_membership_is_not_known_before_it() -> None:
    shown = other("universe", DAYS[60], "cut off")
    left = shown.filter(pl.col("symbol") == "S0001")
    # Its first span ended on the 51st session, which is over; S0005 belongs until the 81st, which nobody knows yet.
    assert left.rows() == [("S0001", date(2020, 1, 2), DAYS[50].date())]
    assert shown.filter(pl.col("symbol") == "S0005")["end"].to_list() == [None]


def test_raised_and_lowered_futures_turn_every_return_across_the_cut() -> None:
    now = data.daily().filter(pl.col("timestamp") == DAYS[70]).select("symbol", now="close")
    for future, sign in (("raised", 1.0), ("lowered", -1.0)):
        after = other("prices", DAYS[70], future).filter(pl.col("timestamp") == DAYS[71]).join(now, on="symbol")
        assert after.select(((pl.col("close") - pl.col("now")).sign() == sign).all()).item()


def test_a_date_stands_for_the_end_of_its_day() -> None:
    found = moments(pl.Series([date(2024, 1, 2)]))[0]
    assert found == to_instant(datetime(2024, 1, 3, tzinfo=UTC)) - 1
