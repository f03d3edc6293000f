"""The probability of backtest overfitting: a case by hand, worlds with and without skill."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ml4t_backtest.errors import ConfigError
from ml4t_backtest.sweep.overfitting import probability_of_overfitting


def test_four_blocks_by_hand() -> None:
    """Blocks of two sessions x - d, x + d with d = 1: sums 2 x, sums of squares 2 (x^2 + 1).

    Variant A has x = 3, 3, 0, 0 in the blocks, B has 1, 1, 1, 1, C has 0, 0, 2, 2.
    Over two blocks with x, y: mean (x + y) / 2, sample variance (2 (x^2 + y^2 + 2) - (x + y)^2) / 3.
      blocks 1,2: A 3 / sqrt(4/3) = 2.598   B 1 / sqrt(4/3) = 0.866   C 0
      blocks 3,4: A 0                        B 0.866                    C 2 / sqrt(4/3) = 1.732
      mixed:      A 1.5 / sqrt(13/3) = 0.721 B 0.866                    C 1 / sqrt(8/3) = 0.612
    Inside 1,2 the best is A, outside (3,4) it is last of three: w = 1/4, logit ln(1/3).
    Inside 3,4 the best is C, outside (1,2) it is last: the same.
    The four mixed choices have B as best, and B first outside too, as the other half is mixed: w = 3/4, logit ln 3.
    So two of six are below the median: 1/3. Nothing chosen has a Sharpe ratio below 0 outside.
    """
    levels = np.array([[3.0, 1.0, 0.0], [3.0, 1.0, 0.0], [0.0, 1.0, 2.0], [0.0, 1.0, 2.0]])
    returns = np.repeat(levels, 2, axis=0) + np.tile([[-1.0], [1.0]], (4, 1))
    found = probability_of_overfitting(returns, blocks=4)
    assert found.probability == pytest.approx(2 / 6)
    assert sorted(found.logits) == pytest.approx([-math.log(3)] * 2 + [math.log(3)] * 4)
    assert found.probability_of_loss == 0.0
    # The line through (2.598, 0), (1.732, 0) and four times (0.866, 0.866), by least squares.
    inside, outside = np.array([2.598, 1.732] + [0.866] * 4), np.array([0.0, 0.0] + [0.866] * 4)
    assert found.slope == pytest.approx(np.polyfit(inside, outside, 1)[0], abs=1e-3)


def test_without_skill_the_best_is_below_the_median_half_of_the_time() -> None:
    """Mean over 60 worlds; each has a spread of at most 0.5, so their mean one of at most 0.065."""
    rng = np.random.default_rng(11)
    worlds = [probability_of_overfitting(rng.normal(0.0, 0.01, (400, 20)), blocks=8).probability for _ in range(60)]
    assert abs(np.mean(worlds) - 0.5) < 0.13
    assert np.std(worlds) > 0.05


def test_with_skill_the_best_stays_the_best() -> None:
    rng = np.random.default_rng(12)
    returns = rng.normal(0.0, 0.01, (800, 20))
    returns[:, 7] += 0.003
    found = probability_of_overfitting(returns)
    assert found.probability < 0.01
    assert found.probability_of_loss < 0.01


def test_what_was_fitted_to_each_half_is_told_as_overfitted() -> None:
    """Variants that each earn in one block and lose in the seven others, so that the best inside loses outside."""
    blocks = np.kron(np.eye(8), np.ones((25, 1))) * 0.9 - 0.1
    found = probability_of_overfitting(blocks + np.tile([[-0.05], [0.05]], (100, 1)), blocks=8)
    assert found.probability == 1.0
    assert found.probability_of_loss == 1.0


def test_variants_that_are_the_same_are_neither_above_nor_below() -> None:
    same = np.tile(np.random.default_rng(1).normal(size=(64, 1)), (1, 5))
    assert probability_of_overfitting(same, blocks=8).probability == 0.5


def test_a_variant_that_never_trades_has_a_sharpe_ratio_of_zero() -> None:
    """One loses always, one does nothing: the idle one is best in every half, and outside too."""
    losing = np.random.default_rng(2).normal(-0.1, 0.01, 64)
    found = probability_of_overfitting(np.column_stack([losing, np.zeros(64)]), blocks=8)
    assert (found.probability, found.probability_of_loss) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("shape", "blocks", "told"),
    [((64, 1), 8, "two variants"), ((15, 3), 8, "16 sessions"), ((64, 3), 7, "even number")],
)
def test_what_cannot_be_judged_says_why(shape: tuple[int, int], blocks: int, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        probability_of_overfitting(np.ones(shape), blocks=blocks)
