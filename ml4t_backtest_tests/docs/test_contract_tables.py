"""The worked tables of docs/concepts: each row is a case that the engine must live through as it is written."""

from __future__ import annotations

import pytest
from contract import Case, cases, story_of

CASES = [case for document in ("fill_prices.md", "accounts.md", "event_order.md") for case in cases(document)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_happens_is_what_the_table_says(case: Case) -> None:
    assert story_of(case.play()) == case.story


def test_the_tables_are_found() -> None:
    assert len(CASES) > 100


def test_a_table_that_is_wrong_is_noticed() -> None:
    case = CASES[0]
    assert story_of(case.play()) != [case.story[0].replace("103", "104")]
