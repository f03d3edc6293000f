"""The span of slices held in memory at once, as columns.

A slice is all bars of one timestamp; a chunk never splits one. Columns become arrays once per chunk, and what is read
slice by slice becomes plain lists, which are quicker to read one by one; a slice is a range of rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from ml4t_backtest.core.instants import instants, to_datetimes

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
_LONG_AGO = np.iinfo(np.int64).min + 1
_PRICES = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class Chunk:
    """Consecutive slices in (timestamp, symbol) order.

    Attributes:
        frame: Rows of the slices, as a strategy sees them.
        symbol_ids: Per row, the index of its symbol in the engine's symbol list.
        timestamps: Per slice, its instant.
        offsets: Slice i has the rows `offsets[i]` up to `offsets[i + 1]`.
        opened: Per row, its open instant.
        decided: Per slice, its decision instant.
        sessions: Per slice, its session as days since 1970.
        session_ends: Per slice, whether it is the last of its session.
        context: Per slice, context name -> value; None without context.
        is_last: Whether no chunk follows.
    """

    frame: pl.DataFrame
    symbol_ids: Integers
    timestamps: Integers
    offsets: Integers
    opened: Integers
    decided: Integers
    sessions: Integers
    session_ends: Flags
    context: list[dict[str, Any]] | None
    is_last: bool

    @property
    def num_slices(self) -> int:
        """Number of slices."""
        return len(self.timestamps)

    @cached_property
    def prices(self) -> Mapping[str, Floats]:
        """Columns open, high, low, close and volume as arrays over rows."""
        return {name: self.frame[name].to_numpy() for name in _PRICES}

    @cached_property
    def first_rows(self) -> list[int]:
        """`offsets` as plain integers."""
        return plain(self.offsets)

    @cached_property
    def widths(self) -> list[int]:
        """Per slice, the number of its bars."""
        return plain(np.diff(self.offsets))

    @cached_property
    def instants(self) -> list[int]:
        """`timestamps` as plain integers."""
        return plain(self.timestamps)

    @cached_property
    def moments(self) -> list[datetime]:
        """`timestamps` as datetimes in UTC."""
        return to_datetimes(self.timestamps)

    @cached_property
    def days(self) -> list[int]:
        """`sessions` as plain integers."""
        return plain(self.sessions)

    @cached_property
    def last_opened(self) -> Integers:
        """Per slice, the latest open instant among its bars; long ago for a slice without bars."""
        return self._opened_by_slice(np.maximum, _LONG_AGO)

    @cached_property
    def first_opened(self) -> list[int]:
        """Per slice, the earliest open instant among its bars; a far one for a slice without bars."""
        return plain(self._opened_by_slice(np.minimum, -_LONG_AGO))

    def _opened_by_slice(self, of: np.ufunc, of_none: int) -> Integers:
        """Return what a reduction gives of the open instants of each slice, and `of_none` where it has no rows."""
        found, filled = np.full(self.num_slices, of_none), np.diff(self.offsets) > 0
        if filled.any():
            # Between slices with rows lie none, so that each ends where the next of them begins.
            found[filled] = of.reduceat(self.opened, self.offsets[:-1][filled])
        return found

    @cached_property
    def width(self) -> int:
        """Number of symbols where each has a bar in every slice, in the order of their ids from 0; else 0.

        Such a grid needs no search: the bar of symbol i in a slice is its row i.
        """
        width = int(self.offsets[1]) if self.num_slices else 0
        if self.symbol_ids.size != width * self.num_slices or (np.diff(self.offsets) != width).any():
            return 0
        is_grid = (self.symbol_ids.reshape(self.num_slices, width) == np.arange(width)).all()
        return width if is_grid else 0

    def rows_of_symbol(self, symbol_id: int) -> Integers:
        """Return the rows of a symbol, ascending."""
        if self.width:
            rows = len(self.symbol_ids) if symbol_id < self.width else 0
            return np.arange(symbol_id, rows, self.width)
        return self._by_symbol[self.span_of_symbol(symbol_id)]

    def span_of_symbol(self, symbol_id: int) -> slice:
        """Return where the bars of a symbol stand in the columns of `in_symbol_order`."""
        if self.width:
            first = symbol_id * self.num_slices
            return slice(first, first + self.num_slices if symbol_id < self.width else first)
        first, last = np.searchsorted(self._ids_by_symbol, [symbol_id, symbol_id + 1])
        return slice(first, last)

    def spans_of_symbols(self, symbol_ids: Integers) -> tuple[Integers, Integers]:
        """Return where `span_of_symbol` begins and ends, for many symbols."""
        if self.width:
            first = symbol_ids * self.num_slices
            return first, np.where(symbol_ids < self.width, first + self.num_slices, first)
        return np.searchsorted(self._ids_by_symbol, symbol_ids), np.searchsorted(self._ids_by_symbol, symbol_ids + 1)

    def in_symbol_order(self, name: str) -> Floats:
        """Return a column of `prices` with the bars of each symbol side by side, in the order of time."""
        return self.in_symbol_order_and_one_more(name)[:-1]

    def in_symbol_order_and_one_more(self, name: str) -> Floats:
        """Return `in_symbol_order` and a 0 behind it, so that the end of the last span is a place too."""
        if name not in self._in_symbol_order:
            column = self.prices[name]
            by_symbol = np.empty(len(column) + 1)
            by_symbol[:-1] = column.reshape(-1, self.width).T.ravel() if self.width else column[self._by_symbol]
            by_symbol[-1] = 0.0
            self._in_symbol_order[name] = by_symbol
        return self._in_symbol_order[name]

    def slices_of_symbol(self, symbol_id: int) -> Integers:
        """Return the slices in which a symbol has a bar, ascending."""
        if self.width:
            return np.arange(self.num_slices if symbol_id < self.width else 0)
        return np.searchsorted(self.offsets, self.rows_of_symbol(symbol_id), side="right") - 1

    @cached_property
    def has_positive_opens(self) -> bool:
        """Whether every open is above 0."""
        return bool(self.prices["open"].min() > 0.0)

    @cached_property
    def _in_symbol_order(self) -> dict[str, Floats]:
        return {}

    def places(self, rows: Integers) -> Integers:
        """Return where rows stand in the columns of `in_symbol_order`."""
        if self.width:
            return rows % self.width * self.num_slices + rows // self.width
        return self._places[rows]

    @cached_property
    def _by_symbol(self) -> Integers:
        ids = self.symbol_ids
        # On small integers NumPy's stable sort counts instead of comparing.
        narrow = ids.astype(np.uint16) if ids.size and ids.max() < 2**16 else ids
        return np.argsort(narrow, kind="stable")

    @cached_property
    def _ids_by_symbol(self) -> Integers:
        return self.symbol_ids[self._by_symbol]

    @cached_property
    def _places(self) -> Integers:
        places = np.empty_like(self._by_symbol)
        places[self._by_symbol] = np.arange(places.size)
        return places

    def batch(self, index: int) -> pl.DataFrame:
        """Return the rows of slice `index`, a view."""
        return self.frame.slice(self.first_rows[index], self.widths[index])

    def head(self, slices: int) -> Chunk:
        """Return a chunk that ends after its first `slices`; itself where that is all of it."""
        if slices == self.num_slices:
            return self
        rows = self.first_rows[slices]
        return replace(
            self,
            frame=self.frame.head(rows),
            symbol_ids=self.symbol_ids[:rows],
            timestamps=self.timestamps[:slices],
            offsets=self.offsets[: slices + 1],
            opened=self.opened[:rows],
            decided=self.decided[:slices],
            sessions=self.sessions[:slices],
            session_ends=self.session_ends[:slices],
            context=None if self.context is None else self.context[:slices],
        )

    def tail(self, first: int) -> Chunk:
        """Return a chunk that begins with slice `first`; itself where that is its beginning."""
        if first == 0:
            return self
        row = self.first_rows[first]
        return replace(
            self,
            frame=self.frame.slice(row),
            symbol_ids=self.symbol_ids[row:],
            timestamps=self.timestamps[first:],
            offsets=self.offsets[first:] - row,
            opened=self.opened[row:],
            decided=self.decided[first:],
            sessions=self.sessions[first:],
            session_ends=self.session_ends[first:],
            context=None if self.context is None else self.context[first:],
        )

    def context_at(self, index: int) -> dict[str, Any]:
        """Return the context of slice `index`, a copy that may be changed; empty without context."""
        return dict(self.context[index]) if self.context is not None else {}

    def context_frame(self, names: Sequence[str]) -> pl.DataFrame:
        """Return context values as columns, one row per slice; there must be context."""
        return pl.DataFrame(self.context, schema=dict.fromkeys(names, pl.Float64))


def plain(array: npt.NDArray[Any]) -> list[int]:
    """Return whole numbers as plain integers, quicker to read one by one."""
    numbers: list[int] = array.tolist()
    return numbers


def slice_offsets(timestamps: pl.Series) -> tuple[Integers, Integers]:
    """Return the distinct timestamps of sorted rows and where each begins, with the end as last offset."""
    stamps = instants(timestamps).to_numpy()
    first = np.append([True], stamps[1:] != stamps[:-1])[: len(stamps)]
    offsets = np.append(np.flatnonzero(first), len(stamps))
    return stamps[offsets[:-1]], offsets
