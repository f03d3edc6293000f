"""When a signal or context value became known, and what a bar may therefore see.

The contract: a bar sees, among the rows with `available_at` at or before its decision instant, the one with the
greatest signal timestamp, then the greatest `available_at`. Nothing joins forward and nothing fills across symbols.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal, get_args

import polars as pl

from ml4t_backtest.core.choices import require_choice
from ml4t_backtest.core.instants import UTC_MICROSECONDS, span_microseconds
from ml4t_backtest.data.calendar import TradingCalendar

AvailabilityRule = Literal["market_open", "market_close", "next_day"]
_DECISION = "decision_instant"


def availability(stamps: pl.Series, rule: str, calendar: TradingCalendar, latency: str = "0m") -> pl.Series:
    """Return when rows became known, from what they are about.

    Args:
        stamps: Session dates, or instants (UTC microseconds).
        rule: `market_open`, `market_close`: open or close of the row's session for a date, the first open or close
            at or after it for an instant. `next_day`: open of the session after.
        calendar: Sessions covering `stamps`.
        latency: Time that passes until the row can be used, for example `15m`.

    Raises:
        ConfigError: The rule is unknown.
    """
    require_choice("available_at (signal_available_at, context_available_at)", rule, get_args(AvailabilityRule))
    by_date = stamps.dtype == pl.Date
    if rule == "market_close":
        known = calendar.close_of(stamps) if by_date else calendar.next_close(stamps)
    elif rule == "market_open":
        known = calendar.open_of(stamps) if by_date else calendar.next_open(stamps)
    else:
        known = calendar.open_after(stamps if by_date else calendar.session_at(stamps)["session"])
    return (known + timedelta(microseconds=span_microseconds(latency))).alias("available_at")


def join_known(
    bars: pl.DataFrame,
    rows: pl.DataFrame,
    names: Sequence[str],
    *,
    by_symbol: bool,
    max_age: str | None = None,
) -> pl.DataFrame:
    """Give every bar the values that were known at its decision instant.

    Args:
        bars: Frame with `decision_instant` (and `symbol`), sorted by (timestamp, symbol).
        rows: Frame with `timestamp`, `available_at`, the columns `names` (and `symbol`), any order, unique keys.
        names: Value columns.
        by_symbol: Whether rows belong to a symbol (signals) or to the market (context).
        max_age: Longest time from a row's `timestamp` to the decision; older values show as null.

    Returns:
        `bars`, in the same order, with NAME and NAME_available_at for each name, and NAME_is_new (the first bar that
        shows a row) for signals.
    """
    by = ["symbol"] if by_symbol else []
    # Only keys take part in the search, so that value columns may have any name.
    seen = _rows_seen(bars.select(*by, _DECISION), rows.select(*by, "timestamp", "available_at"), by, max_age)
    known = rows["available_at"].cast(UTC_MICROSECONDS).gather(seen["row"])
    shown: list[pl.Series] = []
    for name in names:
        shown += [rows[name].gather(seen["row"]), known.alias(f"{name}_available_at")]
        shown += [seen["is_new"].alias(f"{name}_is_new")] if by_symbol else []
    return bars.with_columns(shown)


def declare_known(bars: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Complete signals that came joined to the bars.

    One without NAME_available_at is taken as known at each bar's timestamp, and new on each. The others are new on
    the first bar of a symbol that shows their moment.

    Args:
        bars: Frame with `timestamp`, `symbol`, the columns `names` and perhaps NAME_available_at, in any order.
        names: Signal columns.
    """
    stated = [name for name in names if f"{name}_available_at" in bars.columns]
    assumed = [name for name in names if name not in stated]
    known = [pl.col(f"{name}_available_at") for name in stated]
    new = [moment.is_not_null() & moment.ne_missing(moment.shift(1)) for moment in known]
    return bars.with_columns(
        *(pl.col("timestamp").alias(f"{name}_available_at") for name in assumed),
        *(pl.lit(True).alias(f"{name}_is_new") for name in assumed),
        *(
            first.over("symbol", order_by="timestamp").alias(f"{name}_is_new")
            for name, first in zip(stated, new, strict=True)
        ),
    )


def _rows_seen(bars: pl.DataFrame, rows: pl.DataFrame, by: Sequence[str], max_age: str | None) -> pl.DataFrame:
    """Return for each bar the number of the row it sees, null without one, and whether it is the first to see it."""
    known = _never_superseded(rows.with_row_index("row"), by)
    joined = (
        bars.with_row_index("position")
        .sort(*by, _DECISION, "position")
        .join_asof(
            known,
            left_on=_DECISION,
            right_on="available_at",
            by=by or None,
            strategy="backward",
            coalesce=False,
            check_sortedness=False,
        )
    )
    if max_age is not None:
        fresh = pl.col(_DECISION) - pl.col("timestamp") <= timedelta(microseconds=span_microseconds(max_age))
        joined = joined.with_columns(pl.when(fresh).then("row").alias("row"))
    before = pl.col("row").shift(1).over(by) if by else pl.col("row").shift(1)
    is_new = pl.col("row").is_not_null() & pl.col("row").ne_missing(before)
    return joined.select("position", "row", is_new=is_new).sort("position")


def _never_superseded(rows: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Keep the rows that are the newest about their symbol at the moment they become known.

    What is left has one row per symbol and `available_at`, and its latest `available_at` is the row to see: a late
    revision of an older row never takes over a newer one.
    """
    ordered = rows.sort(*by, "available_at", "timestamp")
    newest = pl.col("timestamp").cum_max()
    return (
        ordered.filter(pl.col("timestamp") >= (newest.over(by) if by else newest))
        .unique([*by, "available_at"], keep="last", maintain_order=True)
        .sort(*by, "available_at")
    )
