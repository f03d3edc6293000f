"""Splits over time: folds by hand, gaps, and no fold that the future moves."""

from __future__ import annotations

import itertools
import math
from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from ml4t_backtest.errors import ConfigError
from ml4t_backtest.sweep.splits import Combinatorial, Fold, Span, WalkForward
from ml4t_backtest.sweep.windows import dated_folds

walks = st.builds(
    WalkForward,
    train_bars=st.integers(5, 40),
    test_bars=st.integers(1, 20),
    window=st.sampled_from(["rolling", "anchored"]),
    purge=st.integers(0, 2),
    embargo=st.integers(0, 2),
)
cuts = st.builds(
    Combinatorial,
    groups=st.integers(3, 7),
    test_groups=st.integers(1, 2),
    purge=st.integers(0, 3),
    embargo=st.integers(0, 3),
)


def _bars(spans: tuple[Span, ...]) -> list[int]:
    return [bar for span in spans for bar in range(span.first, span.last)]


def _days(number: int, per_day: int = 1) -> pl.Series:
    days = [date(2024, 1, 1) + timedelta(days=day) for day in range(number)]
    return pl.Series([day for day in days for _ in range(per_day)])


def test_an_anchored_walk_trains_on_all_there_is() -> None:
    folds = WalkForward(train_bars=4, test_bars=3, window="anchored", purge=1, embargo=1).folds(10)
    assert folds == [
        Fold("walk_01", (Span(0, 2),), (Span(4, 7),)),
        Fold("walk_02", (Span(0, 5),), (Span(7, 10),)),
    ]


def test_a_rest_of_less_than_half_a_test_is_left_out() -> None:
    # 4 to train on, tests of 4: at 12 bars the rest after bar 8 is 4, at 9 it is 1, at 10 it is 2.
    assert [len(WalkForward(4, 4).folds(bars)) for bars in (12, 9, 10)] == [2, 1, 2]


@settings(deadline=None)
@given(walks, st.integers(60, 200))
def test_a_walk_never_trains_on_or_after_its_test(walk: WalkForward, bars: int) -> None:
    for fold in walk.folds(bars):
        assert fold.test[0].first - fold.train[0].last == walk.purge + walk.embargo
        assert 0 <= fold.train[0].first < fold.train[0].last <= fold.test[0].first < fold.test[0].last <= bars


@settings(deadline=None)
@given(walks, st.integers(60, 200))
def test_tests_of_a_walk_follow_each_other_without_gap_or_overlap(walk: WalkForward, bars: int) -> None:
    tested = [bar for fold in walk.folds(bars) for bar in _bars(fold.test)]
    assert tested == list(range(walk.train_bars, walk.train_bars + len(tested)))


@settings(deadline=None)
@given(walks, st.integers(60, 200), st.integers(1, 50))
def test_more_future_moves_no_fold_of_a_walk_but_a_last_one_that_was_cut_short(
    walk: WalkForward, bars: int, more: int
) -> None:
    whole = [fold for fold in walk.folds(bars) if len(fold.test[0]) == walk.test_bars]
    assert walk.folds(bars + more)[: len(whole)] == whole


@settings(deadline=None)
@given(cuts, st.integers(120, 300))
def test_every_choice_of_groups_is_tested_once_and_kept_apart_from_training(cut: Combinatorial, bars: int) -> None:
    folds = cut.folds(bars)
    assert len(folds) == math.comb(cut.groups, cut.test_groups)
    for fold in folds:
        tested, trained = set(_bars(fold.test)), set(_bars(fold.train))
        for bar in trained:
            # Whoever is trained on has no test in the next `purge` bars, and none in the `purge + embargo` before.
            assert not tested & set(range(bar - cut.purge - cut.embargo, bar + cut.purge + 1))
        untouched = set(range(bars)) - tested - trained
        # Nothing is left out without need.
        for bar in untouched:
            assert tested & set(range(bar - cut.purge - cut.embargo, bar + cut.purge + 1))


@settings(deadline=None)
@given(cuts, st.integers(120, 300))
def test_every_bar_is_tested_as_often_as_there_are_paths(cut: Combinatorial, bars: int) -> None:
    counts = [0] * bars
    for fold in cut.folds(bars):
        for bar in _bars(fold.test):
            counts[bar] += 1
    assert set(counts) == {cut.paths()}


@pytest.mark.parametrize(
    ("split", "bars", "told"),
    [
        (WalkForward(10, 4), 11, "needs 12 bars, the history has 11"),
        (WalkForward(3, 4, purge=2, embargo=1), 50, "leave nothing to train on: 3 of 3 bars"),
        (Combinatorial(4, 4), 50, "test_groups must be below groups"),
        (Combinatorial(4, 2), 3, "the history has 3"),
        (Combinatorial(3, 2, purge=9), 12, "leave nothing to train on in test_"),
    ],
)
def test_a_split_that_cannot_be_says_why(split: WalkForward | Combinatorial, bars: int, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        split.folds(bars)


def test_a_split_of_less_than_a_session_says_why_instead_of_trying_the_whole_span() -> None:
    # 20 sessions of 390 minutes: 300 minutes of training never hold a session.
    with pytest.raises(ConfigError, match="7800 bars in 20 sessions"):
        dated_folds(WalkForward(train_bars=300, test_bars=390), _days(20, 390))


def test_daily_folds_are_dated_by_their_bars() -> None:
    (fold,) = dated_folds(WalkForward(train_bars=4, test_bars=2, purge=1), _days(6))
    # Bars 0 to 2 and 4 to 5 are 1 to 3 January and 5 to 6 January.
    assert fold.train == ((date(2024, 1, 1), date(2024, 1, 3)),)
    assert fold.test == ((date(2024, 1, 5), date(2024, 1, 6)),)


@settings(deadline=None)
@given(st.integers(2, 9), walks, st.integers(80, 160))
def test_intraday_sessions_are_whole_and_at_least_as_far_apart_as_asked(
    per_day: int, walk: WalkForward, days: int
) -> None:
    try:
        folds = dated_folds(walk, _days(days, per_day))
    except ConfigError:  # No session fits between the gaps.
        reject()
    gap = walk.purge + walk.embargo
    for fold in folds:
        trained_until, tested_from = fold.train[0][1], fold.test[0][0]
        last = (trained_until - date(2024, 1, 1)).days * per_day + per_day - 1
        first = (tested_from - date(2024, 1, 1)).days * per_day
        assert first - last > gap
    for before, after in itertools.pairwise(folds):
        assert before.test[0][1] < after.test[0][0]
