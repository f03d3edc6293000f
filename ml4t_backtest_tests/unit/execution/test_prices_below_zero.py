"""Where prices may be zero or negative, money buys no number of shares; quantities and closing need no price."""

from __future__ import annotations

import pytest
from worlds import Step, quantities, run

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
