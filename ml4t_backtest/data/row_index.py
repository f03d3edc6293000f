"""What a part of some bars holds, as numbers: codes of its symbols, the order of its keys, its slices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from ml4t_backtest.core.instants import UTC_MICROSECONDS, instants

Int64s = npt.NDArray[np.int64]


class SymbolCodes:
    """Numbers for symbols, 0, 1, 2, ... in the order in which they are first seen, the same in every part.

    Attributes:
        names: The symbols seen so far, by their numbers.
    """

    def __init__(self) -> None:
        self._dtype = pl.Categorical(pl.Categories.random("symbols", pl.UInt32))
        self._kept = pl.Series(dtype=self._dtype)
        self.names: list[str] = []
        self._ranks = np.empty(0, dtype=np.int64)

    def of(self, symbols: pl.Series, period: int) -> tuple[npt.NDArray[np.uint32], bool]:
        """Return the number of each symbol, and whether they repeat after `period` rows throughout.

        Args:
            symbols: Symbols without nulls.
            period: After how many rows they probably repeat: comparing is cheaper than looking each up.
        """
        repeating = 0 < period < symbols.len() and bool((symbols[period:] == symbols[:-period]).all())
        looked_up = symbols[:period] if repeating else symbols
        coded = looked_up.cast(self._dtype)
        codes: npt.NDArray[np.uint32] = coded.to_physical().to_numpy()
        if codes.max() >= len(self.names):
            # Polars forgets the numbers with the last series that has them.
            self._kept = coded
            self._learn(looked_up, codes)
        return (np.resize(codes, symbols.len()) if repeating else codes), repeating

    def _learn(self, symbols: pl.Series, codes: npt.NDArray[np.uint32]) -> None:
        new = np.flatnonzero(codes >= len(self.names))
        _, first = np.unique(codes[new], return_index=True)
        self.names = [*self.names, *symbols.gather(new[first]).to_list()]
        self._ranks = pl.Series(self.names).rank("ordinal").cast(pl.Int64).to_numpy()

    def ranks(self, codes: npt.NDArray[np.uint32]) -> Int64s:
        """Return the places of symbols in the order of their names."""
        return self._ranks[codes]


@dataclass(frozen=True)
class RowIndex:
    """A part of some bars as numbers.

    Attributes:
        codes: Number of each row's symbol.
        timestamps: Microseconds since 1970 UTC of each row.
        slices: `timestamp`, `decision_instant` (the latest of the slice), `rows`.
        symbols: `symbol`, `first`, `last` (timestamps).
        by_time: Whether the rows are in strict (timestamp, symbol) order, and so no key repeats.
        by_symbol: Whether they are in strict (symbol, timestamp) order.
        ends: (timestamp, symbol) of the first and of the last row.
    """

    codes: npt.NDArray[np.uint32]
    timestamps: Int64s
    slices: pl.DataFrame
    symbols: pl.DataFrame
    by_time: bool
    by_symbol: bool
    ends: tuple[tuple[int, str], tuple[int, str]]

    @classmethod
    def of(cls, part: pl.DataFrame, known: SymbolCodes) -> RowIndex:
        """Return the numbers of a part that has rows, and neither timestamp nor symbol null."""
        stamps = instants(part["timestamp"]).to_numpy()
        steps = np.diff(stamps)
        ascending = bool((steps >= 0).all())
        starts = np.concatenate([[0], np.flatnonzero(steps) + 1]) if ascending else np.empty(0, dtype=np.int64)
        period = _period(starts, part.height)
        codes, repeating = known.of(part["symbol"], period)
        # Where symbols repeat, the first and the last of each stand at the ends.
        ends = np.r_[:period, part.height - period : part.height] if repeating else slice(None)
        ranks = np.diff(known.ranks(codes))
        by_time = ascending and bool(((steps > 0) | (ranks > 0)).all())
        by_symbol = not by_time and bool(((ranks > 0) | ((ranks == 0) & (steps > 0))).all())
        return cls(
            codes,
            stamps,
            _slices_between(part, stamps, starts) if ascending else slices_of(part),
            _symbols_within(codes[ends], stamps[ends], known) if ascending else symbols_of(part),
            by_time,
            by_symbol,
            tuple((int(stamps[row]), known.names[codes[row]]) for row in (0, -1)),  # type: ignore[arg-type]
        )


def slices_of(part: pl.DataFrame) -> pl.DataFrame:
    """Return the slices of rows in any order: `timestamp`, `decision_instant`, `rows`."""
    return part.group_by("timestamp").agg(pl.col("decision_instant").max(), rows=pl.len())


def symbols_of(part: pl.DataFrame) -> pl.DataFrame:
    """Return the symbols of rows in any order: `symbol`, `first`, `last`."""
    stamp = pl.col("timestamp")
    return part.group_by("symbol").agg(first=stamp.min(), last=stamp.max())


def _period(starts: Int64s, height: int) -> int:
    """Return the size of the first slice that begins and ends here."""
    if len(starts) < 3:
        return 0
    return int(starts[2] - starts[1]) if starts[2] <= height else 0


def _slices_between(part: pl.DataFrame, stamps: Int64s, starts: Int64s) -> pl.DataFrame:
    """Return the slices of rows in the order of time."""
    decided = np.maximum.reduceat(instants(part["decision_instant"]).to_numpy(), starts)
    sizes = np.diff(np.append(starts, len(stamps)))
    frame = pl.DataFrame({"timestamp": stamps[starts], "decision_instant": decided, "rows": sizes})
    return frame.with_columns(_as_instant("timestamp", "decision_instant"), pl.col("rows").cast(pl.get_index_type()))


def _symbols_within(codes: npt.NDArray[np.uint32], stamps: Int64s, known: SymbolCodes) -> pl.DataFrame:
    """Return the symbols of rows in the order of time: of several writes to one place the last one stays."""
    first, last = np.full((2, len(known.names)), -1, dtype=np.int64)
    seen = np.zeros(len(known.names), dtype=bool)
    seen[codes] = True
    last[codes] = stamps
    first[codes[::-1]] = stamps[::-1]
    frame = pl.DataFrame({"symbol": known.names, "first": first, "last": last}, schema_overrides={"symbol": pl.String})
    return frame.filter(pl.Series(seen)).with_columns(_as_instant("first", "last"))


def _as_instant(*names: str) -> pl.Expr:
    return pl.col(*names).cast(pl.Datetime("us")).dt.replace_time_zone("UTC").cast(UTC_MICROSECONDS)
