"""The present moment of a run: the current slice and the last price of every symbol.

Prices are taken in when somebody asks for them, however many slices have gone by since: most slices of most runs have
nothing to value.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import polars as pl

from ml4t_backtest.core.chunk import Chunk, Flags, Floats, Integers
from ml4t_backtest.core.orders import NO_ROW

_NEVER = -1


class Market:
    """Where the run stands. Only the engine moves it; everybody else reads it.

    Attributes:
        symbols: Every symbol seen so far; its index is the symbol's id.
        ids: Symbol -> id.
        in_order: Whether ids are in the order of the symbols.
        chunk: Chunk being walked through.
        started: Whether a chunk was entered.
        index: Current slice of the chunk; the last one that was lived once the data has ended.
        first_of_session: Per slice of the chunk, whether it is the first of its session.
        is_complete: Whether every symbol has a bar in every slice of the chunk.
        first_row: Number of rows of all chunks before, so that rows can be counted over the run.
    """

    def __init__(self, symbols: list[str]) -> None:
        self.symbols = symbols
        self.ids = {symbol: index for index, symbol in enumerate(symbols)}
        self.in_order = symbols == sorted(symbols)
        self.chunk: Chunk
        self.started = False
        self.index = 0
        self.first_of_session: Flags = np.empty(0, dtype=np.bool_)
        self.is_complete = False
        self.first_row = 0
        self._at_open = False
        # How many slices of the chunk have given their closes, and which one its opens.
        self._closes_taken = 0
        self._opens_taken = -1
        self._marks = np.full(len(symbols), np.nan)
        # Per slice of the chunk, the number of its session; and how many slices were counted for the symbols.
        self._session_numbers: Integers = np.empty(0, dtype=np.int64)
        self._sessions_counted = 0
        self._last_session = np.full(len(symbols), _NEVER, dtype=np.int64)
        # Per symbol the last row it was seen at, of the slices that somebody asked about.
        self._rows = np.full(len(symbols), NO_ROW, dtype=np.int64)
        self._rows_known_of = -1
        self._named: pl.Series | None = None
        self._named_ids: Integers = np.empty(0, dtype=np.int64)

    def id_of(self, symbol: str) -> int:
        """Return the id of a symbol; a new symbol gets the next one."""
        if symbol not in self.ids:
            self.in_order = self.in_order and (not self.symbols or self.symbols[-1] < symbol)
            self.ids[symbol] = len(self.symbols)
            self.symbols.append(symbol)
            self._named = None
            self._marks = np.append(self._marks, np.nan)
            self._last_session = np.append(self._last_session, _NEVER)
            self._rows = np.append(self._rows, NO_ROW)
        return self.ids[symbol]

    def ids_of(self, symbols: Iterable[str]) -> Integers:
        """Return the ids of symbols, NO_ROW for one that is not known.

        The symbols of a slice are mostly those of the slice before: that a Series holds the same ones is seen quicker
        than each is looked up.
        """
        if not isinstance(symbols, pl.Series):
            return np.array([self.ids.get(symbol, NO_ROW) for symbol in symbols], dtype=np.int64)
        if self._named is None or not symbols.equals(self._named):
            names = symbols.to_list()
            self._named_ids = np.array([self.ids.get(name, NO_ROW) for name in names], dtype=np.int64)
            self._named = symbols
        return self._named_ids

    def enter(self, chunk: Chunk, first_row: int) -> None:
        """Go to a new chunk."""
        before, sessions = chunk.sessions.item(0) - 1, 0
        if self.started:
            self._take_prices()
            self._count_sessions()
            before, sessions = self.session, self.sessions
        self.chunk = chunk
        self.first_row = first_row
        self.is_complete = chunk.width == len(self.symbols)
        self.index, self._at_open = 0, True
        self._closes_taken, self._opens_taken, self._sessions_counted, self._rows_known_of = 0, -1, 0, -1
        self._rows[:] = NO_ROW
        self.first_of_session = np.diff(chunk.sessions, prepend=before) != 0
        self._session_numbers = sessions + np.cumsum(self.first_of_session)
        self.started = True

    def move_to(self, index: int) -> None:
        """Go to slice `index` of the chunk; its prices are not marks yet."""
        self.index = index
        self._at_open = True

    def pass_over(self, index: int) -> None:
        """Go to slice `index` of the chunk and through it: its closes are the last prices."""
        self.index = index
        self._at_open = False

    @property
    def timestamp(self) -> int:
        """Instant of the current slice; 0 before the first."""
        return self.chunk.instants[self.index] if self.started else 0

    @property
    def session(self) -> int:
        """Session of the current slice, days since 1970."""
        return self.chunk.days[self.index]

    @property
    def sessions(self) -> int:
        """Number of sessions begun."""
        return self._session_numbers.item(self.index)

    def take_opens(self) -> None:
        """Make the opens of the current slice the last prices, so that what opens on credit is measured by them."""
        self._opens_taken = self.index

    def take_marks(self) -> None:
        """Make the closes of the current slice the last prices."""
        self._at_open = False

    def mark(self, symbol_id: int) -> float:
        """Return the last price of a symbol on the basis of today's shares, NaN before its first bar."""
        self._take_prices()
        mark: float = self._marks.item(symbol_id)
        return mark

    def marks(self) -> Floats:
        """Return `mark` of every symbol; not to be changed."""
        self._take_prices()
        return self._marks

    def sessions_without_bar(self, symbol_id: int) -> int:
        """Return how many sessions, the present one included, have gone by since the symbol's last bar."""
        self._count_sessions()
        return self.sessions - self._last_session.item(symbol_id)

    def rescale_mark(self, symbol_id: int, ratio: float) -> None:
        """Put the last close on the basis after a split of `ratio` new shares per old one."""
        self._take_prices()
        self._marks[symbol_id] /= ratio

    def row_of(self, symbol_id: int) -> int | None:
        """Return the row of a symbol's bar in the current slice, counted in the chunk; None without a bar."""
        first = self.chunk.first_rows[self.index]
        if self.chunk.width:
            return first + symbol_id if symbol_id < self.chunk.width else None
        row = self._rows_of_slice().item(symbol_id)
        return row if row >= first else None

    def rows_of(self, symbol_ids: Integers) -> Integers:
        """Return the rows of symbols in the current slice, counted in the chunk; NO_ROW without a bar."""
        chunk = self.chunk
        first = chunk.first_rows[self.index]
        if self.is_complete:
            return symbol_ids + first
        if width := chunk.width:
            return np.where(symbol_ids < width, symbol_ids + first, NO_ROW)
        rows = self._rows_of_slice()[symbol_ids]
        return np.where(rows >= first, rows, NO_ROW)

    def run_rows_of(self, symbol_ids: Integers) -> Integers:
        """Return the rows of symbols in the current slice, counted over the run; NO_ROW without a bar."""
        if self.is_complete:
            return symbol_ids + (self.first_row + self.chunk.first_rows[self.index])
        rows = self.rows_of(symbol_ids)
        return np.where(rows == NO_ROW, NO_ROW, rows + self.first_row)

    def run_row_of(self, symbol_id: int) -> int:
        """Return the row of a symbol's bar in the current slice, counted over the run; NO_ROW without a bar."""
        row = self.row_of(symbol_id)
        return NO_ROW if row is None else self.first_row + row

    def price(self, name: str, row: int) -> float:
        """Return the open, high, low or close of a row of the chunk."""
        return self.chunk.prices[name].item(row)

    def volume(self, row: int) -> float:
        """Return the volume of a row of the chunk."""
        return self.chunk.prices["volume"].item(row)

    def open_instant(self, row: int) -> int:
        """Return when the bar of a row opened."""
        return self.chunk.opened.item(row)

    @property
    def decided(self) -> int:
        """Decision instant of the current slice."""
        return self.chunk.decided.item(self.index)

    @property
    def has_bars(self) -> bool:
        """Whether the current slice has a bar at all."""
        return self.chunk.widths[self.index] > 0

    @property
    def opened(self) -> int:
        """Latest open instant among the bars of the current slice; long ago where it has none."""
        return self.chunk.last_opened.item(self.index)

    @property
    def session_ends(self) -> bool:
        """Whether the current slice is the last of its session."""
        return self.chunk.session_ends.item(self.index)

    def _take_prices(self) -> None:
        """Take in the closes of the slices that are over, and the opens of the present one where they count."""
        if not self.started:
            return
        done = self.index + (not self._at_open)
        if self._closes_taken < done:
            # Of a grid the last slice has the last close of every symbol.
            first = done - 1 if self.chunk.width else self._closes_taken
            self._take("close", first, done)
            self._closes_taken = done
        if self._at_open and self._opens_taken == self.index:
            self._take("open", self.index, self.index + 1)
            self._opens_taken = -1

    def _take(self, name: str, first: int, last: int) -> None:
        """Make prices of slices `first` up to `last` the last ones; where a symbol has several, the latest counts."""
        rows = slice(self.chunk.first_rows[first], self.chunk.first_rows[last])
        # NumPy assigns in order: of an index that is repeated the last value stays.
        self._marks[self.chunk.symbol_ids[rows]] = self.chunk.prices[name][rows]

    def _count_sessions(self) -> None:
        """Note the sessions in which symbols had their last bars, up to the slices whose closes are known."""
        done = self.index + (not self._at_open)
        if self._sessions_counted < done:
            first, last = self._sessions_counted, done
            rows = slice(self.chunk.first_rows[first], self.chunk.first_rows[last])
            per_slice = np.diff(self.chunk.offsets[first : last + 1])
            self._last_session[self.chunk.symbol_ids[rows]] = np.repeat(self._session_numbers[first:last], per_slice)
            self._sessions_counted = done

    def _rows_of_slice(self) -> Integers:
        """Return per symbol its row in the current slice, or an earlier one where it has none."""
        if self._rows_known_of != self.index:
            first, last = self.chunk.first_rows[self.index], self.chunk.first_rows[self.index + 1]
            self._rows[self.chunk.symbol_ids[first:last]] = np.arange(first, last)
            self._rows_known_of = self.index
        return self._rows
