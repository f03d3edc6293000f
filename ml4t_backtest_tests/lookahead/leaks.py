"""Pipelines that look ahead, each in one way: what a check must find, and in which column.

Each takes the tables it names and returns signals; its name says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import numpy as np
import polars as pl

from lookahead.data import day_of

KEYS = ("timestamp", "symbol")
LEAKS: list[Callable[..., pl.DataFrame]] = []
CLOSE = pl.col("close")
NEXT_RETURN = CLOSE.shift(-1) / CLOSE - 1.0
PAST_RETURN = CLOSE / CLOSE.shift(1) - 1.0


def leak(pipeline: Callable[..., pl.DataFrame]) -> Callable[..., pl.DataFrame]:
    LEAKS.append(pipeline)
    return pipeline


def per_symbol(prices: pl.DataFrame, signal: pl.Expr) -> pl.DataFrame:
    """Return one signal, computed within each symbol in the order of time."""
    return prices.sort("symbol", "timestamp").select(*KEYS, signal=signal.over("symbol"))


def by_arrays(prices: pl.DataFrame, function: Callable[[np.ndarray], np.ndarray]) -> pl.DataFrame:
    """Return one signal, computed from each symbol's closes as an array."""
    parts = prices.sort("symbol", "timestamp").partition_by("symbol", maintain_order=True)
    made = [part.select(*KEYS, signal=pl.Series(function(part["close"].to_numpy()))) for part in parts]
    return pl.concat(made)


def wide(prices: pl.DataFrame) -> tuple[pl.DataFrame, np.ndarray]:
    """Return the returns of four symbols that somebody chose beforehand, one column each; 0 on the first row."""
    table = prices.pivot("symbol", index="timestamp", values="close").sort("timestamp")
    closes = table.select("S0000", "S0001", "S0002", "S0003").to_numpy()
    returns = np.vstack([np.zeros(4), closes[1:] / closes[:-1] - 1.0])
    return table.select("timestamp"), returns


# --- the next bars, said to be known now -----------------------------------------------------------------------------


@leak
def next_bar_return(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, NEXT_RETURN)


@leak
def direction_of_the_next_bar(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, (NEXT_RETURN > 0).cast(pl.Int8))


@leak
def return_of_the_bar_after_next(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, CLOSE.shift(-2) / CLOSE.shift(-1) - 1.0)


@leak
def return_over_five_bars_ahead(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, CLOSE.shift(-5) / CLOSE - 1.0)


@leak
def next_overnight_gap(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, pl.col("open").shift(-1) / CLOSE - 1.0)


@leak
def next_open_on_minute_bars(minutes: pl.DataFrame) -> pl.DataFrame:
    """The next minute opens at the very moment this one closes, and is not known yet."""
    return per_symbol(minutes, pl.col("open").shift(-1) / CLOSE - 1.0)


@leak
def next_range(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, (pl.col("high") - pl.col("low")).shift(-1) / CLOSE)


@leak
def next_volume(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, (pl.col("volume").shift(-1) / pl.col("volume")).log())


@leak
def coming_volatility(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, PAST_RETURN.rolling_std(10).shift(-10))


@leak
def best_price_of_the_next_week(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, pl.col("high").rolling_max(5).shift(-5) / CLOSE - 1.0)


@leak
def triple_barrier_label(prices: pl.DataFrame) -> pl.DataFrame:
    def label(closes: np.ndarray) -> np.ndarray:
        labels = np.zeros(len(closes))
        for start, close in enumerate(closes):
            path = closes[start + 1 : start + 11] / close - 1.0
            hits = np.flatnonzero(np.abs(path) > 0.02)
            labels[start] = np.sign(path[hits[0]]) if len(hits) else 0.0
        return labels

    return by_arrays(prices, label)


@leak
def one_bar_shift_of_a_momentum(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, (CLOSE / CLOSE.shift(10)).shift(-1))


@leak
def noisy_next_return(prices: pl.DataFrame) -> pl.DataFrame:
    noise = pl.Series(np.random.default_rng(1).normal(0.0, 0.002, prices.height))
    return per_symbol(prices.with_columns(noise.alias("noise")), NEXT_RETURN + pl.col("noise"))


