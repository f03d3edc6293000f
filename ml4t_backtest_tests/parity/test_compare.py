"""The comparison finds what it should: it is no proof otherwise."""

from __future__ import annotations

from dataclasses import replace

import pytest

from parity.compare import compare, merged
from parity.tape import Execution, Outcome

BUY = Execution(2, "A", "buy", 10.0, 103.0, 1.03)
SELL = Execution(5, "A", "sell", 10.0, 98.0, 0.98)
EQUITY = [100_000.0, 100_000.0, 99_995.0, 99_980.0]
PEER = Outcome([BUY, SELL], EQUITY)


def test_equal_outcomes_agree() -> None:
    found = compare(PEER, Outcome([SELL, BUY], list(EQUITY)))
    assert found.agrees
    assert (found.matched, found.only_peer, found.only_ours, found.equity_gap) == (2, 0, 0, 0.0)


def test_a_missing_fill_is_found() -> None:
    found = compare(PEER, Outcome([BUY], EQUITY))
    assert (found.matched, found.only_peer, found.only_ours) == (1, 1, 0)
    assert found.differences == ("peer only: slice 5 sell 10 A at 98.0",)


def test_a_fill_too_many_is_found() -> None:
    found = compare(PEER, Outcome([BUY, SELL, SELL], EQUITY))
    assert (found.matched, found.only_peer, found.only_ours) == (2, 0, 1)


@pytest.mark.parametrize("change", [{"slice": 3}, {"symbol": "B"}, {"side": "sell"}, {"quantity": 11.0}])
def test_another_slice_symbol_side_or_quantity_is_no_partner(change: dict[str, object]) -> None:
    found = compare(PEER, Outcome([replace(BUY, **change), SELL], EQUITY))
    assert (found.matched, found.only_peer, found.only_ours) == (1, 1, 1)
    assert not found.agrees


def test_a_price_off_by_2e_9_is_found_and_one_by_5e_10_is_not() -> None:
    assert not compare(PEER, Outcome([replace(BUY, price=103.0 * (1 + 2e-9)), SELL], EQUITY)).agrees
    assert compare(PEER, Outcome([replace(BUY, price=103.0 * (1 + 5e-10)), SELL], EQUITY)).agrees


def test_another_commission_is_found() -> None:
    found = compare(PEER, Outcome([replace(BUY, commission=1.04), SELL], EQUITY))
    assert found.differences == ("slice 2 buy 10 A at 103.0: commission 1.03 against our 1.04",)


def test_equity_off_by_two_cents_in_one_slice_is_found_and_by_half_a_cent_is_not() -> None:
    wrong, near = list(EQUITY), list(EQUITY)
    wrong[2] += 0.02
    near[2] += 0.005
    found = compare(PEER, Outcome(PEER.fills, wrong))
    assert found.differences == ("equity at slice 2: 99995.0 against our 99995.02",)
    assert found.equity_gap == pytest.approx(0.02)
    assert compare(PEER, Outcome(PEER.fills, near)).agrees


def test_equity_of_other_length_is_found() -> None:
    assert not compare(PEER, Outcome(PEER.fills, EQUITY[:-1])).agrees


def test_equity_that_is_not_a_number_on_our_side_is_found() -> None:
    assert not compare(PEER, Outcome(PEER.fills, [*EQUITY[:-1], float("nan")])).agrees


def test_slices_that_a_peer_does_not_tell_are_left_out() -> None:
    assert compare(Outcome(PEER.fills, [None, *EQUITY[1:]]), PEER).agrees


def test_two_fills_of_one_key_are_paired_by_price_and_counted_once_each() -> None:
    cheap, dear = replace(BUY, price=102.0), replace(BUY, price=104.0)
    assert compare(Outcome([cheap, dear], EQUITY), Outcome([dear, cheap], EQUITY)).agrees
    found = compare(Outcome([cheap, dear], EQUITY), Outcome([dear, dear], EQUITY))
    assert (found.matched, found.only_peer, found.only_ours) == (1, 1, 1)


def test_merging_adds_up_one_side_of_one_slice_at_the_average_price() -> None:
    # (4 x 102 + 6 x 103) / 10 = 102.6
    parts = [replace(BUY, quantity=4.0, price=102.0, commission=0.4), replace(BUY, quantity=6.0, commission=0.6)]
    (whole,) = merged(parts)
    assert (whole.quantity, whole.price, whole.commission) == (10.0, pytest.approx(102.6), pytest.approx(1.0))
    assert len(merged([BUY, SELL, replace(BUY, symbol="B"), replace(BUY, slice=3)])) == 4
