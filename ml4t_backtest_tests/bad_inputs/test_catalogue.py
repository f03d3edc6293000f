"""Every case of the catalogue gets what it must get."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pytest

from bad_inputs.case import Case
from bad_inputs.catalogue import SECTIONS
from bad_inputs.children import CannotBeTriedError
from bad_inputs.grade import tried

CASES = [case for cases in SECTIONS.values() for case in cases]
# Rows of the list that other tests hold, and where.
ELSEWHERE = {
    "SG020": "lookahead: a column that equals the next bar's return",
    "SG021": "lookahead: a centred window",
    "SG022": "lookahead: a z-score over the whole history",
}
# The list has gaps in its numbers; these rows are in it.
_NUMBERS = {
    "PX": "1 2 4-9 11-16 18-23 25-30 32-37",
    "TS": "1-6 8-13 15-20 22-27 29-30",
    "SY": "1-4 6-11 13-18 20-24",
    "SG": "1 3-8 10-15 17-22",
    "CX": "2-7 9-11",
    "FL": "1-3 5-10 12-17 19-24 26-31",
    "CF": "1-6 8-13 15-20 22-27 29-34 36-38",
    "ST": "1-3 5-10 12-17",
    "OU": "1-3 5",
    "BC": "1-32",
}


def listed() -> Iterator[str]:
    """Yield the rows of the list."""
    for section, spans in _NUMBERS.items():
        for span in spans.split():
            first, _, last = span.partition("-")
            width = 2 if section == "BC" else 3
            yield from (f"{section}{number:0{width}d}" for number in range(int(first), int(last or first) + 1))


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_what_is_bad_gets_what_it_must_get(case: Case) -> None:
    try:
        points = tried(case)
    except CannotBeTriedError as reason:
        pytest.skip(str(reason))
    assert points, "nothing was demanded"
    assert [str(point) for point in points if not point.met] == []


def test_every_row_of_the_list_has_a_case() -> None:
    assert sorted(set(listed()) - {case.row for case in CASES} - set(ELSEWHERE)) == []


def test_no_two_cases_have_the_same_id() -> None:
    assert [name for name, many in Counter(case.id for case in CASES).items() if many > 1] == []
    assert all(re.match(r"[A-Z]{2}\d+", case.id) for case in CASES)