# --- windows that reach to both sides --------------------------------------------------------------------------------


@leak
def centred_mean(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, CLOSE.rolling_mean(5, center=True) / CLOSE - 1.0)


@leak
def centred_median(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, CLOSE.rolling_median(7, center=True) / CLOSE - 1.0)


@leak
def centred_volatility(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, PAST_RETURN.rolling_std(9, center=True))


@leak
def two_sided_kernel(prices: pl.DataFrame) -> pl.DataFrame:
    kernel = np.exp(-0.5 * (np.arange(-6, 7) / 2.5) ** 2)
    return by_arrays(prices, lambda closes: np.convolve(closes, kernel / kernel.sum(), mode="same") / closes)


@leak
def low_pass_of_the_whole_series(prices: pl.DataFrame) -> pl.DataFrame:
    def low_pass(closes: np.ndarray) -> np.ndarray:
        spectrum = np.fft.rfft(np.log(closes))
        spectrum[8:] = 0.0
        return np.fft.irfft(spectrum, len(closes)) - np.log(closes)

    return by_arrays(prices, low_pass)


@leak
def filtered_forward_and_backward(prices: pl.DataFrame) -> pl.DataFrame:
    smooth = CLOSE.ewm_mean(span=5)
    return per_symbol(prices, smooth.reverse().ewm_mean(span=5).reverse() / CLOSE - 1.0)


@leak
def turning_points(prices: pl.DataFrame) -> pl.DataFrame:
    """A low is a low only once the bars after it have been higher."""
    low = pl.col("low")
    return per_symbol(prices, (low == low.rolling_min(11, center=True, min_samples=6)).cast(pl.Int8))


@leak
def interpolated_gaps(prices: pl.DataFrame) -> pl.DataFrame:
    known = pl.when(pl.int_range(pl.len()) % 5 == 0).then(CLOSE)
    return per_symbol(prices, known.interpolate() / CLOSE - 1.0)


@leak
def sum_from_the_end(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, pl.col("volume").cum_sum(reverse=True).log())


# --- constants of the whole history ----------------------------------------------------------------------------------


@leak
def whole_history_z_score(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, (PAST_RETURN - PAST_RETURN.mean()) / PAST_RETURN.std())


@leak
def whole_history_z_score_of_all_symbols(prices: pl.DataFrame) -> pl.DataFrame:
    made = per_symbol(prices, PAST_RETURN)
    return made.with_columns((pl.col("signal") - pl.col("signal").mean()) / pl.col("signal").std())


@leak
def min_max_scaling(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, (CLOSE - CLOSE.min()) / (CLOSE.max() - CLOSE.min()))


@leak
def scaling_by_the_largest(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, PAST_RETURN / PAST_RETURN.abs().max())


@leak
def rank_over_the_whole_history(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, CLOSE.rank() / pl.len())


@leak
def rank_over_all_rows(prices: pl.DataFrame) -> pl.DataFrame:
    made = per_symbol(prices, CLOSE / CLOSE.shift(5) - 1.0)
    return made.with_columns(pl.col("signal").rank() / pl.col("signal").count())


@leak
def quantiles_of_the_whole_history(prices: pl.DataFrame) -> pl.DataFrame:
    volume = pl.col("volume")
    edges = [volume.quantile(share) for share in (0.2, 0.4, 0.6, 0.8)]
    return per_symbol(prices, pl.sum_horizontal((volume > edge).cast(pl.Int8) for edge in edges))


@leak
def winsorised_by_the_whole_history(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, PAST_RETURN.clip(PAST_RETURN.quantile(0.1), PAST_RETURN.quantile(0.9)))


@leak
def deviation_from_the_whole_mean(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, CLOSE - CLOSE.mean())


@leak
def whole_history_volatility_target(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, (CLOSE / CLOSE.shift(20) - 1.0) / PAST_RETURN.std())


@leak
def seasonal_mean_of_the_whole_history(prices: pl.DataFrame) -> pl.DataFrame:
    returns = per_symbol(prices, PAST_RETURN)
    weekday = pl.col("timestamp").dt.weekday()
    return returns.with_columns(pl.col("signal").mean().over("symbol", weekday))


# --- joins and fills -------------------------------------------------------------------------------------------------


