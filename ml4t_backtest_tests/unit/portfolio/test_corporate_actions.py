"""Splits and dividends: which apply, when, and what they do to cash, positions, marks and working orders."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import polars as pl
import pytest
from worlds import DAYS, Slices, actions, bars, closes, order, quantities, rows, run, run_on, script

from ml4t_backtest import BacktestEngine, BacktestError, ConfigError, PolarsDataFeed
from ml4t_backtest.portfolio.corporate_actions import schedule

MIXED = actions(
    ("B", DAYS[3], "dividend", 0.3),
    ("A", DAYS[3], "dividend", 0.2),
    ("B", DAYS[3], "split", 3.0),
    ("A", DAYS[1], "split", 2.0),
)


def midnight(days: pl.Series) -> pl.Series:
    return days.cast(pl.Datetime("us", "UTC"))


def micros(day: date) -> int:
    return int(datetime.combine(day, time(0), UTC).timestamp()) * 1_000_000


def test_prices_as_traded_get_splits_and_dividends_in_time_order_splits_first() -> None:
    planned = [(a.instant, a.kind, a.symbol, a.value) for a in schedule(MIXED, "none", midnight)]
    assert planned == [
        (micros(DAYS[1]), "split", "A", 2.0),
        (micros(DAYS[3]), "split", "B", 3.0),
        (micros(DAYS[3]), "dividend", "A", 0.2),
        (micros(DAYS[3]), "dividend", "B", 0.3),
    ]


def test_split_adjusted_prices_get_dividends_only() -> None:
    assert [(a.kind, a.symbol) for a in schedule(MIXED, "split", midnight)] == [("dividend", "A"), ("dividend", "B")]


def test_total_return_prices_get_nothing() -> None:
    assert schedule(MIXED, "total_return", midnight) == []


@pytest.mark.parametrize("table", [None, MIXED.clear()])
def test_no_actions_are_no_actions(table: pl.DataFrame | None) -> None:
    assert schedule(table, "none", midnight) == []


def test_order_of_the_table_does_not_matter() -> None:
    assert schedule(MIXED.reverse(), "none", midnight) == schedule(MIXED, "none", midnight)


def test_unknown_adjustment_is_a_config_error_that_names_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"none, split, total_return.*'splits'"):
        schedule(MIXED, "splits", midnight)


BUY_TEN = {0: lambda s: s.buy("A", 10)}


@pytest.mark.parametrize(
    ("adjustment", "shares", "paid"), [("none", 20, 10.0), ("split", 10, 5.0), ("total_return", 10, 0)]
)
def test_nothing_is_applied_twice(adjustment: str, shares: int, paid: float) -> None:
    both = actions(("A", DAYS[2], "split", 2.0), ("A", DAYS[3], "dividend", 0.5))
    result = run(
        {"A": [10, 10, 5 if adjustment == "none" else 10, 5]}, BUY_TEN, corporate_actions=both, adjustment=adjustment
    )
    # 0.50 per share on the basis of the prices: 20 as traded, 10 on the adjusted one.
    assert result.trades["entry_quantity"].to_list() == [shares]
    assert result.cash_flows["amount"].sum() == paid


def test_dividend_is_paid_to_who_held_before_the_ex_dates_open() -> None:
    plan = {0: lambda s: s.buy("A", 10), 1: lambda s: (s.sell("A", 4), s.buy("B", 7))}
    paid = actions(("A", DAYS[2], "dividend", 0.5), ("B", DAYS[2], "dividend", 0.5))
    result = run({"A": [10] * 4, "B": [10] * 4}, plan, corporate_actions=paid)
    # On the ex-date 4 A are sold and 7 B bought at the open: 10 A are paid for, B is not.
    flow = (closes(2), "A", 1, "dividend", 5.0)
    assert result.cash_flows.rows() == [flow]
    assert result.portfolio_states["cash"].to_list() == [1_000.0, 900.0, 900.0 + 5 + 40 - 70, 875.0]


def test_dividend_can_pay_for_an_order_of_the_same_open() -> None:
    plan = {0: lambda s: s.buy("A", 100), 1: lambda s: s.buy("A", 5)}
    result = run({"A": [10] * 4}, plan, corporate_actions=actions(("A", DAYS[2], "dividend", 0.5)))
    # All 1,000 are in A; 50 of dividends buy 5 more at 10.
    assert quantities(result.fills) == [("A", 100.0), ("A", 5.0)]
    assert result.portfolio_states["cash"][-1] == 0.0


def test_dividend_on_the_day_of_a_split_is_per_new_share() -> None:
    both = actions(("A", DAYS[2], "dividend", 0.5), ("A", DAYS[2], "split", 2.0))
    result = run({"A": [10, 10, 5, 5]}, BUY_TEN, corporate_actions=both)
    assert result.cash_flows["amount"].to_list() == [20 * 0.5]


def test_ex_date_that_is_no_session_applies_at_the_next_open() -> None:
    # Saturday the 6th: DAYS[3] is Friday the 5th, DAYS[4] Monday the 8th.
    saturday = actions(("A", date(2024, 1, 6), "dividend", 1.0))
    result = run({"A": [10] * 6}, BUY_TEN, corporate_actions=saturday)
    assert result.cash_flows["timestamp"].to_list() == [closes(4)]


def test_ex_date_without_a_slice_applies_before_the_next_one() -> None:
    # No symbol has a bar on DAYS[2].
    gap = {"A": [10, 10, None, 5, 5]}
    result = run(gap, BUY_TEN, corporate_actions=actions(("A", DAYS[2], "split", 2.0), ("A", DAYS[2], "dividend", 1.0)))
    assert result.cash_flows.select("timestamp", "amount").rows() == [(closes(3), 20.0)]
    assert result.portfolio_states["equity"].to_list() == [1_000.0, 1_000.0, 1_020.0, 1_020.0]


@pytest.mark.parametrize(
    "day", [date(2023, 6, 1), date(2023, 12, 29), date(2024, 1, 25), date(2024, 6, 3), date(2030, 1, 2)]
)
@pytest.mark.parametrize("kind", ["split", "dividend"])
def test_action_outside_the_data_changes_nothing(kind: str, day: date) -> None:
    world, table = {"A": [10, 11, 12, 13]}, actions(("A", day, kind, 2.0))
    with_action, without = run(world, BUY_TEN, corporate_actions=table), run(world, BUY_TEN)
    assert with_action.portfolio_states.equals(without.portfolio_states)
    assert with_action.cash_flows.is_empty()


def test_action_of_a_symbol_that_is_not_in_the_data_changes_nothing() -> None:
    table = actions(("Z", DAYS[2], "split", 2.0), ("Z", DAYS[2], "dividend", 2.0))
    assert run({"A": [10] * 4}, BUY_TEN, corporate_actions=table).cash_flows.is_empty()


def test_split_keeps_equity_also_on_a_day_without_a_bar() -> None:
    # 10 at 12 become 30 at 4 at once, long before the first bar on the new basis.
    world = {"A": [12, 12, None, None, 4], "B": [1] * 5}
    result = run(world, BUY_TEN, corporate_actions=actions(("A", DAYS[2], "split", 3.0)))
    assert result.portfolio_states["equity"].to_list() == [1_000.0] * 5
    assert result.portfolio_states["positions_value"].to_list() == [0.0, 120.0, 120.0, 120.0, 120.0]


def test_split_rescales_what_the_strategy_sees_of_its_position() -> None:
    seen: list[tuple[float, float, float | None]] = []
    world = {"A": [12, (12, 15, 12, 15), None, 5], "B": [1] * 4}

    def look(strategy: object) -> None:
        held = strategy.get_position("A")
        seen.append((held.quantity, held.average_price, held.market_price))

    run(world, {**BUY_TEN, 1: look, 2: look}, corporate_actions=actions(("A", DAYS[2], "split", 3.0)))
    assert seen == [(10.0, 12.0, 15.0), (30.0, 4.0, 5.0)]


def test_order_across_a_split_buys_the_same_money() -> None:
    result = run({"A": [12, 4, 4]}, BUY_TEN, corporate_actions=actions(("A", DAYS[1], "split", 3.0)))
    assert result.fills.select("quantity", "price").rows() == [(30.0, 4.0)]
    assert order(result, 1)["quantity"] == 30.0


def test_sell_across_a_split_closes_the_position() -> None:
    plan = {0: lambda s: s.buy("A", 7), 1: lambda s: s.sell("A", 7)}
    result = run({"A": [15, 15, 10, 10]}, plan, corporate_actions=actions(("A", DAYS[2], "split", 1.5)))
    # 10.5: half a share is paid in cash at 10, the order is truncated like the position.
    assert quantities(result.fills) == [("A", 7.0), ("A", -10.0)]
    assert result.portfolio_states["num_positions"].to_list() == [0, 1, 0, 0]
    assert result.portfolio_states["cash"].to_list() == [1_000.0, 895.0, 1_000.0, 1_000.0]


def test_close_across_a_split_closes_the_position() -> None:
    plan = {0: lambda s: s.buy("A", 7), 1: lambda s: s.close_position("A")}
    result = run({"A": [15, 15, 10, 10]}, plan, corporate_actions=actions(("A", DAYS[2], "split", 1.5)))
    assert result.portfolio_states["num_positions"].to_list() == [0, 1, 0, 0]


def test_order_waiting_over_two_splits_is_rescaled_by_both() -> None:
    world = {"A": [12, None, None, 2], "B": [1] * 4}
    twice = actions(("A", DAYS[1], "split", 2.0), ("A", DAYS[3], "split", 3.0))
    assert quantities(run(world, BUY_TEN, corporate_actions=twice).fills) == [("A", 60.0)]


def test_order_that_a_reverse_split_leaves_nothing_of_is_cancelled() -> None:
    plan = {0: lambda s: s.buy("A", 5)}
    result = run({"A": [2, 20, 20]}, plan, corporate_actions=actions(("A", DAYS[1], "split", 0.1)))
    record = order(result, 1)
    assert (record["status"], record["filled_quantity"], record["last_timestamp"]) == ("cancelled", 0.0, closes(1))
    assert record["reason"] is not None


def test_order_decided_after_the_split_is_left_alone() -> None:
    plan = {1: lambda s: s.buy("A", 10)}
    result = run({"A": [12, 4, 4]}, plan, corporate_actions=actions(("A", DAYS[1], "split", 3.0)))
    assert quantities(result.fills) == [("A", 10.0)]


def test_split_of_one_symbol_leaves_orders_and_positions_of_others_alone() -> None:
    plan = {0: lambda s: s.buy("B", 10), 1: lambda s: s.buy("B", 5)}
    result = run({"A": [12, 12, 4], "B": [1] * 3}, plan, corporate_actions=actions(("A", DAYS[2], "split", 3.0)))
    assert quantities(result.fills) == [("B", 10.0), ("B", 5.0)]


def test_split_before_the_traded_span_does_not_touch_marks_that_are_on_its_basis_already() -> None:
    # A splits inside the warm-up (20 -> 10) and has no bar in the first traded slice: 10 % of 1,000 at 10 are 10.
    world = {"A": [20, 10, None, 10], "B": [5] * 4}
    feed = {"start": DAYS[2], "warm_up_days": 5}
    plan = {0: lambda s: s.buy("A", percent=0.1)}
    result = run(world, plan, feed=feed, corporate_actions=actions(("A", DAYS[1], "split", 2.0)))
    assert quantities(result.fills) == [("A", 10.0)]


def test_split_between_the_warm_up_and_the_first_traded_bar_rescales_the_mark() -> None:
    # The split opens the traded span; A's last mark is 20 of the warm-up: 10 on the new basis.
    world = {"A": [20, 20, None, 10], "B": [5] * 4}
    feed = {"start": DAYS[2], "warm_up_days": 5}
    plan = {0: lambda s: s.buy("A", percent=0.1)}
    result = run(world, plan, feed=feed, corporate_actions=actions(("A", DAYS[2], "split", 2.0)))
    assert quantities(result.fills) == [("A", 10.0)]


def test_intraday_bars_get_the_action_before_the_first_bar_of_the_ex_date() -> None:
    stamps = [
        datetime(2024, 1, day, 14 + (30 + 15 * bar) // 60, (30 + 15 * bar) % 60, tzinfo=UTC)
        for day in (2, 3)
        for bar in (1, 2)
    ]
    prices = pl.DataFrame({"timestamp": stamps, "symbol": "A", "volume": 1.0}).with_columns(
        pl.Series(name, [10.0, 10, 5, 5]) for name in ("open", "high", "low", "close")
    )
    feed = PolarsDataFeed(prices, frequency="15m")
    both = actions(("A", date(2024, 1, 3), "split", 2.0), ("A", date(2024, 1, 3), "dividend", 0.1))
    result = run_on(feed, script(BUY_TEN), corporate_actions=both)
    assert result.portfolio_states["equity"].to_list() == [1_000.0, 1_000.0, 1_002.0, 1_002.0]
    assert result.cash_flows["timestamp"].to_list() == [stamps[2]]


def test_feed_without_a_calendar_applies_actions_at_midnight_utc() -> None:
    feed = Slices(
        [(datetime(2024, 1, day, 21, tzinfo=UTC), rows({"A": 5.0 if day > 3 else 10.0}), {}) for day in (2, 3, 4)]
    )
    result = run_on(feed, script(BUY_TEN), corporate_actions=actions(("A", date(2024, 1, 4), "split", 2.0)))
    assert result.portfolio_states["equity"].to_list() == [1_000.0] * 3


@pytest.mark.parametrize(
    "row",
    [
        ("A", DAYS[2], "Split", 2.0),
        ("A", DAYS[2], "spinoff", 2.0),
        ("A", DAYS[2], "split", 0.0),
        ("A", DAYS[2], "split", -2.0),
        ("A", DAYS[2], "dividend", float("nan")),
        ("A", DAYS[2], "dividend", float("inf")),
        ("A", None, "dividend", 1.0),
    ],
)
def test_actions_that_break_their_schema_are_refused(row: tuple[str, date, str, float]) -> None:
    feed = PolarsDataFeed(bars({"A": [10] * 4}), bar_label="session")
    with pytest.raises(BacktestError):
        BacktestEngine(feed, script({}), corporate_actions=actions(row)).run()


@pytest.mark.parametrize("chunk", [1, "1mo"])
def test_a_dividend_is_paid_in_the_bar_after_the_one_that_ends_as_its_day_opens(chunk: Any) -> None:
    # Around the clock the 3rd opens at midnight, where the last bar of the 2nd ends: who holds then gets 10 x 0.5.
    hours = [datetime(2024, 1, 2, 21, tzinfo=UTC) + timedelta(hours=hour) for hour in range(6)]
    prices = dict.fromkeys(("open", "high", "low", "close"), 10.0)
    frame = pl.DataFrame([{"timestamp": hour, "symbol": "A", **prices, "volume": 1.0} for hour in hours])
    feed = PolarsDataFeed(frame, frequency="1h", calendar="24/7", chunk=chunk)
    paid = actions(("A", date(2024, 1, 3), "dividend", 0.5))
    result = run_on(feed, script({0: lambda s: s.buy("A", 10)}), corporate_actions=paid, adjustment="none")
    assert result.cash_flows.select("timestamp", "amount").rows() == [(hours[4], 5.0)]
