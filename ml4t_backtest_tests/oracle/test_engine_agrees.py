"""The engine against the oracle on seeded worlds; what the engine knows by now stands in `FEATURES`."""

from __future__ import annotations

import pytest

from oracle import worlds
from oracle.adapter import disagreements, play
from oracle.reference import reference

# Switch on what the engine has learnt: names in `worlds.FEATURES`.
FEATURES = frozenset({"market", "targets", "rebalance", "percent", "splits", "dividends", "costs", "missing", "policy"})
WORLDS = 300
AT_ONCE = 10


def compared(seed: int) -> list[str] | None:
    """What differs in a world; None where rounding could have turned a decision."""
    world, tape = worlds.generate(seed, FEATURES)
    report = reference(world, tape)
    if report.close_call:
        return None
    result, player = play(world, tape, chunk=seed % 4 + 1)
    return disagreements(world, report, result, player)


@pytest.mark.parametrize("first", range(0, WORLDS, AT_ONCE))
def test_engine_and_oracle_tell_the_same_story(first: int) -> None:
    found = {seed: compared(seed) for seed in range(first, first + AT_ONCE)}
    assert {seed: lines for seed, lines in found.items() if lines} == {}


def test_few_worlds_are_too_close_to_call() -> None:
    calls = [reference(*worlds.generate(seed, FEATURES)).close_call for seed in range(WORLDS)]
    assert sum(calls) <= WORLDS // 50
