"""What hypothesis draws for the properties that compare two runs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from oracle import worlds

from property.scenes import Scene, scene


def bounded(examples: int) -> settings:
    """Return settings under which the same examples are tried every time, without a clock."""
    return settings(
        derandomize=True,
        deadline=None,
        max_examples=examples,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@st.composite
def scenes(draw: st.DrawFn, features: Collection[str] = worlds.FEATURES, *, plain: bool = False) -> Scene:
    """Return a scene; it shrinks to fewer features and to a tape that ends sooner."""
    few = st.sets(st.sampled_from(sorted(features)), min_size=min(len(features), 6)).map(frozenset)
    used = draw(few | st.just(frozenset(features)))
    made = scene(draw(st.integers(0, 2**24)), used, plain=plain)
    acts = draw(st.integers(2, 15))
    return replace(made, tape={now: lines for now, lines in made.tape.items() if now < acts})
