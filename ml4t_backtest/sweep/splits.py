"""Parts of time: what is chosen on, and what it is then tested on.

A split divides the bars of a history into folds. Each has a part to train on, which is to say to choose on, and a part
to test on; `purge` and `embargo` keep bars between them out of both. Nothing here looks at anything but the number of
bars: what lies behind a bar never moves a fold before it.

Source: Lopez de Prado, "Advances in Financial Machine Learning", 2018, chapters 7 and 12.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from ml4t_backtest.errors import ConfigError

Bars = Annotated[int, Field(ge=1)]
Gap = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, slots=True)
class Span:
    """Consecutive bars.

    Attributes:
        first: Index of the first one.
        last: Index of the one after the last.
    """

    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first


@dataclass(frozen=True, slots=True)
class Fold:
    """What is chosen on, and what it is tested on, in the order of time.

    Attributes:
        name: Tells it apart, for example `walk_01`.
        train: Spans to choose on.
        test: Spans to test on; none shares a bar with `train`.
    """

    name: str
    train: tuple[Span, ...]
    test: tuple[Span, ...]


@dataclass(frozen=True)
class WalkForward:
    """Choose on the past, test on what follows, move on by as much.

    The past is `rolling`, the last `train_bars`, or `anchored`, all there is. No training follows a test, so both
    gaps lie before it: the last `purge + embargo` bars before a test are not trained on. What is left at the end is
    tested too, if it is at least half a test.

    >>> for fold in WalkForward(train_bars=4, test_bars=2, purge=1).folds(9):
    ...     print(fold.name, *fold.train, *fold.test)
    walk_01 Span(first=0, last=3) Span(first=4, last=6)
    walk_02 Span(first=2, last=5) Span(first=6, last=8)
    walk_03 Span(first=4, last=7) Span(first=8, last=9)

    Attributes:
        train_bars: Bars before a test, the gap included; of an anchored walk, before the first one.
        test_bars: Bars of a test.
        window: rolling or anchored.
        purge: Bars whose outcome reaches into the test.
        embargo: Further bars that are left out.
    """

    train_bars: Bars
    test_bars: Bars
    window: Literal["rolling", "anchored"] = "rolling"
    purge: Gap = 0
    embargo: Gap = 0
    model: Literal["walk_forward"] = "walk_forward"

    @property
    def gaps(self) -> tuple[int, int]:
        """Bars that are not trained on before and after a test."""
        return self.purge + self.embargo, 0

    def folds(self, bars: int) -> list[Fold]:
        """Return the folds of a history.

        Args:
            bars: Number of bars in it.

        Raises:
            ConfigError: There is none: the history is too short, or the gap takes all that is trained on.
        """
        gap, _ = self.gaps
        if gap >= self.train_bars:
            raise ConfigError(f"purge and embargo leave nothing to train on: {gap} of {self.train_bars} bars")
        starts = [
            start
            for start in range(self.train_bars, bars, self.test_bars)
            if 2 * min(self.test_bars, bars - start) >= self.test_bars
        ]
        if not starts:
            needed = self.train_bars + math.ceil(self.test_bars / 2)
            raise ConfigError(f"a walk with these windows needs {needed} bars, the history has {bars}")
        return [
            Fold(
                f"walk_{number:02d}",
                (Span(start - self.train_bars if self.window == "rolling" else 0, start - gap),),
                (Span(start, min(start + self.test_bars, bars)),),
            )
            for number, start in enumerate(starts, start=1)
        ]


@dataclass(frozen=True)
class Combinatorial:
    """Cut time into groups, test on every choice of `test_groups` of them, choose on the others.

    The last `purge` bars before a test and the first `purge + embargo` bars after one are not trained on: what was
    known at the former reaches into the test, and what happened in the test into the latter.

    >>> for fold in Combinatorial(groups=3, test_groups=1, purge=1, embargo=1).folds(9):
    ...     print(fold.name, *fold.train, "|", *fold.test)
    test_01 Span(first=5, last=6) Span(first=6, last=9) | Span(first=0, last=3)
    test_02 Span(first=0, last=2) Span(first=8, last=9) | Span(first=3, last=6)
    test_03 Span(first=0, last=3) Span(first=3, last=5) | Span(first=6, last=9)

    Attributes:
        groups: Parts of about as many bars each.
        test_groups: How many of them are tested on at a time.
        purge: Bars left out beside a test, on both of its sides.
        embargo: Further bars left out after a test.
    """

    groups: Annotated[int, Field(ge=2, le=30)]
    test_groups: Annotated[int, Field(ge=1)] = 2
    purge: Gap = 0
    embargo: Gap = 0
    model: Literal["combinatorial"] = "combinatorial"

    @property
    def gaps(self) -> tuple[int, int]:
        """Bars that are not trained on before and after a test."""
        return self.purge, self.purge + self.embargo

    def folds(self, bars: int) -> list[Fold]:
        """Return the folds of a history; arguments and errors as for `WalkForward.folds`."""
        if self.test_groups >= self.groups:
            raise ConfigError(f"test_groups must be below groups, which is {self.groups}: found {self.test_groups}")
        if bars < self.groups:
            raise ConfigError(f"{self.groups} groups need as many bars at least, the history has {bars}")
        edges = [bars * number // self.groups for number in range(self.groups + 1)]
        spans = [Span(first, last) for first, last in itertools.pairwise(edges)]
        choices = itertools.combinations(range(self.groups), self.test_groups)
        folds = [self._fold(spans, chosen, bars) for chosen in choices]
        if untrained := [fold.name for fold in folds if not fold.train]:
            raise ConfigError(f"purge and embargo leave nothing to train on in {', '.join(untrained[:5])}")
        return folds

    def paths(self) -> int:
        """Return how many whole histories can be put together from the tests: C(groups - 1, test_groups - 1)."""
        return math.comb(self.groups - 1, self.test_groups - 1)

    def _fold(self, spans: list[Span], chosen: tuple[int, ...], bars: int) -> Fold:
        test = tuple(spans[number] for number in chosen)
        rest = [span for number, span in enumerate(spans) if number not in chosen]
        trimmed = [self._apart(span, test) for span in rest]
        name = "test_" + "_".join(f"{number + 1:02d}" for number in chosen)
        return Fold(name, tuple(span for span in trimmed if len(span) > 0), test)

    def _apart(self, span: Span, test: tuple[Span, ...]) -> Span:
        """Return what is left of a group beside the tests; a gap wider than a group reaches over it."""
        first, last = span.first, span.last
        before, after = self.gaps
        for tested in test:
            if tested.last <= span.first:
                first = max(first, tested.last + after)
            else:
                last = min(last, tested.first - before)
        return Span(first, max(first, last))


Split = WalkForward | Combinatorial
SplitChoice = Annotated[Split, Field(discriminator="model")]
