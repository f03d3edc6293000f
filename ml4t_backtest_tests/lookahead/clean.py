"""Honest pipelines of the kinds that are most easily accused: none of them may be.

Each takes the tables it names and returns signals that know nothing of what comes after them.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import numpy as np
import polars as pl

from lookahead.data import day_of
from lookahead.leaks import CLOSE, KEYS, NEXT_RETURN, PAST_RETURN, by_arrays, fitted, modelled, per_symbol, wide

CLEAN: list[Callable[..., pl.DataFrame]] = []
SIGNAL = pl.col("signal")


def clean(pipeline: Callable[..., pl.DataFrame]) -> Callable[..., pl.DataFrame]:
    CLEAN.append(pipeline)
    return pipeline


# --- windows that end now --------------------------------------------------------------------------------------------


@clean
def last_return(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, PAST_RETURN)


@clean
def return_of_a_bar_ago(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, PAST_RETURN.shift(1))


@clean
def close_itself(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, CLOSE)


@clean
def momentum(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, CLOSE / CLOSE.shift(20) - 1.0)


@clean
def moving_average(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, CLOSE.rolling_mean(10))


@clean
def distance_from_the_median(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, CLOSE / CLOSE.rolling_median(7) - 1.0)


@clean
def exponential_average(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, CLOSE.ewm_mean(span=12) - CLOSE.ewm_mean(span=26))


@clean
def relative_strength(prices: pl.DataFrame) -> pl.DataFrame:
    step = CLOSE.diff()
    up, down = step.clip(lower_bound=0.0).ewm_mean(alpha=1 / 14), (-step).clip(lower_bound=0.0).ewm_mean(alpha=1 / 14)
    return per_symbol(prices, 100.0 - 100.0 / (1.0 + up / down))


@clean
def true_range(prices: pl.DataFrame) -> pl.DataFrame:
    high, low, before = pl.col("high"), pl.col("low"), CLOSE.shift(1)
    widest = pl.max_horizontal(high - low, (high - before).abs(), (low - before).abs())
    return per_symbol(prices, widest.rolling_mean(14))


@clean
def stochastic_oscillator(prices: pl.DataFrame) -> pl.DataFrame:
    low, high = pl.col("low").rolling_min(14), pl.col("high").rolling_max(14)
    return per_symbol(prices, (CLOSE - low) / (high - low))


@clean
def trailing_volatility(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, PAST_RETURN.rolling_std(20))


@clean
def momentum_by_volatility(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, (CLOSE / CLOSE.shift(10) - 1.0) / PAST_RETURN.rolling_std(20))


@clean
def breakout(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, (pl.col("high").rolling_max(20).shift(1) < CLOSE).cast(pl.Int8))


@clean
def drawdown(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, CLOSE / CLOSE.cum_max() - 1.0)


@clean
def gap_of_this_morning(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, pl.col("open") / CLOSE.shift(1) - 1.0)


@clean
def volume_against_its_past(prices: pl.DataFrame) -> pl.DataFrame:
    volume = pl.col("volume")
    return per_symbol(prices, (volume / volume.shift(1).rolling_mean(10)).log())


@clean
def one_sided_kernel(prices: pl.DataFrame) -> pl.DataFrame:
    kernel = np.exp(-np.arange(8) / 3.0)
    return by_arrays(prices, lambda closes: np.convolve(closes, kernel / kernel.sum())[: len(closes)] / closes)


# --- constants of the past -------------------------------------------------------------------------------------------


@clean
def trailing_z_score(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, (CLOSE - CLOSE.rolling_mean(20)) / CLOSE.rolling_std(20))


@clean
def expanding_z_score(prices: pl.DataFrame) -> pl.DataFrame:
    count = pl.int_range(1, pl.len() + 1)
    mean, square = CLOSE.cum_sum() / count, (CLOSE**2).cum_sum() / count
    return per_symbol(prices, pl.when(count > 5).then((CLOSE - mean) / (square - mean**2).clip(1e-9).sqrt()))


@clean
def expanding_min_max(prices: pl.DataFrame) -> pl.DataFrame:
    low, high = CLOSE.cum_min(), CLOSE.cum_max()
    return per_symbol(prices, pl.when(high > low).then((CLOSE - low) / (high - low)))


@clean
def expanding_rank(prices: pl.DataFrame) -> pl.DataFrame:
    def rank(closes: np.ndarray) -> np.ndarray:
        return np.array([(closes[: end + 1] <= close).mean() for end, close in enumerate(closes)])

    return by_arrays(prices, rank)


@clean
def trailing_quantile_bucket(prices: pl.DataFrame) -> pl.DataFrame:
    volume = pl.col("volume")
    edges = [volume.rolling_quantile(share, window_size=30) for share in (0.2, 0.4, 0.6, 0.8)]
    return per_symbol(prices, pl.sum_horizontal((volume > edge).cast(pl.Int8) for edge in edges))


@clean
def winsorised_by_the_past(prices: pl.DataFrame) -> pl.DataFrame:
    low, high = (PAST_RETURN.rolling_quantile(share, window_size=40) for share in (0.1, 0.9))
    return per_symbol(prices, PAST_RETURN.clip(low, high))


@clean
def weekday_mean_so_far(prices: pl.DataFrame) -> pl.DataFrame:
    made = per_symbol(prices, PAST_RETURN).with_columns(SIGNAL.fill_null(0.0))
    groups = ("symbol", pl.col("timestamp").dt.weekday())
    return made.with_columns((SIGNAL.cum_sum() / SIGNAL.cum_count()).over(*groups))


@clean
def fixed_scaling(prices: pl.DataFrame) -> pl.DataFrame:
    """Constants that somebody wrote down look like fitted ones."""
    return per_symbol(prices, (PAST_RETURN - 0.0004) / 0.0151)


# --- across symbols at one moment ------------------------------------------------------------------------------------


@clean
def rank_at_each_moment(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, PAST_RETURN).with_columns(SIGNAL.rank().over("timestamp") / pl.len().over("timestamp"))


@clean
def z_score_at_each_moment(prices: pl.DataFrame) -> pl.DataFrame:
    made = per_symbol(prices, CLOSE / CLOSE.shift(5) - 1.0)
    return made.with_columns(((SIGNAL - SIGNAL.mean()) / SIGNAL.std(ddof=0)).over("timestamp"))


@clean
def demeaned_at_each_moment(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, PAST_RETURN).with_columns(SIGNAL - SIGNAL.mean().over("timestamp"))


@clean
def breadth_of_the_market(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, (PAST_RETURN > 0).cast(pl.Float64)).with_columns(SIGNAL.mean().over("timestamp"))


@clean
def spread_of_a_pair(prices: pl.DataFrame) -> pl.DataFrame:
    stamps, returns = wide(prices)
    beta = pl.DataFrame(returns[:, :2], schema=["x", "y"]).select(
        pl.rolling_cov("x", "y", window_size=30) / pl.col("x").rolling_var(30)
    )
    spread = returns[:, 1] - beta.to_series().fill_null(0.0).to_numpy() * returns[:, 0]
    return stamps.with_columns(signal=pl.Series(spread))


# --- joins and fills -------------------------------------------------------------------------------------------------


@clean
def forward_fill(prices: pl.DataFrame) -> pl.DataFrame:
    sparse = pl.when(pl.int_range(pl.len()) % 7 == 0).then(CLOSE)
    return per_symbol(prices, sparse.forward_fill())


@clean
def figures_as_published(prices: pl.DataFrame, earnings: pl.DataFrame) -> pl.DataFrame:
    right = earnings.sort("available_at").select("symbol", "available_at", signal="eps")
    left = prices.select(*KEYS).sort("timestamp")
    joined = left.join_asof(right, left_on="timestamp", right_on="available_at", by="symbol", check_sortedness=False)
    return joined.select(*KEYS, "signal")


@clean
def week_labelled_right(prices: pl.DataFrame) -> pl.DataFrame:
    week = pl.col("timestamp").dt.truncate("1w")
    weekly = prices.sort("timestamp").group_by("symbol", week.alias("week"), maintain_order=True)
    closed = weekly.agg(signal=CLOSE.last()).with_columns(pl.col("week").dt.offset_by("1w"))
    shown = prices.with_columns(week.alias("week")).join(closed, on=["symbol", "week"], how="left")
    return shown.select(*KEYS, "signal")


@clean
def yesterday_on_minutes(minutes: pl.DataFrame) -> pl.DataFrame:
    days = minutes.group_by("symbol", day=day_of(), maintain_order=True).agg(signal=CLOSE.last())
    before = days.with_columns(SIGNAL.shift(1).over("symbol"))
    return minutes.with_columns(day=day_of()).join(before, on=["symbol", "day"]).select(*KEYS, "signal")


@clean
def volume_weighted_price_so_far(minutes: pl.DataFrame) -> pl.DataFrame:
    value = (CLOSE * pl.col("volume")).cum_sum() / pl.col("volume").cum_sum()
    return minutes.sort(*KEYS).select(*KEYS, signal=value.over("symbol", day_of()) / CLOSE - 1.0)


@clean
def opening_range_once_it_is_over(minutes: pl.DataFrame) -> pl.DataFrame:
    bar = pl.int_range(pl.len())
    high = pl.when(bar < 3).then("high").max().over("symbol", day_of())
    return minutes.sort(*KEYS).select(*KEYS, signal=pl.when(bar.over("symbol", day_of()) >= 2).then(CLOSE / high - 1.0))


@clean
def todays_open_used_after_the_open(prices: pl.DataFrame) -> pl.DataFrame:
    made = per_symbol(prices, pl.col("open") / CLOSE.shift(1) - 1.0)
    opened = prices.select(*KEYS, available_at=pl.col("open_instant") + timedelta(minutes=5))
    return made.join(opened, on=KEYS)


@clean
def yesterdays_close_used_at_the_open(prices: pl.DataFrame) -> pl.DataFrame:
    made = per_symbol(prices, PAST_RETURN.shift(1))
    return made.join(prices.select(*KEYS, available_at="open_instant"), on=KEYS)


@clean
def context_at_its_close(prices: pl.DataFrame, context: pl.DataFrame) -> pl.DataFrame:
    known = context.select("timestamp", signal=pl.col("fear") / pl.col("fear").shift(1) - 1.0)
    return prices.select(*KEYS).join(known, on="timestamp", maintain_order="left")


@clean
def regime_by_name(prices: pl.DataFrame, context: pl.DataFrame) -> pl.DataFrame:
    calm = pl.col("fear") < pl.col("fear").rolling_median(20)
    named = context.select("timestamp", signal=pl.when(calm).then(pl.lit("calm")).otherwise(pl.lit("stressed")))
    return prices.select(*KEYS).join(named, on="timestamp", maintain_order="left")


@clean
def members_on_the_day(prices: pl.DataFrame, universe: pl.DataFrame) -> pl.DataFrame:
    """A left join: with an inner one, a symbol that will belong one day would have rows from the beginning on."""
    spans = prices.select(*KEYS, day=day_of()).join(universe, on="symbol", how="left")
    begun = (pl.col("day") >= pl.col("start")).fill_null(False)
    return spans.group_by(KEYS).agg(signal=(begun & (pl.col("day") <= pl.col("end")).fill_null(True)).any())


@clean
def adjusted_by_earlier_splits(prices: pl.DataFrame, corporate_actions: pl.DataFrame) -> pl.DataFrame:
    splits = corporate_actions.filter(pl.col("kind") == "split")
    known = prices.join(splits, on="symbol", how="left", maintain_order="left").with_columns(
        factor=pl.when(pl.col("ex_date") <= day_of()).then("value").otherwise(1.0).fill_null(1.0)
    )
    return known.select(*KEYS, signal=CLOSE * pl.col("factor"))


@clean
def days_since_the_last_dividend(prices: pl.DataFrame, corporate_actions: pl.DataFrame) -> pl.DataFrame:
    dividends = corporate_actions.filter(pl.col("kind") == "dividend").select("symbol", "ex_date").sort("ex_date")
    left = prices.select(*KEYS, day=day_of()).sort("day")
    joined = left.join_asof(dividends, left_on="day", right_on="ex_date", by="symbol", check_sortedness=False)
    return joined.select(*KEYS, signal=(pl.col("day") - pl.col("ex_date")).dt.total_days())


# --- models ----------------------------------------------------------------------------------------------------------


@clean
def walk_forward_regression(prices: pl.DataFrame) -> pl.DataFrame:
    def predict(features: np.ndarray, target: np.ndarray) -> np.ndarray:
        out = np.full(len(target), np.nan)
        for row in range(30, len(target)):
            out[row] = features[row] @ fitted(features[:row], target[:row])
        return out

    return modelled(prices, predict)


@clean
def walk_forward_with_a_gap(prices: pl.DataFrame) -> pl.DataFrame:
    """Labels look five bars ahead; the model is fitted on those that are over."""

    def predict(features: np.ndarray, target: np.ndarray) -> np.ndarray:
        label = np.array([target[row : row + 5].sum() for row in range(len(target))])
        out = np.full(len(target), np.nan)
        for row in range(40, len(target)):
            out[row] = features[row] @ fitted(features[: row - 4], label[: row - 4])
        return out

    return modelled(prices, predict)


@clean
def refitted_every_month(prices: pl.DataFrame) -> pl.DataFrame:
    """Blocks are predicted by one matrix product each: its last bits depend on how many rows it has."""

    def predict(features: np.ndarray, target: np.ndarray) -> np.ndarray:
        out = np.full(len(target), np.nan)
        for start in range(42, len(target), 21):
            out[start : start + 21] = features[start : start + 21] @ fitted(features[: start - 1], target[: start - 1])
        return out

    return modelled(prices, predict)


@clean
def learned_online(prices: pl.DataFrame) -> pl.DataFrame:
    def predict(features: np.ndarray, target: np.ndarray) -> np.ndarray:
        weights, out = np.zeros(features.shape[1]), np.zeros(len(target))
        for row in range(len(target)):
            if row:
                weights += 0.5 * (target[row - 1] - features[row - 1] @ weights) * features[row - 1]
            out[row] = features[row] @ weights
        return out

    return modelled(prices, predict)


@clean
def principal_component_of_the_past(prices: pl.DataFrame) -> pl.DataFrame:
    stamps, returns = wide(prices)
    scores = np.full(len(returns), np.nan)
    for row in range(40, len(returns)):
        past = returns[: row + 1]
        vector = np.linalg.svd(past - past.mean(axis=0), full_matrices=False)[2][0]
        scores[row] = (returns[row] - past.mean(axis=0)) @ (vector * np.sign(vector[0]))
    return stamps.with_columns(signal=pl.Series(scores))


@clean
def neighbours_of_the_past(prices: pl.DataFrame) -> pl.DataFrame:
    def predict(features: np.ndarray, target: np.ndarray) -> np.ndarray:
        out = np.full(len(target), np.nan)
        for row in range(30, len(target)):
            distance = ((features[:row] - features[row]) ** 2).sum(axis=1)
            out[row] = target[np.argsort(distance, kind="stable")[:5]].mean()
        return out

    return modelled(prices, predict)


@clean
def target_encoding_so_far(prices: pl.DataFrame) -> pl.DataFrame:
    known = per_symbol(prices, PAST_RETURN).with_columns(SIGNAL.fill_null(0.0))
    return known.with_columns((SIGNAL.cum_sum() / SIGNAL.cum_count()).over("symbol"))


@clean
def state_machine(prices: pl.DataFrame) -> pl.DataFrame:
    def states(closes: np.ndarray) -> np.ndarray:
        out, held, entry = np.zeros(len(closes)), 0.0, 0.0
        for row in range(1, len(closes)):
            if not held and closes[row] > closes[row - 1] * 1.01:
                held, entry = 1.0, closes[row]
            elif held and closes[row] < entry * 0.98:
                held = 0.0
            out[row] = held
        return out

    return by_arrays(prices, states)


# --- skill, noise and the calendar -----------------------------------------------------------------------------------


@clean
def forecast_of_great_skill(forecasts: pl.DataFrame) -> pl.DataFrame:
    """Correlates 0.7 with the next return, and is not computed from it."""
    return forecasts.select(*KEYS, "available_at", signal="forecast")


@clean
def forecast_over_its_past_volatility(forecasts: pl.DataFrame) -> pl.DataFrame:
    bars = forecasts.sort("symbol", "timestamp")
    forecast = pl.col("forecast")
    return bars.select(*KEYS, signal=(forecast / forecast.rolling_std(20)).over("symbol"))


@clean
def noise_with_a_seed(prices: pl.DataFrame) -> pl.DataFrame:
    bars = prices.sort(*KEYS)
    return bars.select(*KEYS, signal=pl.Series(np.random.default_rng(4).standard_normal(bars.height)))


@clean
def constant(prices: pl.DataFrame) -> pl.DataFrame:
    return prices.select(*KEYS, signal=pl.lit(1.0))


@clean
def weekday(prices: pl.DataFrame) -> pl.DataFrame:
    return prices.select(*KEYS, signal=pl.col("timestamp").dt.weekday())


@clean
def season_as_a_wave(prices: pl.DataFrame) -> pl.DataFrame:
    day = pl.col("timestamp").dt.ordinal_day()
    return prices.select(*KEYS, signal=(day * (2 * np.pi / 365.25)).sin())


@clean
def bars_to_the_end_of_the_month(prices: pl.DataFrame) -> pl.DataFrame:
    """The calendar is known years ahead."""
    day = pl.col("timestamp").dt.date()
    return prices.select(*KEYS, signal=(day.dt.month_end() - day).dt.total_days())


@clean
def rows_of_the_warm_up_dropped(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, CLOSE / CLOSE.shift(15) - 1.0).drop_nulls()


@clean
def narrow_floats(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, (CLOSE / CLOSE.rolling_mean(9)).cast(pl.Float32))


@clean
def labels_with_the_time_they_were_known(prices: pl.DataFrame) -> pl.DataFrame:
    """Training labels are about the future of their row, and say that they are known afterwards."""
    made = prices.sort("symbol", "timestamp").select(
        *KEYS,
        signal=NEXT_RETURN.over("symbol"),
        available_at=pl.col("timestamp").shift(-1).over("symbol"),
    )
    return made.drop_nulls("available_at")
