"""Round lots, and trades of a rebalance that are too small to be made."""

from __future__ import annotations

import math
from typing import Any

import pytest
from worlds import DAYS, actions, order, quantities, run

from ml4t_backtest import ConfigError, StrategyError
from ml4t_backtest.execution.accounts import MarginAccount

FLAT = {"A": [10, 10, 10, 10], "B": [10, 10, 10, 10], "C": [10, 10, 10, 10]}
RICH = {"initial_capital": 100_000.0}


# Lots


@pytest.mark.parametrize(
    ("step", "bought"),
    [
        (lambda s: s.buy("A", 370), 300.0),
        (lambda s: s.buy("A", percent=0.0375), 300.0),  # 3,750 / 10 = 375
        (lambda s: s.order_target_quantity("A", 199), 100.0),
        (lambda s: s.order_target_value("A", 2_999.0), 200.0),
        (lambda s: s.order_target_percent("A", 0.05), 500.0),
        (lambda s: s.rebalance({"A": 0.0475}), 400.0),
    ],
)
def test_quantities_are_truncated_to_whole_lots(step: Any, bought: float) -> None:
    assert quantities(run(FLAT, {0: step}, lot_size=100, **RICH).fills) == [("A", bought)]


def test_less_than_a_lot_is_a_rejected_record() -> None:
    result = run(FLAT, {0: lambda s: s.buy("A", 99)}, lot_size=100, **RICH)
    assert result.orders.select("status", "reason", "detail").rows() == [
        ("rejected", "quantity_rounds_to_zero", "99 shares")
    ]


# 300 shares become 450 after three for two: four lots and 50 odd shares.
THREE_FOR_TWO = {"corporate_actions": actions(("A", DAYS[2], "split", 1.5)), "lot_size": 100, **RICH}


@pytest.mark.parametrize(
    ("step", "sold"),
    [
        (lambda s: s.close_position("A"), -450.0),
        (lambda s: s.order_target_percent("A", 0.0), -450.0),
        (lambda s: s.order_target_quantity("A", 70), -450.0),  # less than a lot is nothing
        (lambda s: s.rebalance({}), -450.0),
        (lambda s: s.sell("A", 450), -450.0),
        (lambda s: s.sell("A", 380), -300.0),
        (lambda s: s.order_target_quantity("A", 200), -200.0),  # 250 too many: two lots
    ],
)
def test_closing_closes_all_of_a_position_odd_shares_too(step: Any, sold: float) -> None:
    result = run(FLAT, {0: lambda s: s.buy("A", 300), 2: step}, **THREE_FOR_TWO)
    assert quantities(result.fills) == [("A", 300.0), ("A", sold)]


def test_a_sell_beyond_a_position_closes_it_and_opens_whole_lots() -> None:
    # 450 close, 180 are left of 630: one lot short.
    plan = {0: lambda s: s.buy("A", 300), 2: lambda s: s.sell("A", 630)}
    result = run(FLAT, plan, account=MarginAccount(), **THREE_FOR_TWO)
    assert quantities(result.fills) == [("A", 300.0), ("A", -550.0)]


def test_a_short_position_is_opened_in_lots_and_closed_whole() -> None:
    plan = {0: lambda s: s.sell("A", 250), 1: lambda s: s.close_position("A")}
    result = run(FLAT, plan, lot_size=100, account=MarginAccount(), **RICH)
    assert quantities(result.fills) == [("A", -200.0), ("A", 200.0)]


def test_a_replaced_quantity_is_in_lots_too() -> None:
    plan = {0: lambda s: s.buy("A", 300, limit=9.0), 1: lambda s: s.replace(1, quantity=270.0)}
    result = run({"A": [10, 10, (10, 10, 8, 9), 10]}, plan, lot_size=100, **RICH)
    assert quantities(result.fills) == [("A", 200.0)]


@pytest.mark.parametrize("lot", [0, -1, 1.5, True, "100", None])
def test_a_lot_is_a_whole_number_of_shares(lot: Any) -> None:
    with pytest.raises(ConfigError, match="lot_size must be a whole number from 1"):
        run(FLAT, {}, lot_size=lot)


def test_there_are_lots_or_fractions() -> None:
    with pytest.raises(ConfigError, match="lot_size must be 1 where fractional is true, got 100"):
        run(FLAT, {}, lot_size=100, fractional=True)


