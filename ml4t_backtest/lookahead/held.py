"""Values that stay the same for several bars: filled from the front, or from the end?

A weekly value that is honest shows on Monday what was known on Friday before. One that was filled backward, joined
forward or labelled by the beginning of its week shows on Monday the close of the Friday to come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import polars as pl

from ml4t_backtest.lookahead.bar_features import Floats, Integers
from ml4t_backtest.lookahead.foresight import EXPLAINED, SAME, Foresight, shares_of
from ml4t_backtest.lookahead.seen import Past, Seen

_LAGS = 3
_FEWEST_RUNS = 40
_LONGEST_PART = 0.7
_AT_THE_END: dict[str, tuple[str, Callable[[Floats], float]]] = {
    "the last close": ("close", lambda values: float(values[-1])),
    "the highest high": ("high", lambda values: float(values.max())),
    "the lowest low": ("low", lambda values: float(values.min())),
    "the mean close": ("close", lambda values: float(values.mean())),
    "the volume": ("volume", lambda values: float(values.sum())),
}


def held_foresight(seen: Sequence[Seen]) -> Foresight | None:
    """Return what the bars of each stretch tell at its end, if the value shows it from the beginning on."""
    held = [(each, *_runs(each)) for each in seen]
    runs = sum(len(starts) for _, starts, _ in held)
    if not runs or runs > _LONGEST_PART * sum(len(each.values) for each in seen):
        return None
    values = np.concatenate([each.values[starts] for each, starts, _ in held])
    # Switches between a few states tell of something else than prices.
    if len(np.unique(values)) < runs / 2:
        return None
    close = np.concatenate([_column(each, "close")[each.at[starts]] for each, starts, _ in held])
    before = np.vstack([_before(each, starts) for each, starts, _ in held])
    there = np.isfinite(before).all(axis=1)
    if there.sum() < max(_FEWEST_RUNS, 2 * before.shape[1]):
        return None
    past = Past(before[there])
    for what, (name, statistic) in _AT_THE_END.items():
        at_the_end = np.concatenate([_at_the_end(each, starts, ends, name, statistic) for each, starts, ends in held])
        scale = 1.0 if name == "volume" else close
        for shown in (values / close, values):
            left, part = past.leaves(np.column_stack([shown, at_the_end / scale])[there])
            share = shares_of(left[:, 0], left[:, 1:], np.zeros_like(left[:, 1:]))[0] if min(part) > EXPLAINED else 0.0
            if share >= SAME:
                return Foresight(f"{what} of the bars that show it", float(share), int(there.sum()), True)
    return None


def _runs(seen: Seen) -> tuple[Integers, Integers]:
    """Return the first and the last row of each stretch with one value, but the last stretch: it may not be over."""
    changed = np.flatnonzero(np.diff(seen.values) != 0)
    starts = np.concatenate([[0], changed + 1])[:-1].astype(np.int64)
    return starts, changed.astype(np.int64)


def _column(seen: Seen, name: str) -> Floats:
    return seen.bars.frame[name].cast(pl.Float64).to_numpy()


def _before(seen: Seen, starts: Integers) -> Floats:
    """Return what was known when each stretch began, in units of the close then."""
    at = seen.at[starts]
    close = _column(seen, "close")
    past = [np.where(at >= lag, close[np.maximum(at - lag, 0)], np.nan) / close[at] for lag in range(1, _LAGS + 1)]
    inside = [_column(seen, name)[at] / close[at] for name in ("open", "high", "low")]
    return np.column_stack([close[at], 1.0 / close[at], np.log1p(_column(seen, "volume")[at]), *past, *inside])


def _at_the_end(
    seen: Seen, starts: Integers, ends: Integers, name: str, statistic: Callable[[Floats], float]
) -> Floats:
    values = _column(seen, name)
    spans: Iterator[tuple[int, int]] = zip(seen.at[starts].tolist(), seen.at[ends].tolist(), strict=True)
    return np.array([statistic(values[first : last + 1]) for first, last in spans])
