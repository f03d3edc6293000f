"""How much a Sharpe ratio says: its probability of being above a threshold, after one trial or the best of many.

All Sharpe ratios here are per session, as in the papers; divide an annual one by sqrt(252). The formulas allow for
skewed and fat-tailed returns, and assume returns without autocorrelation.

Sources: Bailey and Lopez de Prado, "The Sharpe Ratio Efficient Frontier", Journal of Risk 15(2), 2012; the same, "The
Deflated Sharpe Ratio", Journal of Portfolio Management 40(5), 2014. See docs/concepts/metrics.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

_NORMAL = NormalDist()
_EULER_MASCHERONI = 0.5772156649015329
# For some returns of two values the variance is 0, which rounding makes a little more or less.
_LEAST_VARIANCE = 1e-15


@dataclass(frozen=True)
class SharpeEstimate:
    """A Sharpe ratio with what its uncertainty depends on.

    Attributes:
        sharpe: Mean over sample standard deviation, per session, no risk-free rate.
        skewness: Third standardised moment; 0 for a normal distribution.
        kurtosis: Fourth standardised moment; 3 for a normal distribution.
        observations: Number of returns.
    """

    sharpe: float
    skewness: float
    kurtosis: float
    observations: int

    @property
    def variance(self) -> float:
        """Variance of the estimate times (observations - 1): 1 - skewness SR + (kurtosis - 1) / 4 SR^2."""
        exact = 1.0 - self.skewness * self.sharpe + (self.kurtosis - 1.0) / 4.0 * self.sharpe**2
        return max(exact, _LEAST_VARIANCE)


def sharpe_estimate(returns: Sequence[float]) -> SharpeEstimate | None:
    """Return the Sharpe ratio of returns with their moments; None for fewer than two returns, or without spread.

    >>> sharpe_estimate([0.0, 1.0, 2.0, 3.0, 4.0])
    SharpeEstimate(sharpe=1.2649110640673518, skewness=0.0, kurtosis=1.7, observations=5)
    """
    size = len(returns)
    if size < 2 or min(returns) == max(returns):
        return None
    mean = math.fsum(returns) / size
    second, third, fourth = (math.fsum((value - mean) ** power for value in returns) / size for power in (2, 3, 4))
    if second == 0.0:
        return None
    return SharpeEstimate(
        sharpe=mean / math.sqrt(second * size / (size - 1)),
        skewness=third / second**1.5,
        kurtosis=fourth / second**2,
        observations=size,
    )


def probabilistic_sharpe_ratio(estimate: SharpeEstimate, threshold: float = 0.0) -> float:
    """Return the probability that the true Sharpe ratio is above a threshold.

    PSR = Phi((SR - threshold) sqrt(n - 1) / sqrt(1 - skewness SR + (kurtosis - 1) / 4 SR^2)), Bailey and Lopez de Prado
    2012.

    Args:
        estimate: What was measured.
        threshold: Sharpe ratio per session to be above.

    >>> round(probabilistic_sharpe_ratio(SharpeEstimate(0.1, 0.0, 3.0, 252)), 4)
    0.943
    """
    distance = estimate.sharpe - threshold
    return _NORMAL.cdf(distance * math.sqrt(estimate.observations - 1) / math.sqrt(estimate.variance))


def minimum_track_record_length(
    estimate: SharpeEstimate, threshold: float = 0.0, confidence: float = 0.95
) -> float | None:
    """Return how many sessions it takes until the probabilistic Sharpe ratio reaches a confidence.

    MinTRL = 1 + (1 - skewness SR + (kurtosis - 1) / 4 SR^2) (Phi^-1(confidence) / (SR - threshold))^2, Bailey and
    Lopez de Prado 2012.

    Args:
        estimate: What was measured.
        threshold: Sharpe ratio per session to be above.
        confidence: Probability to reach, between 0.5 and 1.

    Returns:
        Sessions; None where the Sharpe ratio is not above the threshold, which no length can mend.

    >>> round(minimum_track_record_length(SharpeEstimate(0.1, 0.0, 3.0, 252)), 1)
    272.9
    """
    distance = estimate.sharpe - threshold
    if distance <= 0.0:
        return None
    return 1.0 + estimate.variance * (_NORMAL.inv_cdf(confidence) / distance) ** 2


def expected_maximum_sharpe_ratio(spread: float, trials: float) -> float:
    """Return the Sharpe ratio per session to be expected of the best of many trials without any skill.

    sqrt(V) ((1 - g) Phi^-1(1 - 1 / N) + g Phi^-1(1 - 1 / (N e))) with the Euler-Mascheroni constant g, Bailey and
    Lopez de Prado 2014.

    Args:
        spread: Standard deviation of the trials' Sharpe ratios per session.
        trials: Number of independent trials; for correlated ones less than were run.

    >>> round(expected_maximum_sharpe_ratio(spread=0.02, trials=100), 4)
    0.0506
    """
    if trials <= 1.0:
        return 0.0
    most, further = _NORMAL.inv_cdf(1.0 - 1.0 / trials), _NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e))
    # Of fewer than two trials the formula, made for many, falls below what one alone can be expected to show.
    return spread * max((1.0 - _EULER_MASCHERONI) * most + _EULER_MASCHERONI * further, 0.0)


def deflated_sharpe_ratio(
    estimate: SharpeEstimate, trial_sharpes: Sequence[float], independent_trials: float | None = None
) -> float:
    """Return the probability that the best of many trials has skill at all.

    The probabilistic Sharpe ratio against the Sharpe ratio that the best of so many trials would show without skill,
    Bailey and Lopez de Prado 2014. One trial has nothing to be corrected for.

    Args:
        estimate: What the chosen trial measured.
        trial_sharpes: Sharpe ratio per session of every trial that was made, the chosen one included.
        independent_trials: How many of them are independent, where that is known; all by default.

    >>> trials = [-0.02, 0.0, 0.01, 0.03, 0.1]
    >>> round(deflated_sharpe_ratio(SharpeEstimate(0.1, 0.0, 3.0, 252), trials), 3)
    0.761
    """
    size = len(trial_sharpes)
    if size < 2:
        return probabilistic_sharpe_ratio(estimate)
    mean = math.fsum(trial_sharpes) / size
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in trial_sharpes) / (size - 1))
    trials = float(size) if independent_trials is None else independent_trials
    return probabilistic_sharpe_ratio(estimate, expected_maximum_sharpe_ratio(spread, trials))
