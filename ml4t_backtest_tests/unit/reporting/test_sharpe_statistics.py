"""Probabilistic and deflated Sharpe ratio and the minimum track record, held to the numbers printed in the papers."""

from __future__ import annotations

import math

import pytest

from ml4t_backtest.reporting.sharpe_statistics import (
    SharpeEstimate,
    deflated_sharpe_ratio,
    expected_maximum_sharpe_ratio,
    minimum_track_record_length,
    probabilistic_sharpe_ratio,
    sharpe_estimate,
)

# The example of the 2014 paper: an annual Sharpe ratio of 2.5 over 1,250 days, 250 a year; the trials' variance is 1/2.
PAPER = SharpeEstimate(sharpe=2.5 / math.sqrt(250), skewness=-3.0, kurtosis=10.0, observations=1250)
SPREAD = math.sqrt(0.5 / 250)


@pytest.mark.parametrize(
    ("per_year", "years"), [(252, 2.73), (52, 2.83), (12, 3.24)], ids=["daily", "weekly", "monthly"]
)
def test_years_to_tell_a_sharpe_ratio_of_two_from_one_are_those_of_the_paper(per_year: int, years: float) -> None:
    normal = SharpeEstimate(sharpe=2.0 / math.sqrt(per_year), skewness=0.0, kurtosis=3.0, observations=100)
    needed = minimum_track_record_length(normal, threshold=1.0 / math.sqrt(per_year))
    assert needed is not None
    assert round(needed / per_year, 2) == years


def test_the_best_of_a_hundred_trials_is_deflated_as_in_the_paper() -> None:
    expected = expected_maximum_sharpe_ratio(SPREAD, 100)
    assert round(expected, 4) == 0.1132
    assert round(probabilistic_sharpe_ratio(PAPER, expected), 4) == 0.9004


def test_the_best_of_46_trials_still_passes_as_in_the_paper() -> None:
    assert round(probabilistic_sharpe_ratio(PAPER, expected_maximum_sharpe_ratio(SPREAD, 46)), 4) == 0.9505


def test_trials_are_deflated_by_their_sample_spread_and_their_number() -> None:
    # 50 of +d and 50 of -d: variance 100 d^2 / 99, so d = spread x sqrt(0.99) has the paper's spread.
    d = SPREAD * math.sqrt(0.99)
    trials = [d, -d] * 50
    assert round(deflated_sharpe_ratio(PAPER, trials), 4) == 0.9004
    assert round(deflated_sharpe_ratio(PAPER, trials, independent_trials=46), 4) == 0.9505


def test_between_one_and_two_independent_trials_nothing_is_made_better() -> None:
    assert expected_maximum_sharpe_ratio(SPREAD, 1.2) == 0.0
    assert deflated_sharpe_ratio(PAPER, [0.1, 0.2], independent_trials=1.2) == probabilistic_sharpe_ratio(PAPER)


def test_a_single_trial_is_not_deflated() -> None:
    assert deflated_sharpe_ratio(PAPER, [PAPER.sharpe]) == probabilistic_sharpe_ratio(PAPER)


def test_a_track_record_of_the_minimum_length_reaches_the_confidence_it_was_asked_for() -> None:
    needed = minimum_track_record_length(PAPER, confidence=0.99)
    assert needed is not None
    # n - 1 enters under a root, so a whole number of sessions gives the confidence to about 1/n.
    long_enough = SharpeEstimate(PAPER.sharpe, PAPER.skewness, PAPER.kurtosis, math.ceil(needed))
    too_short = SharpeEstimate(PAPER.sharpe, PAPER.skewness, PAPER.kurtosis, math.ceil(needed) - 1)
    assert probabilistic_sharpe_ratio(too_short) < 0.99 <= probabilistic_sharpe_ratio(long_enough)


def test_no_length_shows_what_is_not_there() -> None:
    assert minimum_track_record_length(SharpeEstimate(-0.1, 0.0, 3.0, 100)) is None
    assert minimum_track_record_length(SharpeEstimate(0.1, 0.0, 3.0, 100), threshold=0.1) is None


def test_moments_are_those_of_five_returns_by_hand() -> None:
    # Mean 2; deviations -2, -1, 0, 1, 2 -> squares 10, cubes 0, fourth powers 34; sample variance 10 / 4.
    found = sharpe_estimate([0.0, 1.0, 2.0, 3.0, 4.0])
    assert found is not None
    assert found.sharpe == pytest.approx(2.0 / math.sqrt(2.5), rel=1e-15)
    assert (found.skewness, found.observations) == (0.0, 5)
    assert found.kurtosis == pytest.approx((34 / 5) / (10 / 5) ** 2, rel=1e-15)


@pytest.mark.parametrize("returns", [[], [0.01], [0.01, 0.01, 0.01]])
def test_returns_without_spread_have_no_sharpe_ratio(returns: list[float]) -> None:
    assert sharpe_estimate(returns) is None


@pytest.mark.parametrize("low", [1.2996598115221167, 1.2996598285221168], ids=["exactly zero", "rounded below zero"])
def test_a_sharpe_ratio_without_uncertainty_is_above_zero_for_sure(low: float) -> None:
    """Returns of two values a, a, a + 1 have skewness g and kurtosis 1 + g^2: the variance is (1 - g SR / 2)^2.

    g = 1 / sqrt(2) and SR = (a + 1/3) sqrt(3): it is 0 at a = 2 sqrt(2/3) - 1/3 = 1.29966.
    """
    estimate = sharpe_estimate([low, low, low + 1.0])
    assert estimate is not None
    assert probabilistic_sharpe_ratio(estimate) == pytest.approx(1.0)
    assert minimum_track_record_length(estimate) == pytest.approx(1.0)
