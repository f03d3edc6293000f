"""What makes a law about one life a test over many."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest
from oracle.shrink import smallest
from oracle.vocabulary import Tape, World

from property.lives import Life, live
from property.scenes import Scene

Law = Callable[[Life], Iterator[str]]
INVARIANTS: dict[str, Law] = {}


def invariant(law: Law) -> Callable[[Sequence[Life]], None]:
    """Return a test that a law, which yields what breaks it, holds for every life of a block.

    The first word of what it yields names a table; a life that breaks it is made as small as it gets.
    """

    def test(block: Sequence[Life]) -> None:
        for life in block:
            if any(law(life)):
                pytest.fail(shrunk(law, life.scene))

    INVARIANTS[law.__name__] = law
    test.__name__, test.__doc__, test.__module__ = law.__name__, law.__doc__, law.__module__
    return test


def shrunk(law: Law, scene: Scene) -> str:
    """Return the smallest scene found that breaks a law, and how."""

    def broken(world: World, tape: Tape) -> list[str]:
        return list(law(live(replace(scene, world=world, tape=tape))))

    world, tape = smallest(scene.world, scene.tape, broken)
    return "\n".join([f"{law.__name__}:", *broken(world, tape), str(replace(scene, world=world, tape=tape))])


def near(found: float, wanted: float, tolerance: float = 0.0) -> bool:
    """Whether two numbers agree but for the cost of floating point."""
    return math.isclose(found, wanted, rel_tol=1e-9, abs_tol=max(tolerance, 1e-9))


def unlike(what: str, found: float, wanted: float, tolerance: float = 0.0) -> Iterator[str]:
    """Yield a complaint if two numbers differ."""
    if not near(found, wanted, tolerance):
        yield f"{what} is {found!r}, expected {wanted!r}"
