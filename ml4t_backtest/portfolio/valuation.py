"""What the positions of a chunk were worth after each of its slices, in columns.

Between fills a position is constant, so its value over a chunk is its shares times its marks. Sums run left to right in
symbol order, as `Ledger.value` adds them: the same bits, slice by slice or all at once, however chunks fall.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml4t_backtest.core.chunk import Chunk, Floats, Integers

# Values held at once, so that a long chunk of many symbols takes no more memory than a short one.
_CELLS = 1_000_000
Rescaling = tuple[int, int, float]


@dataclass(frozen=True, slots=True)
class Values:
    """Per slice, what the positions were worth.

    Attributes:
        net: Sum of quantity x mark, account currency.
        gross: Sum of |quantity x mark|, account currency.
        count: Symbols held.
    """

    net: Floats
    gross: Floats
    count: Integers


@dataclass(frozen=True, slots=True)
class Changes:
    """How holdings changed, in the order it happened, as columns.

    Attributes:
        slices: Slice of the chunk.
        symbol_ids: Symbol.
        quantities: Signed shares held from then on.
    """

    slices: Integers
    symbol_ids: Integers
    quantities: Floats


@dataclass(frozen=True, slots=True)
class Paths:
    """Where positions and marks of some symbols begin, and how they change in the course of a chunk.

    Attributes:
        symbol_ids: The symbols, in symbol order.
        quantities: Per symbol the signed shares held before the first slice.
        marks: Per symbol the last price before the first slice.
        changes: Holdings after fills and splits.
        rescalings: (slice, symbol id, ratio) of splits of held symbols, in the order they happened.
        first_slice: The slice of changes and rescalings that is the first of the chunk.
    """

    symbol_ids: Integers
    quantities: Floats
    marks: Floats
    changes: Changes
    rescalings: Sequence[Rescaling]
    first_slice: int = 0


def values_over(chunk: Chunk, paths: Paths) -> Values:
    """Return what the positions are worth after each slice of a chunk."""
    width = len(paths.symbol_ids)
    if width == 0:
        nothing = np.zeros(chunk.num_slices)
        return Values(nothing, nothing, np.zeros(chunk.num_slices, dtype=np.int64))
    parts = [_values(held, marks) for held, marks in _matrices(chunk, paths, max(_CELLS // width, 1))]
    return Values(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _values(held: Floats, marks: Floats) -> tuple[Floats, Floats, Integers]:
    # A symbol that is not held may have no price yet; it must not turn the sum into NaN.
    worth = np.where(held == 0.0, 0.0, held * marks)
    net = np.add.accumulate(worth, axis=1)[:, -1]
    gross = np.add.accumulate(np.abs(worth), axis=1)[:, -1]
    return net, gross, np.count_nonzero(held, axis=1)


def _matrices(chunk: Chunk, paths: Paths, at_once: int) -> Iterator[tuple[Floats, Floats]]:
    """Yield shares and marks, slices x symbols, for so many slices at a time."""
    column_of = np.full(int(max(chunk.symbol_ids.max(), paths.symbol_ids.max())) + 1, -1)
    column_of[paths.symbol_ids] = np.arange(len(paths.symbol_ids))
    slices, quantities = paths.changes.slices - paths.first_slice, paths.changes.quantities
    columns = column_of[paths.changes.symbol_ids]
    held, marks = paths.quantities, paths.marks
    for first in range(0, chunk.num_slices, at_once):
        last = min(first + at_once, chunk.num_slices)
        inside = (slices >= first) & (slices < last)
        at = (slices[inside] - first, columns[inside])
        shares = _filled_forward(last - first, held, at, quantities[inside])
        prices = _marks(chunk, column_of, marks, first, last)
        for split_slice, symbol_id, ratio in paths.rescalings:
            at_slice = split_slice - paths.first_slice
            if first <= at_slice < last:
                _rescale(prices, chunk, column_of, (at_slice, symbol_id, ratio), first)
        yield shares, prices
        held, marks = shares[-1], prices[-1]


def _filled_forward(height: int, start: Floats, at: tuple[Integers, Integers], values: Floats) -> Floats:
    """Return a matrix in which each column begins with its start and keeps each value until the next one."""
    source = np.zeros((height, len(start)), dtype=np.int32)
    # In the order they happened: of several in one cell the last stays.
    source[at] = np.arange(1, len(values) + 1)
    np.maximum.accumulate(source, axis=0, out=source)
    filled: Floats = np.where(source > 0, np.concatenate([[0.0], values])[source], start)
    return filled


def _marks(chunk: Chunk, column_of: Integers, start: Floats, first: int, last: int) -> Floats:
    rows = slice(chunk.first_rows[first], chunk.first_rows[last])
    closes = chunk.prices["close"][rows]
    if chunk.width:
        symbol_ids = np.flatnonzero(column_of[: chunk.width] >= 0)
        if len(symbol_ids) == len(start):
            grid: Floats = closes.reshape(last - first, chunk.width)[:, symbol_ids]
            return grid
    columns = column_of[chunk.symbol_ids[rows]]
    at_slices = np.repeat(np.arange(last - first), np.diff(chunk.offsets[first : last + 1]))
    wanted = columns >= 0
    return _filled_forward(last - first, start, (at_slices[wanted], columns[wanted]), closes[wanted])


def _rescale(prices: Floats, chunk: Chunk, column_of: Integers, split: Rescaling, first: int) -> None:
    """Put the marks from a split on, up to the symbol's next bar, on the new basis."""
    at_slice, symbol_id, ratio = split
    rows: npt.NDArray[np.intp] = np.flatnonzero(chunk.symbol_ids[chunk.first_rows[at_slice] :] == symbol_id)
    row = chunk.first_rows[at_slice] + int(rows[0]) if len(rows) else chunk.first_rows[-1]
    next_bar = int(np.searchsorted(chunk.offsets, row, side="right")) - 1
    prices[at_slice - first : max(next_bar - first, 0), column_of[symbol_id]] /= ratio
