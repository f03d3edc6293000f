"""The tapes are what they say, and survive the trip through their file."""

from __future__ import annotations

import json

from parity.environments import PEERS
from parity.large import large_tape
from parity.scenarios import SCENARIOS
from parity.tape import Execution, Outcome, TapeOrder


def test_there_are_at_least_twenty_scenarios_with_names_of_their_own() -> None:
    names = [each.tape.name for each in SCENARIOS]
    assert len(names) >= 20
    assert len(set(names)) == len(names)


def test_every_peer_replays_scenarios_and_every_scenario_has_a_peer() -> None:
    for name in PEERS:
        assert sum(name in each.peers for each in SCENARIOS) >= 20, name
    assert all(each.peers and set(each.peers) <= set(PEERS) for each in SCENARIOS)


def test_bars_are_possible_and_orders_come_after_the_first_slice() -> None:
    for each in SCENARIOS:
        for rows in each.tape.bars.values():
            for low, body_low, body_high, high in zip(
                rows["low"],
                map(min, rows["open"], rows["close"]),
                map(max, rows["open"], rows["close"]),
                rows["high"],
                strict=True,
            ):
                assert low <= body_low <= body_high <= high, each.tape.name
        assert all(1 <= order.slice < len(each.tape.slices) for order in each.tape.orders), each.tape.name


def test_an_order_is_written_with_its_used_terms_only() -> None:
    tape = SCENARIOS[0].tape
    written = json.loads(json.dumps(tape.as_json()))
    assert written["orders"] == [
        {"slice": 1, "symbol": "A", "quantity": 10.0},
        {"slice": 4, "symbol": "A", "quantity": -10.0},
    ]
    assert [TapeOrder(**order) for order in written["orders"]] == tape.orders


def test_an_outcome_survives_its_file_to_the_last_bit() -> None:
    outcome = Outcome([Execution(2, "A", "buy", 0.1, 1 / 3, 0.0)], [None, 2 / 3])
    assert Outcome.of_json(json.loads(json.dumps(outcome.as_json()))) == outcome


def test_the_large_tape_follows_from_its_seed_and_stays_within_one_lot() -> None:
    tape = large_tape(5, 60)
    assert tape == large_tape(5, 60)
    held = dict.fromkeys(tape.bars, 0.0)
    for order in tape.orders:
        held[order.symbol] += order.quantity
        assert held[order.symbol] in (-100.0, 0.0, 100.0)
    assert {abs(order.quantity) for order in tape.orders} == {100.0, 200.0}
