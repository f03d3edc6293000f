"""The span of slices held in memory at once, as columns.

A slice is all bars of one timestamp; a chunk never splits one. Columns become arrays once per chunk; a slice is a
range of rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from ml4t_backtest.core.instants import instants

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Chunk:
    """Consecutive slices in (timestamp, symbol) order.

    Attributes:
        frame: Rows of the slices, as a strategy sees them.
        symbol_ids: Per row, the index of its symbol in the engine's symbol list.
        timestamps: Per slice, its instant.
        offsets: Slice i has the rows `offsets[i]` up to `offsets[i + 1]`.
        opened: Per row, its open instant.
        decided: Per slice, its decision instant.
        sessions: Per slice, its session as days since 1970.
        session_ends: Per slice, whether it is the last of its session.
        context: Per slice, context name -> value; None without context.
        is_last: Whether no chunk follows.
    """

    frame: pl.DataFrame
    symbol_ids: Integers
    timestamps: Integers
    offsets: Integers
    opened: Integers
    decided: Integers
    sessions: Integers
    session_ends: npt.NDArray[np.bool_]
    context: list[dict[str, Any]] | None
    is_last: bool

    @property
    def num_slices(self) -> int:
        """Number of slices."""
        return len(self.timestamps)

    @cached_property
    def prices(self) -> Mapping[str, Floats]:
        """Columns open, high, low, close and volume as arrays over rows."""
        return {name: self.frame[name].to_numpy() for name in ("open", "high", "low", "close", "volume")}

    @cached_property
    def first_rows(self) -> list[int]:
        """`offsets` as plain integers, quicker to read one by one."""
        return [int(row) for row in self.offsets]

    def rows_of(self, index: int) -> dict[int, int]:
        """Return symbol id -> row for the bars of slice `index`."""
        first, last = self.first_rows[index], self.first_rows[index + 1]
        return dict(zip(self.symbol_ids[first:last].tolist(), range(first, last), strict=True))

    def batch(self, index: int) -> pl.DataFrame:
        """Return the rows of slice `index`, a view."""
        first = self.first_rows[index]
        return self.frame.slice(first, self.first_rows[index + 1] - first)

    def head(self, slices: int) -> Chunk:
        """Return a chunk that ends after its first `slices`."""
        rows = self.first_rows[slices]
        return replace(
            self,
            frame=self.frame.head(rows),
            symbol_ids=self.symbol_ids[:rows],
            timestamps=self.timestamps[:slices],
            offsets=self.offsets[: slices + 1],
            opened=self.opened[:rows],
            decided=self.decided[:slices],
            sessions=self.sessions[:slices],
            session_ends=self.session_ends[:slices],
            context=None if self.context is None else self.context[:slices],
        )

    def context_at(self, index: int) -> dict[str, Any]:
        """Return the context of slice `index`, a copy that may be changed; empty without context."""
        return dict(self.context[index]) if self.context is not None else {}


def slice_offsets(timestamps: pl.Series) -> tuple[Integers, Integers]:
    """Return the distinct timestamps of sorted rows and where each begins, with the end as last offset."""
    groups = timestamps.to_frame("t").group_by("t", maintain_order=True).len()
    offsets = np.concatenate([[0], groups["len"].cast(pl.Int64).cum_sum().to_numpy()])
    return instants(groups["t"]).to_numpy(), offsets.astype(np.int64)
