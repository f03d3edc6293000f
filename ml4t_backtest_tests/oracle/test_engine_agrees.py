"""The engine against the oracle on seeded worlds."""

from __future__ import annotations

import pytest

from oracle import worlds
from oracle.reference import reference
from oracle.shrink import compared, smallest, told

FEATURES = worlds.FEATURES
WORLDS, LONG_RUN, AT_ONCE = 2_000, 50_000, 50


@pytest.mark.parametrize("first", range(0, WORLDS, AT_ONCE))
def test_engine_and_oracle_tell_the_same_story(first: int) -> None:
    _agree(first, AT_ONCE)


@pytest.mark.long
@pytest.mark.parametrize("first", range(WORLDS, LONG_RUN, 500))
def test_engine_and_oracle_tell_the_same_story_for_long(first: int) -> None:
    _agree(first, 500)


def test_few_worlds_are_too_close_to_call() -> None:
    calls = [reference(*worlds.generate(seed, FEATURES)).close_call for seed in range(WORLDS)]
    assert sum(calls) <= WORLDS // 20


def _agree(first: int, many: int) -> None:
    seeds = range(first, first + many)
    found = {seed: compared(*worlds.generate(seed, FEATURES), chunk=seed % 4 + 1) for seed in seeds}
    apart = {seed: lines for seed, lines in found.items() if lines}
    if apart:
        seed = min(apart)
        world = smallest(*worlds.generate(seed, FEATURES))
        small = "\n".join([told(*world), *compared(*world)])
        pytest.fail(f"seeds {sorted(apart)} disagree; {seed} at its smallest:\n{small}")
