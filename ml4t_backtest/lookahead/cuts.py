"""Where the past is parted from the future."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

from ml4t_backtest.lookahead.comparing import ALL_ALONG, Outcome

DEFAULT_CUTS = 12
_DAY = 86_400_000_000
_FIRST = 2


def choose_cuts(outcomes: Iterable[Outcome], number: int, *, before: int) -> list[int]:
    """Return moments at which rows become known, spread over all there are and next to where something happens.

    The first value of each column (most leaks are seen on the very row that they begin with); the first moments; then,
    in equal parts, moments spread over the whole span, moved to the beginning or end of their day, and moments at which
    a value that stays the same for long changes. The same outcomes give the same cuts.

    Args:
        outcomes: What came out of the world as it was.
        number: How many cuts, at least 1; fewer are returned where there are fewer moments.
        before: Nothing new becomes known from this moment on, so that a cut there has no future.
    """
    tables = list(outcomes)
    every = _distinct(np.concatenate([table.known.to_numpy() for table in tables]), before)
    firsts = [*_distinct(_first_values(tables), before), *every[:_FIRST]]
    changes = _distinct(np.concatenate([_changes(table) for table in tables]), before)
    chosen = list(dict.fromkeys(firsts))[: max(number // 3, 1)]
    for source, share in ((changes, (number - len(chosen)) // 3), (_edges(every), number)):
        left = [moment for moment in source if moment not in chosen]
        chosen += _spread(left, min(share, number - len(chosen)))
    return sorted(chosen)


def _distinct(moments: Sequence[int] | np.ndarray, before: int) -> list[int]:
    found = np.unique(np.asarray(moments, dtype=np.int64))
    return [int(moment) for moment in found[(found > ALL_ALONG) & (found < before)]]


def _first_values(tables: Sequence[Outcome]) -> list[int]:
    firsts = [table.known.filter(table.frame[name].is_not_null()).min() for table in tables for name in table.values]
    return [first for first in firsts if isinstance(first, int)]


def _changes(table: Outcome) -> np.ndarray:
    """Return when columns that mostly stay as they are take another value, and the moments just before."""
    by = [name for name in table.keys if name != "timestamp"]
    rows = table.frame.with_columns(table.known.alias("known at")).sort(*by, "known at", maintain_order=True)
    found: list[np.ndarray] = [np.zeros(0, dtype=np.int64)]
    for name in table.values:
        before = pl.col(name).shift(1).over(by or 1)
        changed = np.flatnonzero(rows.select(pl.col(name).ne_missing(before)).to_series().to_numpy())
        if len(changed) < rows.height / 2:
            found += [rows["known at"].to_numpy()[np.maximum(changed + step, 0)] for step in (0, -1)]
    return np.concatenate(found)


def _edges(moments: Sequence[int]) -> list[int]:
    """Return the moments in which days begin and end, and the one in the middle of them; all where there are few."""
    days = np.asarray(moments, dtype=np.int64) // _DAY
    _, first, count = np.unique(days, return_index=True, return_counts=True)
    places = np.unique(np.concatenate([first, first + count // 2, first + count - 1]))
    return [moments[int(place)] for place in places]


def _spread(moments: Sequence[int], number: int) -> list[int]:
    """Return so many of the moments, at equal distances, the last among them."""
    if number <= 0 or not moments:
        return []
    places = np.unique(np.linspace(0, len(moments) - 1, number + 1).round().astype(int)[1:])
    return [moments[int(place)] for place in places]
