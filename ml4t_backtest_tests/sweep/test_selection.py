"""Choosing by training: what a ruin is worth, and what the choice does not look at."""

from __future__ import annotations

from datetime import date

import pytest

from ml4t_backtest.sweep.schema import Objective
from ml4t_backtest.sweep.selection import Returns, calmar_ratio, judge, total_return
from ml4t_backtest.sweep.windows import DatedFold, Window

DAYS = tuple(date(2024, 1, day) for day in range(1, 7))
EARLY, LATE, TEST = ((DAYS[0], DAYS[1]), (DAYS[2], DAYS[3]), (DAYS[4], DAYS[5]))


def _returns(**earned: tuple[list[float], list[float], list[float]]) -> Returns:
    """Return two sessions' returns of each variant in each window."""
    windows: tuple[Window, ...] = (EARLY, LATE, TEST)
    return {
        (variant, window): (list(window), values)
        for variant, parts in enumerate(earned.values())
        for window, values in zip(windows, parts, strict=True)
    }


def test_what_was_lost_twice_is_not_won_back() -> None:
    # 1 - 3 = -2 is owed after the first ruin; (1 - 3) x (1 - 3) = 4 would be a gain of 300 %.
    assert total_return([-3.0, -3.0]) == -3.0
    assert total_return([0.5, -1.0, 0.5]) == -1.0
    assert calmar_ratio([0.01] * 20 + [-3.0] + [0.01] * 20 + [-3.0]) is None


@pytest.mark.parametrize("objective", ["total_return", "calmar_ratio"])
def test_a_variant_ruined_in_both_parts_of_its_training_is_not_chosen(objective: Objective) -> None:
    fold = DatedFold("test_02", (EARLY, LATE), (TEST,))
    steady, ruined = [0.01, -0.005], [0.0, -3.0]
    returns = _returns(steady=(steady * 10, steady * 10, steady), ruined=(ruined, ruined, steady))
    (chosen,) = judge([fold], 2, returns, objective).scores.filter("is_chosen")["variant"]
    assert chosen == 0
