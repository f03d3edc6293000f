"""What two worlds with one past differ in, up to the moment at which they part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

ROW = "(row)"
# When a row claims to be known that has no time.
ALL_ALONG = -(2**62)
_COUNT = "occurrence"
_THERE = "is there"
# Bits of no number: quiet NaNs of which no arithmetic makes the second.
_NO_NUMBER, _NULL = -1, -2
Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Outcome:
    """A table that came out of a world.

    Attributes:
        name: What it is, for the report.
        frame: Its rows.
        known: When each row claims to be known, microseconds since 1970 UTC.
        keys: Columns that tell rows apart; those that are told apart by nothing count as first, second, ...
        rounding: Largest relative difference that is taken for rounding; 0 to compare bits.
    """

    name: str
    frame: pl.DataFrame
    known: pl.Series
    keys: tuple[str, ...]
    rounding: float = 0.0

    @property
    def has_time(self) -> bool:
        """Whether its rows claim to be known from some moment on, and not all along."""
        return bool((self.known > ALL_ALONG).any())

    @property
    def values(self) -> list[str]:
        """Columns that are compared."""
        return [name for name in self.frame.columns if name not in self.keys]

    def until(self, cut: int) -> pl.DataFrame:
        """Return the rows that claim to be known at a moment, numbered where their keys are the same."""
        rows = self.frame.filter(self.known <= cut)
        return rows.with_columns(pl.int_range(pl.len()).over(self.keys).alias(_COUNT))


@dataclass(frozen=True)
class Difference:
    """The first row of a column in which two worlds differ before they part.

    Attributes:
        table: Name of the outcome.
        column: Column, or `(row)` for a row that is there in one world only.
        key: The row's key.
        before: Its value in the world as it was.
        after: Its value in the other world.
        rows: Number of rows in which the column differs.
    """

    table: str
    column: str
    key: dict[str, Any]
    before: Any
    after: Any
    rows: int


def differences(one: Outcome, other: Outcome, cut: int) -> Iterator[Difference]:
    """Yield for each column the first row known at `cut` in which two worlds differ."""
    ours, theirs = _side_by_side(one, other, cut)
    there = ours[_THERE].fill_null(False), theirs[_THERE].fill_null(False)
    yield from _first(one, ROW, ours, there, (there[0] != there[1]).to_numpy())
    both = (there[0] & there[1]).to_numpy()
    for name in one.values:
        pair = ours[name], theirs[name]
        yield from _first(one, name, ours, pair, both & _differ(*pair, one.rounding))


def _side_by_side(one: Outcome, other: Outcome, cut: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows of both worlds known at a moment, in the order of their keys, row beside row."""
    keys = [*one.keys, _COUNT]
    ours = one.until(cut).with_columns(pl.lit(True).alias(_THERE)).sort(keys)
    theirs = _alike(other.until(cut).with_columns(pl.lit(True).alias(_THERE)), ours).sort(keys)
    if ours.select(keys).equals(theirs.select(keys)):
        return ours, theirs
    all_keys = pl.concat([ours.select(keys), theirs.select(keys)]).unique(maintain_order=True).sort(keys)
    beside = (
        all_keys.join(rows, on=keys, how="left", nulls_equal=True, maintain_order="left") for rows in (ours, theirs)
    )
    return next(beside), next(beside)


def _alike(rows: pl.DataFrame, like: pl.DataFrame) -> pl.DataFrame:
    """Return rows with the columns and types of other rows: an empty column has none of its own."""
    absent = [pl.lit(None).alias(name) for name in like.columns if name not in rows.columns]
    return rows.with_columns(absent).select(
        pl.col(name) if rows.schema.get(name) == dtype else pl.col(name).cast(dtype, strict=False)
        for name, dtype in like.schema.items()
    )


def _first(
    outcome: Outcome, column: str, rows: pl.DataFrame, pair: tuple[pl.Series, pl.Series], differ: Booleans
) -> Iterator[Difference]:
    found = np.flatnonzero(differ)
    if len(found):
        row = int(found[0])
        key = rows.select(outcome.keys).row(row, named=True)
        yield Difference(outcome.name, column, key, pair[0][row], pair[1][row], len(found))


def _differ(one: pl.Series, other: pl.Series, rounding: float) -> Booleans:
    if not one.dtype.is_float():
        return one.ne_missing(other).to_numpy()
    differ: Booleans = _bits(one) != _bits(other)
    if not rounding or not differ.any():
        return differ
    numbers = _numbers(one), _numbers(other)
    sizes = np.fmax(np.abs(numbers[0]), np.abs(numbers[1]))
    finite = sizes[np.isfinite(sizes)]
    usual = float(np.median(finite)) if len(finite) else 0.0
    return differ & ~(np.abs(numbers[0] - numbers[1]) <= rounding * np.maximum(sizes, usual))


def _bits(values: pl.Series) -> npt.NDArray[np.int64]:
    """Return numbers as bits; a null is one pattern, not a number another."""
    numbers = np.array(_numbers(values))
    bits = numbers.view(np.int64)
    bits[np.isnan(numbers)] = _NO_NUMBER
    if values.null_count():
        bits[values.is_null().to_numpy()] = _NULL
    return bits


def _numbers(values: pl.Series) -> npt.NDArray[np.float64]:
    """Return numbers; what is none differs from everything, also from itself."""
    return values.cast(pl.Float64).to_numpy()
