"""The present moment of a run: the current slice and the last price of every symbol."""

from __future__ import annotations

import numpy as np

from ml4t_backtest.core.chunk import Chunk
from ml4t_backtest.core.orders import NO_ROW

_NEVER = -1


class Market:
    """Where the run stands. Only the engine moves it; everybody else reads it.

    Attributes:
        symbols: Every symbol seen so far; its index is the symbol's id.
        ids: Symbol -> id.
        chunk: Chunk being walked through.
        started: Whether a slice has begun.
        index: Current slice of the chunk.
        timestamp: Its instant; of the last slice once the data has ended.
        session: Its session, days since 1970.
        sessions: Number of sessions begun.
        first_row: Number of rows of all chunks before, so that rows can be counted over the run.
    """

    def __init__(self, symbols: list[str]) -> None:
        self.symbols = symbols
        self.ids = {symbol: index for index, symbol in enumerate(symbols)}
        self.chunk: Chunk
        self.started = False
        self.index = 0
        self.timestamp = 0
        self.session = 0
        self.sessions = 0
        self.first_row = 0
        # Looked up only in slices with orders, and then once.
        self._rows: dict[int, int] | None = None
        self._marks = np.full(len(symbols), np.nan)
        self._last_session = np.full(len(symbols), _NEVER, dtype=np.int64)

    def id_of(self, symbol: str) -> int:
        """Return the id of a symbol; a new symbol gets the next one."""
        if symbol not in self.ids:
            self.ids[symbol] = len(self.symbols)
            self.symbols.append(symbol)
            self._marks = np.append(self._marks, np.nan)
            self._last_session = np.append(self._last_session, _NEVER)
        return self.ids[symbol]

    def enter(self, chunk: Chunk, first_row: int) -> None:
        """Go to a new chunk."""
        self.chunk = chunk
        self.first_row = first_row

    def move_to(self, index: int) -> None:
        """Go to slice `index` of the chunk; its prices are not marks yet."""
        session = int(self.chunk.sessions[index])
        self.sessions += not self.started or session != self.session
        self.started = True
        self.index = index
        self.timestamp = int(self.chunk.timestamps[index])
        self.session = session
        self._rows = None

    def take_opens(self) -> None:
        """Make the opens of the current slice the last prices, so that what opens on credit is measured by them."""
        first, last = self.chunk.first_rows[self.index], self.chunk.first_rows[self.index + 1]
        self._marks[self.chunk.symbol_ids[first:last]] = self.chunk.prices["open"][first:last]

    def take_marks(self) -> None:
        """Make the closes of the current slice the last prices."""
        first, last = self.chunk.first_rows[self.index], self.chunk.first_rows[self.index + 1]
        ids = self.chunk.symbol_ids[first:last]
        self._marks[ids] = self.chunk.prices["close"][first:last]
        self._last_session[ids] = self.sessions

    def mark(self, symbol_id: int) -> float:
        """Return the last price of a symbol on the basis of today's shares, NaN before its first bar."""
        return float(self._marks[symbol_id])

    def sessions_without_bar(self, symbol_id: int) -> int:
        """Return how many sessions, the present one included, have gone by since the symbol's last bar."""
        return self.sessions - int(self._last_session[symbol_id])

    def rescale_mark(self, symbol_id: int, ratio: float) -> None:
        """Put the last close on the basis after a split of `ratio` new shares per old one."""
        self._marks[symbol_id] /= ratio

    def row_of(self, symbol_id: int) -> int | None:
        """Return the row of a symbol's bar in the current slice, counted in the chunk; None without a bar."""
        if self._rows is None:
            self._rows = self.chunk.rows_of(self.index)
        return self._rows.get(symbol_id)

    def run_row_of(self, symbol_id: int) -> int:
        """Return the row of a symbol's bar in the current slice, counted over the run; NO_ROW without a bar."""
        row = self.row_of(symbol_id)
        return NO_ROW if row is None else self.first_row + row

    def price(self, name: str, row: int) -> float:
        """Return the open, high, low or close of a row of the chunk."""
        return float(self.chunk.prices[name][row])

    def volume(self, row: int) -> float:
        """Return the volume of a row of the chunk."""
        return float(self.chunk.prices["volume"][row])

    def open_instant(self, row: int) -> int:
        """Return when the bar of a row opened."""
        return int(self.chunk.opened[row])

    @property
    def decided(self) -> int:
        """Decision instant of the current slice."""
        return int(self.chunk.decided[self.index])

    @property
    def opened(self) -> int:
        """Latest open instant among the bars of the current slice."""
        return int(self.chunk.opened[self.chunk.first_rows[self.index] : self.chunk.first_rows[self.index + 1]].max())

    @property
    def session_ends(self) -> bool:
        """Whether the current slice is the last of its session."""
        return bool(self.chunk.session_ends[self.index])
