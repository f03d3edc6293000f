"""The slices of some bars, counted as parts of the bars come, in whatever order these lie."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import polars as pl

from ml4t_backtest.core.instants import as_moments

Int64s = npt.NDArray[np.int64]
_NEVER = np.iinfo(np.int64).min


@dataclass
class _Counts:
    """What is known by slice; arrays are aligned, timestamps ascend.

    Attributes:
        stamps: Its timestamp, microseconds since 1970 UTC.
        decided: The latest decision instant of its rows.
        rows: How many rows it has.
        part: The last part that had some of them.
        is_torn: Whether more than one part had.
    """

    stamps: Int64s
    decided: Int64s
    rows: Int64s
    part: Int64s
    is_torn: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, stamps: Int64s, decided: Int64s, rows: Int64s, part: int) -> _Counts:
        return cls(stamps, decided, rows, np.full(len(stamps), part), np.zeros(len(stamps), dtype=bool))

    def add(self, here: Int64s | slice, decided: Int64s, rows: Int64s, part: int) -> None:
        """Take in more rows of the slices at some places."""
        self.decided[here] = np.maximum(self.decided[here], decided)
        self.rows[here] += rows
        self.is_torn[here] |= self.part[here] != part
        self.part[here] = part


class SliceCounts:
    """Timestamps with the number of their rows; their number is all that memory grows with."""

    def __init__(self) -> None:
        # Each later than those before, so that bars in the order of time are put one behind the other.
        self._counts: list[_Counts] = []

    def add(self, stamps: Int64s, decided: Int64s, rows: Int64s, part: int) -> None:
        """Take in slices of a part.

        Args:
            stamps: Timestamps, ascending.
            decided: The latest decision instant of each.
            rows: How many rows each has.
            part: Number of the part.
        """
        last = self._counts[-1].stamps[-1] if self._counts else _NEVER
        known = int(np.searchsorted(stamps, last, side="right"))
        if known == 1 and stamps[0] == last:
            self._counts[-1].add(slice(-1, None), decided[:1], rows[:1], part)
        elif known:
            counts = self._together()
            counts.add(_places(counts, stamps[:known], part), decided[:known], rows[:known], part)
        if known < len(stamps):
            self._counts.append(_Counts.of(stamps[known:], decided[known:].copy(), rows[known:].copy(), part))

    def frame(self) -> pl.DataFrame:
        """Return `timestamp`, `decision_instant`, `rows`, `is_torn` (in several parts), ascending."""
        counts = self._together()
        moments = as_moments("timestamp", counts.stamps), as_moments("decision_instant", counts.decided)
        rows = pl.Series("rows", counts.rows).cast(pl.get_index_type())
        return pl.DataFrame([*moments, rows, pl.Series("is_torn", counts.is_torn)])

    def _together(self) -> _Counts:
        if len(self._counts) != 1:
            empty = np.empty(0, dtype=np.int64)
            each = [_Counts.of(empty, empty, empty, 0), *self._counts]
            self._counts = [_Counts(*(np.concatenate([getattr(c, f.name) for c in each]) for f in fields(_Counts)))]
        return self._counts[0]


def _places(counts: _Counts, stamps: Int64s, part: int) -> Int64s | slice:
    """Return where some timestamps stand; those that are new get a place."""
    first = int(np.searchsorted(counts.stamps, stamps[0]))
    run = slice(first, first + len(stamps))
    # Symbols mostly have the same timestamps.
    if np.array_equal(counts.stamps[run], stamps):
        return run
    places = np.searchsorted(counts.stamps, stamps)
    new = counts.stamps[np.minimum(places, len(counts.stamps) - 1)] != stamps
    if new.any():
        fresh = {"stamps": stamps[new], "decided": _NEVER, "rows": 0, "part": part, "is_torn": False}
        for name, values in fresh.items():
            setattr(counts, name, np.insert(getattr(counts, name), places[new], values))
        places = np.searchsorted(counts.stamps, stamps)
    return places
