"""The past of a symbol as a strategy may know it: its bars up to the present slice, on the present basis."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Literal

import numpy as np
import polars as pl

from ml4t_backtest.core.chunk import Chunk
from ml4t_backtest.core.instants import instants, to_datetime
from ml4t_backtest.core.market import Market
from ml4t_backtest.core.orders import NO_ROW
from ml4t_backtest.errors import StrategyError
from ml4t_backtest.portfolio.corporate_actions import ScheduledAction

# (first moment that is not wanted, bars per symbol) -> the last bars before it, in the order of time.
ReadBefore = Callable[[datetime, int], pl.DataFrame]
# How far back a feed can be asked that is read once only: about two years of daily bars.
REMEMBERED_SLICES = 500
_PRICES = ("open", "high", "low", "close")


class History:
    """Bars of the present chunk, and of those before as far back as a strategy has asked so far.

    Nothing is kept for a strategy that never asks. A feed that can be read again is read again when more is asked for
    than before; of any other the last `REMEMBERED_SLICES` slices are kept.
    """

    def __init__(self, market: Market, actions: Iterable[ScheduledAction], read_before: ReadBefore | None) -> None:
        """Know where the run stands.

        Args:
            market: The present.
            actions: Splits and dividends that the prices do not contain, in time order.
            read_before: Reads earlier bars; None for a feed that is read once only.
        """
        self._market = market
        self._splits: dict[str, list[tuple[int, float]]] = {}
        for action in actions:
            if action.kind == "split":
                self._splits.setdefault(action.symbol, []).append((action.instant, action.value))
        self._read_before = read_before
        # Slices of a feed that is read once only may differ in their columns.
        self._how: Literal["vertical", "diagonal_relaxed"] = "vertical" if read_before else "diagonal_relaxed"
        self._recent: deque[pl.DataFrame] = deque(maxlen=REMEMBERED_SLICES)
        # Bars per symbol from before the present chunk, as deep as was asked for so far; 0 until somebody asks.
        self._depth = 0
        self._past: dict[str, pl.DataFrame] = {}

    def leave(self, chunk: Chunk) -> None:
        """Take in that a chunk is over; of what it held only what may be asked for again is kept."""
        if self._read_before is None:
            self._recent.append(chunk.frame)
        elif self._depth:
            self._past = _by_symbol(pl.concat([*self._past.values(), chunk.frame]), self._depth)

    def bars(self, symbol: str, n: int) -> pl.DataFrame:
        """Return the last `n` bars of a symbol up to the present slice, fewer where there are fewer.

        Raises:
            StrategyError: No slice has begun, `n` is no whole number from 1, or more than the feed can give.
        """
        self._check(n)
        chunk, symbol_id = self._market.chunk, self._market.ids.get(symbol, NO_ROW)
        rows = chunk.rows_of_symbol(symbol_id) if symbol_id != NO_ROW else np.empty(0, dtype=np.int64)
        known = int(np.searchsorted(rows, chunk.first_rows[self._market.index + 1]))
        bars = chunk.frame[rows[max(known - n, 0) : known]]
        if bars.height < n:
            bars = pl.concat([self._before(chunk, symbol, n).tail(n - bars.height), bars], how=self._how)
        return self._on_present_basis(bars, symbol)

    def _check(self, n: int) -> None:
        if not self._market.started:
            raise StrategyError("history is known from the first slice on, not in on_start")
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise StrategyError(f"history takes a whole number of bars from 1, got {n!r}")
        if self._read_before is None and n > REMEMBERED_SLICES:
            raise StrategyError(f"this feed is read once only: history gives {REMEMBERED_SLICES} bars, {n} are wanted")

    def _before(self, chunk: Chunk, symbol: str, n: int) -> pl.DataFrame:
        """Return bars of a symbol from before a chunk, at least `n` where there are as many."""
        if self._read_before is None:
            return self._recall(chunk, symbol)
        if n > self._depth:
            # Twice as deep each time, so that a window that grows does not read the past at every slice.
            self._depth = max(n, 2 * self._depth)
            self._past = _by_symbol(self._read_before(to_datetime(int(chunk.timestamps[0])), self._depth), self._depth)
        return self._past.get(symbol, chunk.frame.clear())

    def _recall(self, chunk: Chunk, symbol: str) -> pl.DataFrame:
        """Return the bars of a symbol in the slices that are remembered."""
        remembered = pl.concat([*self._recent, chunk.frame.clear()], how=self._how)
        return remembered.filter(pl.col("symbol") == symbol)

    def _on_present_basis(self, bars: pl.DataFrame, symbol: str) -> pl.DataFrame:
        """Rescale prices and volume of bars from before a split that the present slice already knows."""
        now = self._market.timestamp
        splits = [(instant, ratio) for instant, ratio in self._splits.get(symbol, ()) if instant < now]
        if not splits or bars.is_empty():
            return bars
        stamps = instants(bars["timestamp"]).to_numpy()
        factor = np.ones(bars.height)
        for instant, ratio in splits:
            factor[stamps <= instant] *= ratio
        shares = pl.Series(factor)
        return bars.with_columns(*(bars[name] / shares for name in _PRICES), bars["volume"] * shares)


def _by_symbol(bars: pl.DataFrame, depth: int) -> dict[str, pl.DataFrame]:
    parts = bars.partition_by("symbol", as_dict=True, maintain_order=True)
    return {str(key[0]): part.tail(depth) for key, part in parts.items()}
