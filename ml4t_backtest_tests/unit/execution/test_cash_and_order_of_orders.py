"""Who gets the cash: reducing orders first, then in sequence; what is cut, what is refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import pytest
from worlds import Price, closes, order, quantities, run, same_tables

from ml4t_backtest import PercentageCommission, PercentageSlippage
from ml4t_backtest.execution.accounts import MarginAccount


@dataclass(frozen=True)
class FlatFee:
    """Five per fill, whatever its size."""

    def charge(self, quantity: float, price: float) -> float:
        return 5.0


def jump(close: float, open_: float) -> Sequence[Price]:
    """Return bars that close at `close`, then open (and stay) at `open_`."""
    return [close, open_, open_, open_]


def test_order_that_reduces_fills_before_one_that_opens_whatever_their_sequence() -> None:
    # All cash is in A; only the sale of A pays for B.
    plan = {0: lambda s: s.buy("A", 100), 1: lambda s: (s.buy("B", 50), s.sell("A", 60))}
    result = run({"A": [10, 10, 10], "B": [10, 10, 10]}, plan)
    assert quantities(result.fills) == [("A", 100.0), ("A", -60.0), ("B", 50.0)]
    # 1,000 - 1,000 + 600 - 500
    assert result.portfolio_states["cash"].to_list() == [1_000.0, 0.0, 100.0]


def test_reducing_orders_fill_among_themselves_in_sequence() -> None:
    plan = {
        0: lambda s: (s.buy("A", 10), s.buy("B", 10), s.buy("C", 10)),
        1: lambda s: (s.buy("C", 1), s.sell("C", 1), s.sell("A", 1), s.sell("B", 1)),
    }
    fills = quantities(run({name: [10, 10, 10] for name in "ABC"}, plan).fills)[3:]
    assert fills == [("C", -1.0), ("A", -1.0), ("B", -1.0), ("C", 1.0)]


def test_explicit_quantity_that_cash_does_not_cover_is_rejected_with_the_numbers() -> None:
    result = run({"A": jump(10, 10)}, {0: lambda s: s.buy("A", 101)})
    record = result.orders.row(0, named=True)
    assert result.fills.is_empty()
    assert (record["status"], record["reason"]) == ("rejected", "insufficient_cash")
    assert (record["quantity"], record["filled_quantity"], record["last_timestamp"]) == (101.0, 0.0, closes(1))
    # 101 shares at 10 cost 1,010; there are 1,000.
    assert all(number in record["detail"] for number in ("101", "1010", "1000"))
    assert result.rejected_orders.equals(result.orders)


def test_order_that_costs_all_the_cash_to_the_cent_fills() -> None:
    result = run({"A": jump(10, 10)}, {0: lambda s: s.buy("A", 100)})
    assert quantities(result.fills) == [("A", 100.0)]
    assert result.portfolio_states["cash"][-1] == 0.0


def test_cash_is_checked_with_slippage_and_commission() -> None:
    # 99 x 10 x 1.005 x 1.005 = 999.92 fits; without costs 100 would.
    costs = {"slippage": PercentageSlippage(0.005), "commission": PercentageCommission(0.005)}
    assert quantities(run({"A": jump(10, 10)}, {0: lambda s: s.buy("A", 99)}, **costs).fills) == [("A", 99.0)]
    assert run({"A": jump(10, 10)}, {0: lambda s: s.buy("A", 100)}, **costs).fills.is_empty()


def test_cash_is_checked_at_the_open_of_the_fill_not_at_the_decision() -> None:
    # 100 shares cost 1,000 at the deciding close.
    assert run({"A": jump(10, 10.5)}, {0: lambda s: s.buy("A", 100)}).fills.is_empty()
    # 110 shares cost 1,100 there, and 990 at the open.
    assert quantities(run({"A": jump(10, 9)}, {0: lambda s: s.buy("A", 110)}).fills) == [("A", 110.0)]


def test_the_first_of_two_buys_gets_the_cash() -> None:
    world = {"A": [10, 10], "B": [10, 10]}
    result = run(world, {0: lambda s: (s.buy("B", 60), s.buy("A", 60))})
    assert quantities(result.fills) == [("B", 60.0)]
    assert result.rejected_orders["symbol"].to_list() == ["A"]


def test_a_rejected_buy_does_not_stop_a_smaller_one_after_it() -> None:
    result = run({"A": [10, 10], "B": [10, 10]}, {0: lambda s: (s.buy("A", 101), s.buy("B", 100))})
    assert quantities(result.fills) == [("B", 100.0)]


def test_percent_order_is_cut_to_the_largest_quantity_that_cash_allows() -> None:
    # 1,000 / 10 = 100 shares; at 11 with 1 % commission 90 cost 999.90 and 91 cost 1,011.01.
    result = run({"A": jump(10, 11)}, {0: lambda s: s.buy("A", percent=1.0)}, commission=PercentageCommission(0.01))
    assert quantities(result.fills) == [("A", 90.0)]
    record = result.orders.row(0, named=True)
    assert (record["status"], record["quantity"], record["filled_quantity"]) == ("filled", 100.0, 90.0)
    assert record["reason"] is not None
    assert result.portfolio_states["cash"][-1] == pytest.approx(1_000 - 999.90, abs=1e-9)


def test_a_share_that_costs_exactly_what_is_left_is_bought() -> None:
    # 16 shares at 62.5 are exactly 1,000.
    assert quantities(run({"A": jump(50, 62.5)}, {0: lambda s: s.buy("A", percent=1.0)}).fills) == [("A", 16.0)]


def test_fractional_percent_order_leaves_less_than_a_cent() -> None:
    costs = {"slippage": PercentageSlippage(0.003), "commission": PercentageCommission(0.007), "fractional": True}
    result = run({"A": jump(10, 11)}, {0: lambda s: s.buy("A", percent=1.0)}, **costs)
    assert result.fills["quantity"][0] == pytest.approx(1_000 / (11 * 1.003 * 1.007), rel=1e-12)
    assert abs(result.portfolio_states["cash"][-1]) < 1e-9


def test_a_flip_of_fractions_fills_whole_where_rounding_loses_a_bit() -> None:
    # Of 19.453 shares 2.83 close and 16.623 open: in floats they add up to less.
    assert 2.83 + (19.453 - 2.83) < 19.453
    plan = {0: lambda s: s.buy("A", 2.83), 1: lambda s: s.sell("A", 19.453)}
    result = run({"A": [10, 10, 10, 10]}, plan, account=MarginAccount(), fractional=True, max_volume_share=0.5)
    assert result.orders.select("filled_quantity", "status", "reason").rows() == [
        (2.83, "filled", None),
        (19.453, "filled", None),
    ]


@pytest.mark.parametrize("price", [0.25, 10.0, 3_000.0])
@pytest.mark.parametrize("fractional", [False, True])
def test_percent_order_without_any_cash_is_rejected(fractional: bool, price: float) -> None:
    # 1,024 shares' worth at 1 / 1,024 of capital each: all cash goes into A, to the cent.
    plan = {0: lambda s: s.buy("A", 16), 1: lambda s: s.buy("B", percent=0.5)}
    world = {"A": [64, 64, 64], "B": [price, price, price]}
    result = run(world, plan, initial_capital=1_024.0, fractional=fractional)
    assert quantities(result.fills) == [("A", 16.0)]
    # Half of 1,024 does not buy one whole share at 3,000.
    reason = "quantity_rounds_to_zero" if price == 3_000.0 and not fractional else "insufficient_cash"
    assert result.rejected_orders["reason"].to_list() == [reason]


def test_percent_beyond_the_whole_equity_is_refused_without_leverage() -> None:
    result = run({"A": jump(10, 10)}, {0: lambda s: s.buy("A", percent=1.5)})
    assert result.fills.is_empty()
    assert result.orders.select("side", "status", "reason").rows() == [("buy", "rejected", "insufficient_cash")]


def test_sell_percent_beyond_the_position_sells_what_is_held_and_refuses_the_rest() -> None:
    ids: list[int] = []
    plan = {0: lambda s: s.buy("A", 10), 1: lambda s: ids.append(s.sell("A", percent=1.5))}
    result = run({"A": jump(10, 10)}, plan)
    # 1.5 x 1,000 / 10 = 150 shares asked for, 10 held: reducing is never blocked.
    assert quantities(result.fills) == [("A", 10.0), ("A", -10.0)]
    record = order(result, ids[0])
    assert (record["quantity"], record["filled_quantity"], record["reason"]) == (150.0, 10.0, "short_not_allowed")


@pytest.mark.parametrize("plan", ["order_target_percent", "order_target_value", "order_target_quantity", "rebalance"])
def test_target_and_rebalance_orders_are_cut_to_cash(plan: str) -> None:
    amount = {"order_target_percent": 1.0, "order_target_value": 1_000.0, "order_target_quantity": 100}
    step = {0: lambda s: s.rebalance({"A": 1.0}) if plan == "rebalance" else getattr(s, plan)("A", amount[plan])}
    # 100 shares wanted at 10, 1,000 / 16 = 62.5 at the open.
    assert quantities(run({"A": jump(10, 16)}, step).fills) == [("A", 62.0)]


def test_clip_can_be_asked_for_explicit_quantities() -> None:
    result = run({"A": jump(10, 16)}, {0: lambda s: s.buy("A", 100)}, on_insufficient_cash="clip")
    assert quantities(result.fills) == [("A", 62.0)]


@pytest.mark.parametrize("plan", ["percent", "target", "rebalance"])
def test_reject_can_be_asked_for_all_orders(plan: str) -> None:
    steps = {
        "percent": lambda s: s.buy("A", percent=1.0),
        "target": lambda s: s.order_target_percent("A", 1.0),
        "rebalance": lambda s: s.rebalance({"A": 1.0}),
    }
    result = run({"A": jump(10, 16)}, {0: steps[plan]}, on_insufficient_cash="reject")
    assert result.fills.is_empty()
    assert result.rejected_orders["reason"].to_list() == ["insufficient_cash"]


def test_sell_is_clipped_to_the_position_and_the_rest_refused() -> None:
    ids: list[int] = []
    plan = {0: lambda s: s.buy("A", 10), 1: lambda s: ids.append(s.sell("A", 15))}
    result = run({"A": jump(10, 10)}, plan)
    assert quantities(result.fills) == [("A", 10.0), ("A", -10.0)]
    record = order(result, ids[0])
    assert (record["status"], record["quantity"], record["filled_quantity"]) == ("filled", 15.0, 10.0)
    assert record["reason"] == "short_not_allowed"
    assert all(number in record["detail"] for number in ("15", "10"))
    assert result.portfolio_states["num_positions"].to_list() == [0, 1, 0, 0]


def test_sell_without_a_position_is_rejected() -> None:
    result = run({"A": jump(10, 10)}, {0: lambda s: s.sell("A", 5)})
    assert result.fills.is_empty()
    columns = ("side", "quantity", "status", "reason", "last_timestamp")
    assert result.orders.select(columns).rows() == [("sell", 5.0, "rejected", "short_not_allowed", closes(1))]


def test_sells_of_one_slice_share_the_position_in_sequence() -> None:
    plan = {0: lambda s: s.buy("A", 100), 1: lambda s: (s.sell("A", 60), s.sell("A", 60), s.sell("A", 60))}
    result = run({"A": jump(10, 10)}, plan)
    assert quantities(result.fills) == [("A", 100.0), ("A", -60.0), ("A", -40.0)]
    sells = result.orders.filter(result.orders["side"] == "sell")
    assert sells.select("status", "filled_quantity", "reason").rows() == [
        ("filled", 60.0, None),
        ("filled", 40.0, "short_not_allowed"),
        ("rejected", 0.0, "short_not_allowed"),
    ]


def test_sell_decided_together_with_the_buy_is_refused_because_nothing_is_held_yet() -> None:
    result = run({"A": jump(10, 10)}, {0: lambda s: (s.sell("A", 5), s.buy("A", 5))})
    assert quantities(result.fills) == [("A", 5.0)]


def test_only_costs_of_a_reducing_order_can_take_cash_below_zero() -> None:
    # 1,000 - 995 x 1 - 5 = 0; selling one share brings 1 and costs 5.
    plan = {0: lambda s: s.buy("A", 995), 1: lambda s: s.sell("A", 1), 2: lambda s: s.buy("A", 1)}
    result = run({"A": [1, 1, 1, 1]}, plan, commission=FlatFee())
    assert result.portfolio_states["cash"].to_list() == [1_000.0, 0.0, -4.0, -4.0]
    assert result.rejected_orders.select("quantity", "reason").rows() == [(1.0, "insufficient_cash")]


def test_percent_order_with_negative_cash_is_rejected() -> None:
    plan = {0: lambda s: s.buy("A", 995), 1: lambda s: s.sell("A", 1), 2: lambda s: s.buy("A", percent=0.5)}
    result = run({"A": [1, 1, 1, 1]}, plan, commission=FlatFee())
    assert result.rejected_orders["reason"].to_list() == ["insufficient_cash"]


def test_rebalance_cuts_its_buys_by_one_common_factor() -> None:
    # Wanted 50 A and 25 B; at the open they cost 50 x 20 + 25 x 40 = 2,000, twice the cash: factor 0.5.
    world = {"A": jump(10, 20), "B": jump(20, 40)}
    result = run(world, {0: lambda s: s.rebalance({"A": 0.5, "B": 0.5})}, fractional=True)
    assert quantities(result.fills) == [("A", 25.0), ("B", 12.5)]
    whole = run(world, {0: lambda s: s.rebalance({"A": 0.5, "B": 0.5})})
    assert quantities(whole.fills) == [("A", 25.0), ("B", 12.0)]
    assert whole.orders["filled_quantity"].to_list() == [25.0, 12.0]
    assert whole.orders["reason"].null_count() == 0


def test_common_factor_counts_commission() -> None:
    # 100 A and 100 B at 10 with 25 % commission cost 2,500: factor 0.4.
    world = {"A": jump(5, 10), "B": jump(5, 10)}
    result = run(world, {0: lambda s: s.rebalance({"A": 0.5, "B": 0.5})}, commission=PercentageCommission(0.25))
    assert quantities(result.fills) == [("A", 40.0), ("B", 40.0)]


def test_rebalance_that_cash_covers_is_not_cut() -> None:
    result = run({"A": jump(10, 10), "B": jump(20, 20)}, {0: lambda s: s.rebalance({"A": 0.5, "B": 0.5})})
    assert quantities(result.fills) == [("A", 50.0), ("B", 25.0)]
    assert result.orders["reason"].null_count() == 2


def test_sales_of_a_rebalance_pay_for_its_buys() -> None:
    plan = {0: lambda s: s.buy("Z", 100), 1: lambda s: s.rebalance({"A": 0.5, "B": 0.5})}
    result = run({"A": [10, 10, 10], "B": [10, 10, 10], "Z": [10, 10, 10]}, plan)
    assert quantities(result.fills) == [("Z", 100.0), ("Z", -100.0), ("A", 50.0), ("B", 50.0)]


def test_buy_ahead_of_a_rebalance_takes_its_cash_first() -> None:
    # 600 for the buy of C leave 400 for 1,000 wanted: factor 0.4.
    plan = {0: lambda s: (s.buy("C", 60), s.rebalance({"A": 0.5, "B": 0.5}))}
    result = run({name: jump(10, 10) for name in "ABC"}, plan)
    assert quantities(result.fills) == [("C", 60.0), ("A", 20.0), ("B", 20.0)]


def test_two_rebalances_of_different_slices_are_cut_apart() -> None:
    # B has no bar in slice 1, so its buy waits and is cut only by what A left: 1,000 - 500 buys 31 at 16.
    world = {"A": [10, 10, 10], "B": [10, None, 16]}
    result = run(world, {0: lambda s: s.rebalance({"A": 0.5, "B": 0.5})})
    assert quantities(result.fills) == [("A", 50.0), ("B", 31.0)]


def test_order_of_the_weights_changes_nothing() -> None:
    world = {"A": [10, 17, 16], "B": [20, 33, 31], "C": [30, 47, 41]}
    weights = {"A": 0.41, "B": 0.37, "C": 0.22}
    runs = [
        run(world, {0: lambda s, order=order: s.rebalance({name: weights[name] for name in order})})
        for order in permutations("ABC")
    ]
    assert all(same_tables(runs[0], other) for other in runs[1:])
    # 1,000 buys 41 A, 18 B and 7 C, which cost 41 x 17 + 18 x 33 + 7 x 47 = 1,620 at the open: factor 0.617.
    factor = 1_000 / 1_620
    cut = [math.floor(quantity * factor) for quantity in (41, 18, 7)]
    assert cut == [25, 11, 4]
    assert quantities(runs[0].fills) == [("A", 25.0), ("B", 11.0), ("C", 4.0)]


def test_under_same_close_what_a_stop_freed_inside_a_bar_is_spent_from_the_next_slice_on() -> None:
    # 100 shares at 10 are all the cash; the stop at 9 leaves 900 on day 2, of which 95 shares at 9 take 855.
    world = {"A": [10, 10, (10.0, 10.0, 8.0, 9.0), 9, 9]}
    enter, again = (lambda s: s.buy("A", 100, stop_loss=9.0)), (lambda s: s.buy("A", 95))
    later = run(world, {0: enter, 3: again}, fill_at="same_close")
    assert quantities(later.fills) == [("A", 100.0), ("A", -100.0), ("A", 95.0)]
    at_once = run(world, {0: enter, 2: again}, fill_at="same_close")
    assert quantities(at_once.fills) == [("A", 100.0), ("A", -100.0)]
    assert at_once.orders["reason"].to_list()[-1] == "insufficient_cash"
