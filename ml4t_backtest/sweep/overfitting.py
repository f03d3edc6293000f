"""The probability of backtest overfitting: how often what was best in one half of time is poor in the other.

Combinatorially symmetric cross-validation: time is cut into an even number of blocks; for every choice of half of them
the best variant there is looked up in the other half. Where choosing means nothing, it is as often below the median of
all variants as above; where it means something, less often.

Source: Bailey, Borwein, Lopez de Prado and Zhu, "The Probability of Backtest Overfitting", Journal of Computational
Finance 20(4), 2016.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml4t_backtest.core.chunk import Floats
from ml4t_backtest.errors import ConfigError

# C(16, 8) = 12,870 choices, as in the paper.
BLOCKS = 16


@dataclass(frozen=True)
class Overfitting:
    """What the choices come to.

    Attributes:
        probability: Share of choices in which the best variant inside is below the median outside, 0 to 1.
        logits: Per choice ln(w / (1 - w)) of its relative rank w outside; below 0 it is below the median.
        probability_of_loss: Share of choices in which the best variant inside has a Sharpe ratio below 0 outside.
        slope: Of the straight line from the chosen Sharpe ratios inside to those outside; below 0 the better it looked
            the worse it was. NaN where all look the same inside.
    """

    probability: float
    logits: Floats
    probability_of_loss: float
    slope: float


def probability_of_overfitting(returns: Floats, *, blocks: int = BLOCKS) -> Overfitting:
    """Return how often the choice of the best variant by Sharpe ratio does not hold.

    Equal ranks are shared: variants that earn the same to the bit stand in the middle of their places. A variant
    without spread has a Sharpe ratio of 0.

    Args:
        returns: Returns per session (rows) and variant (columns), finite.
        blocks: Even number of blocks of consecutive sessions; sessions that are left over at the beginning are dropped.

    Raises:
        ConfigError: There are fewer than two variants or two sessions per block, or the number of blocks is odd.

    >>> better = np.array([[0.02, 0.01], [0.01, -0.01]] * 4)  # the first variant is better in every block
    >>> probability_of_overfitting(better, blocks=4).probability
    0.0
    """
    sessions, variants = returns.shape
    if blocks < 2 or blocks % 2:
        raise ConfigError(f"blocks must be an even number from 2, got {blocks}")
    if variants < 2 or sessions < 2 * blocks:
        raise ConfigError(
            f"{blocks} blocks need two variants and {2 * blocks} sessions, there are {variants} and {sessions}"
        )
    sums, squares, size = _of_blocks(returns, blocks)
    choices = np.array(list(itertools.combinations(range(blocks), blocks // 2)))
    best_inside, found_outside, ranks = [], [], []
    for chosen in choices:
        inside = _sharpe_ratios(sums[chosen], squares[chosen], size)
        others = np.setdiff1d(np.arange(blocks), chosen)
        outside = _sharpe_ratios(sums[others], squares[others], size)
        best = int(np.argmax(inside))
        best_inside.append(inside[best])
        found_outside.append(outside[best])
        ranks.append(_relative_rank(outside, best))
    found, w = np.array(found_outside), np.array(ranks)
    logits: Floats = np.log(w / (1.0 - w))
    # At the median exactly it is neither: half of it counts.
    below = math.fsum((logits < 0.0) + 0.5 * (logits == 0.0)) / len(logits)
    return Overfitting(below, logits, float(np.mean(found < 0.0)), _slope(np.array(best_inside), found))


def _of_blocks(returns: Floats, blocks: int) -> tuple[Floats, Floats, int]:
    """Return sums and sums of squares per block and variant, and the number of sessions in a block."""
    size = len(returns) // blocks
    kept = returns[len(returns) - size * blocks :]
    shaped = kept.reshape(blocks, size, returns.shape[1])
    return shaped.sum(axis=1), (shaped**2).sum(axis=1), size


def _sharpe_ratios(sums: Floats, squares: Floats, size: int) -> Floats:
    """Return the Sharpe ratio per session of every variant over some blocks together."""
    number = size * len(sums)
    mean = sums.sum(axis=0) / number
    variance = (squares.sum(axis=0) - number * mean**2) / (number - 1)
    # What is left of a difference of equal numbers is no spread.
    has_spread = variance > 1e-14 * squares.sum(axis=0) / number
    ratios: Floats = np.divide(mean, np.sqrt(np.abs(variance)), out=np.zeros_like(mean), where=has_spread)
    return ratios


def _relative_rank(values: Floats, chosen: int) -> float:
    """Return the rank of one among all, from 1 for the least, over their number and one; equal ones share theirs."""
    below: npt.NDArray[np.bool_] = values < values[chosen]
    equal = int((values == values[chosen]).sum())
    return (int(below.sum()) + (equal + 1) / 2.0) / (len(values) + 1)


def _slope(inside: Floats, outside: Floats) -> float:
    spread = inside - inside.mean()
    total = math.fsum(spread**2)
    return math.fsum(spread * (outside - outside.mean())) / total if total > 0.0 else math.nan
