"""Delivered values beside their bars: what was known when each was, and what came after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml4t_backtest.lookahead.bar_features import Bars, Floats, Integers

Booleans = npt.NDArray[np.bool_]
_NOTHING = 1e-9
# Multiplications that a library does on one thread.
_ALONE = 200_000


@dataclass(frozen=True)
class Seen:
    """Values of one symbol beside its bars.

    Attributes:
        values: Value per row.
        bars: The symbol's bars.
        at: Per row, number of the last bar that was over when the row became known.
        known: Per row, when that was, microseconds since 1970 UTC.
        of_market: Whether they are about the market and not about the symbol.
    """

    values: Floats
    bars: Bars
    at: Integers
    known: Integers
    of_market: bool = False


class Stacked:
    """The rows of several symbols below each other.

    Attributes:
        values: Value per row.
        past: What was known when each row was, one column each.
        ahead: What lay ahead of it; the columns are `bar_features.ahead()`.
        past_parts: The parts of `ahead` that were known, 0 where there are none.
        leads: The returns of the bars to come.
        has_past: Rows of which all of the past is known.
    """

    def __init__(self, seen: Sequence[Seen]) -> None:
        """Gather the rows; there must be some."""
        self.values = np.concatenate([each.values for each in seen])
        before = np.vstack([each.bars.past[each.at] for each in seen])
        self.past = np.column_stack([before, _pending_open(seen), *_own_past(seen)])
        self.ahead = np.vstack([each.bars.ahead[each.at] for each in seen])
        self.past_parts = np.vstack([each.bars.past_parts[each.at] for each in seen])
        self.leads = np.vstack([each.bars.leads[each.at] for each in seen])
        self.has_past: Booleans = np.asarray(np.isfinite(self.past).all(axis=1))
        self._close = np.concatenate([each.bars.close[each.at] for each in seen])
        self._times = np.concatenate([each.known for each in seen])
        self._symbols = [slice(end - len(each.values), end) for each, end in zip(seen, _ends(seen), strict=True)]

    def forms(self) -> Floats:
        """Return the values as they are, in units of the close, and on one scale for all symbols, a column each."""
        parts = [self.values[rows] for rows in self._symbols]
        on_one_scale = np.concatenate([(part - part.mean()) / (part.std() or 1.0) for part in parts])
        return np.column_stack([self.values, self.values / self._close, on_one_scale])

    def moments(self, rows: Booleans) -> int:
        """Return at how many moments some rows became known: symbols move together, and count once."""
        return len(np.unique(self._times[rows]))


def ranks(values: Floats) -> Floats:
    """Return the ranks of values, equal ones in the middle of theirs."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    ranked: Floats = (np.cumsum(count) - (count - 1) / 2.0)[place]
    return ranked


class Past:
    """What explains, by least squares, as much as it can of something else."""

    def __init__(self, columns: Floats) -> None:
        """Take columns; those that do not vary, or say nothing new, explain nothing."""
        centred = columns - columns.mean(axis=0)
        self._basis = np.zeros((len(columns), 0))
        for column, size in zip(centred.T, np.abs(columns).max(axis=0), strict=True):
            length = np.sqrt((column**2).sum())
            new = self._without_basis(column[:, None])[:, 0] if length > _NOTHING * size else np.zeros(len(column))
            left = np.sqrt((new**2).sum())
            if left > _NOTHING * length > 0.0:
                self._basis = np.column_stack([self._basis, new / left])

    def leaves(self, values: Floats) -> tuple[Floats, Floats]:
        """Return what is left of the columns of `values`, and which part of their variation that is."""
        centred = values - values.mean(axis=0)
        left = self._without_basis(centred)
        total = (centred**2).sum(axis=0)
        return left, np.divide((left**2).sum(axis=0), total, out=np.zeros(len(total)), where=total > 0)

    def _without_basis(self, values: Floats) -> Floats:
        # Twice, for what rounding has left in.
        for _ in range(2):
            values = values - _product(self._basis, _product(self._basis.T, values))
        return values


def _product(one: Floats, other: Floats) -> Floats:
    """Return a matrix product, made of products so small that no library starts threads for them.

    Threads that wait for each other on a busy machine take twenty times as long as one that does it alone; and sums
    that are cut by the number of threads differ by machine.
    """
    rows, inner, columns = one.shape[0], one.shape[1], other.shape[1]
    found = np.zeros((rows, columns))
    if inner > rows:
        step = max(_ALONE // max(rows * columns, 1), 1)
        for start in range(0, inner, step):
            found += one[:, start : start + step] @ other[start : start + step]
    elif inner:
        step = max(_ALONE // (inner * columns), 1)
        for start in range(0, rows, step):
            found[start : start + step] = one[start : start + step] @ other
    return found


def _ends(seen: Sequence[Seen]) -> list[int]:
    return [int(end) for end in np.cumsum([len(each.values) for each in seen])]


def _own_past(seen: Sequence[Seen]) -> list[Floats]:
    """Return the two values before each: of a level that no bar tells of, they are the past."""
    if not all(each.of_market for each in seen):
        return []
    lagged = ([np.append(np.full(lag, np.nan), each.values)[: len(each.values)] for each in seen] for lag in (1, 2))
    return [np.concatenate(parts) for parts in lagged]


def _pending_open(seen: Sequence[Seen]) -> Floats:
    """Return the open of the bar that was under way when a row became known, in units of the close before it."""
    return np.concatenate([_opened_since(each) for each in seen])


def _opened_since(seen: Seen) -> Floats:
    bars = seen.bars
    after = np.minimum(seen.at + 1, len(bars.close) - 1)
    if bars.opened is None:
        return np.ones(len(after))
    under_way = (bars.opened[after] < seen.known) & (after > seen.at)
    return np.where(under_way, bars.frame["open"].to_numpy()[after] / bars.close[seen.at], 1.0)