@leak
def backward_fill(prices: pl.DataFrame) -> pl.DataFrame:
    sparse = pl.when(pl.int_range(pl.len()) % 7 == 6).then(CLOSE)
    return per_symbol(prices, sparse.backward_fill())


@leak
def forward_as_of_join(prices: pl.DataFrame, earnings: pl.DataFrame) -> pl.DataFrame:
    left, right = prices.select(*KEYS).sort("timestamp"), earnings.sort("timestamp").select(*KEYS, signal="eps")
    return left.join_asof(right, on="timestamp", by="symbol", strategy="forward", check_sortedness=False)


@leak
def nearest_as_of_join(prices: pl.DataFrame, context: pl.DataFrame) -> pl.DataFrame:
    sparse = context.gather_every(5).select("timestamp", signal="fear")
    left = prices.select(*KEYS).sort("timestamp")
    return left.join_asof(sparse, on="timestamp", strategy="nearest", check_sortedness=False)


@leak
def week_labelled_left(prices: pl.DataFrame) -> pl.DataFrame:
    week = pl.col("timestamp").dt.truncate("1w")
    weekly = prices.group_by("symbol", week.alias("week"), maintain_order=True).agg(signal=CLOSE.last())
    return prices.with_columns(week.alias("week")).join(weekly, on=["symbol", "week"]).select(*KEYS, "signal")


@leak
def day_merged_on_minutes(minutes: pl.DataFrame) -> pl.DataFrame:
    days = minutes.group_by("symbol", day=day_of(), maintain_order=True).agg(signal=CLOSE.last())
    return minutes.with_columns(day=day_of()).join(days, on=["symbol", "day"]).select(*KEYS, "signal")


@leak
def volume_weighted_price_of_the_whole_day(minutes: pl.DataFrame) -> pl.DataFrame:
    value = (CLOSE * pl.col("volume")).sum() / pl.col("volume").sum()
    return minutes.select(*KEYS, signal=(value.over("symbol", day_of()) / CLOSE - 1.0))


@leak
def same_day_close_used_at_the_open(prices: pl.DataFrame) -> pl.DataFrame:
    made = per_symbol(prices, PAST_RETURN)
    return made.join(prices.select(*KEYS, available_at="open_instant"), on=KEYS)


@leak
def opening_price_used_before_the_open(prices: pl.DataFrame) -> pl.DataFrame:
    made = per_symbol(prices, pl.col("open") / CLOSE.shift(1) - 1.0)
    opened = prices.select(*KEYS, available_at=pl.col("open_instant") - timedelta(minutes=5))
    return made.join(opened, on=KEYS)


@leak
def shift_across_symbols(prices: pl.DataFrame) -> pl.DataFrame:
    """Without `over`, the first bar of a symbol is given the last one of the symbol before it."""
    return prices.sort("symbol", "timestamp").select(*KEYS, signal=CLOSE / CLOSE.shift(1))


@leak
def fill_across_symbols(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, CLOSE / CLOSE.shift(10)).with_columns(pl.col("signal").forward_fill())


@leak
def figures_by_period_instead_of_publication(prices: pl.DataFrame, earnings: pl.DataFrame) -> pl.DataFrame:
    first = earnings.sort("available_at").unique(["symbol", "timestamp"], keep="first", maintain_order=True)
    right = first.sort("timestamp").select(*KEYS, signal="eps")
    left = prices.select(*KEYS).sort("timestamp")
    return left.join_asof(right, on="timestamp", by="symbol", check_sortedness=False)


@leak
def latest_revision_for_all_times(prices: pl.DataFrame, earnings: pl.DataFrame) -> pl.DataFrame:
    published = earnings.sort("available_at").group_by("symbol", "timestamp", maintain_order=True)
    right = published.agg(pl.col("available_at").first(), pl.col("eps").last()).sort("available_at")
    left = prices.select(*KEYS).sort("timestamp")
    return left.join_asof(
        right.select("symbol", "available_at", signal="eps"),
        left_on="timestamp",
        right_on="available_at",
        by="symbol",
        check_sortedness=False,
    ).select(*KEYS, "signal")


