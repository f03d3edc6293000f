"""The ledger: cash and positions, changed by fills, splits and cash flows and by nothing else."""

from __future__ import annotations

import math

import pytest

from ml4t_backtest.core.market import Market
from ml4t_backtest.portfolio.ledger import Ledger, Valuation

A, B, C = 0, 1, 2


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(1_000.0, Market(["A", "B", "C"]))


def test_buy_takes_price_and_commission_from_cash(ledger: Ledger) -> None:
    ledger.apply_fill(A, 10.0, 12.5, 0.75)
    assert ledger.cash == 1_000 - 125 - 0.75
    assert ledger.quantity(A) == 10.0


def test_sell_adds_price_less_commission_to_cash(ledger: Ledger) -> None:
    ledger.apply_fill(A, 10.0, 10.0, 0.0)
    ledger.apply_fill(A, -4.0, 15.0, 0.5)
    assert ledger.cash == 1_000 - 100 + 60 - 0.5
    assert ledger.quantity(A) == 6.0


def test_flat_symbol_has_no_entry(ledger: Ledger) -> None:
    ledger.apply_fill(A, 10.0, 10.0, 0.0)
    ledger.apply_fill(A, -10.0, 10.0, 0.0)
    assert ledger.quantity(A) == 0.0
    assert ledger.holdings == {}
    assert ledger.held() == []


def test_adding_averages_the_price_and_reducing_does_not(ledger: Ledger) -> None:
    ledger.apply_fill(A, 10.0, 10.0, 0.0)
    ledger.apply_fill(A, 30.0, 14.0, 0.0)
    assert ledger.holdings[A].average_price == (10 * 10 + 30 * 14) / 40
    ledger.apply_fill(A, -5.0, 99.0, 0.0)
    assert ledger.holdings[A].average_price == 13.0


def test_position_ids_count_from_flat_to_flat(ledger: Ledger) -> None:
    ids = [
        ledger.apply_fill(symbol, quantity, 1.0, 0.0) for symbol, quantity in ((A, 1), (B, 1), (A, 1), (A, -2), (A, 5))
    ]
    assert ids == [1, 2, 1, 1, 3]


def test_crossing_zero_opens_a_new_position_with_what_is_beyond(ledger: Ledger) -> None:
    ledger.apply_fill(A, 10.0, 10.0, 0.0)
    assert ledger.apply_fill(A, -15.0, 20.0, 0.0) == 2
    assert (ledger.quantity(A), ledger.holdings[A].average_price) == (-5.0, 20.0)


def test_split_rescales_quantity_and_average_price(ledger: Ledger) -> None:
    ledger.apply_fill(A, 10.0, 30.0, 0.0)
    ledger.apply_split(A, 3.0, 30.0)
    assert (ledger.quantity(A), ledger.holdings[A].average_price, ledger.cash) == (30.0, 10.0, 700.0)


def test_split_to_nothing_ends_the_position(ledger: Ledger) -> None:
    ledger.apply_fill(A, 1.0, 30.0, 0.0)
    ledger.apply_split(A, 0.1, 0.0)
    assert ledger.holdings == {}


def test_held_symbols_are_in_symbol_order_however_they_were_bought() -> None:
    ledger = Ledger(1_000.0, Market(["B", "C", "A"]))
    for symbol_id in (0, 1, 2):
        ledger.apply_fill(symbol_id, 1.0, 1.0, 0.0)
    assert ledger.held() == [2, 0, 1]


def test_cash_that_moves_without_a_fill_is_booked(ledger: Ledger) -> None:
    ledger.receive(12.0)
    ledger.receive(-2.0)
    assert ledger.cash == 1_010.0


def test_account_without_positions_is_worth_its_cash(ledger: Ledger) -> None:
    assert ledger.value() == Valuation(1_000.0, 0.0, 0.0, 0)
    assert ledger.value().equity == 1_000.0


def test_position_of_a_symbol_that_was_never_marked_has_no_value(ledger: Ledger) -> None:
    ledger.apply_fill(A, 1.0, 10.0, 0.0)
    assert math.isnan(ledger.value().equity)
