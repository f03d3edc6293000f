"""Slippage and commission models, and the largest quantity that cash allows."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml4t_backtest.execution.affordability import largest_admitted, whole_shares
from ml4t_backtest.execution.commission import (
    NoCommission,
    PercentageCommission,
    PerOrderCommission,
    PerShareCommission,
    TieredCommission,
)
from ml4t_backtest.execution.slippage import (
    FixedSlippage,
    NoSlippage,
    PercentageSlippage,
    SpreadSlippage,
    VolumeShareSlippage,
)


def test_percentage_slippage_moves_the_price_against_the_trader() -> None:
    model = PercentageSlippage(0.25)
    assert (model.fill_price(100.0, 5.0, 50.0), model.fill_price(100.0, -5.0, 50.0)) == (125.0, 75.0)


def test_no_slippage_fills_at_the_raw_price() -> None:
    assert (NoSlippage().fill_price(100.0, 5.0, 50.0), NoSlippage().fill_price(100.0, -5.0, 50.0)) == (100.0, 100.0)


def test_percentage_commission_is_a_fraction_of_the_notional() -> None:
    assert PercentageCommission(0.25).charge(8.0, 800.0) == 200.0


def test_no_commission_charges_nothing() -> None:
    assert NoCommission().charge(8.0, 800.0) == 0.0


@pytest.mark.parametrize("model", [PercentageSlippage, PercentageCommission])
@pytest.mark.parametrize("rate", [-0.001, 1.0, 5.0, math.nan, math.inf])
def test_rate_that_is_no_fraction_is_refused(model: type, rate: float) -> None:
    with pytest.raises(ValueError, match="fraction"):
        model(rate)


@pytest.mark.parametrize(
    ("quantity", "whole"),
    [
        (2.9, 2.0),
        (-2.9, -2.0),
        (0.99, 0.0),
        (-0.99, 0.0),
        (7.0, 7.0),
        (2.9999999999999996, 3.0),
        (1_500_000_001.5, 1_500_000_001.0),
    ],
)
def test_whole_shares_are_truncated_toward_zero(quantity: float, whole: float) -> None:
    assert whole_shares(quantity) == whole


def test_fixed_slippage_is_an_amount_per_share_and_a_sell_never_pays() -> None:
    model = FixedSlippage(0.5)
    assert (model.fill_price(10.0, 1.0, 0.0), model.fill_price(10.0, -1.0, 0.0)) == (10.5, 9.5)
    assert model.fill_price(0.25, -1.0, 0.0) == 0.0


def test_spread_slippage_costs_half_the_spread() -> None:
    model = SpreadSlippage(0.5)
    assert (model.fill_price(10.0, 1.0, 0.0), model.fill_price(10.0, -1.0, 0.0)) == (10.25, 9.75)


def test_volume_share_slippage_grows_with_the_square_of_the_share() -> None:
    # A quarter of the volume: 0.5 x 0.25^2 = 0.03125 of the price.
    model = VolumeShareSlippage(0.5)
    assert (model.fill_price(64.0, 25.0, 100.0), model.fill_price(64.0, -25.0, 100.0)) == (66.0, 62.0)
    assert math.isnan(model.fill_price(64.0, 25.0, 0.0))


def test_per_share_commission_has_a_minimum() -> None:
    model = PerShareCommission(0.01, 2.0)
    assert (model.charge(100.0, 1e6), model.charge(300.0, 1e6)) == (2.0, 3.0)


def test_per_order_commission_is_flat() -> None:
    assert PerOrderCommission(3.0).charge(1e6, 1e6) == 3.0


def test_tiered_commission_charges_each_slice_of_the_notional_its_own_rate() -> None:
    # 1,000 at 0.5 and 1,000 at 0.25, and what lies above the last bound at 0.25 too.
    model = TieredCommission(((1000.0, 0.5), (2000.0, 0.25)))
    assert [model.charge(1.0, notional) for notional in (500.0, 1000.0, 2000.0, 4000.0)] == [
        250.0,
        500.0,
        750.0,
        1250.0,
    ]


@given(
    quantity=st.integers(1, 10_000),
    price=st.integers(1, 6_400).map(lambda ticks: ticks / 64),
    cash=st.integers(-100, 100_000),
    rate=st.sampled_from([0.0, 0.001, 0.25]),
)
def test_largest_admitted_is_admitted_and_one_more_is_not(quantity: int, price: float, cash: int, rate: float) -> None:
    def admits(size: float) -> bool:
        return cash - size * price - rate * size * price >= 0.0

    found = largest_admitted(float(quantity), admits, fractional=False)
    assert found == int(found)
    assert 0 <= found <= quantity
    assert found == 0 or admits(found)
    assert found == quantity or not admits(found + 1)


@given(cash=st.floats(0.01, 1e6), price=st.floats(0.01, 1e4), rate=st.floats(0.0, 0.5))
def test_largest_admitted_fraction_spends_the_cash_and_no_more(cash: float, price: float, rate: float) -> None:
    def cost(size: float) -> float:
        return size * price + rate * size * price

    found = largest_admitted(1e12, lambda size: cost(size) <= cash, fractional=True)
    assert cost(found) <= cash
    assert cost(found) == pytest.approx(cash, rel=1e-12)
