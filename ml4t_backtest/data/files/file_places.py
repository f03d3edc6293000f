"""In which file of a folder a row lies: violations are counted over all files, and told by file."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from itertools import accumulate
from pathlib import Path
from typing import ParamSpec, TypeVar

from ml4t_backtest.data.files.file_formats import files_in_order
from ml4t_backtest.data.files.parquet_files import height_of
from ml4t_backtest.errors import BacktestError, DataValidationError, Violation

P = ParamSpec("P")
R = TypeVar("R")
_ROW = re.compile(r"\brow (\d+)\b")


def naming_files(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function whose errors name the file of a folder that a row lies in, and the row inside that file."""

    @wraps(function)
    def named(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except DataValidationError as error:
            places: dict[str, _Places] = {}
            located = [_located(violation, places) for violation in error.violations]
            if located == list(error.violations):
                raise
            raise type(error)(located) from error.__cause__

    return named


def _located(violation: Violation, places: dict[str, _Places]) -> Violation:
    if violation.file is None or violation.row is None or "://" in violation.file:
        return violation
    known = places.setdefault(violation.file, _Places(violation.file))
    if len(known.files) < 2:
        return violation
    file, row = known.of(violation.row)
    value = known.told(violation.value) if violation.value else violation.value
    samples = tuple(map(known.told, violation.samples))
    return replace(violation, file=str(file), row=row, value=value, samples=samples)


class _Places:
    """The files behind a path, in the order of their rows, and how many rows stand before each."""

    def __init__(self, path: str) -> None:
        try:
            self.files: Sequence[Path] = files_in_order(path)
            self._before = list(accumulate(map(height_of, self.files), initial=0))
        except BacktestError:
            self.files = []

    def of(self, row: int) -> tuple[Path, int]:
        """Return the file of a row and its number inside it."""
        index = min(bisect_right(self._before, row), len(self.files)) - 1
        return self.files[index], row - self._before[index]

    def told(self, text: str) -> str:
        """Return a text that names rows with the names of their files."""

        def place(match: re.Match[str]) -> str:
            file, row = self.of(int(match[1]))
            return f"{file.name} row {row}"

        return _ROW.sub(place, text)
