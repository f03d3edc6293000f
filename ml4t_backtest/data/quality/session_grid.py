"""Where bars stand in the sessions of an exchange: inside which one, at which place of its grid."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from ml4t_backtest.core.instants import instants, to_datetime
from ml4t_backtest.data.calendar import TradingCalendar

if TYPE_CHECKING:
    from ml4t_backtest.data.quality.symbol_rows import SymbolRows

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]
_HOUR = 3_600_000_000


@dataclass(frozen=True)
class SessionGrid:
    """The sessions around some bars and the places in them that have a bar.

    A session is one stretch of trading, or two where the exchange has a break at noon. Arrays are by stretch.

    Attributes:
        opens: When each stretch opens, microseconds since 1970 UTC.
        closes: When it closes.
        session: Which session it belongs to, counted from 0.
        session_opens: When that session opens.
        step: Length of a bar; 0 for one bar per session.
        before: How many bars all stretches before each one have together.
        session_length: That of most sessions.
    """

    opens: Int64s
    closes: Int64s
    session: Int32s
    session_opens: Int64s
    step: int
    before: Int64s
    session_length: int

    @property
    def is_daily(self) -> bool:
        """Whether a session has one bar."""
        return self.step == 0


class BarPlaces:
    """Where some bars stand on a grid; asked once for bars that came together with the same close (a moment).

    Attributes:
        session: For each moment the session of the first stretch that closes then or later.
        opens: When that stretch opens.
        closes: When it closes.
        closed_before: When the stretch before it closed.
        stretch: Number of the stretch, counted over all sessions.
        session_opens: When its session opens.
        session_length: Length of most sessions.
        step: Length of a bar; 0 for one bar per session.
        is_daily: Whether a session has one bar.
    """

    def __init__(self, bars: SymbolRows, grid: SessionGrid) -> None:
        self._bars, self._grid = bars, grid
        self.step, self.is_daily, self.session_length = grid.step, grid.is_daily, grid.session_length
        found = np.searchsorted(grid.closes, bars.moment_times, side="left")
        self.stretch = np.minimum(found, len(grid.closes) - 1).astype(np.int32)
        self.opens, self.closes = grid.opens[self.stretch], grid.closes[self.stretch]
        self.closed_before = grid.closes[np.maximum(self.stretch - 1, 0)]
        self.session, self.session_opens = grid.session[self.stretch], grid.session_opens[self.stretch]

    @cached_property
    def stretches(self) -> Int32s:
        """Stretch of each bar."""
        return self.stretch[self._bars.moments]

    @cached_property
    def numbers(self) -> Int32s:
        """Number of each bar on the grid, counted over all sessions; a bar outside takes the place before or after."""
        if self.is_daily:
            return self.stretches
        # Of a stretch's length nothing is left out: its last bar may be shorter.
        within = np.minimum(self._bars.moment_times, self.closes) - self.opens
        numbers = self._grid.before[self.stretch] + np.maximum(-(-within // self.step), 0)
        return numbers.astype(np.int32)[self._bars.moments]

    def sessions_at(self, positions: Int64s) -> Int32s:
        """Return the sessions of the bars at some positions."""
        return self.session[self._bars.moments[positions]]


def grid_over(first: int, last: int, calendar: str, step: int) -> SessionGrid:
    """Return the sessions from before one moment to well after another.

    Args:
        first: Microseconds since 1970 UTC.
        last: Likewise.
        calendar: Exchange calendar.
        step: Length of a bar; 0 for one bar per session.
    """
    begin, end = to_datetime(first).date(), to_datetime(last).date()
    try:
        # Whole years: other data of these years asks for the same sessions.
        sessions = TradingCalendar(calendar, date(begin.year, 1, 1), date(end.year + 1, 12, 31)).sessions
    except ValueError:
        # The record of the exchange ends before that.
        sessions = TradingCalendar(calendar, begin, end).sessions
    return _daily(sessions) if step == 0 else _intraday(sessions, step)


def _daily(sessions: pl.DataFrame) -> SessionGrid:
    opens, closes = _microseconds(sessions, "open"), _microseconds(sessions, "close")
    numbers = np.arange(len(opens))
    return SessionGrid(opens, closes, numbers.astype(np.int32), opens, 0, numbers, int(np.median(closes - opens)))


def _intraday(sessions: pl.DataFrame, step: int) -> SessionGrid:
    whole = _daily(sessions)
    noon = sessions.with_row_index("number").filter(pl.col("break_start").is_not_null())
    halves = noon["number"].to_numpy()
    # A session with a break closes for the first time when that begins, and opens again when it ends.
    closes = whole.closes.copy()
    closes[halves] = _microseconds(noon, "break_start")
    opens = np.concatenate([whole.opens, _microseconds(noon, "break_end")])
    order = np.argsort(opens)
    opens, closes = opens[order], np.concatenate([closes, whole.closes[halves]])[order]
    session = np.concatenate([whole.session, whole.session[halves]])[order]
    sizes = -(-(closes - opens) // step)
    before = np.cumsum(sizes) - sizes
    return SessionGrid(opens, closes, session, whole.opens[session], step, before, whole.session_length)


def _microseconds(sessions: pl.DataFrame, name: str) -> Int64s:
    return instants(sessions[name]).to_numpy()


def step_of(part: pl.DataFrame, grid: SessionGrid) -> int:
    """Return the most frequent length of a bar in microseconds, 0 where most bars are as long as their session."""
    opened, closed = (instants(part[name]).to_numpy() for name in ("open_instant", "timestamp"))
    session = np.minimum(np.searchsorted(grid.closes, closed, side="left"), len(grid.closes) - 1)
    whole = (opened == grid.opens[session]) & (closed == grid.closes[session])
    lengths, counts = np.unique(closed - opened, return_counts=True)
    step = int(lengths[np.argmax(counts)])
    return 0 if whole.mean() > 0.5 or step >= 20 * _HOUR else max(step, 1)
