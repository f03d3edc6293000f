"""Where prices may be zero or negative: money buys no number of shares there, and nothing fills there.

Quantities and closing need no price to be decided, and wait for nothing where the next open has one.
"""

from __future__ import annotations

from typing import Any

import pytest
from worlds import Step, closes, quantities, run

from ml4t_backtest import PercentageCommission

BELOW_ZERO = {"allow_nonpositive_prices": True}
# What oil was worth on 20 April 2020, and a close of nothing at all.
CLOSES = [-37.63, 0.0]


def falling(close: float) -> dict[str, list[float | tuple[float, float, float, float]]]:
    """Return A, whose second bar closes at a price that is none, and B, which stays at 10."""
    return {"A": [10, (10, 10, close, close), 10, 10], "B": [10, 10, 10, 10]}


@pytest.mark.parametrize("close", CLOSES)
@pytest.mark.parametrize(
    ("step", "side"),
    [
        (lambda s: s.buy("A", percent=0.1), "buy"),
        (lambda s: s.sell("A", percent=0.1), "sell"),
        (lambda s: s.order_target_value("A", 100), "buy"),
        (lambda s: s.order_target_percent("A", 0.1), "buy"),
        (lambda s: s.rebalance({"A": 0.1}), "buy"),
        # Not plain: such an order is entered by itself.
        (lambda s: s.buy("A", percent=0.1, limit=9.0), "buy"),
    ],
)
def test_money_at_a_price_that_is_none_is_a_rejected_record_with_the_price(step: Step, side: str, close: float) -> None:
    result = run(falling(close), {1: step}, feed=BELOW_ZERO)
    told = result.orders.select("symbol", "side", "quantity", "status", "reason", "detail").rows()
    assert told == [("A", side, 0.0, "rejected", "no_price", f"last close {close:g}")]
    assert result.rejected_orders.height == 1


@pytest.mark.parametrize("close", CLOSES)
def test_what_else_a_rebalance_names_is_traded(close: float) -> None:
    # 1,000 x 0.3 at 10 are 30 shares of B.
    result = run(falling(close), {1: lambda s: s.rebalance({"A": 0.1, "B": 0.3})}, feed=BELOW_ZERO)
    assert quantities(result.fills) == [("B", 30.0)]
    assert result.orders.select("symbol", "status").rows() == [("A", "rejected"), ("B", "filled")]


@pytest.mark.parametrize("close", CLOSES)
@pytest.mark.parametrize(
    ("step", "traded"),
    [
        (lambda s: s.buy("A", 3), 3.0),
        (lambda s: s.order_target_quantity("A", 8), 3.0),
        (lambda s: s.order_target_quantity("A", 2), -3.0),
        (lambda s: s.order_target_quantity("A", 0), -5.0),
        (lambda s: s.order_target_percent("A", 0.0), -5.0),
        (lambda s: s.order_target_value("A", 0.0), -5.0),
        (lambda s: s.close_position("A"), -5.0),
        (lambda s: s.rebalance({}), -5.0),
    ],
)
def test_quantities_and_closing_need_no_price(step: Step, traded: float, close: float) -> None:
    # 5 are held when A closes at a price that is none; the next open is 10 again.
    result = run(falling(close), {0: lambda s: s.buy("A", 5), 1: step}, feed=BELOW_ZERO)
    assert quantities(result.fills) == [("A", 5.0), ("A", traded)]
    assert result.fills["price"].to_list() == [10.0, 10.0]


# A opens at -30 in slice 2, closes at 6 and is at 10 again from slice 3 on.
OPENS_BELOW = {"A": [10, 10, (-30, 8, -40, 6), 10, 10], "B": [10] * 5}


@pytest.mark.parametrize("options", [{}, {"commission": PercentageCommission(0.001)}])
def test_an_order_that_would_fill_at_a_price_that_is_none_is_rejected_with_it(options: dict[str, Any]) -> None:
    result = run(OPENS_BELOW, {1: lambda s: (s.buy("A", 3), s.buy("B", 4))}, feed=BELOW_ZERO, **options)
    assert quantities(result.fills) == [("B", 4.0)]
    refused = result.rejected_orders.select("symbol", "reason", "detail", "last_timestamp").rows()
    assert refused == [("A", "no_price", "no order fills at -30", closes(2))]


def test_a_position_stays_where_its_closing_order_has_no_price_and_leaves_with_the_next() -> None:
    plan = {0: lambda s: s.buy("A", 5), 1: lambda s: s.close_position("A"), 2: lambda s: s.close_position("A")}
    result = run(OPENS_BELOW, plan, feed=BELOW_ZERO)
    assert result.orders["status"].to_list() == ["filled", "rejected", "filled"]
    assert result.fills.select("timestamp", "price").rows() == [(closes(1), 10.0), (closes(3), 10.0)]
    # 5 bought at 10 of 1,000: 950 and 5 x 6 at the close of slice 2.
    assert result.portfolio_states["equity"].to_list() == [1_000.0, 1_000.0, 980.0, 1_000.0, 1_000.0]


def test_a_stop_waits_for_a_price() -> None:
    # The stop at 8 is gapped through to -30, where nothing fills; at the open of slice 3 it is 7, and sells at 7.
    world = {"A": [10, 10, (-30, -20, -40, -25), (7, 9, 7, 9), 9], "B": [10] * 5}
    result = run(world, {0: lambda s: s.buy("A", 5, stop_loss=8.0)}, feed=BELOW_ZERO)
    assert result.fills.select("timestamp", "price").rows() == [(closes(1), 10.0), (closes(3), 7.0)]
    assert result.trades["exit_reason"].to_list() == ["stop_loss"]


def test_a_market_on_close_order_does_not_fill_at_a_close_below_zero() -> None:
    result = run(falling(-37.63), {0: lambda s: s.buy("A", 3, market_on_close=True)}, feed=BELOW_ZERO)
    told = result.orders.select("status", "reason", "detail").rows()
    assert told == [("rejected", "no_price", "no order fills at -37.63")]
