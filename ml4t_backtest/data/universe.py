"""Who belonged to a universe on which session: an index as it was then, not as it is today."""

from __future__ import annotations

import polars as pl

from ml4t_backtest.data.calendar import TradingCalendar

IN_UNIVERSE = "in_universe"


def add_membership(bars: pl.DataFrame, spans: pl.DataFrame, calendar: TradingCalendar) -> pl.DataFrame:
    """Give every bar the column `in_universe`: 1.0 on the sessions of a span of its symbol, else 0.0.

    Bars of symbols that do not belong stay, because what is held can only be sold on a bar.

    Args:
        bars: Frame with `timestamp` and `symbol`, in any order.
        spans: Frame of schema `universe`.
        calendar: Sessions covering the bars.

    Returns:
        `bars`, in the same order.
    """
    sessions = calendar.session_at(bars["timestamp"])["session"]
    begun = (
        bars.select("symbol", session=sessions)
        .with_row_index("position")
        .sort("symbol", "session", "position")
        .join_asof(
            spans.sort("symbol", "start"),
            left_on="session",
            right_on="start",
            by="symbol",
            strategy="backward",
            coalesce=False,
            check_sortedness=False,
        )
        .sort("position")
    )
    belongs = pl.col("start").is_not_null() & (pl.col("session") <= pl.col("end")).fill_null(True)
    return bars.with_columns(begun.select(belongs.cast(pl.Float64).alias(IN_UNIVERSE)))
