"""Signals that came with the data: what they show by themselves, what they cannot, and who is not accused."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from lookahead import data
from lookahead.clean import CLEAN
from lookahead.leaks import CLOSE, LEAKS, NEXT_RETURN, PAST_RETURN, per_symbol
from ml4t_backtest import LookaheadReport, check_lookahead
from ml4t_backtest.data.synthetic import random_bars

Pipeline = Callable[..., pl.DataFrame]
# What each leak says about itself where there are only its values and the bars.
BY_THEMSELVES = {
    "next_bar_return": "is the return over the next bar",
    "direction_of_the_next_bar": "is the direction of return over the next bar",
    "return_of_the_bar_after_next": "is the return of the bar after the next",
    "return_over_five_bars_ahead": "is the return over the next 5 bars",
    "next_overnight_gap": "is the gap from this close to the next open",
    "next_open_on_minute_bars": "is the gap from this close to the next open",
    "next_range": "is the next bar's range",
    "next_volume": "is the next bar's volume",
    "coming_volatility": "is the volatility of the next 10 bars",
    "best_price_of_the_next_week": "is the highest high of the next 5 bars",
    "one_bar_shift_of_a_momentum": "is a sum of the next 20 returns",
    "noisy_next_return": "is the return over the next bar",
    "centred_mean": "is the mean close of the next 2 bars",
    "centred_median": "is the median close of 7 bars, 3 of them later",
    "centred_volatility": "is the volatility of 9 bars, 4 of them later",
    "two_sided_kernel": "is a sum of the next 20 returns",
    "low_pass_of_the_whole_series": "measured from the mean over all rows of its symbol",
    "filtered_forward_and_backward": "is a sum of the next 20 returns",
    "whole_history_z_score": "scaled to a mean of 0 and a deviation of 1 over all rows of its symbol",
    "whole_history_z_score_of_all_symbols": "scaled to a mean of 0 and a deviation of 1 over all rows of all symbols",
    "min_max_scaling": "the close scaled by the extremes of all rows of its symbol",
    "scaling_by_the_largest": "the last return scaled by the extremes of all rows of its symbol",
    "rank_over_the_whole_history": "ranks among all rows of its symbol",
    "rank_over_all_rows": "ranks among all rows of all symbols",
    "quantiles_of_the_whole_history": "groups of equal size of the volume over all rows of its symbol",
    "deviation_from_the_whole_mean": "measured from the mean over all rows of its symbol",
    "seasonal_mean_of_the_whole_history": "the means of the last return over all rows of its symbol",
    "backward_fill": "is the last close of the bars that show it",
    "week_labelled_left": "is the last close of the bars that show it",
    "same_day_close_used_at_the_open": "is the return over the next bar",
    "opening_price_used_before_the_open": "is the gap from this close to the next open",
    "regression_fitted_on_the_whole_history": "fitted to the next return over all rows of its symbol",
    "principal_component_of_the_whole_history": "measured from the mean over all rows of its symbol",
    "target_encoding_of_the_weekday": "the means of the next return over all rows of all symbols",
}
# Good enough to be told, not to be accused.
REMARKABLE = {"triple_barrier_label"}


def delivered(pipeline: Pipeline) -> LookaheadReport:
    """Check what a pipeline made as if it had come in a file, beside the bars it was made from."""
    taken = {name: data.tables()[name] for name in inspect.signature(pipeline).parameters}
    prices = data.minutes() if "minutes" in taken else data.daily()
    return check_lookahead(inputs={"prices": prices, "signals": pipeline(**taken)})


def tells_something(pipeline: Pipeline) -> bool:
    """Whether a pipeline makes signals at moments, rather than a universe or names."""
    return "signal" in inspect.getsource(pipeline) and pipeline.__name__ != "membership_of_coming_winners"


def test_at_least_thirty_leaks_show_by_themselves() -> None:
    assert len(BY_THEMSELVES) >= 30
    assert set(BY_THEMSELVES) <= {each.__name__ for each in LEAKS}


@pytest.mark.parametrize("name", BY_THEMSELVES)
def test_a_delivered_leak_is_found_and_named(name: str) -> None:
    report = delivered(next(each for each in LEAKS if each.__name__ == name))
    assert [(leak.stage, leak.table, leak.column) for leak in report.leaks] == [("delivered data", "signals", "signal")]
    assert BY_THEMSELVES[name] in report.leaks[0].how


@pytest.mark.parametrize(
    "pipeline",
    [each for each in LEAKS if each.__name__ not in BY_THEMSELVES and tells_something(each)],
    ids=lambda each: each.__name__,
)
def test_what_leaves_no_trace_in_the_data_is_not_claimed(pipeline: Pipeline) -> None:
    """These need the pipeline itself; should one be found by its values some day, it belongs to the others."""
    report = delivered(pipeline)
    assert report.leaks == ()
    assert (len(report.notes) > 0) == (pipeline.__name__ in REMARKABLE)


@pytest.mark.parametrize("pipeline", CLEAN, ids=lambda each: each.__name__)
def test_an_honest_column_is_not_accused(pipeline: Pipeline) -> None:
    report = delivered(pipeline)
    assert report.leaks == ()
    assert report.notes == ()


# --- honest models in worlds that can be predicted -------------------------------------------------------------------


def bars_of(returns: np.ndarray) -> pl.DataFrame:
    """Return daily bars of symbols with these returns, one column each."""
    made = random_bars(returns.shape[1], len(returns)).select(data.BARS)
    close = 50.0 * np.cumprod(1.0 + returns, axis=0)
    opened = np.vstack([close[:1], close[:-1]])
    prices = {"open": opened, "high": np.maximum(opened, close), "low": np.minimum(opened, close), "close": close}
    frame = made.with_columns(**{name: pl.Series(values.ravel()) for name, values in prices.items()})
    return frame.sort("symbol", "timestamp")


def walks(steps: int = 400, symbols: int = 3, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, 0.01, (steps, symbols))


def trending() -> np.ndarray:
    """Nine tenths of each return are those of the one before."""
    returns = walks()
    for step in range(1, len(returns)):
        returns[step] = 0.9 * returns[step - 1] + 0.3 * returns[step]
    return returns


def bouncing() -> np.ndarray:
    """Nine tenths of each move are taken back by the next one, as between bid and ask."""
    returns = walks()
    returns[1:] -= 0.9 * returns[:-1]
    return returns


def clustered() -> np.ndarray:
    """Large moves follow large moves."""
    noise = walks() / 0.01
    returns, deviation = np.zeros_like(noise), np.full(noise.shape[1], 0.01)
    for step in range(1, len(noise)):
        deviation = np.sqrt(1e-6 + 0.15 * returns[step - 1] ** 2 + 0.84 * deviation**2)
        returns[step] = deviation * noise[step]
    return returns


def seasonal() -> np.ndarray:
    """A wave of 37 bars, and some noise."""
    phase = np.arange(401)[:, None] + np.array([0.0, 7.0, 14.0])
    return 0.3 * np.diff(np.sin(phase * 2 * np.pi / 37), axis=0) + walks()


WORLDS = {"trending": trending, "bouncing": bouncing, "clustered": clustered, "seasonal": seasonal}
MODELS = {
    "the last return": PAST_RETURN,
    "against the last return": -PAST_RETURN,
    "momentum": CLOSE / CLOSE.shift(10) - 1.0,
    "short momentum": CLOSE / CLOSE.shift(3) - 1.0,
    "its direction": (CLOSE / CLOSE.shift(3) - 1.0).sign(),
    "volatility": PAST_RETURN.rolling_std(10),
    "slow volatility": (PAST_RETURN**2).ewm_mean(span=30).sqrt(),
    "the return of 37 bars ago": PAST_RETURN.shift(36),
    "the mean": CLOSE.rolling_mean(37) / CLOSE,
}


@pytest.mark.parametrize("world", WORLDS)
def test_a_good_model_of_a_world_that_can_be_predicted_is_honest(world: str) -> None:
    prices = bars_of(WORLDS[world]())
    made = prices.select("timestamp", "symbol", **{name: each.over("symbol") for name, each in MODELS.items()})
    assert check_lookahead(inputs={"prices": prices, "signals": made}).leaks == ()


@pytest.mark.parametrize(("correlation", "leaks", "notes"), [(0.3, 0, 0), (0.6, 0, 0), (0.8, 0, 1), (0.98, 1, 0)])
def test_skill_is_told_from_knowledge_by_how_much_is_left_open(correlation: float, leaks: int, notes: int) -> None:
    """R^2 is 0.09, 0.36, 0.64, 0.96: nothing, nothing, worth a look, computed from the future."""
    prices = bars_of(walks(600))
    noise = np.random.default_rng(2).normal(0.0, 0.01 * np.sqrt(1.0 / correlation**2 - 1.0), prices.height)
    made = per_symbol(prices.with_columns(noise=pl.Series(noise)), NEXT_RETURN + pl.col("noise")).drop_nulls()
    report = check_lookahead(inputs={"prices": prices, "signals": made})
    assert (len(report.leaks), len(report.notes)) == (leaks, notes)


# --- what is told of a leak ------------------------------------------------------------------------------------------


def test_the_first_value_is_named() -> None:
    report = check_lookahead(inputs={"prices": data.daily(), "signals": per_symbol(data.daily(), NEXT_RETURN)})
    first = data.daily().filter(pl.col("symbol") == "S0000")["close"].head(2)
    leak = report.leaks[0]
    assert (leak.timestamp, leak.symbol) == (datetime(2020, 1, 2, 21, tzinfo=UTC), "S0000")
    assert leak.before == pytest.approx(first[1] / first[0] - 1.0)
    assert (leak.cut, leak.after) == (None, None)


def test_tomorrows_market_is_found_in_a_context_column() -> None:
    mean = data.daily().with_columns(ahead=NEXT_RETURN.over("symbol")).group_by("timestamp").agg(pl.col("ahead").mean())
    report = check_lookahead(inputs={"prices": data.daily(), "context": mean.sort("timestamp")})
    assert report.leaked_columns == ("ahead",)


def test_daily_signals_on_minute_bars_are_held_against_days() -> None:
    """The next day's return is nothing that the next minutes could tell."""
    minutes = random_bars(3, 130, minutes=True, seed=3).select(data.BARS)
    half_hours = minutes.filter(pl.col("timestamp").dt.minute() % 30 == 0)
    days = half_hours.group_by("symbol", pl.col("timestamp").dt.date().alias("day")).agg(
        pl.col("timestamp").max(), CLOSE.sort_by("timestamp").last()
    )
    report = check_lookahead(inputs={"prices": half_hours, "signals": per_symbol(days, NEXT_RETURN)})
    assert "is the return over the next bar" in report.leaks[0].how


def test_too_few_rows_say_nothing() -> None:
    few = data.daily().filter(pl.col("timestamp") < datetime(2020, 1, 20, tzinfo=UTC))
    assert check_lookahead(inputs={"prices": few, "signals": per_symbol(few, NEXT_RETURN)}).leaks == ()
