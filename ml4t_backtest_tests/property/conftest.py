"""Blocks of lives that many invariants look at: a run is made once and judged by all of them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from property.lives import Life, lives

# With what the other files of this folder draw: 2,000 worlds.
WORLDS, AT_ONCE = 1_520, 76


@pytest.fixture(scope="session", params=range(0, WORLDS, AT_ONCE), ids=lambda first: f"from {first}")
def block(request: pytest.FixtureRequest) -> Sequence[Life]:
    """Return some lives; pytest runs all invariants on one block before it makes the next."""
    return lives(range(request.param, request.param + AT_ONCE))
