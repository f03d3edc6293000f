"""Market orders: when they fill, at which price, and how many shares."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from worlds import DAYS, Mode, Slices, bars, closes, opens, order, quantities, rows, run, run_on, script

from ml4t_backtest import (
    BacktestEngine,
    BacktestResult,
    PercentageCommission,
    PercentageSlippage,
    PolarsDataFeed,
    Strategy,
)

RISING = {"A": [(10, 11, 9, 10.5), (12, 14, 11, 13), (15, 16, 14, 15.5), (17, 18, 16, 17.5)]}


@pytest.fixture(params=["batch", "symbol"])
def mode(request: pytest.FixtureRequest) -> Mode:
    value: Mode = request.param
    return value


def only_fill(result: BacktestResult) -> dict[str, Any]:
    assert result.fills.height == 1
    return result.fills.row(0, named=True)


def test_order_fills_at_the_open_of_the_next_bar(mode: Mode) -> None:
    fill = only_fill(run(RISING, {0: lambda s: s.buy("A", 10)}, mode=mode))
    assert (fill["raw_price"], fill["price"], fill["quantity"]) == (12.0, 12.0, 10.0)
    assert (fill["decision_timestamp"], fill["fill_instant"], fill["timestamp"]) == (closes(0), opens(1), closes(1))


def test_order_cannot_touch_the_slice_it_was_decided_on(mode: Mode) -> None:
    states = run(RISING, {1: lambda s: s.buy("A", 10)}, mode=mode).portfolio_states
    # 10 shares at the open of slice 2 (15), worth 15.5 at its close.
    assert states["cash"].to_list() == [1_000.0, 1_000.0, 850.0, 850.0]
    assert states["equity"].to_list() == [1_000.0, 1_000.0, 1_005.0, 1_025.0]


def test_symbol_without_a_bar_keeps_waiting_for_its_next_one() -> None:
    world = {"A": [10, None, None, 13, 14], "B": [5, 5, 5, 5, 5]}
    fill = only_fill(run(world, {0: lambda s: s.buy("A", 3)}))
    assert (fill["timestamp"], fill["fill_instant"], fill["price"]) == (closes(3), opens(3), 13.0)


def test_order_on_a_symbol_that_has_no_bar_in_the_deciding_slice_fills_at_its_next_bar() -> None:
    world = {"A": [10, None, 12, 13], "B": [5, 5, 5, 5]}
    fill = only_fill(run(world, {1: lambda s: s.buy("A", 3)}))
    assert (fill["decision_timestamp"], fill["timestamp"], fill["price"]) == (closes(1), closes(2), 12.0)


def test_other_symbols_do_not_wait_for_one_without_a_bar() -> None:
    world = {"A": [10, None, 12], "B": [5, 6, 7]}
    result = run(world, {0: lambda s: (s.buy("A", 1), s.buy("B", 1))})
    assert result.fills.select("symbol", "price", "timestamp").rows() == [
        ("B", 6.0, closes(1)),
        ("A", 12.0, closes(2)),
    ]


def test_order_without_a_later_bar_expires_at_the_end_of_data() -> None:
    result = run({"A": [10, 11], "B": [5, None]}, {0: lambda s: s.buy("B", 1), 1: lambda s: s.buy("A", 1)})
    assert result.fills.is_empty()
    expired = result.orders.select("symbol", "status", "reason", "filled_quantity", "last_timestamp").rows()
    assert expired == [("B", "expired", "end_of_data", 0.0, closes(1)), ("A", "expired", "end_of_data", 0.0, closes(1))]


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2024, 1, day, hour, minute, tzinfo=UTC)


def test_london_close_never_fills_at_the_new_york_open_before_it() -> None:
    # LON trades 08:00-16:30, NYC 14:30-21:00; LON's close lies inside NYC's bar.
    london = [(at(day, 16, 30), rows({"LON": 5.0}, open_instant=[at(day, 8)]), {}) for day in (2, 3, 4)]
    new_york = [(at(day, 21), rows({"NYC": float(day)}, open_instant=[at(day, 14, 30)]), {}) for day in (2, 3, 4)]
    feed = Slices(sorted([*london, *new_york], key=lambda triple: triple[0]))
    # Slice 2 is London's close on the 3rd: New York of the 3rd opened two hours before.
    fill = only_fill(run_on(feed, script({2: lambda s: s.buy("NYC", 1)})))
    assert (fill["decision_timestamp"], fill["fill_instant"]) == (at(3, 16, 30), at(4, 14, 30))
    assert (fill["timestamp"], fill["price"]) == (at(4, 21), 4.0)


def test_bar_that_opens_at_the_very_instant_of_the_decision_can_fill() -> None:
    feed = Slices([(at(2, hour), rows({"A": float(hour)}, open_instant=[at(2, hour - 1)]), {}) for hour in (1, 2, 3)])
    fill = only_fill(run_on(feed, script({0: lambda s: s.buy("A", 1)})))
    assert (fill["decision_timestamp"], fill["fill_instant"], fill["timestamp"]) == (at(2, 1), at(2, 1), at(2, 2))


def test_bar_that_opens_a_microsecond_before_the_decision_cannot_fill() -> None:
    early = timedelta(microseconds=1)
    feed = Slices(
        [(at(2, hour), rows({"A": float(hour)}, open_instant=[at(2, hour - 1) - early]), {}) for hour in (1, 2, 3)]
    )
    fill = only_fill(run_on(feed, script({0: lambda s: s.buy("A", 1)})))
    # The bar of 02:00 opened just before 01:00, that of 03:00 just before 02:00, after the decision.
    assert (fill["fill_instant"], fill["timestamp"]) == (at(2, 2) - early, at(2, 3))


def test_feed_that_does_not_tell_opens_fills_at_the_next_slice() -> None:
    feed = Slices([(at(day, 21), rows({"A": float(day)}), {}) for day in (2, 3, 4)])
    fill = only_fill(run_on(feed, script({0: lambda s: s.buy("A", 1)})))
    assert (fill["timestamp"], fill["price"], fill["fill_instant"]) == (at(3, 21), 3.0, at(2, 21))


def test_intraday_order_fills_at_the_open_of_the_bar_that_begins_with_its_decision() -> None:
    # Closes of 15-minute bars; the last bar of the 2nd ends at 21:00, the first of the 3rd opens at 14:30.
    stamps = [at(2, 20, 45), at(2, 21), at(3, 14, 45), at(3, 15)]
    prices = pl.DataFrame(
        {"timestamp": stamps, "symbol": "A", "open": [1.0, 2, 3, 4], "high": 9.0, "low": 1.0, "close": 5.0, "volume": 1}
    )
    feed = PolarsDataFeed(prices, frequency="15m")
    result = run_on(feed, script({0: lambda s: s.buy("A", 1), 1: lambda s: s.buy("A", 1)}))
    assert result.fills.select("fill_instant", "price").rows() == [(at(2, 20, 45), 2.0), (at(3, 14, 30), 3.0)]


def test_decision_before_the_next_open_fills_at_that_open() -> None:
    fill = only_fill(run(RISING, {0: lambda s: s.buy("A", 1)}, feed={"decide_at": "next_open"}))
    assert (fill["decision_timestamp"], fill["fill_instant"], fill["timestamp"]) == (opens(1), opens(1), closes(1))


def test_costs_apply_in_the_order_price_slippage_commission(mode: Mode) -> None:
    costs = {"slippage": PercentageSlippage(0.01), "commission": PercentageCommission(0.002)}
    result = run(RISING, {0: lambda s: s.buy("A", 10), 1: lambda s: s.sell("A", 4)}, mode=mode, **costs)
    bought, sold = result.fills.iter_rows(named=True)
    # 12 x 1.01 = 12.12; commission 0.2 % of 121.20; slippage 10 x 0.12.
    assert bought["price"] == pytest.approx(12.12, rel=1e-14)
    assert bought["commission"] == pytest.approx(0.2424, rel=1e-14)
    assert bought["slippage"] == pytest.approx(1.20, rel=1e-12)
    # 15 x 0.99 = 14.85; commission 0.2 % of 59.40; slippage 4 x 0.15.
    assert sold["price"] == pytest.approx(14.85, rel=1e-14)
    assert sold["commission"] == pytest.approx(0.1188, rel=1e-14)
    assert sold["slippage"] == pytest.approx(0.60, rel=1e-12)
    # 1,000 - 121.20 - 0.2424 + 59.40 - 0.1188
    assert result.portfolio_states["cash"][-1] == pytest.approx(937.8388, rel=1e-14)


def test_default_costs_are_five_basis_points_of_slippage_and_ten_of_commission() -> None:
    fill = only_fill(run(RISING, {0: lambda s: s.buy("A", 10)}, slippage=None, commission=None))
    assert fill["price"] == pytest.approx(12 * 1.0005, rel=1e-14)
    assert fill["commission"] == pytest.approx(10 * 12.006 * 0.001, rel=1e-14)


def test_default_capital_is_a_million() -> None:
    result = BacktestEngine(PolarsDataFeed(bars(RISING), bar_label="session"), script({})).run()
    assert result.initial_capital == 1_000_000.0
    assert result.portfolio_states["cash"].to_list() == [1_000_000.0] * 4


def test_quantity_is_truncated_to_whole_shares() -> None:
    result = run(RISING, {0: lambda s: s.buy("A", 10.9), 1: lambda s: s.sell("A", 2.9)})
    assert quantities(result.fills) == [("A", 10.0), ("A", -2.0)]


def test_float_noise_does_not_cost_a_share() -> None:
    # 0.07 x 100 is 7.000000000000001, 0.57 x 100 is 56.99999999999999: seven and fifty-seven.
    assert (0.07 * 100, 0.57 * 100) == (7.000000000000001, 56.99999999999999)
    result = run(RISING, {0: lambda s: (s.buy("A", 0.07 * 100), s.buy("A", 0.57 * 100))})
    assert quantities(result.fills) == [("A", 7.0), ("A", 57.0)]


def test_fractional_account_trades_parts_of_shares() -> None:
    result = run(RISING, {0: lambda s: s.buy("A", 2.5), 1: lambda s: s.sell("A", 0.75)}, fractional=True)
    assert quantities(result.fills) == [("A", 2.5), ("A", -0.75)]


def test_percent_is_resolved_with_the_deciding_slices_equity_and_close() -> None:
    # Slice 1 closes at 13: 1,000 x 0.5 / 13 = 38.46 -> 38, whatever the open of slice 2 is.
    assert quantities(run(RISING, {1: lambda s: s.buy("A", percent=0.5)}).fills) == [("A", 38.0)]


def test_percent_uses_equity_with_open_positions_at_their_marks() -> None:
    # 50 shares at 12 leave 400; at the close of 13 equity is 400 + 650 = 1,050; 20 % of it at 13 are 16.15 shares.
    result = run(RISING, {0: lambda s: s.buy("A", 50), 1: lambda s: s.buy("A", percent=0.2)})
    assert quantities(result.fills) == [("A", 50.0), ("A", 16.0)]


def test_percent_of_a_symbol_without_a_bar_uses_its_last_close() -> None:
    world = {"A": [10, None, 20], "B": [5, 5, 5]}
    assert quantities(run(world, {1: lambda s: s.buy("A", percent=0.3)}).fills) == [("A", 30.0)]


def test_sell_percent_is_a_fraction_of_equity_not_of_the_position() -> None:
    # Equity is 1,050 at the close of 13: 26 % of it are 21 of the 50 shares.
    result = run(RISING, {0: lambda s: s.buy("A", 50), 1: lambda s: s.sell("A", percent=0.26)})
    assert quantities(result.fills) == [("A", 50.0), ("A", -21.0)]


@pytest.mark.parametrize(("side", "held"), [("buy", 0), ("sell", 10)])
def test_percent_order_too_small_for_a_share_is_a_rejected_record(side: str, held: int) -> None:
    ids: list[int] = []
    plan = {1: lambda s: ids.append(getattr(s, side)("A", percent=0.001))}
    if held:
        plan[0] = lambda s: s.buy("A", held)
    result = run(RISING, plan)
    record = order(result, ids[0])
    assert (record["status"], record["reason"]) == ("rejected", "quantity_rounds_to_zero")
    assert (record["side"], record["filled_quantity"], record["last_timestamp"]) == (side, 0.0, closes(1))
    # 1,000 x 0.001 / 13 = 0.0769 shares (1,010 x 0.001 / 13 = 0.0777 with 10 shares bought at 12).
    assert "0.07" in record["detail"]
    assert result.rejected_orders.height == 1


@pytest.mark.parametrize("quantity", [0, 0.99])
def test_quantity_below_one_share_is_a_rejected_record(quantity: float) -> None:
    result = run(RISING, {0: lambda s: s.buy("A", quantity)})
    assert result.orders.select("status", "reason").rows() == [("rejected", "quantity_rounds_to_zero")]


@pytest.mark.parametrize("amount", [float("nan"), float("inf")])
@pytest.mark.parametrize("kind", ["quantity", "percent"])
@pytest.mark.parametrize("side", ["buy", "sell"])
def test_amount_that_is_no_number_is_a_rejected_record(side: str, kind: str, amount: float) -> None:
    result = run(RISING, {0: lambda s: s.buy("A", 1), 1: lambda s: getattr(s, side)("A", **{kind: amount})})
    rejected = result.rejected_orders.select("side", "reason", "filled_quantity").rows()
    assert rejected == [(side, "invalid_quantity", 0.0)]


@pytest.mark.parametrize("side", ["buy", "sell"])
@pytest.mark.parametrize("kind", ["quantity", "percent"])
def test_unknown_symbol_is_a_rejected_record(side: str, kind: str) -> None:
    result = run(RISING, {0: lambda s: getattr(s, side)("Z", **{kind: 1})})
    rejected = result.orders.select("symbol", "side", "status", "reason").rows()
    assert rejected == [("Z", side, "rejected", "unknown_symbol")]


def test_buy_adds_to_what_is_held_and_pending() -> None:
    result = run(RISING, {0: lambda s: (s.buy("A", 1), s.buy("A", 2)), 1: lambda s: s.buy("A", 4)})
    assert quantities(result.fills) == [("A", 1.0), ("A", 2.0), ("A", 4.0)]
    assert result.trades["entry_quantity"].to_list() == [7.0]


def test_orders_of_one_slice_fill_in_sequence_not_in_symbol_order() -> None:
    world = {"A": [1, 1], "B": [1, 1], "C": [1, 1]}
    result = run(world, {0: lambda s: (s.buy("C", 1), s.buy("A", 2), s.buy("B", 3))})
    assert quantities(result.fills) == [("C", 1.0), ("A", 2.0), ("B", 3.0)]
    assert result.fills["order_id"].is_sorted()


def test_order_ids_are_the_ones_the_strategy_got() -> None:
    ids: list[int] = []
    result = run(
        RISING, {0: lambda s: ids.extend([s.buy("A", 1), s.buy("A", 2)]), 1: lambda s: ids.append(s.sell("A", 3))}
    )
    assert result.orders["order_id"].to_list() == ids
    assert result.fills["order_id"].to_list() == ids
    assert ids == sorted(set(ids))


@pytest.mark.parametrize("names", [["Z", "A"], pl.Series(["Z", "A"])], ids=["list", "series"])
def test_unknown_symbol_of_a_batch_is_a_rejected_record_and_the_others_fill(names: list[str] | pl.Series) -> None:
    result = run(RISING, {0: lambda s: s.submit_batch(names, [2.0, 1.0])})
    assert result.orders.select("symbol", "status", "reason").rows() == [
        ("Z", "rejected", "unknown_symbol"),
        ("A", "filled", None),
    ]


def test_a_day_without_any_bar_is_no_slice() -> None:
    result = run({"A": [10, None, 12]}, {0: lambda s: s.buy("A", 1)})
    assert result.portfolio_states["timestamp"].to_list() == [closes(0), closes(2)]
    assert only_fill(result)["timestamp"] == closes(2)
    assert DAYS[2].isoformat() == "2024-01-04"


@pytest.mark.parametrize(
    ("order", "price"),
    [
        (lambda s: s.submit_batch(["A"], [1.0]), 12.0),
        (lambda s: s.buy("A", 1), 12.0),
        (lambda s: s.buy("A", 1, limit=13.0), 12.0),
        (lambda s: s.buy("A", 1, tif="day"), 12.0),
        (lambda s: s.buy("A", 1, market_on_close=True), 12.5),
    ],
    ids=["batch", "single", "limit", "day", "close"],
)
def test_a_slice_without_a_bar_of_any_symbol_fills_nothing_and_ends_nothing(
    order: Callable[[Strategy], object], price: float
) -> None:
    stamps = [datetime(2024, 1, day, 21, tzinfo=UTC) for day in (2, 3, 4)]
    there = [rows({"A": 10.0}), rows({"A": 10.0}).clear(), rows({"A": (12.0, 12.5, 11.5, 12.5)})]
    result = run_on(Slices([(stamp, bars, {}) for stamp, bars in zip(stamps, there, strict=True)]), script({0: order}))
    assert result.fills.select("timestamp", "price").rows() == [(stamps[2], price)]
    assert result.orders["status"].to_list() == ["filled"]
