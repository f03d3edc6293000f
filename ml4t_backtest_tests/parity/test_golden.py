"""Our engine against the peers' kept fills: what `make parity` executes, without a peer installed."""

from __future__ import annotations

import pytest

from parity.compare import compare
from parity.environments import Peer
from parity.golden import read_golden
from parity.ours import replay
from parity.rules import knobs_needed, pairs
from parity.scenarios import Scenario

PAIRS = pairs()
NAMES = [f"{peer.name}-{scenario.tape.name}" for peer, scenario in PAIRS]


@pytest.mark.parametrize(("peer", "scenario"), PAIRS, ids=NAMES)
def test_without_a_profile_we_differ_exactly_where_a_knob_is_named(peer: Peer, scenario: Scenario) -> None:
    found = compare(read_golden(peer)[scenario.tape.name], replay(scenario.tape), merge=peer.merges)
    assert found.agrees == (knobs_needed(peer, scenario) == ()), "\n".join(found.differences)


@pytest.mark.parametrize(("peer", "scenario"), PAIRS, ids=NAMES)
def test_under_its_profile_we_fill_what_the_peer_fills(peer: Peer, scenario: Scenario) -> None:
    theirs, ours = read_golden(peer)[scenario.tape.name], replay(scenario.tape, peer.profile)
    found = compare(theirs, ours, merge=peer.merges)
    assert found.agrees, "\n".join(found.differences)


def test_every_scenario_of_a_peer_is_kept_and_nothing_else() -> None:
    for peer in {pair[0].name: pair[0] for pair in PAIRS}.values():
        wanted = {scenario.tape.name for one, scenario in PAIRS if one.name == peer.name}
        assert set(read_golden(peer)) == wanted
