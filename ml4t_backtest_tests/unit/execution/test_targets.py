"""Targets, rebalance and close: the position wanted, whatever is held and pending."""

from __future__ import annotations

import pytest
from worlds import closes, order, quantities, run

from ml4t_backtest.execution.accounts import MarginAccount

FLAT = {"A": [10, 10, 10, 10], "B": [10, 10, 10, 10], "C": [10, 10, 10, 10]}
# A has no bar in slice 1: an order of slice 0 is still working when slice 1 decides.
GAP = {"A": [10, None, 10, 10], "B": [10, 10, 10, 10]}


def test_target_quantity_trades_the_difference_to_the_position() -> None:
    plan = {0: lambda s: s.order_target_quantity("A", 30), 1: lambda s: s.order_target_quantity("A", 12)}
    assert quantities(run(FLAT, plan).fills) == [("A", 30.0), ("A", -18.0)]


def test_target_value_is_measured_at_the_deciding_close() -> None:
    # 350 / 10.5 = 33.3 shares.
    world = {"A": [(10, 11, 10, 10.5), 20]}
    assert quantities(run(world, {0: lambda s: s.order_target_value("A", 350.0)}).fills) == [("A", 33.0)]


def test_target_percent_is_a_fraction_of_equity_at_the_deciding_close() -> None:
    # 40 at 10; at the close of 15 equity is 600 + 600; 30 % of 1,200 at 15 are 24 shares: sell 16.
    world = {"A": [10, (10, 15, 10, 15), 15]}
    plan = {0: lambda s: s.buy("A", 40), 1: lambda s: s.order_target_percent("A", 0.3)}
    assert quantities(run(world, plan).fills) == [("A", 40.0), ("A", -16.0)]


def test_target_is_truncated_before_the_difference_is_taken() -> None:
    # 255 / 10 = 25.5 -> 25 wanted, 20 held: 5. (Truncating 5.5 gives 5, truncating for a sell from 30 would give 4.)
    plan = {0: lambda s: s.buy("A", 30), 1: lambda s: s.order_target_value("A", 255.0)}
    assert quantities(run(FLAT, plan).fills) == [("A", 30.0), ("A", -5.0)]


@pytest.mark.parametrize("method", ["order_target_quantity", "order_target_value", "order_target_percent"])
def test_target_zero_closes_the_position(method: str) -> None:
    plan = {0: lambda s: s.buy("A", 30), 1: lambda s: getattr(s, method)("A", 0)}
    result = run(FLAT, plan)
    assert quantities(result.fills) == [("A", 30.0), ("A", -30.0)]
    assert result.portfolio_states["num_positions"].to_list() == [0, 1, 0, 0]


def test_a_target_that_rounding_alone_keeps_from_is_reached() -> None:
    # 14.339 - 24.339 = -9.999999999999998 in floats: the third decision has nothing to trade.
    plan = {
        0: lambda s: s.buy("A", 14.339),
        1: lambda s: s.order_target_quantity("A", -10),
        2: lambda s: s.order_target_quantity("A", -10),
    }
    result = run(FLAT, plan, account=MarginAccount(), fractional=True)
    assert quantities(result.fills) == [("A", 14.339), ("A", -24.339)]
    assert result.orders["order_id"].to_list() == [1, 2]


def test_target_cancels_working_orders_of_its_symbol_only() -> None:
    ids: list[int] = []
    world = {**GAP, "B": [10, None, 10, 10], "C": [10, 10, 10, 10]}
    plan = {
        0: lambda s: ids.extend([s.buy("A", 10), s.buy("A", 20), s.buy("B", 7)]),
        1: lambda s: ids.append(s.order_target_quantity("A", 5)),
    }
    result = run(world, plan)
    assert sorted(quantities(result.fills)) == [("A", 5.0), ("B", 7.0)]
    for cancelled in ids[:2]:
        record = order(result, cancelled)
        assert (record["status"], record["filled_quantity"]) == ("cancelled", 0.0)
        assert record["last_timestamp"] == closes(1)
        assert record["reason"] is not None


def test_the_last_target_of_a_slice_holds() -> None:
    plan = {0: lambda s: (s.order_target_quantity("A", 10), s.order_target_quantity("A", 25))}
    result = run(FLAT, plan)
    assert quantities(result.fills) == [("A", 25.0)]
    assert result.orders["status"].to_list() == ["cancelled", "filled"]


def test_buy_after_a_target_adds_to_it() -> None:
    plan = {0: lambda s: (s.order_target_quantity("A", 10), s.buy("A", 3))}
    assert quantities(run(FLAT, plan).fills) == [("A", 10.0), ("A", 3.0)]


def test_target_that_is_held_already_cancels_what_is_pending_and_trades_nothing() -> None:
    world = {"A": [10, 10, None, 10], "B": [10, 10, 10, 10]}
    plan = {0: lambda s: s.buy("A", 5), 1: lambda s: s.buy("A", 9), 2: lambda s: s.order_target_quantity("A", 5)}
    result = run(world, plan)
    assert quantities(result.fills) == [("A", 5.0)]
    assert result.orders["status"].to_list()[:2] == ["filled", "cancelled"]


def test_target_below_zero_sells_all_and_is_refused_the_rest() -> None:
    ids: list[int] = []
    plan = {0: lambda s: s.buy("A", 10), 1: lambda s: ids.append(s.order_target_quantity("A", -4))}
    result = run(FLAT, plan)
    assert quantities(result.fills) == [("A", 10.0), ("A", -10.0)]
    record = order(result, ids[0])
    assert (record["quantity"], record["filled_quantity"], record["reason"]) == (14.0, 10.0, "short_not_allowed")


