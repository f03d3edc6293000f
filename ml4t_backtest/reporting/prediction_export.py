"""What a model said, and what came of it: predictions with their outcomes, for programs that judge a model.

An outcome lies after its prediction. It belongs to an evaluation, never to a strategy.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from ml4t_backtest.core.schemas import corporate_actions_schema, empty_frame
from ml4t_backtest.data.adjustment import PRICE_FACTOR, Adjustment, forward_factors
from ml4t_backtest.data.calendar import TradingCalendar
from ml4t_backtest.errors import ConfigError

_BAR = ("timestamp", "symbol", "close")


def prediction_table(
    bars: pl.DataFrame | pl.LazyFrame,
    signals: Sequence[str],
    *,
    corporate_actions: pl.DataFrame | None = None,
    adjustment: Adjustment = "none",
    calendar: str = "XNYS",
) -> pl.DataFrame:
    """Return one row per prediction, at the first bar that shows it, with what the price did until the next one.

    Args:
        bars: Prepared bars: `timestamp`, `symbol`, `close`, and NAME and NAME_is_new of each signal.
        signals: Names of signals; the first is the prediction, rows without it are left out.
        corporate_actions: Splits and dividends, schema `corporate_actions`.
        adjustment: What the prices contain already; what they do not is in the outcome.
        calendar: Exchange calendar of the bars.

    Returns:
        `timestamp` (close of that bar), `symbol`, `prediction_value`, the other signals, and `forward_return`: from
        the close of that bar to the close of the bar that shows the symbol's next prediction, splits and dividends
        accounted for; null where there is no next one. Sorted by timestamp, then symbol.

    Raises:
        ConfigError: No signal is named, or the bars do not have one.

    >>> from ml4t_backtest.data.synthetic import random_bars
    >>> bars = random_bars(1, 3).with_columns(prediction_is_new=True)
    >>> table = prediction_table(bars, ["prediction"])
    >>> table.columns, table["forward_return"].null_count()
    (['timestamp', 'symbol', 'prediction_value', 'forward_return'], 1)
    """
    lazy = bars.lazy()
    there = lazy.collect_schema().names()
    needed = [*_BAR, *signals, *(f"{name}_is_new" for name in signals[:1])]
    absent = [name for name in needed if name not in there]
    if absent or not signals:
        raise ConfigError(f"predictions need a signal of prepared bars: {', '.join(absent) or 'none was named'}")
    frame = lazy.select(needed).collect(engine="in-memory").sort("timestamp", "symbol")
    factors = _factors(frame, corporate_actions, adjustment, calendar)
    value = (pl.col("close") * factors).alias("value")
    shown = frame.with_columns(value).filter(pl.col(f"{signals[0]}_is_new"))
    after = pl.col("value").shift(-1).over("symbol", order_by="timestamp") / pl.col("value") - 1.0
    rows = shown.with_columns(forward_return=after).filter(pl.col(signals[0]).is_not_null())
    said = pl.col(signals[0]).alias("prediction_value")
    return rows.select("timestamp", pl.col("symbol").cast(pl.String), said, *signals[1:], "forward_return")


def signal_table(predictions: pl.DataFrame, trades: pl.DataFrame) -> pl.DataFrame:
    """Return which predictions were traded on: those that a decision to enter saw as the latest of its symbol.

    Args:
        predictions: What `prediction_table` returned.
        trades: Table `trades` of a result.

    Returns:
        `timestamp`, `symbol`, `signal_value` (the prediction), `selected`, and the `trade_id` of the first trade that
        was decided on it, as text; in the order of the predictions.
    """
    decided = trades.select("trade_id", pl.col("symbol").cast(pl.String), timestamp="decision_timestamp")
    shown = predictions.select("symbol", "timestamp", seen="timestamp").sort("timestamp")
    seen = decided.sort("timestamp", "trade_id").join_asof(
        shown, on="timestamp", by="symbol", strategy="backward", check_sortedness=False
    )
    first = seen.drop_nulls("seen").group_by("symbol", "seen").agg(pl.col("trade_id").min().cast(pl.String))
    linked = predictions.join(
        first, left_on=["symbol", "timestamp"], right_on=["symbol", "seen"], how="left", maintain_order="left"
    )
    traded = pl.col("trade_id").is_not_null().alias("selected")
    return linked.select("timestamp", "symbol", pl.col("prediction_value").alias("signal_value"), traded, "trade_id")


def _factors(frame: pl.DataFrame, actions: pl.DataFrame | None, adjustment: Adjustment, calendar: str) -> pl.Series:
    if frame.is_empty():
        return pl.Series([], dtype=pl.Float64)
    days = frame["timestamp"].dt.date()
    sessions = TradingCalendar(calendar, days.min(), days.max())  # type: ignore[arg-type]
    known = actions if actions is not None else empty_frame(corporate_actions_schema())
    return forward_factors(frame, known, sessions, adjustment)[PRICE_FACTOR]
