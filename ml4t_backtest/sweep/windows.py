"""The folds of a sweep as sessions: which spans its trials trade.

Splits count bars, a backtest begins and ends with a session. So a session belongs to a test if its first bar does, and
is trained on if all its bars may be: the gaps are never smaller than they were asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from ml4t_backtest.config.schema import BacktestConfig
from ml4t_backtest.data.prepared import Prepared
from ml4t_backtest.dataset_stages import clock_of
from ml4t_backtest.errors import ConfigError
from ml4t_backtest.sweep.splits import Fold, Span, Split

Window = tuple[date, date]


@dataclass(frozen=True, slots=True)
class DatedFold:
    """A fold by the sessions it trades, the last ones included.

    Attributes:
        name: As that of the fold.
        train: Windows to choose on.
        test: Windows to test on.
    """

    name: str
    train: tuple[Window, ...]
    test: tuple[Window, ...]


def sessions_of_slices(config: BacktestConfig, prepared: Prepared) -> pl.Series:
    """Return the session of every slice that a backtest trades."""
    stamps = prepared.context_data["timestamp"]
    sessions: pl.Series = clock_of(config.dataset).sessions_around(stamps).session_at(stamps)["session"]
    start, end = config.backtest.start or sessions[0], config.backtest.end or sessions[-1]
    return sessions.filter(sessions.is_between(start, end))


def dated_folds(split: Split, sessions: pl.Series) -> list[DatedFold]:
    """Return the folds of a history by session.

    Args:
        split: How it is cut.
        sessions: Session of each of its slices, ascending.

    Raises:
        ConfigError: As for the `folds` of the split, or no session fits between the gaps.
    """
    counted = sessions.to_frame("session").group_by("session", maintain_order=True).len()
    days = counted["session"].to_list()
    edges = np.concatenate([[0], counted["len"].cum_sum().to_numpy()]).astype(np.int64)
    dated = [_dated(fold, days, edges, split.gaps) for fold in split.folds(len(sessions))]
    if not (whole := [fold for fold in dated if fold.train and fold.test]):
        raise ConfigError(
            f"a backtest trades whole sessions, and no fold has one to train on and one to test on: there are "
            f"{len(sessions)} bars in {len(days)} sessions; give the parts of the split more bars"
        )
    return whole


def windows_of(folds: Sequence[DatedFold]) -> list[Window]:
    """Return every window of some folds once, in the order of time."""
    return sorted({window for fold in folds for window in (*fold.train, *fold.test)})


def _dated(fold: Fold, days: Sequence[date], edges: np.ndarray, gaps: tuple[int, int]) -> DatedFold:
    # A session belongs to a test if its first bar does.
    tests = [_sessions(edges[:-1], span.first, span.last) for span in fold.test]
    bars = [Span(int(edges[first]), int(edges[last])) for first, last in tests if first < last]
    trains = [_whole(edges, _apart(span, bars, gaps)) for span in fold.train]
    return DatedFold(fold.name, _windows(trains, days), _windows(tests, days))


def _sessions(begins: np.ndarray, first: int, last: int) -> tuple[int, int]:
    found = np.searchsorted(begins, [first, last])
    return int(found[0]), int(found[1])


def _whole(edges: np.ndarray, span: Span) -> tuple[int, int]:
    """Return the sessions all of whose bars lie in a span."""
    first = int(np.searchsorted(edges[:-1], span.first))
    last = int(np.searchsorted(edges[1:], span.last, side="right"))
    return first, last


def _apart(span: Span, tests: Sequence[Span], gaps: tuple[int, int]) -> Span:
    """Return what is left of a span beside tests that were moved to the edges of sessions."""
    before, after = gaps
    first, last = span.first, span.last
    for test in tests:
        if test.first >= span.last:
            last = min(last, test.first - before)
        elif test.last > span.first - after:
            first = max(first, test.last + after)
    return Span(first, max(first, last))


def _windows(spans: Sequence[tuple[int, int]], days: Sequence[date]) -> tuple[Window, ...]:
    return tuple((days[first], days[last - 1]) for first, last in spans if first < last)
