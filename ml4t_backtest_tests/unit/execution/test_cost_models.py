"""Slippage and commission models, and the largest quantity that cash allows."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml4t_backtest.execution.affordability import cost_of, largest_affordable, whole_shares
from ml4t_backtest.execution.commission import NoCommission, PercentageCommission
from ml4t_backtest.execution.slippage import NoSlippage, PercentageSlippage


def test_percentage_slippage_moves_the_price_against_the_trader() -> None:
    model = PercentageSlippage(0.25)
    assert (model.fill_price(100.0, 5.0), model.fill_price(100.0, -5.0)) == (125.0, 75.0)


def test_no_slippage_fills_at_the_raw_price() -> None:
    assert (NoSlippage().fill_price(100.0, 5.0), NoSlippage().fill_price(100.0, -5.0)) == (100.0, 100.0)


def test_percentage_commission_is_a_fraction_of_the_notional() -> None:
    assert PercentageCommission(0.25).charge(8.0, 100.0) == 200.0


def test_no_commission_charges_nothing() -> None:
    assert NoCommission().charge(8.0, 100.0) == 0.0


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


@given(
    quantity=st.integers(1, 10_000),
    price=st.integers(1, 6_400).map(lambda ticks: ticks / 64),
    cash=st.integers(-100, 100_000),
    rate=st.sampled_from([0.0, 0.001, 0.25]),
)
def test_largest_affordable_is_affordable_and_one_more_is_not(
    quantity: int, price: float, cash: int, rate: float
) -> None:
    charge = PercentageCommission(rate).charge
    found = largest_affordable(float(quantity), price, float(cash), charge, fractional=False)
    assert found == int(found)
    assert 0 <= found <= quantity
    assert found == 0 or cost_of(found, price, charge) <= cash
    assert found == quantity or cost_of(found + 1, price, charge) > cash


@given(cash=st.floats(0.01, 1e6), price=st.floats(0.01, 1e4), rate=st.floats(0.0, 0.5))
def test_largest_affordable_fraction_spends_the_cash_and_no_more(cash: float, price: float, rate: float) -> None:
    charge = PercentageCommission(rate).charge
    found = largest_affordable(1e12, price, cash, charge, fractional=True)
    assert cost_of(found, price, charge) <= cash
    assert cost_of(found, price, charge) == pytest.approx(cash, rel=1e-12)
