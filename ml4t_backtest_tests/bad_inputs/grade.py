"""Tries every case and prints the points of each section.

`python -m bad_inputs.grade [SECTION or ID ...]` (from ml4t_backtest_tests); `-v` shows what was not met.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from bad_inputs.case import Case, Point
from bad_inputs.catalogue import SECTIONS


def tried(case: Case) -> list[Point]:
    """Return the points of a case, tried in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        return case.points(Path(folder))


def chosen(wanted: Sequence[str]) -> dict[str, list[Case]]:
    """Return the cases of sections (by their letter) or rows."""
    if not wanted:
        return {title: list(cases) for title, cases in SECTIONS.items()}
    return {
        title: [case for case in cases if title[0] in wanted or case.id in wanted or case.row in wanted]
        for title, cases in SECTIONS.items()
    }


def main(arguments: Sequence[str]) -> int:
    """Grade, print, and return how many cases are not handled."""
    wanted = [each for each in arguments if not each.startswith("-")]
    missed: list[str] = []
    every: list[tuple[Case, list[Point]]] = []
    for title, cases in chosen(wanted).items():
        graded = [(case, tried(case)) for case in cases]
        if graded:
            print(_line(title, graded), flush=True)
        missed += [f"{case.id} {case.defect}: {_worst(points)}" for case, points in graded if not _handled(points)]
        every += graded
    print(_line("all", every))
    if "-v" in arguments:
        print("\n".join(missed))
    return sum(not _handled(points) for _, points in every)


def _line(title: str, graded: Sequence[tuple[Case, list[Point]]]) -> str:
    rows = {case.row for case, _ in graded}
    lost = {case.row for case, points in graded if not _handled(points)}
    points = [point for _, points in graded for point in points]
    met = sum(point.met for point in points)
    return (
        f"{title:<44} {len(rows) - len(lost):>4} of {len(rows):>3} rows, {len(graded):>4} cases, "
        f"{met:>5} of {len(points):>5} points"
    )


def _worst(points: Sequence[Point]) -> str:
    missed = [point for point in points if not point.met]
    return "\n   ".join([f"{len(missed)} points", *(point.demand for point in missed[1:6]), *map(str, missed[:1])])


def _handled(points: Iterable[Point]) -> bool:
    points = list(points)
    return bool(points) and all(point.met for point in points)


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
