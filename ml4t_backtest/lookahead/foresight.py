"""How much of a delivered value is made of bars that were not over when it is said to have been known.

The past explains a value as far as it can, by least squares. Of what is left, how much does something that lies ahead
explain? A value that was computed from later bars leaves next to nothing; the best honest model in the world leaves
most of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from ml4t_backtest.lookahead.bar_features import Ahead, Bars, Floats, Integers, ahead, leads, past

# Share of what the past leaves open: from here on a return that lies ahead was computed, not predicted ...
COMPUTED = 0.9
# ... and from here on somebody should know about it.
REMARKABLE = 0.5
# For what is no return (volumes, ranges, windows) nothing but the very same number will do: the calendar, and the
# bars that a window shares with the past, predict such things well.
SAME = 1.0 - 1e-6
_FEWEST_ROWS = 60
_INDEPENDENT = 30
EXPLAINED = 1e-10
_FEW_VALUES = 20
_MISPLACED = 0.01
_LONG = 5


@dataclass(frozen=True)
class Seen:
    """Values of one symbol beside its bars.

    Attributes:
        values: Value per row.
        bars: The symbol's bars.
        at: Per row, number of the last bar that was over when the row became known.
        known: Per row, when that was, microseconds since 1970 UTC.
        of_market: Whether they are about the market and not about the symbol.
    """

    values: Floats
    bars: Bars
    at: Integers
    known: Integers
    of_market: bool = False


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
        share = "all" if self.share > SAME else f"{self.share:.1%}"
        return f"{share} of what earlier bars leave open is {self.what} (over {self.rows:,} rows)"


def foresight(seen: Sequence[Seen]) -> Foresight | None:
    """Return what lies ahead and explains a column best, if that is a leak or remarkable."""
    found = sorted(_all(seen), key=lambda each: (not each.is_certain, -round(each.share, 6)))
    return found[0] if found else None


def _all(seen: Sequence[Seen]) -> Iterator[Foresight]:
    if not seen:
        return
    stacked = _Stacked(seen)
    for long in (False, True):
        chosen = [number for number, each in enumerate(ahead()) if (each.horizon > _LONG) == long]
        for values, by_rank in stacked.forms():
            yield from stacked.explained(values, chosen, by_rank)
        yield from stacked.sorted_by(chosen)
    for values, by_rank in stacked.forms():
        if not by_rank:
            yield from stacked.by_leads(values)


class _Stacked:
    """The rows of all symbols below each other, with what lies before and ahead of each."""

    def __init__(self, seen: Sequence[Seen]) -> None:
        self._symbol = np.repeat(np.arange(len(seen)), [len(each.values) for each in seen])
        self._values = np.concatenate([each.values for each in seen])
        self._times = np.concatenate([each.known for each in seen])
        self._close = self._gather(seen, {"close": pl.col("close")})[:, 0]
        self._past = np.column_stack([self._gather(seen, past()), _pending_open(seen), *_own_past(seen)])
        self._ahead = self._gather(seen, {str(number): each.value for number, each in enumerate(ahead())})
        parts = {str(number): each.past_part for number, each in enumerate(ahead()) if each.past_part is not None}
        self._part_of = {int(name): place for place, name in enumerate(parts)}
        self._parts = self._gather(seen, parts)
        self._leads = self._gather(seen, leads())
        self._known = np.isfinite(self._past).all(axis=1)

    def _gather(self, seen: Sequence[Seen], expressions: dict[str, pl.Expr]) -> Floats:
        return np.vstack([each.bars.table(expressions)[each.at] for each in seen])

    def forms(self) -> Iterator[tuple[Floats, bool]]:
        """Yield the values as they are, in units of the close, on one scale for all symbols, and as ranks."""
        yield self._values, False
        yield self._values / self._close, False
        if self._symbol[-1]:
            yield self._standardised(), False
        yield _ranks(self._values), True

    def _standardised(self) -> Floats:
        scaled = np.empty_like(self._values)
        for symbol in range(int(self._symbol[-1]) + 1):
            own = self._symbol == symbol
            values = self._values[own]
            scaled[own] = (values - values.mean()) / (values.std() or 1.0)
        return scaled

    def explained(self, values: Floats, chosen: Sequence[int], by_rank: bool) -> Iterator[Foresight]:
        """Yield what lies ahead and explains what the past leaves of the values."""
        chosen = [number for number in chosen if ahead()[number].is_return or not by_rank]
        rows = self._known & np.isfinite(self._ahead[:, chosen]).all(axis=1)
        if rows.sum() < max(_FEWEST_ROWS, 2 * self._past.shape[1]):
            return
        before, lying_ahead = self._past[rows], self._ahead[rows][:, chosen]
        if by_rank:
            before, lying_ahead = (np.apply_along_axis(_ranks, 0, each) for each in (before, lying_ahead))
        parts = [self._part_of[number] for number in chosen if number in self._part_of]
        open_values, left = left_open(before, np.column_stack([values[rows], lying_ahead, self._parts[rows][:, parts]]))
        if left[0] <= EXPLAINED:
            return
        place_of = {number: 1 + len(chosen) + place for place, number in enumerate(n for n in chosen if n in self._part_of)}
        for place, number in enumerate(chosen, start=1):
            if left[place] <= EXPLAINED:
                continue
            share = share_of(open_values[:, 0], open_values[:, place], open_values[:, place_of[number]] if number in place_of else None)
            yield from self._judged(ahead()[number], share, rows)

    def sorted_by(self, chosen: Sequence[int]) -> Iterator[Foresight]:
        """Yield returns ahead that put values of which there are few in order: labels."""
        distinct, count = np.unique(self._values, return_counts=True)
        if not 2 <= len(distinct) <= _FEW_VALUES or count.min() < 10:
            return
        for number in chosen:
            each = ahead()[number]
            rows = np.isfinite(self._ahead[:, number])
            if not each.is_return or rows.sum() < _FEWEST_ROWS or len(np.unique(self._ahead[rows, number])) <= _FEW_VALUES:
                continue
            values = self._values[rows]
            ordered = values[np.argsort(self._ahead[rows, number], kind="stable")]
            wrong = min(float((ordered != np.sort(values)[::step]).mean()) for step in (1, -1))
            if wrong <= _MISPLACED and self._independent(rows, each.horizon):
                yield Foresight(f"a step of {each.what}", 1.0 - wrong, int(rows.sum()), True)

    def by_leads(self, values: Floats) -> Iterator[Foresight]:
        """Yield that the values are a window over later bars, of whatever weights."""
        rows = self._known & np.isfinite(self._leads).all(axis=1) & np.isfinite(values)
        degrees = rows.sum() - self._past.shape[1] - self._leads.shape[1] - 1
        if degrees < 2 * (self._past.shape[1] + self._leads.shape[1]):
            return
        target = values[rows][:, None]
        before, left = left_open(self._past[rows], target)
        if left[0] <= EXPLAINED:
            return
        after, _ = left_open(np.column_stack([self._past[rows], self._leads[rows]]), target)
        # As many numbers explain something of anything: what they would by chance is taken off.
        share = 1.0 - (after**2).sum() / degrees / ((before**2).sum() / (degrees + self._leads.shape[1]))
        every = Ahead(f"a sum of the next {self._leads.shape[1]} returns", pl.lit(None), None, True, 1)
        yield from self._judged(every, float(share), rows)

    def _judged(self, each: Ahead, share: float, rows: np.ndarray) -> Iterator[Foresight]:
        counted = int(rows.sum())
        if share >= SAME:
            yield Foresight(each.what, share, counted, True)
        elif each.is_return and share >= REMARKABLE and self._independent(rows, each.horizon):
            yield Foresight(each.what, share, counted, share >= COMPUTED)

    def _independent(self, rows: np.ndarray, horizon: int) -> bool:
        """Whether there are enough stretches of time that do not overlap: symbols move together, and so do horizons."""
        return len(np.unique(self._times[rows])) >= _INDEPENDENT * horizon


def _own_past(seen: Sequence[Seen]) -> list[Floats]:
    """Return the two values before each: of a level that no bar tells of, they are the past."""
    if not all(each.of_market for each in seen):
        return []
    lagged = ([np.append(np.full(lag, np.nan), each.values)[: len(each.values)] for each in seen] for lag in (1, 2))
    return [np.concatenate(parts) for parts in lagged]


def _pending_open(seen: Sequence[Seen]) -> Floats:
    """Return the open of the bar that was under way when a row became known, in units of the close before it."""
    found = []
    for each in seen:
        close, opened = (each.bars.frame[name].to_numpy() for name in ("close", "open"))
        after = np.minimum(each.at + 1, len(close) - 1)
        under_way = np.zeros(len(after), dtype=bool) if each.bars.opened is None else each.bars.opened[after] < each.known
        found.append(np.where(under_way & (after > each.at), opened[after] / close[each.at], 1.0))
    return np.concatenate(found)


def left_open(explaining: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Return what least squares leaves of the columns of `values`, and which part of their variation that is."""
    spread = explaining.std(axis=0)
    useful = explaining[:, spread > 1e-12 * np.abs(explaining).max(axis=0)]
    basis, _ = np.linalg.qr((useful - useful.mean(axis=0)) / useful.std(axis=0))
    centred = values - values.mean(axis=0)
    left = centred - basis @ (basis.T @ centred)
    left -= basis @ (basis.T @ left)
    total = (centred**2).sum(axis=0)
    return left, np.divide((left**2).sum(axis=0), total, out=np.zeros(len(total)), where=total > 0)


def share_of(value: Floats, lies_ahead: Floats, part: Floats | None) -> float:
    """Return which share of a value something explains, after the part of it that lies in the past has done so."""
    if part is not None and (size := part @ part) > 0:
        before = value @ value
        value, lies_ahead = (each - part * (each @ part) / size for each in (value, lies_ahead))
        if value @ value <= 1e-9 * before:
            return 0.0
    total = (value @ value) * (lies_ahead @ lies_ahead)
    return float((value @ lies_ahead) ** 2 / total) if total > 0 else 0.0


def _ranks(values: Floats) -> Floats:
    """Return the ranks of values, equal ones in the middle of theirs."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2.0)[place]
