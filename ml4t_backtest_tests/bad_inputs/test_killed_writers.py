"""A writer killed at any moment leaves what was whole before, and the next one comes to the same bytes."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bad_inputs.killed import Seen, Writers, read

KILLS, LONG_RUN = 25, 200


@pytest.fixture(scope="module")
def nursery() -> Iterator[Writers]:
    started = Writers()
    yield started
    started.close()


def _reference(nursery: Writers, root: Path, number: int) -> Seen:
    """Return what is read after a writer that nobody disturbs."""
    root.mkdir()
    assert nursery.write(root, number)
    seen = read(root)
    assert (seen.prepared, seen.result) == (number, number)
    return seen


def _survives(before: Seen, after: Seen, number: int) -> None:
    """What is read after a kill is what was there before, or what the killed one had made whole."""
    assert after.result in (before.result, number)
    # Bars and context are two data sets: between the two they do not go together, and a reader is told so.
    assert after.prepared in (before.prepared, number, None)


def _killed_at_events(nursery: Writers, tmp_path: Path, kills: int, seed: int) -> None:
    """Kill writers at their n-th question to the system, where n is drawn; each begins on what the last one left."""
    chance = random.Random(seed)
    reference = _reference(nursery, tmp_path / "clean", kills)
    asked = int((tmp_path / "clean" / "asked").read_text())
    root, seen, ended = tmp_path / "root", Seen(None, None, ()), 0
    root.mkdir()
    for number in range(1, kills + 1):
        # Where something is there already, fewer questions are asked, and the last ones may never come.
        ended += nursery.write(root, number, after=chance.randint(1, asked))
        after = read(root)
        _survives(seen, after, number)
        seen = after
    assert ended <= kills // 5
    assert nursery.write(root, kills)
    assert read(root) == reference


def test_a_writer_killed_at_any_question_to_the_system(nursery: Writers, tmp_path: Path) -> None:
    _killed_at_events(nursery, tmp_path, KILLS, seed=20240102)


def test_a_writer_killed_at_any_moment(nursery: Writers, tmp_path: Path) -> None:
    chance = random.Random(20240103)
    start = time.monotonic()
    reference = _reference(nursery, tmp_path / "clean", KILLS)
    usual = time.monotonic() - start
    root, seen = tmp_path / "root", Seen(None, None, ())
    root.mkdir()
    for number in range(1, KILLS + 1):
        nursery.write(root, number, seconds=chance.uniform(0.0, usual))
        after = read(root)
        _survives(seen, after, number)
        seen = after
    assert nursery.write(root, KILLS)
    assert read(root) == reference


@pytest.mark.long
def test_a_writer_killed_at_any_question_to_the_system_for_long(nursery: Writers, tmp_path: Path) -> None:
    _killed_at_events(nursery, tmp_path, LONG_RUN, seed=1)
