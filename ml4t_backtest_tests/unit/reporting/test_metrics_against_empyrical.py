"""The figures are those of empyrical-reloaded, on the daily returns of the embedded sample's run and on drawn ones."""

from __future__ import annotations

import empyrical
import numpy as np
import pytest
import scipy.stats

from ml4t_backtest import run_backtest
from ml4t_backtest.reporting import metrics
from ml4t_backtest.reporting.sharpe_statistics import sharpe_estimate

Returns = list[float]
CLOSE = {"rel": 1e-9, "abs": 1e-12}


def _drawn(seed: int) -> Returns:
    """Return three years of fat-tailed daily returns."""
    return [float(value) for value in np.random.default_rng(seed).standard_t(4, size=756) * 0.01 + 0.0004]


def _of_the_sample() -> Returns:
    daily = run_backtest("simple_ml_strategy").daily_returns["daily_return"]
    return [float(value) for value in daily.drop_nulls().to_list()]


@pytest.fixture(scope="module", params=["sample", "drawn 1", "drawn 2"])
def returns(request: pytest.FixtureRequest) -> Returns:
    return _of_the_sample() if request.param == "sample" else _drawn(int(request.param[-1]))


@pytest.fixture
def benchmark_returns(returns: Returns) -> Returns:
    noise = np.random.default_rng(9).normal(0.0002, 0.008, size=len(returns))
    return [float(value) for value in 0.6 * np.asarray(returns) + noise]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (metrics.annual_volatility, empyrical.annual_volatility),
        (metrics.sharpe_ratio, empyrical.sharpe_ratio),
        (metrics.sortino_ratio, empyrical.sortino_ratio),
        (metrics.value_at_risk, empyrical.value_at_risk),
        (metrics.conditional_value_at_risk, empyrical.conditional_value_at_risk),
        (metrics.tail_ratio, empyrical.tail_ratio),
    ],
    ids=lambda function: function.__name__,
)
def test_figure_of_daily_returns_is_empyricals(returns: Returns, ours, theirs) -> None:  # type: ignore[no-untyped-def]
    assert ours(returns) == pytest.approx(theirs(np.asarray(returns)), **CLOSE)


def test_growth_drawdown_and_calmar_are_empyricals(returns: Returns) -> None:
    series = np.asarray(returns)
    equity = [1.0, *np.cumprod(1.0 + series)]
    annual, deepest = metrics.annual_return(equity[-1], len(returns)), metrics.max_drawdown(equity)
    assert annual == pytest.approx(empyrical.annual_return(series), **CLOSE)
    assert deepest == pytest.approx(empyrical.max_drawdown(series), **CLOSE)
    assert annual is not None
    assert annual / -deepest == pytest.approx(empyrical.calmar_ratio(series), **CLOSE)


def test_beta_and_alpha_are_empyricals(returns: Returns, benchmark_returns: Returns) -> None:
    own, theirs = np.asarray(returns), np.asarray(benchmark_returns)
    assert metrics.beta(returns, benchmark_returns) == pytest.approx(empyrical.beta_aligned(own, theirs), **CLOSE)
    assert metrics.alpha(returns, benchmark_returns) == pytest.approx(empyrical.alpha_aligned(own, theirs), **CLOSE)


def test_moments_are_scipys(returns: Returns) -> None:
    estimate = sharpe_estimate(returns)
    assert estimate is not None
    assert estimate.skewness == pytest.approx(scipy.stats.skew(returns), **CLOSE)
    assert estimate.kurtosis == pytest.approx(scipy.stats.kurtosis(returns, fisher=False), **CLOSE)
