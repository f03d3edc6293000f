"""When values became known, and what a bar may therefore see."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ml4t_backtest import ConfigError
from ml4t_backtest.data.calendar import TradingCalendar
from ml4t_backtest.data.signal_timing import availability, join_known

UTC_US = pl.Datetime("us", "UTC")


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


# --- availability ---------------------------------------------------------------------------------------------------

NEW_YORK = TradingCalendar("XNYS", date(2024, 1, 2), date(2024, 12, 31))


def known(moment: date, rule: str, latency: str = "0m") -> datetime:
    return availability(pl.Series([moment]), rule, NEW_YORK, latency)[0]


@pytest.mark.parametrize(
    ("rule", "moment", "expected"),
    [
        # A session label: open or close of that session, or the open of the session after.
        ("market_open", date(2024, 1, 3), at(2024, 1, 3, 14, 30)),
        ("market_close", date(2024, 1, 3), at(2024, 1, 3, 21)),
        ("next_day", date(2024, 1, 3), at(2024, 1, 4, 14, 30)),
        ("market_close", date(2024, 7, 3), at(2024, 7, 3, 17)),  # half day
        ("next_day", date(2024, 7, 3), at(2024, 7, 5, 13, 30)),  # over 4 July
        ("next_day", date(2024, 3, 8), at(2024, 3, 11, 13, 30)),  # the clocks change over the weekend
        ("next_day", date(2024, 11, 1), at(2024, 11, 4, 14, 30)),
        ("market_close", date(2024, 3, 8), at(2024, 3, 8, 21)),
        ("market_close", date(2024, 3, 11), at(2024, 3, 11, 20)),
        # A day without trading: known with the first session after.
        ("market_open", date(2024, 3, 30), at(2024, 4, 1, 13, 30)),
        ("market_close", date(2024, 3, 30), at(2024, 4, 1, 20)),
        # An instant: the first open or close at or after it, never before it.
        ("market_open", at(2024, 1, 3, 14, 30), at(2024, 1, 3, 14, 30)),
        ("market_open", at(2024, 1, 3, 14, 30, 0, 1), at(2024, 1, 4, 14, 30)),
        ("market_open", at(2024, 1, 3, 3), at(2024, 1, 3, 14, 30)),
        ("market_open", at(2024, 1, 5, 15), at(2024, 1, 8, 14, 30)),  # a Friday's afternoon
        ("market_close", at(2024, 1, 3, 21), at(2024, 1, 3, 21)),
        ("market_close", at(2024, 1, 3, 21, 0, 0, 1), at(2024, 1, 4, 21)),
        ("market_close", at(2024, 7, 3, 17, 30), at(2024, 7, 5, 20)),  # after an early close
        ("next_day", at(2024, 1, 3, 15), at(2024, 1, 4, 14, 30)),
        ("next_day", at(2024, 1, 5, 21), at(2024, 1, 8, 14, 30)),
    ],
)
def test_a_rule_says_when_a_row_became_known(rule: str, moment: date, expected: datetime) -> None:
    assert known(moment, rule) == expected


@pytest.mark.parametrize("rule", ["market_open", "market_close", "next_day"])
def test_no_rule_makes_a_row_known_before_its_own_instant(rule: str) -> None:
    hours = [at(2024, 3, 8) + timedelta(minutes=37 * step) for step in range(200)]
    became = availability(pl.Series(hours), rule, NEW_YORK)
    assert (became >= pl.Series(hours)).all()
    assert became.name == "available_at"
    assert became.dtype == UTC_US


def test_latency_is_added_to_the_moment_a_rule_gives() -> None:
    assert known(date(2024, 1, 3), "market_close", "15m") == at(2024, 1, 3, 21, 15)
    assert known(at(2024, 1, 3, 3), "market_open", "90s") == at(2024, 1, 3, 14, 31, 30)


@pytest.mark.parametrize("rule", ["market_closed", "", "close", "MARKET_OPEN"])
def test_an_unknown_rule_is_refused_with_the_choices(rule: str) -> None:
    with pytest.raises(ConfigError, match=r"market_open.*market_close.*next_day"):
        known(date(2024, 1, 3), rule)


# --- what a bar sees ------------------------------------------------------------------------------------------------


def bars(*rows: tuple[datetime, str] | tuple[datetime, str, datetime]) -> pl.DataFrame:
    """Bars given as (timestamp, symbol[, decision]); the decision is the timestamp unless given."""
    return pl.DataFrame(
        [(row[0], row[1], row[2] if len(row) == 3 else row[0]) for row in rows],
        schema={"timestamp": UTC_US, "symbol": pl.String, "decision_instant": UTC_US},
        orient="row",
    ).sort("timestamp", "symbol")


def signals(*rows: tuple[datetime, str, datetime, float | None]) -> pl.DataFrame:
    """Signal rows given as (timestamp, symbol, available_at, value)."""
    schema = {"timestamp": UTC_US, "symbol": pl.String, "available_at": UTC_US, "score": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def seen(bars_: pl.DataFrame, rows: pl.DataFrame, **how: Any) -> list[tuple[float | None, bool]]:
    joined = join_known(bars_, rows, ["score"], by_symbol=True, **how)
    return joined.select("score", "score_is_new").rows()


MONDAY, TUESDAY, WEDNESDAY = at(2024, 1, 8, 21), at(2024, 1, 9, 21), at(2024, 1, 10, 21)
THREE_DAYS = [(MONDAY, "A"), (TUESDAY, "A"), (WEDNESDAY, "A")]


def test_a_row_is_seen_from_the_decision_at_its_availability_on() -> None:
    rows = signals((MONDAY, "A", TUESDAY, 0.5))
    assert seen(bars(*THREE_DAYS), rows) == [(None, False), (0.5, True), (0.5, False)]


def test_a_row_known_a_microsecond_after_the_decision_is_not_seen() -> None:
    rows = signals((MONDAY, "A", TUESDAY + timedelta(microseconds=1), 0.5))
    assert seen(bars(*THREE_DAYS), rows) == [(None, False), (None, False), (0.5, True)]


def test_what_counts_is_the_decision_not_the_bars_timestamp() -> None:
    morning = at(2024, 1, 9, 14)
    rows = signals((MONDAY, "A", morning, 0.5))
    at_next_open = bars((MONDAY, "A", at(2024, 1, 9, 14, 30)), (TUESDAY, "A", at(2024, 1, 10, 14, 30)))
    assert seen(at_next_open, rows) == [(0.5, True), (0.5, False)]
    assert seen(bars(*THREE_DAYS[:2]), rows) == [(None, False), (0.5, True)]


def test_among_known_rows_the_one_about_the_latest_moment_is_seen() -> None:
    rows = signals(
        (at(2024, 1, 5), "A", MONDAY, 0.1), (at(2024, 1, 8), "A", MONDAY, 0.2), (at(2024, 1, 7), "A", MONDAY, 0.3)
    )
    assert seen(bars(*THREE_DAYS[:1]), rows) == [(0.2, True)]


def test_a_late_revision_of_an_older_row_never_takes_over() -> None:
    rows = signals(
        (at(2024, 1, 5), "A", MONDAY, 0.1),
        (at(2024, 1, 8), "A", MONDAY, 0.2),
        (at(2024, 1, 5), "A", TUESDAY, 0.9),  # Friday's row again, revised on Tuesday
    )
    assert seen(bars(*THREE_DAYS), rows) == [(0.2, True), (0.2, False), (0.2, False)]


def test_a_newer_revision_of_the_same_row_takes_over_and_is_new() -> None:
    rows = signals((MONDAY, "A", MONDAY, 0.2), (MONDAY, "A", WEDNESDAY, 0.3))
    assert seen(bars(*THREE_DAYS), rows) == [(0.2, True), (0.2, False), (0.3, True)]


def test_of_two_revisions_known_at_once_the_later_one_counts() -> None:
    rows = signals((MONDAY, "A", at(2024, 1, 8, 20), 0.3), (MONDAY, "A", at(2024, 1, 8, 19), 0.2))
    assert seen(bars(*THREE_DAYS[:1]), rows) == [(0.3, True)]


def test_a_null_stays_null_and_hides_the_older_value() -> None:
    rows = signals((MONDAY, "A", MONDAY, 0.2), (TUESDAY, "A", TUESDAY, None))
    joined = join_known(bars(*THREE_DAYS), rows, ["score"], by_symbol=True)
    assert joined["score"].to_list() == [0.2, None, None]
    assert joined["score_available_at"].to_list() == [MONDAY, TUESDAY, TUESDAY]


def test_an_equal_value_in_a_newer_row_is_new() -> None:
    rows = signals((MONDAY, "A", MONDAY, 0.2), (TUESDAY, "A", TUESDAY, 0.2))
    assert seen(bars(*THREE_DAYS), rows) == [(0.2, True), (0.2, True), (0.2, False)]


def test_nothing_is_filled_across_symbols() -> None:
    both = bars(*THREE_DAYS[:2], (MONDAY, "B"), (TUESDAY, "B"))
    rows = signals((MONDAY, "A", MONDAY, 0.2))
    # In the order Monday A, Monday B, Tuesday A, Tuesday B.
    assert seen(both, rows) == [(0.2, True), (None, False), (0.2, False), (None, False)]


def test_is_new_is_per_symbol() -> None:
    both = bars((MONDAY, "A"), (MONDAY, "B"), (TUESDAY, "A"), (TUESDAY, "B"))
    rows = signals((MONDAY, "A", MONDAY, 0.2), (MONDAY, "B", TUESDAY, 0.3))
    assert seen(both, rows) == [(0.2, True), (None, False), (0.2, False), (0.3, True)]


def test_a_signal_never_creates_a_bar() -> None:
    rows = signals((MONDAY, "Z", MONDAY, 0.2), (TUESDAY, "A", TUESDAY, 0.4))
    joined = join_known(bars(*THREE_DAYS[:1]), rows, ["score"], by_symbol=True)
    assert joined.select("timestamp", "symbol").rows() == [(MONDAY, "A")]
    assert joined["score"].to_list() == [None]


def test_a_value_is_shown_up_to_its_longest_age_inclusive() -> None:
    rows = signals((MONDAY, "A", MONDAY, 0.2))
    assert seen(bars(*THREE_DAYS), rows, max_age="1d") == [(0.2, True), (0.2, False), (None, False)]
    assert seen(bars(*THREE_DAYS), rows, max_age="23h") == [(0.2, True), (None, False), (None, False)]


def test_a_forgotten_value_has_no_time_either() -> None:
    rows = signals((MONDAY, "A", MONDAY, 0.2))
    joined = join_known(bars(*THREE_DAYS), rows, ["score"], by_symbol=True, max_age="23h")
    assert joined["score_available_at"].to_list() == [MONDAY, None, None]


def test_a_daily_signal_is_new_on_one_minute_bar_only() -> None:
    minutes = [at(2024, 1, 8, 14, 31) + timedelta(minutes=step) for step in range(390)]
    rows = signals((at(2024, 1, 5), "A", at(2024, 1, 8, 14, 30), 0.2), (at(2024, 1, 8), "A", at(2024, 1, 8, 18), 0.3))
    joined = join_known(bars(*((minute, "A") for minute in minutes)), rows, ["score"], by_symbol=True)
    assert joined.filter("score_is_new")["timestamp"].to_list() == [minutes[0], at(2024, 1, 8, 18)]


def test_a_row_known_overnight_is_new_on_the_first_bar_after() -> None:
    rows = signals((MONDAY, "A", at(2024, 1, 9, 3), 0.2))
    assert seen(bars(*THREE_DAYS), rows)[1] == (0.2, True)


def test_several_values_of_one_row_come_together() -> None:
    rows = signals((MONDAY, "A", MONDAY, 0.2)).with_columns(confidence=pl.lit(0.9))
    joined = join_known(bars(*THREE_DAYS[:1]), rows, ["score", "confidence"], by_symbol=True)
    assert joined.columns == [
        "timestamp",
        "symbol",
        "decision_instant",
        "score",
        "score_available_at",
        "score_is_new",
        "confidence",
        "confidence_available_at",
        "confidence_is_new",
    ]
    assert joined.row(0)[3:] == (0.2, MONDAY, True, 0.9, MONDAY, True)


def test_without_rows_every_bar_shows_null() -> None:
    joined = join_known(bars(*THREE_DAYS), signals(), ["score"], by_symbol=True)
    assert joined.select("score", "score_available_at", "score_is_new").rows() == [(None, None, False)] * 3


def test_context_is_joined_without_symbol_and_for_every_bar_of_the_slice() -> None:
    slices = bars((MONDAY, "A"), (TUESDAY, "A"), (WEDNESDAY, "A")).drop("symbol")
    rows = signals((MONDAY, "A", TUESDAY, 14.0), (at(2024, 1, 5), "A", WEDNESDAY, 99.0)).drop("symbol")
    joined = join_known(slices, rows, ["score"], by_symbol=False)
    assert joined.select("score", "score_available_at").rows() == [(None, None), (14.0, TUESDAY), (14.0, TUESDAY)]


def test_a_lying_sortedness_flag_changes_nothing() -> None:
    rows = signals((TUESDAY, "A", TUESDAY, 0.3), (MONDAY, "A", MONDAY, 0.2), (WEDNESDAY, "A", WEDNESDAY, 0.4))
    lying = rows.with_columns(pl.col("available_at").set_sorted(), pl.col("timestamp").set_sorted())
    assert seen(bars(*THREE_DAYS), lying) == [(0.2, True), (0.3, True), (0.4, True)]
    slices = bars(*THREE_DAYS).drop("symbol")
    joined = join_known(slices, lying.drop("symbol"), ["score"], by_symbol=False)
    assert joined["score"].to_list() == [0.2, 0.3, 0.4]


# --- properties -----------------------------------------------------------------------------------------------------

_START = at(2024, 1, 1)
_TICK = timedelta(hours=1)
_ticks = st.integers(0, 30)
_symbols = st.sampled_from(["A", "B", "C"])


@st.composite
def random_bars(draw: st.DrawFn) -> pl.DataFrame:
    """Bars with unique keys; decisions at the close, or at the next multiple of some hours (never before it)."""
    keys = draw(st.sets(st.tuples(_ticks, _symbols), min_size=1, max_size=20))
    wait = draw(st.sampled_from([1, 1, 4, 24]))
    return bars(*((_START + tick * _TICK, symbol, _START + -(-tick // wait) * wait * _TICK) for tick, symbol in keys))


@st.composite
def random_signals(draw: st.DrawFn) -> pl.DataFrame:
    """Signal rows with unique keys, some values null, known before or after the moment they are about."""
    keys = draw(st.lists(st.tuples(_ticks, _symbols, _ticks), unique=True, max_size=20))
    values = draw(st.lists(st.none() | st.integers(0, 5).map(float), min_size=len(keys), max_size=len(keys)))
    return signals(
        *(
            (_START + about * _TICK, symbol, _START + ready * _TICK, value)
            for (about, symbol, ready), value in zip(keys, values, strict=True)
        )
    )


def oracle(
    bars_: pl.DataFrame, rows: pl.DataFrame, *, by_symbol: bool, max_age: timedelta | None
) -> list[tuple[Any, ...]]:
    """Return (value, available_at, is new) per bar, from the contract's own words.

    "For each bar, among the rows of that symbol with available_at <= decision instant, the one with the greatest
    signal timestamp, then the greatest available_at; not older than max_signal_age. _is_new marks the first bar that
    shows a row."
    """
    shown_before: set[tuple[Any, ...]] = set()
    out = []
    for bar in bars_.rows(named=True):
        candidates = [
            row
            for row in rows.rows(named=True)
            if (not by_symbol or row["symbol"] == bar["symbol"]) and row["available_at"] <= bar["decision_instant"]
        ]
        best = max(candidates, key=lambda row: (row["timestamp"], row["available_at"]), default=None)
        if best is not None and max_age is not None and bar["decision_instant"] - best["timestamp"] > max_age:
            best = None
        if best is None:
            out.append((None, None, False))
            continue
        identity = (best["symbol"] if by_symbol else None, best["timestamp"], best["available_at"])
        out.append((best["score"], best["available_at"], identity not in shown_before))
        shown_before.add(identity)
    return out


_ages = st.none() | st.integers(1, 12)


@settings(max_examples=250, deadline=None, derandomize=True, database=None)
@given(random_bars(), random_signals(), _ages)
def test_every_bar_sees_what_the_contract_says(bars_: pl.DataFrame, rows: pl.DataFrame, hours: int | None) -> None:
    joined = join_known(bars_, rows, ["score"], by_symbol=True, max_age=None if hours is None else f"{hours}h")
    age = None if hours is None else timedelta(hours=hours)
    assert joined.select("score", "score_available_at", "score_is_new").rows() == oracle(
        bars_, rows, by_symbol=True, max_age=age
    )
    assert_frame_equal(joined.select(bars_.columns), bars_)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(random_bars(), random_signals(), _ages)
def test_every_slice_sees_the_context_the_contract_says(
    bars_: pl.DataFrame, rows: pl.DataFrame, hours: int | None
) -> None:
    slices = bars_.drop("symbol").unique("timestamp").sort("timestamp")
    context = rows.drop("symbol").unique(["timestamp", "available_at"], keep="first", maintain_order=True)
    joined = join_known(slices, context, ["score"], by_symbol=False, max_age=None if hours is None else f"{hours}h")
    expected = oracle(slices, context, by_symbol=False, max_age=None if hours is None else timedelta(hours=hours))
    assert joined.select("score", "score_available_at").rows() == [row[:2] for row in expected]


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(random_bars(), random_signals(), random_signals(), _ticks)
def test_rows_known_after_a_moment_change_nothing_decided_until_then(
    bars_: pl.DataFrame, rows: pl.DataFrame, others: pl.DataFrame, tick: int
) -> None:
    moment = pl.lit(_START + tick * _TICK)
    past, future = pl.col("available_at") <= moment, pl.col("available_at") > moment
    until = pl.col("decision_instant") <= moment

    def decided(rows_: pl.DataFrame) -> pl.DataFrame:
        return join_known(bars_, rows_, ["score"], by_symbol=True).filter(until)

    before = decided(rows)
    changed = rows.with_columns(score=pl.when(future).then(pl.lit(-1.0)).otherwise("score"))
    for perturbed in (rows.filter(past), changed, pl.concat([rows.filter(past), others.filter(future)])):
        assert_frame_equal(decided(perturbed), before, check_exact=True)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(random_bars(), random_signals(), st.integers(0, 1000))
def test_the_order_of_signal_rows_does_not_matter(bars_: pl.DataFrame, rows: pl.DataFrame, seed: int) -> None:
    order = list(range(rows.height))
    random.Random(seed).shuffle(order)
    first = join_known(bars_, rows, ["score"], by_symbol=True)
    second = join_known(bars_, rows[order] if order else rows, ["score"], by_symbol=True)
    assert_frame_equal(first, second, check_exact=True)