@leak
def tomorrows_context(prices: pl.DataFrame, context: pl.DataFrame) -> pl.DataFrame:
    shifted = context.select("timestamp", signal=pl.col("fear").shift(-1))
    return prices.select(*KEYS).join(shifted, on="timestamp")


@leak
def context_of_the_day_on_minutes(minutes: pl.DataFrame, context: pl.DataFrame) -> pl.DataFrame:
    by_day = context.select(day=day_of(), signal="fear")
    return minutes.select(*KEYS, day=day_of()).join(by_day, on="day").select(*KEYS, "signal")


@leak
def adjusted_by_later_splits(prices: pl.DataFrame, corporate_actions: pl.DataFrame) -> pl.DataFrame:
    splits = corporate_actions.filter(pl.col("kind") == "split")
    later = prices.join(splits, on="symbol", how="left").with_columns(
        factor=pl.when(pl.col("ex_date") > day_of()).then("value").otherwise(1.0).fill_null(1.0)
    )
    return later.select(*KEYS, signal=CLOSE / pl.col("factor"))


@leak
def days_to_the_next_dividend(prices: pl.DataFrame, corporate_actions: pl.DataFrame) -> pl.DataFrame:
    dividends = corporate_actions.filter(pl.col("kind") == "dividend").select("symbol", "ex_date").sort("ex_date")
    left = prices.select(*KEYS, day=day_of()).sort("day")
    joined = left.join_asof(
        dividends, left_on="day", right_on="ex_date", by="symbol", strategy="forward", check_sortedness=False
    )
    return joined.select(*KEYS, signal=(pl.col("ex_date") - pl.col("day")).dt.total_days())


# --- universes -------------------------------------------------------------------------------------------------------


@leak
def universe_of_survivors(prices: pl.DataFrame) -> pl.DataFrame:
    """Returns the universe itself: whoever still has bars at the end, from the beginning on."""
    end = prices["timestamp"].max()
    return (
        prices.group_by("symbol", maintain_order=True)
        .agg(last=pl.col("timestamp").max())
        .filter(pl.col("last") == end)
        .select("symbol")
    )


@leak
def signals_of_survivors_only(prices: pl.DataFrame) -> pl.DataFrame:
    last = pl.col("timestamp").max().over("symbol")
    return per_symbol(prices.filter(last == pl.col("timestamp").max()), PAST_RETURN)


@leak
def the_most_liquid_of_the_whole_history(prices: pl.DataFrame) -> pl.DataFrame:
    volume = pl.col("volume").mean().over("symbol")
    return per_symbol(prices.filter(volume >= volume.median()), PAST_RETURN)


@leak
def membership_of_coming_winners(prices: pl.DataFrame) -> pl.DataFrame:
    """The label leaks through the universe: only symbols that are about to rise belong to it."""
    return per_symbol(prices, CLOSE.shift(-20) / CLOSE).drop_nulls().filter(pl.col("signal") > 1).select(*KEYS)


@leak
def members_as_of_today(prices: pl.DataFrame, universe: pl.DataFrame) -> pl.DataFrame:
    members = universe.filter(pl.col("end").is_null())["symbol"].unique()
    return prices.select(*KEYS, signal=pl.col("symbol").is_in(members.implode()).cast(pl.Int8))


@leak
def rows_without_a_label_dropped(prices: pl.DataFrame) -> pl.DataFrame:
    made = prices.sort("symbol", "timestamp").with_columns(label=NEXT_RETURN.over("symbol"))
    return made.with_columns(signal=PAST_RETURN.over("symbol")).drop_nulls("label").select(*KEYS, "signal")


# --- models ----------------------------------------------------------------------------------------------------------


