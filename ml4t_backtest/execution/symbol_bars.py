"""The bars of one symbol in a chunk, and where in them the events of its position fall."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml4t_backtest.core.chunk import Chunk, Floats, Integers
from ml4t_backtest.core.fill import Fill, LedgerEvent


@dataclass(frozen=True, slots=True)
class SymbolBars:
    """The bars of one symbol in a chunk: rows of the chunk and prices, account currency per share."""

    rows: Integers
    open: Floats
    high: Floats
    low: Floats
    close: Floats


def bars_of(chunk: Chunk, symbol_id: int) -> SymbolBars:
    """Return the bars of a symbol, in time order."""
    span = chunk.span_of_symbol(symbol_id)
    prices = (chunk.in_symbol_order(name)[span] for name in ("open", "high", "low", "close"))
    return SymbolBars(chunk.rows_of_symbol(symbol_id), *prices)


def bar_of(event: LedgerEvent, chunk: Chunk, bars: SymbolBars) -> int:
    """Return which of the symbol's bars an event falls into; a settlement comes after the bar of its slice."""
    after = isinstance(event, Fill) and event.phase == "settled"
    return int(np.searchsorted(bars.rows, chunk.first_rows[event.slice_index + after]))


def bars_before(event: LedgerEvent, bar: int, chunk: Chunk, bars: SymbolBars) -> int:
    """Return the bar an exit at the open of a slice belongs to: the one of that slice, or else the last one."""
    has_bar = bar < len(bars.rows) and bars.rows[bar] < chunk.first_rows[event.slice_index + 1]
    return bar if has_bar else bar - 1


def first_full_bar(entry: Fill, bar: int) -> int:
    """Return the first bar that a position entered in `bar` lives through as a whole: that one after the open."""
    return bar if entry.phase == "open" else bar + 1


def rest_of_bar(entry: Fill, bar: int, bars: SymbolBars) -> tuple[float, float] | None:
    """Return high and low that an entry inside a bar certainly lived through in its rest.

    A market that rose to the entry reached its high after it; of the other side only the close is certain.
    """
    if entry.phase not in ("rising", "falling", "inside"):
        return None
    close = float(bars.close[bar])
    if entry.phase == "inside":
        return close, close
    if entry.phase == "rising":
        return float(bars.high[bar]), close
    return close, float(bars.low[bar])
