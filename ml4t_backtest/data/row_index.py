"""What a part of some bars holds, as numbers: codes of its symbols, the order of its keys, its slices."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl

from ml4t_backtest.core.instants import instants

Int64s = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint32]
# Timestamps that ascend, the latest decision instant of each slice, how many rows it has.
SliceRun = tuple[Int64s, Int64s, Int64s]
_LATEST = np.iinfo(np.int64).max
# Symbols that do not repeat mostly fail to within so many rows.
_GLANCE = 4_096


class SymbolCodes:
    """Numbers for symbols, 0, 1, 2, ... in the order in which they are first seen, the same in every part.

    Attributes:
        names: The symbols seen so far, by their numbers.
    """

    def __init__(self) -> None:
        self._dtype = pl.Categorical(pl.Categories.random("symbols", pl.UInt32))
        self._kept = pl.Series(dtype=self._dtype)
        self.names: list[str] = []
        self._ranks = np.empty(0, dtype=np.int32)

    def of(self, symbols: pl.Series, period: int) -> tuple[Codes, bool]:
        """Return the number of each symbol, and whether they repeat after `period` rows throughout.

        Args:
            symbols: Symbols without nulls.
            period: After how many rows they probably repeat, 0 if never: comparing is cheaper than looking each up.
        """
        repeating = all(_repeat(symbols.head(rows), period) for rows in (_GLANCE, symbols.len()))
        looked_up = symbols[:period] if repeating else symbols
        coded = looked_up.cast(self._dtype)
        codes: Codes = coded.to_physical().to_numpy()
        if codes.max() >= len(self.names):
            # Polars forgets the numbers with the last series that has them.
            self._kept = coded
            self._learn(looked_up, codes)
        return (np.tile(codes, -(-symbols.len() // period))[: symbols.len()] if repeating else codes), repeating

    def _learn(self, symbols: pl.Series, codes: Codes) -> None:
        new = np.flatnonzero(codes >= len(self.names))
        _, first = np.unique(codes[new], return_index=True)
        self.names = [*self.names, *symbols.gather(new[first]).to_list()]
        self._ranks = pl.Series(self.names).rank("ordinal").cast(pl.Int32).to_numpy()

    def ranks(self, codes: Codes) -> npt.NDArray[np.int32]:
        """Return the places of symbols in the order of their names."""
        return self._ranks[codes]


class Spans:
    """First and last timestamp of each symbol, by its number."""

    def __init__(self) -> None:
        self.first = self.last = np.empty(0, dtype=np.int64)

    def see(self, codes: Codes, stamps: Int64s) -> None:
        """Take in some rows, in any order."""
        missing = max(int(codes.max()) + 1 - len(self.first), 0)
        self.first = np.append(self.first, np.full(missing, _LATEST))
        self.last = np.append(self.last, np.full(missing, -_LATEST))
        np.minimum.at(self.first, codes, stamps)
        np.maximum.at(self.last, codes, stamps)

    def of(self, code: int) -> tuple[int, int]:
        """Return the span of a symbol that was seen."""
        return int(self.first[code]), int(self.last[code])


def _repeat(symbols: pl.Series, period: int) -> bool:
    return 0 < period < symbols.len() and bool((symbols[period:] == symbols[:-period]).all())


@dataclass(frozen=True)
class RowIndex:
    """A part of some bars as numbers.

    Attributes:
        codes: Number of each row's symbol.
        slices: Its slices, in runs that ascend.
        outer: Positions of rows among which each symbol has its first and its last bar.
        by_time: Whether the rows are in strict (timestamp, symbol) order, and so no key repeats.
        by_symbol: Whether they are in strict (symbol, timestamp) order.
        stamps: Microseconds since 1970 UTC of each row.
    """

    codes: Codes
    stamps: Int64s
    slices: list[SliceRun]
    outer: Int64s | slice
    by_time: bool
    by_symbol: bool

    @classmethod
    def of(cls, part: pl.DataFrame, known: SymbolCodes) -> RowIndex:
        """Return the numbers of a part that has rows, and neither timestamp nor symbol null."""
        stamps = instants(part["timestamp"]).to_numpy()
        later = stamps[1:] > stamps[:-1]
        ascending = bool((later | (stamps[1:] == stamps[:-1])).all())
        starts = np.concatenate([[0], np.flatnonzero(later) + 1]) if ascending else np.empty(0, dtype=np.int64)
        sizes = np.diff(starts, append=part.height)
        # The size of the first slice that surely is whole.
        period = int(sizes[1]) if len(sizes) > 2 else 0
        codes, repeating = known.of(part["symbol"], period)
        # Where each slice is one round of the symbols, two rounds show the order of all.
        rounds = repeating and bool((sizes[1:-1] == period).all()) and max(sizes[0], sizes[-1]) <= period
        shown = 2 * period if rounds else part.height
        ranks, later = known.ranks(codes[:shown]), later[: shown - 1]
        by_time = ascending and bool((later | (ranks[1:] > ranks[:-1])).all())
        by_symbol = not by_time and bool(((ranks[1:] > ranks[:-1]) | ((ranks[1:] == ranks[:-1]) & later)).all())
        decided = instants(part["decision_instant"]).to_numpy()
        if ascending:
            slices = [(stamps[starts], np.maximum.reduceat(decided, starts), sizes)]
        else:
            slices = _runs_by_symbol(stamps, decided) if by_symbol else slice_runs(part)
        # Where symbols repeat, the first and the last of each stand at the ends.
        outer = np.r_[:period, part.height - period : part.height] if repeating else slice(None)
        return cls(codes, stamps, slices, outer, by_time, by_symbol)


def slices_of(part: pl.DataFrame) -> pl.DataFrame:
    """Return the slices of rows in any order: `timestamp`, `decision_instant` (the latest), `rows`."""
    return part.group_by("timestamp").agg(pl.col("decision_instant").max(), rows=pl.len())


def slice_runs(part: pl.DataFrame) -> list[SliceRun]:
    """Return the slices of rows in any order as one run; a row without a timestamp is in none of them."""
    slices = slices_of(part.drop_nulls("timestamp")).sort("timestamp").fill_null(strategy="zero")
    stamps, decided = (instants(slices[name]).to_numpy() for name in ("timestamp", "decision_instant"))
    return [(stamps, decided, slices["rows"].cast(pl.Int64).to_numpy())]


def _runs_by_symbol(stamps: Int64s, decided: Int64s) -> list[SliceRun]:
    """Return the rows of one symbol after the other, each of which ascends, as runs of slices of one row."""
    edges = [0, *(np.flatnonzero(stamps[1:] <= stamps[:-1]) + 1).tolist(), len(stamps)]
    ones = np.ones(len(stamps), dtype=np.int64)
    return [(stamps[begin:end], decided[begin:end], ones[begin:end]) for begin, end in pairwise(edges)]