def lagged(returns: np.ndarray, lags: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return features (lagged returns and a one) and the next return; the last rows have none (NaN)."""
    rows = [returns[lag : len(returns) - lags + lag + 1] for lag in range(lags)]
    features = np.column_stack([np.ones(len(rows[0])), *rows])
    return features, np.append(returns[lags:], np.nan)


def fitted(features: np.ndarray, target: np.ndarray) -> np.ndarray:
    known = ~np.isnan(target)
    return np.linalg.lstsq(features[known], target[known], rcond=None)[0]


def modelled(prices: pl.DataFrame, model: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> pl.DataFrame:
    """Return a model's prediction of the next return of each symbol from its last three."""

    def predict(closes: np.ndarray) -> np.ndarray:
        returns = np.append(0.0, closes[1:] / closes[:-1] - 1.0)
        return np.append(np.full(2, np.nan), model(*lagged(returns)))

    return by_arrays(prices, predict)


@leak
def regression_fitted_on_the_whole_history(prices: pl.DataFrame) -> pl.DataFrame:
    return modelled(prices, lambda features, target: features @ fitted(features, target))


@leak
def cross_validated_predictions(prices: pl.DataFrame) -> pl.DataFrame:
    """Each fold is predicted by a model of all others, those after it included."""

    def predict(features: np.ndarray, target: np.ndarray) -> np.ndarray:
        folds = np.arange(len(target)) * 5 // len(target)
        return np.concatenate(
            [features[folds == f] @ fitted(features[folds != f], target[folds != f]) for f in range(5)]
        )

    return modelled(prices, predict)


@leak
def walk_forward_without_a_gap(prices: pl.DataFrame) -> pl.DataFrame:
    """Labels look five bars ahead, and the latest four of them are not known yet when the model is fitted."""

    def predict(features: np.ndarray, target: np.ndarray) -> np.ndarray:
        label = np.array([target[row : row + 5].sum() for row in range(len(target))])
        out = np.full(len(target), np.nan)
        for row in range(30, len(target)):
            out[row] = features[row] @ fitted(features[:row], label[:row])
        return out

    return modelled(prices, predict)


@leak
def training_rows_among_the_tested(prices: pl.DataFrame) -> pl.DataFrame:
    """One model, trained on the last two thirds, predicts all."""

    def predict(features: np.ndarray, target: np.ndarray) -> np.ndarray:
        third = len(target) // 3
        return features @ fitted(features[third:], target[third:])

    return modelled(prices, predict)


@leak
def nearest_neighbours_in_the_future(prices: pl.DataFrame) -> pl.DataFrame:
    def predict(features: np.ndarray, target: np.ndarray) -> np.ndarray:
        distance = ((features[:, None, :] - features[None, :, :]) ** 2).sum(axis=2)
        np.fill_diagonal(distance, np.inf)
        distance[:, np.isnan(target)] = np.inf
        return target[np.argsort(distance, axis=1, kind="stable")[:, :5]].mean(axis=1)

    return modelled(prices, predict)


@leak
def principal_component_of_the_whole_history(prices: pl.DataFrame) -> pl.DataFrame:
    stamps, returns = wide(prices)
    centred = returns - returns.mean(axis=0)
    vectors = np.linalg.svd(centred, full_matrices=False)[2]
    return stamps.with_columns(signal=pl.Series(centred @ vectors[0]))


@leak
def target_encoding_of_the_weekday(prices: pl.DataFrame) -> pl.DataFrame:
    made = per_symbol(prices, NEXT_RETURN)
    return made.with_columns(pl.col("signal").mean().over(pl.col("timestamp").dt.weekday()))


@leak
def window_chosen_by_hindsight(prices: pl.DataFrame) -> pl.DataFrame:
    """Of three windows the one that would have earned most is used for all times."""
    windows = (5, 10, 20)
    bars = prices.sort("symbol", "timestamp")
    signs = [(CLOSE / CLOSE.shift(window) - 1.0).sign().over("symbol") for window in windows]
    earned = bars.select(
        ((sign * NEXT_RETURN.over("symbol")).sum()).alias(str(number)) for number, sign in enumerate(signs)
    )
    best = int(np.argmax(earned.row(0)))
    return bars.select(*KEYS, signal=CLOSE / CLOSE.shift(windows[best]).over("symbol") - 1.0)


@leak
def drift_of_the_whole_history(prices: pl.DataFrame) -> pl.DataFrame:
    return per_symbol(prices, (CLOSE.last() / CLOSE.first()).log() / pl.len() + 0.0 * CLOSE)


@leak
def position_in_the_file(prices: pl.DataFrame) -> pl.DataFrame:
    """How near the end of the data is: a symbol that ends early says so beforehand."""
    return per_symbol(prices, pl.len() - pl.int_range(pl.len()) + 0 * CLOSE.cast(pl.Int64))
