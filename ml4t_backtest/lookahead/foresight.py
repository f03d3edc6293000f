"""How much of a delivered value is made of bars that were not over when it is said to have been known.

The past explains a value as far as it can, by least squares. Of what is left, how much does something that lies ahead
explain? A value that was computed from later bars leaves next to nothing; the best honest model in the world leaves
most of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from ml4t_backtest.lookahead.bar_features import LEADS, Floats, ahead
from ml4t_backtest.lookahead.seen import Booleans, Past, Seen, Stacked, ranks

# Share of what the past leaves open: from here on a return that lies ahead was computed, not predicted ...
COMPUTED = 0.9
# ... and from here on somebody should know about it.
REMARKABLE = 0.5
# For what is no return (volumes, ranges, windows) nothing but the very same number will do: the calendar, and the
# bars that a window shares with the past, predict such things well.
SAME = 1.0 - 1e-6
# What least squares leaves of something that it explains is rounding, or the bend of a curve.
EXPLAINED = 1e-6
# Less than this left open of a value tells nothing of what it is made of ...
_OPEN = 0.02
# ... and returns that follow from the past are known to a good model, honestly.
_UNCERTAIN = 0.1
_FEWEST_ROWS = 60
# Stretches of time that do not overlap; below that, two slow series go together by chance.
_INDEPENDENT = 25
_LONG = 5
# Labels: so few values, each so often, and so few of them in the wrong place.
_FEW_VALUES, _EACH, _MISPLACED = 20, 10, 0.01


@dataclass(frozen=True)
class Foresight:
    """What a column was found to be made of.

    Attributes:
        what: Something that lies ahead, in words.
        share: Of what the past leaves open, how much it explains.
        rows: Number of rows looked at.
        is_certain: Whether it is a leak, rather than remarkable.
    """

    what: str
    share: float
    rows: int
    is_certain: bool

    def sentence(self) -> str:
        """Return the finding in words."""
        share = "all" if self.share >= SAME else f"{self.share:.1%}"
        return f"{share} of what earlier bars leave open is {self.what} (over {self.rows:,} rows)"


def foresight(seen: Sequence[Seen]) -> Foresight | None:
    """Return what lies ahead and explains a column best, if that is a leak or remarkable."""
    if not seen:
        return None
    found = sorted(_all(Stacked(seen)), key=lambda each: (not each.is_certain, -round(each.share, 6)))
    return found[0] if found else None


def _all(stacked: Stacked) -> Iterator[Foresight]:
    forms = stacked.forms()
    # What lies far ahead is not known of the last rows: what lies near is looked for in all.
    for chosen in _by_horizon():
        yield from _explained(stacked, forms, chosen, by_rank=False)
        returns = [number for number in chosen if ahead()[number].is_return]
        yield from _explained(stacked, ranks(stacked.values)[:, None], returns, by_rank=True)
        yield from _sorted(stacked, returns)
    yield from _summed(stacked, forms)


@cache
def _by_horizon() -> tuple[list[int], list[int]]:
    near = [number for number, each in enumerate(ahead()) if each.horizon <= _LONG]
    return near, [number for number in range(len(ahead())) if number not in near]


def _explained(stacked: Stacked, forms: Floats, chosen: list[int], *, by_rank: bool) -> Iterator[Foresight]:
    """Yield what lies ahead and explains what the past leaves of the values, in any of their forms."""
    rows = stacked.has_past & np.isfinite(stacked.ahead[:, chosen]).all(axis=1)
    if rows.sum() < max(_FEWEST_ROWS, 2 * stacked.past.shape[1]):
        return
    before, lies_ahead = stacked.past[rows], stacked.ahead[rows][:, chosen]
    if by_rank:
        before, lies_ahead = (np.apply_along_axis(ranks, 0, each) for each in (before, lies_ahead))
    past = Past(before)
    values, is_open = past.leaves(forms[rows])
    later, uncertain = past.leaves(lies_ahead)
    parts, _ = past.leaves(stacked.past_parts[rows][:, chosen])
    for value, part_open in zip(values.T, is_open, strict=True):
        shares = shares_of(value, later, parts)
        for number, share, part_uncertain in zip(chosen, shares, uncertain, strict=True):
            yield from _Judge(stacked, rows, part_open, part_uncertain).judge(number, float(share))


def _sorted(stacked: Stacked, chosen: list[int]) -> Iterator[Foresight]:
    """Yield returns ahead that put values of which there are few in order: labels."""
    _, count = np.unique(stacked.values, return_counts=True)
    if not 2 <= len(count) <= _FEW_VALUES or count.min() < _EACH:
        return
    for number in chosen:
        rows = stacked.has_past & np.isfinite(stacked.ahead[:, number])
        values, lies_ahead = stacked.values[rows], stacked.ahead[rows, number]
        if len(values) < _FEWEST_ROWS or len(np.unique(lies_ahead)) <= _FEW_VALUES:
            continue
        ordered, sorted_ = values[np.argsort(lies_ahead, kind="stable")], np.sort(values)
        wrong = min(float((ordered != sorted_[::step]).mean()) for step in (1, -1))
        if wrong <= _MISPLACED:
            _, uncertain = Past(stacked.past[rows]).leaves(lies_ahead[:, None])
            yield from _Judge(stacked, rows, 1.0, float(uncertain[0])).judge(number, 1.0 - wrong, "a step of ")


def _summed(stacked: Stacked, forms: Floats) -> Iterator[Foresight]:
    """Yield that the values are a window over later bars, of whatever weights."""
    rows = stacked.has_past & np.isfinite(stacked.leads).all(axis=1)
    explaining = stacked.past.shape[1] + LEADS
    degrees = int(rows.sum()) - explaining - 1
    if degrees < 2 * explaining:
        return
    past = Past(stacked.past[rows])
    before, is_open = past.leaves(forms[rows])
    after, _ = Past(np.column_stack([stacked.past[rows], stacked.leads[rows]])).leaves(forms[rows])
    _, uncertain = past.leaves(stacked.leads[rows])
    for left, still_left, part_open in zip((before**2).sum(axis=0), (after**2).sum(axis=0), is_open, strict=True):
        # So many numbers explain something of anything: what they would explain by chance is taken off.
        share = 1.0 - still_left / degrees / (left / (degrees + LEADS)) if left > 0.0 else 0.0
        yield from _Judge(stacked, rows, part_open, float(uncertain.mean())).judge(None, float(share))


@dataclass(frozen=True)
class _Judge:
    """Says what a share means.

    Attributes:
        stacked: The rows.
        rows: Those that were looked at.
        is_open: Part of the values that the past does not explain.
        uncertain: The same of what lies ahead.
    """

    stacked: Stacked
    rows: Booleans
    is_open: float
    uncertain: float

    def judge(self, number: int | None, share: float, how: str = "") -> Iterator[Foresight]:
        """Yield a share that is too high for chance and for skill; number None is the sum of the leads."""
        each = None if number is None else ahead()[number]
        what = f"a sum of the next {LEADS} returns" if each is None else f"{how}{each.what}"
        if min(self.is_open, self.uncertain) <= EXPLAINED:
            return
        if share >= SAME:
            yield Foresight(what, share, int(self.rows.sum()), True)
        elif share >= REMARKABLE and self._means_something() and (each is None or each.is_return):
            horizon = 1 if each is None else each.horizon
            if self.stacked.moments(self.rows) >= _INDEPENDENT * horizon:
                yield Foresight(what, share, int(self.rows.sum()), share >= COMPUTED)

    def _means_something(self) -> bool:
        return self.is_open > _OPEN and self.uncertain > _UNCERTAIN


def shares_of(value: Floats, later: Floats, parts: Floats) -> Floats:
    """Return which share of a value each column explains, after the part of it that lies in the past has done so.

    Args:
        value: What the past leaves of the value.
        later: What the past leaves of something that lies ahead, one column each.
        parts: The same of their past parts; 0 where there are none.
    """
    size = (parts**2).sum(axis=0)
    scale = np.divide(1.0, size, out=np.zeros(len(size)), where=size > 0.0)
    beside = value[:, None]
    of_value, of_later = (beside * parts).sum(axis=0), (later * parts).sum(axis=0)
    values, laters = (value**2).sum(), (later**2).sum(axis=0)
    value_left, later_left = values - of_value**2 * scale, laters - of_later**2 * scale
    together = ((beside * later).sum(axis=0) - of_value * of_later * scale) ** 2
    told = (value_left > EXPLAINED * values) & (later_left > EXPLAINED * laters)
    shares: Floats = np.divide(together, value_left * later_left, out=np.zeros(len(size)), where=told)
    return shares