# Trades too small to be made


def weights(**wanted: float) -> Any:
    """Hold 40 A and 10 B of 1,000 in equity: 40 % and 10 %; then rebalance."""
    options = {name: wanted.pop(name) for name in ("minimum_trade_value", "weight_tolerance") if name in wanted}
    others = wanted.pop("others", "close")
    plan = {
        0: lambda s: (s.buy("A", 40), s.buy("B", 10)),
        1: lambda s: s.rebalance(wanted, others=others, **options),
    }
    return quantities(run(FLAT, plan).fills)[2:]


def test_a_trade_below_the_minimum_value_is_left_out() -> None:
    # A: 45 - 40 = 5 shares for 50; B: 30 - 10 = 20 shares for 200.
    assert weights(A=0.45, B=0.30, minimum_trade_value=51.0) == [("B", 20.0)]
    assert weights(A=0.45, B=0.30, minimum_trade_value=50.0) == [("A", 5.0), ("B", 20.0)]


def test_the_value_is_that_of_the_whole_shares_to_trade() -> None:
    # 4.6 shares are 4: 40, and not 46.
    assert weights(A=0.446, B=0.1, minimum_trade_value=45.0) == []


def test_a_weight_within_the_tolerance_is_left_as_it_is() -> None:
    # Off by exactly 1 / 16 = 0.0625 of equity.
    assert weights(A=0.4 + 0.0625, B=0.3, weight_tolerance=0.0625 + 1e-12) == [("B", 20.0)]
    assert weights(A=0.4 + 0.0625, B=0.3, weight_tolerance=0.06) == [("A", 6.0), ("B", 20.0)]


def test_a_new_position_within_the_tolerance_is_not_opened() -> None:
    assert weights(A=0.4, B=0.1, C=0.05, weight_tolerance=0.1) == []


@pytest.mark.parametrize("wanted", [{"A": 0.4}, {"A": 0.4, "B": 0.0}])
def test_closing_a_position_is_never_left_out(wanted: dict[str, float]) -> None:
    assert weights(**wanted, minimum_trade_value=1e6, weight_tolerance=0.9) == [("B", -10.0)]


def test_positions_that_are_kept_are_not_touched() -> None:
    assert weights(A=0.6, others="keep", minimum_trade_value=100.0) == [("A", 20.0)]


def test_a_trade_that_is_left_out_still_cancels_what_was_pending() -> None:
    world = {"A": [10, 10, None, 10], "B": [10, 10, 10, 10]}
    plan = {
        0: lambda s: s.buy("A", 40),
        1: lambda s: s.buy("A", 20),
        2: lambda s: s.rebalance({"A": 0.41}, weight_tolerance=0.05),
    }
    result = run(world, plan)
    assert quantities(result.fills) == [("A", 40.0)]
    assert order(result, 2)["status"] == "cancelled"
    assert result.orders.height == 2


@pytest.mark.parametrize("name", ["minimum_trade_value", "weight_tolerance"])
@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, "1", None, True])
def test_a_band_that_is_no_number_from_zero_is_refused(name: str, value: Any) -> None:
    with pytest.raises(StrategyError, match=rf"rebalance: {name} must be a"):
        run(FLAT, {0: lambda s: s.rebalance({"A": 0.1}, **{name: value})})


def test_an_unknown_word_for_the_others_is_refused() -> None:
    with pytest.raises(StrategyError, match="others must be 'close' or 'keep', got 'sell'"):
        run(FLAT, {0: lambda s: s.rebalance({"A": 0.1}, others="sell")})


# Protection of targets


@pytest.mark.parametrize(
    "step",
    [
        lambda s: s.order_target_quantity("A", 5, stop_loss=9.0),
        lambda s: s.order_target_value("A", 50.0, stop_loss_percent=0.1),
        lambda s: s.order_target_percent("A", 0.05, stop_loss=9.0),
    ],
)
def test_a_target_can_bring_its_protection(step: Any) -> None:
    result = run({"A": [10, 10, (10, 10, 8, 8), 8]}, {0: step})
    assert result.trades.select("exit_price", "exit_reason").rows() == [(9.0, "stop_loss")]
