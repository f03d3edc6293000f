"""The same invariants over 100,000 worlds: `pytest -m long ml4t_backtest_tests/property`."""

from __future__ import annotations

import pytest

# Each of these files brings its invariants along.
from property import (  # noqa: F401
    test_invariants_of_fills,
    test_invariants_of_money,
    test_invariants_of_orders,
    test_invariants_of_trades,
)
from property.conftest import WORLDS
from property.invariant import INVARIANTS, shrunk
from property.lives import live
from property.scenes import scene

LONG_RUN, AT_ONCE = 100_000, 500


@pytest.mark.long
@pytest.mark.parametrize("first", range(WORLDS, LONG_RUN, AT_ONCE))
def test_no_invariant_breaks_in_a_hundred_thousand_worlds(first: int) -> None:
    for number in range(first, min(first + AT_ONCE, LONG_RUN)):
        life = live(scene(number))
        for law in INVARIANTS.values():
            if any(law(life)):
                pytest.fail(f"scene {number}\n{shrunk(law, life.scene)}")
