"""Bars in the order of symbol and time, behind each symbol's last bars of the part before.

What one asks of a bar and those before it then depends on neither the parts a file is read in nor its order.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from ml4t_backtest.core.instants import instants

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.uint32]
Positions = Int64s | int | slice
Came = Mapping[str, npt.NDArray[Any]]

# So many bars of each symbol are carried into the next part: nothing looks farther back.
LOOK_BACK = 64
# What is looked at of a bar.
SEEN = ("timestamp", "open", "high", "low", "close", "volume")
# A screen for moves of a tenth, a little finer so that rounding loses none.
_JUMP = 1.099


class SymbolRows:
    """Bars by symbol and time: positions count, and all arrays are, in this order.

    A column is put in order when it is asked for. Where few bars are looked at, ask for those (`at`); what only few
    bars can have is best looked for in the columns as they came (`came`, `moment_times`), and then chosen.

    Attributes:
        carried: How many bars are not new, but carried from the part before.
        present: Numbers of the symbols of these bars, ascending.
        begins: Position of the first bar of each of them.
        ends: Position behind its last bar.
    """

    def __init__(self, came: Came, carried: int = 0) -> None:
        """Put bars in order.

        Args:
            came: `code` (of the symbol), `row` (in the source) and the columns `SEEN`, those of each symbol in the
                order of time; timestamps as microseconds since 1970 UTC.
            carried: How many of the first are carried from the part before.
        """
        self._came, self.carried = came, carried
        codes = came["code"]
        # Sixteen bits sort by counting, in a tenth of the time.
        keys = codes.astype(np.uint16) if codes.max() < 2**16 else codes
        self._order = np.argsort(keys, kind="stable")
        counts = np.bincount(codes)
        self.present = np.flatnonzero(counts)
        self.ends: Int64s = np.cumsum(counts[self.present])
        self.begins: Int64s = self.ends - counts[self.present]

    @classmethod
    def of(cls, part: pl.DataFrame, codes: Codes, rows: Int64s, carried: Came | None) -> SymbolRows:
        """Return a part's bars behind those that the part before left (see `tail`)."""
        new: dict[str, npt.NDArray[Any]] = {"code": codes, "row": rows}
        new["timestamp"] = instants(part["timestamp"]).to_numpy()
        new |= {name: part[name].to_numpy() for name in SEEN[1:]}
        if carried is None:
            return cls(new)
        return cls({name: np.concatenate([carried[name], new[name]]) for name in new}, len(carried["code"]))

    def __len__(self) -> int:
        """Return the number of bars, carried ones included."""
        return len(self._order)

    @cached_property
    def timestamps(self) -> Int64s:
        """Close of each bar, microseconds since 1970 UTC."""
        return self._came["timestamp"][self._order]

    @cached_property
    def open(self) -> Floats:
        """First prices."""
        return self._came["open"][self._order]

    @cached_property
    def high(self) -> Floats:
        """Highest prices."""
        return self._came["high"][self._order]

    @cached_property
    def low(self) -> Floats:
        """Lowest prices."""
        return self._came["low"][self._order]

    @cached_property
    def close(self) -> Floats:
        """Last prices."""
        return self._came["close"][self._order]

    @cached_property
    def is_first(self) -> Bools:
        """Whether no bar of the same symbol stands before each."""
        first = np.zeros(len(self), dtype=bool)
        first[self.begins] = True
        return first

    @cached_property
    def steps(self) -> Int64s:
        """Time from each bar to the next, of whatever symbol that is."""
        return np.diff(self.timestamps)

    @cached_property
    def in_order(self) -> bool:
        """Whether the bars of each symbol came in the order of time."""
        return bool(((self.steps > 0) | self.is_first[1:]).all())

    @cached_property
    def moment_times(self) -> Int64s:
        """Closes of the bars as they came, one for neighbours with the same."""
        return self._came["timestamp"][self._moment_starts]

    @cached_property
    def moments(self) -> Int32s:
        """Position of each bar's close in `moment_times`."""
        return self.came_moments[self._order]

    @cached_property
    def came_moments(self) -> Int32s:
        """The same, in the order in which the bars came."""
        lengths = np.diff(self._moment_starts, append=len(self))
        return np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)

    @cached_property
    def _moment_starts(self) -> Int64s:
        stamps = self._came["timestamp"]
        return np.concatenate([[0], np.flatnonzero(stamps[1:] != stamps[:-1]) + 1])

    @cached_property
    def behind_jumps(self) -> Int64s:
        """Positions behind each bar that reaches a tenth away from the close before it, and of the same symbol."""
        before, high, low = self.close[:-2], self.high[1:-1], self.low[1:-1]
        at = np.flatnonzero((high > before * _JUMP) | (low * _JUMP < before)) + 2
        return at[self.since(at) >= 2]

    def came(self, name: str) -> npt.NDArray[Any]:
        """Return `code` or one of `SEEN` in the order in which the bars came, carried ones first."""
        return self._came[name]

    def at(self, name: str, positions: Positions) -> npt.NDArray[Any]:
        """Return `code`, `row` or one of `SEEN` of the bars at some positions."""
        return self._came[name][self._order[positions]]

    def that_came(self, chosen: Bools) -> Int64s:
        """Return the positions of the bars that an array in the order in which they came chooses."""
        return np.flatnonzero(chosen[self._order]) if chosen.any() else _NONE

    def at_moments(self, chosen: Bools) -> Int64s:
        """Return the positions of the bars that close at the chosen ones of `moment_times`."""
        return np.flatnonzero(chosen[self.moments]) if chosen.any() else _NONE

    def is_fresh(self, positions: Positions) -> Bools:
        """Return whether the bars at some positions are new."""
        return self._order[positions] >= self.carried

    def since(self, positions: Int64s) -> Int64s:
        """Return how many bars of the same symbol stand before the bars at some positions."""
        return positions - self.begins[np.searchsorted(self.ends, positions, side="right")]

    def tail(self) -> Came:
        """Return the last bars of each symbol, as the next part needs them."""
        kept = np.minimum(self.ends - self.begins, LOOK_BACK)
        firsts = np.repeat(self.ends - np.cumsum(kept), kept)
        rows = self._order[firsts + np.arange(len(firsts))]
        return {name: values[rows] for name, values in self._came.items()}


_NONE = np.zeros(0, dtype=np.int64)
