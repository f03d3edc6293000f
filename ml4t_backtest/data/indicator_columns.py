"""Indicators over bars: once per symbol, over its whole history, on prices that no later split has touched."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl

from ml4t_backtest.core.schemas import PRICE_COLUMNS
from ml4t_backtest.data.adjustment import PRICE_FACTOR, SHARE_FACTOR, forward_factors
from ml4t_backtest.data.calendar import TradingCalendar
from ml4t_backtest.data.indicator_declaration import IndicatorRequest
from ml4t_backtest.data.sources import collect

# How an output on the first bar's basis becomes one on the bar's own.
_OWN_BASIS: dict[str, Callable[[pl.Expr], pl.Expr]] = {
    "price": lambda value: value / pl.col(PRICE_FACTOR),
    "shares": lambda value: value * pl.col(SHARE_FACTOR),
    "none": lambda value: value,
}


def add_indicators(
    bars: pl.DataFrame,
    requests: Sequence[IndicatorRequest],
    actions: pl.DataFrame,
    calendar: TradingCalendar,
    *,
    adjustment: str = "none",
) -> pl.DataFrame:
    """Give every bar the indicators asked for, known at its close.

    A bar counts as the one after its symbol's bar before it, however long ago that was. Values are null while an
    indicator warms up and where its formula is not defined.

    Args:
        bars: Frame of schema `prices`, in any order.
        requests: What was asked for.
        actions: Frame of schema `corporate_actions`.
        calendar: Sessions covering the bars.
        adjustment: What the prices contain already.

    Returns:
        `bars`, in the same order, with the columns of each request.
    """
    if not requests:
        return bars
    factors = forward_factors(bars, actions, calendar, adjustment)
    order = bars.select("symbol", "timestamp").with_row_index("row").sort("symbol", "timestamp")["row"]
    ordered = pl.concat([bars.select("symbol", *PRICE_COLUMNS, "volume"), factors], how="horizontal")[order]
    adjusted = ordered.lazy().with_columns(
        pl.col(*PRICE_COLUMNS) * pl.col(PRICE_FACTOR), pl.col("volume") / pl.col(SHARE_FACTOR)
    )
    positions = order.arg_sort()
    for request in requests:
        # One at a time, so that only one is in memory beside the bars; never by the streaming engine, whose float
        # sums differ from run to run.
        values = collect(adjusted.select(_over_symbols(request)).select(_columns_of(request)))
        bars = bars.with_columns(values[positions])
    return bars


def _over_symbols(request: IndicatorRequest) -> list[pl.Expr]:
    value = request.expression().over("symbol")
    return [value.alias("value"), pl.col(PRICE_FACTOR), pl.col(SHARE_FACTOR)]


def _columns_of(request: IndicatorRequest) -> list[pl.Expr]:
    own_basis = _OWN_BASIS[request.indicator.unit]
    found = {
        column: pl.col("value").struct.field(field) if field else pl.col("value")
        for column, field in request.fields.items()
    }
    # TA-Lib writes NaN where there is no value.
    return [
        pl.when(value.is_finite()).then(own_basis(value.cast(pl.Float64))).alias(column)
        for column, value in found.items()
    ]
