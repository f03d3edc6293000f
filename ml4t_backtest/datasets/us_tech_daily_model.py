"""The walk-forward model behind the predictions of `us_tech_daily`: small, honest, without skill.

One rule: whatever is written for a session depends on nothing after that session's close. Needs scikit-learn,
and only to rebuild the predictions; nothing in the package imports this module but the build.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import polars as pl

RETURN_SPANS = (1, 5, 10, 21)
VOLATILITY_WINDOW = 21
FEATURES = (*(f"return_{span}" for span in RETURN_SPANS), f"volatility_{VOLATILITY_WINDOW}")
FIRST_FIT = 504
"""Sessions of history before the first model is fitted: two years."""
REFIT_EVERY = 21
PREDICTION_DECIMALS = 6
"""Keeps the last bits of a linear-algebra library out of the file."""


def total_return_steps(prices: pl.DataFrame, actions: pl.DataFrame) -> pl.DataFrame:
    """Add `close_step` and `open_step`: one session's gross total return, close to close and open to open.

    step[t] = split[t] * (price[t] + dividend[t]) / price[t-1], null on a symbol's first bar. Chaining steps
    adjusts prices forward: no bar sees a later action.

    Args:
        prices: `timestamp, symbol, open, close` at least, unique by (timestamp, symbol).
        actions: As `corporate_actions` returns them.
    """
    known = actions.rename({"ex_date": "timestamp"})
    dividends = known.filter(kind="dividend").select("timestamp", "symbol", dividend="value")
    splits = known.filter(kind="split").select("timestamp", "symbol", split="value")
    joined = (
        prices.join(dividends, on=("timestamp", "symbol"), how="left")
        .join(splits, on=("timestamp", "symbol"), how="left")
        .with_columns(pl.col("dividend").fill_null(0.0), pl.col("split").fill_null(1.0))
        .sort("symbol", "timestamp")
    )
    steps = {
        f"{name}_step": pl.col("split") * (pl.col(name) + pl.col("dividend")) / pl.col(name).shift(1).over("symbol")
        for name in ("open", "close")
    }
    return joined.with_columns(**steps).drop("dividend", "split")


def training_rows(prices: pl.DataFrame, actions: pl.DataFrame) -> pl.DataFrame:
    """Return features known at each close, with the label and when that becomes known.

    Features are log total returns over `RETURN_SPANS` sessions and the sample standard deviation of the last
    21 daily ones. The label of session t is whether the total return from the open of t+1 to the open of t+2
    is positive, which is what an order decided at the close of t can earn.

    Returns:
        `timestamp, symbol`, `FEATURES`, `label` (null where not known yet), `label_session`: t+2, at whose
        open the label becomes known. A symbol's first 21 bars have no row.
    """
    daily = pl.col("close_step").log()
    level = pl.col("level")
    returns = {f"return_{span}": (level - level.shift(span)).over("symbol") for span in RETURN_SPANS}
    return (
        total_return_steps(prices, actions)
        .with_columns(level=daily.fill_null(0.0).cum_sum().over("symbol"))
        .with_columns(
            **returns,
            **{FEATURES[-1]: daily.rolling_std(VOLATILITY_WINDOW).over("symbol")},
            label=(pl.col("open_step") > 1).shift(-2).over("symbol"),
            label_session=pl.col("timestamp").shift(-2).over("symbol"),
        )
        .drop_nulls(FEATURES)
        .select("timestamp", "symbol", *FEATURES, "label", "label_session")
        .sort("timestamp", "symbol")
    )


def walk_forward(rows: pl.DataFrame, sessions: Sequence[date]) -> pl.DataFrame:
    """Fit every `REFIT_EVERY` sessions on all labels known by then; predict until the next fit.

    A fit happens at a session's close and uses the rows with `label_session` up to that session: those labels
    were known at its open. The fits are counted from the first session, so a later end moves none of them.

    Returns:
        `timestamp, symbol, prediction`: the probability that the row's label is true.
    """
    blocks = []
    for first in range(FIRST_FIT, len(sessions), REFIT_EVERY):
        span = sessions[first : first + REFIT_EVERY]
        known = rows.filter(pl.col("label_session") <= span[0])
        ahead = rows.filter(pl.col("timestamp").is_between(span[0], span[-1]))
        probability = fit_and_predict(known, ahead)
        blocks.append(ahead.select("timestamp", "symbol", prediction=pl.Series(probability)))
    return pl.concat(blocks).with_columns(pl.col("prediction").round(PREDICTION_DECIMALS))


def fit_and_predict(known: pl.DataFrame, ahead: pl.DataFrame) -> Any:
    """Return the probabilities of `ahead` by a logistic regression on `known`, pooled over the symbols.

    Features are standardised with the mean and deviation of `known` only. Newton's method to a tight
    tolerance has one answer whatever the starting point, so there is no seed.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    regression = LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-10, max_iter=100)
    model = make_pipeline(StandardScaler(), regression)
    model.fit(known.select(FEATURES).to_numpy(), known["label"].to_numpy())
    return model.predict_proba(ahead.select(FEATURES).to_numpy())[:, 1]


def predictions(prices: pl.DataFrame, actions: pl.DataFrame, closes: pl.DataFrame) -> pl.DataFrame:
    """Return `timestamp, symbol, prediction, confidence, available_at` by (timestamp, symbol).

    `prediction` is the probability that the total return from the next session's open to the open after it is
    positive; `confidence` is |2 prediction - 1|; `available_at` is the close of the row's session.
    """
    sessions = prices["timestamp"].unique().sort().to_list()
    confidence = (2 * pl.col("prediction") - 1).abs().round(PREDICTION_DECIMALS)
    return (
        walk_forward(training_rows(prices, actions), sessions)
        .with_columns(confidence=confidence)
        .join(closes, on="timestamp", how="left")
        .sort("timestamp", "symbol")
    )


def skill(predicted: pl.DataFrame, prices: pl.DataFrame, actions: pl.DataFrame) -> dict[str, float]:
    """Measure the predictions out of sample, beside always saying "up" (hit rate) and 0.5 (AUC, log loss)."""
    from sklearn.metrics import log_loss, roc_auc_score

    rows = predicted.join(training_rows(prices, actions), on=("timestamp", "symbol")).drop_nulls("label")
    label, probability = rows["label"].to_numpy(), rows["prediction"].to_numpy()
    return {
        "rows": len(rows),
        "hit_rate": round(float(np.mean((probability > 0.5) == label)), 4),
        "share_of_up_labels": round(float(np.mean(label)), 4),
        "share_predicted_up": round(float(np.mean(probability > 0.5)), 4),
        "auc": round(float(roc_auc_score(label, probability)), 4),
        "log_loss": round(float(log_loss(label, probability)), 5),
        "log_loss_of_one_half": round(float(np.log(2)), 5),
    }
