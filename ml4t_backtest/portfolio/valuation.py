"""What the positions of a chunk were worth after each of its slices, in columns.

Between fills a position is constant, so its value over a chunk is its shares times its marks. Sums run left to right in
symbol order, as `Ledger.value` adds them: the same bits, slice by slice or all at once, however chunks fall.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ml4t_backtest.core.chunk import Chunk, Floats, Integers

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
    net, gross = np.zeros(chunk.num_slices), np.zeros(chunk.num_slices)
    count = np.zeros(chunk.num_slices, dtype=np.int64)
    for symbol_id, held, marks in _courses(chunk, paths):
        is_held = held != 0.0
        # A symbol that is not held may have no price yet; it must not turn the sum into NaN.
        worth = np.where(is_held, held * _rescaled(marks, chunk, paths, symbol_id), 0.0)
        net += worth
        gross += np.abs(worth)
        count += is_held
    return Values(net, gross, count)


def _courses(chunk: Chunk, paths: Paths) -> Iterator[tuple[int, Floats, Floats]]:
    """Yield per symbol, in the order of the paths, its id and after each slice the shares held and the last close."""
    by_symbol = np.argsort(paths.changes.symbol_ids, kind="stable")
    changed = paths.changes.symbol_ids[by_symbol]
    slices = paths.changes.slices[by_symbol] - paths.first_slice
    quantities = paths.changes.quantities[by_symbol]
    bounds = np.searchsorted(changed, [paths.symbol_ids, paths.symbol_ids + 1]).T.tolist()
    begin = (paths.symbol_ids.tolist(), paths.quantities.tolist(), paths.marks.tolist())
    for symbol_id, quantity, mark, (first, last) in zip(*begin, bounds, strict=True):
        held = _filled_forward(chunk.num_slices, quantity, slices[first:last], quantities[first:last])
        closes = chunk.in_symbol_order("close")[chunk.span_of_symbol(symbol_id)]
        if len(closes) < chunk.num_slices:
            closes = _filled_forward(chunk.num_slices, mark, chunk.slices_of_symbol(symbol_id), closes)
        yield symbol_id, held, closes


def _filled_forward(length: int, start: float, at: Integers, values: Floats) -> Floats:
    """Return a column that begins with `start` and keeps each value from its place on; of several in one, the last."""
    return np.repeat(np.append(start, values), np.diff(np.concatenate([[0], at, [length]])))


def _rescaled(marks: Floats, chunk: Chunk, paths: Paths, symbol_id: int) -> Floats:
    """Return marks that from a split up to the symbol's next bar stand on the new basis."""
    for split_slice, split_id, ratio in paths.rescalings:
        if split_id == symbol_id:
            at_slice, bars = split_slice - paths.first_slice, chunk.slices_of_symbol(symbol_id)
            next_bar = bars[np.searchsorted(bars, at_slice) :][:1].tolist() or [chunk.num_slices]
            marks = marks.copy()
            marks[at_slice : next_bar[0]] /= ratio
    return marks