def test_target_too_small_for_a_share_is_a_rejected_record() -> None:
    result = run(FLAT, {0: lambda s: s.order_target_value("A", 9.99)})
    assert result.orders.select("status", "reason").rows() == [("rejected", "quantity_rounds_to_zero")]


@pytest.mark.parametrize(
    "step",
    [
        lambda s: s.buy("A", percent=0.1),
        lambda s: s.sell("A", percent=0.1),
        lambda s: s.order_target_quantity("A", 5),
        lambda s: s.order_target_value("A", 100),
        lambda s: s.order_target_percent("A", 0.1),
        lambda s: s.rebalance({"A": 0.1}),
    ],
)
def test_symbol_without_a_mark_is_rejected_for_lack_of_a_price(step: object) -> None:
    world = {"A": [None, None, 10, 10], "B": [10, 10, 10, 10]}
    result = run(world, {0: step})
    assert result.orders.select("symbol", "status", "reason").rows() == [("A", "rejected", "no_price")]


def test_explicit_quantity_of_a_symbol_without_a_mark_waits_for_its_first_bar() -> None:
    result = run({"A": [None, None, 12, 10], "B": [10, 10, 10, 10]}, {0: lambda s: s.buy("A", 5)})
    assert result.fills.select("timestamp", "price").rows() == [(closes(2), 12.0)]


def test_close_position_sells_everything_held() -> None:
    plan = {0: lambda s: s.buy("A", 37), 1: lambda s: s.close_position("A")}
    result = run(FLAT, plan)
    assert quantities(result.fills) == [("A", 37.0), ("A", -37.0)]
    assert result.trades["status"].to_list() == ["closed"]


def test_closing_a_sum_of_fractions_leaves_exactly_nothing() -> None:
    assert 0.1 + 0.2 != 0.3
    plan = {0: lambda s: (s.buy("A", 0.1), s.buy("A", 0.2)), 1: lambda s: s.close_position("A")}
    result = run(FLAT, plan, fractional=True)
    assert result.portfolio_states["num_positions"].to_list() == [0, 1, 0, 0]
    assert result.portfolio_states["positions_value"].to_list()[2:] == [0.0, 0.0]
    assert result.trades["status"].to_list() == ["closed"]


def test_close_position_cancels_pending_buys() -> None:
    world = {"A": [10, 10, None, 10], "B": [10, 10, 10, 10]}
    plan = {0: lambda s: s.buy("A", 5), 1: lambda s: s.buy("A", 9), 2: lambda s: s.close_position("A")}
    result = run(world, plan)
    assert quantities(result.fills) == [("A", 5.0), ("A", -5.0)]


def test_close_position_without_a_position_opens_nothing_and_cancels_what_is_pending() -> None:
    result = run(GAP, {0: lambda s: s.buy("A", 5), 1: lambda s: s.close_position("A")})
    assert result.fills.is_empty()
    assert result.orders["status"].to_list()[0] == "cancelled"


def test_rebalance_closes_held_symbols_that_are_not_named() -> None:
    plan = {0: lambda s: (s.buy("A", 10), s.buy("B", 10)), 1: lambda s: s.rebalance({"C": 0.5, "B": 0.2})}
    result = run(FLAT, plan)
    assert quantities(result.fills)[2:] == [("A", -10.0), ("B", 10.0), ("C", 50.0)]


def test_rebalance_can_keep_the_others() -> None:
    plan = {0: lambda s: (s.buy("A", 10), s.buy("B", 10)), 1: lambda s: s.rebalance({"C": 0.5}, others="keep")}
    result = run(FLAT, plan)
    assert quantities(result.fills)[2:] == [("C", 50.0)]


def test_rebalance_to_nothing_closes_everything() -> None:
    plan = {0: lambda s: (s.buy("A", 10), s.buy("B", 10)), 1: lambda s: s.rebalance({})}
    assert quantities(run(FLAT, plan).fills)[2:] == [("A", -10.0), ("B", -10.0)]


def test_rebalance_returns_its_order_ids_in_symbol_order() -> None:
    ids: list[int] = []
    result = run(FLAT, {0: lambda s: ids.extend(s.rebalance({"C": 0.1, "A": 0.2, "B": 0.3}))})
    assert [order(result, order_id)["symbol"] for order_id in ids] == ["A", "B", "C"]
    assert quantities(result.fills) == [("A", 20.0), ("B", 30.0), ("C", 10.0)]


def test_rebalance_cancels_pending_orders_of_its_symbols() -> None:
    plan = {0: lambda s: s.buy("A", 50), 1: lambda s: s.rebalance({"A": 0.1})}
    assert quantities(run(GAP, plan).fills) == [("A", 10.0)]


def test_rebalance_uses_one_equity_for_all_its_orders() -> None:
    # 20 A at 10, then at 20: equity 1,200. 50 % each: 600 / 20 = 30 A, 600 / 10 = 60 B.
    world = {"A": [10, (10, 20, 10, 20), 20], "B": [10, 10, 10]}
    plan = {0: lambda s: s.buy("A", 20), 1: lambda s: s.rebalance({"A": 0.5, "B": 0.5})}
    assert quantities(run(world, plan).fills)[1:] == [("A", 10.0), ("B", 60.0)]
