"""Positions that one fill at an open began and that nothing has touched since, from chunk to chunk, in columns.

Most positions are such at the edge of a chunk. One to which something else happens becomes an object: see
`trade_tracker`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml4t_backtest.core.chunk import Chunk, Floats, Integers
from ml4t_backtest.core.fill_table import FillTable, no_fills


@dataclass(frozen=True)
class Carried:
    """The fills of a chunk, before them those that began the positions it was entered with.

    Attributes:
        fills: The fills; slice and place of those before the chunk count no longer.
        before: How many of them came before the chunk.
        bars: Per fill the bars of its symbol from it on, in the chunks before; 0 for a fill of this one.
        highest: Per fill the highest price in them; -inf without any.
        lowest: Per fill the lowest price in them; inf without any.
    """

    fills: FillTable
    before: int
    bars: Integers
    highest: Floats
    lowest: Floats

    @classmethod
    def none(cls) -> Carried:
        """Return a table without rows."""
        return cls(no_fills(), 0, np.empty(0, dtype=np.int64), np.empty(0), np.empty(0))

    def __len__(self) -> int:
        return len(self.fills)

    def followed_by(self, fills: FillTable) -> Carried:
        """Return these and, behind them, the fills of the next chunk."""
        number = len(fills)
        return Carried(
            self.fills.followed_by(fills),
            len(self),
            np.append(self.bars, np.zeros(number, dtype=np.int64)),
            np.append(self.highest, np.full(number, -np.inf)),
            np.append(self.lowest, np.full(number, np.inf)),
        )

    def at_end(self, chunk: Chunk, which: Integers) -> Carried:
        """Return some of them as they stand after the chunk."""
        if not len(which):
            return Carried.none()
        _, ends = chunk.spans_of_symbols(self.fills.symbol_id[which])
        bars = self.bars[which] + ends - self.first_places(chunk, which)
        return Carried(self.fills.part(which), len(which), bars, *self.extremes(chunk, which, ends))

    def first_places(self, chunk: Chunk, which: Integers) -> Integers:
        """Return where the bars of the chunk that a position has seen begin in `Chunk.in_symbol_order`."""
        places, _ = chunk.spans_of_symbols(self.fills.symbol_id[which])
        of_chunk = which >= self.before
        places[of_chunk] = chunk.places(self.fills.row[which[of_chunk]] - self.fills.first_row)
        return places

    def extremes(self, chunk: Chunk, which: Integers, last: Integers) -> tuple[Floats, Floats]:
        """Return the highest and the lowest price since each fill, up to the places `last` and without those bars."""
        first, highest, lowest = self.first_places(chunk, which), self.highest[which], self.lowest[which]
        seen = last > first
        if not seen.any():
            return highest, lowest
        bounds = np.column_stack([first[seen], last[seen]]).ravel()
        for so_far, of, name in ((highest, np.maximum, "high"), (lowest, np.minimum, "low")):
            # What lies between the spans is thrown away; a bound behind all prices is none that `reduceat` takes.
            found = of.reduceat(chunk.in_symbol_order_and_one_more(name), bounds)[::2]
            so_far[seen] = of(so_far[seen], found)
        return highest, lowest
