"""The page about profiles says what the profiles are."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from ml4t_backtest.execution.profiles import OURS, PROFILES, Profile

PAGE = (Path(__file__).parents[2] / "docs" / "concepts" / "profiles.md").read_text(encoding="utf-8")
KNOBS = [each.name for each in fields(Profile) if each.name not in ("name", "waives", "not_reproduced")]
COLUMNS = ("backtrader@1.9", "backtesting.py@0.6", "vectorbt@1.2", "zipline@3")
WORDS = {True: "true", False: "false", None: "none"}


def row(knob: str) -> str:
    """Return the row of the page's table: our value, and those of the profiles where they differ."""
    ours = getattr(OURS, knob)
    found = [getattr(PROFILES[name], knob) for name in COLUMNS]
    cells = ["" if value == ours else f"`{_told(value)}`" for value in found]
    return f"| `{knob}` | `{_told(ours)}` | {' | '.join(cells)} |"


def _told(value: object) -> str:
    return WORDS[value] if value is None or isinstance(value, bool) else str(value)


@pytest.mark.parametrize("knob", KNOBS)
def test_every_knob_is_explained_and_its_values_are_those_of_the_profiles(knob: str) -> None:
    assert PAGE.count(f"\n| `{knob}` | ") == 1 + (row(knob).count("`") > 4)
    if row(knob).count("`") > 4:
        assert row(knob) in PAGE


@pytest.mark.parametrize("name", COLUMNS)
def test_what_a_profile_waives_and_does_not_reproduce_is_listed_with_it(name: str) -> None:
    section = PAGE.split(f"### {name}\n")[1].split("### ")[0]
    wanted = [*PROFILES[name].waives, *PROFILES[name].not_reproduced]
    assert [line[2:] for line in section.splitlines() if line.startswith("* ")] == wanted
