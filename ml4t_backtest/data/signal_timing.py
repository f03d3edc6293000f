"""When a signal or context value became known, and what a bar may therefore see.

The contract: a bar sees, among the rows with `available_at` at or before its decision instant, the one with the
greatest signal timestamp, then the greatest `available_at`. Nothing joins forward and nothing fills across symbols.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal

import polars as pl

from ml4t_backtest.core.instants import UTC_MICROSECONDS, span_microseconds
from ml4t_backtest.data.calendar import TradingCalendar
from ml4t_backtest.errors import ConfigError

AvailabilityRule = Literal["market_open", "market_close", "next_day"]
AVAILABILITY_RULES = ("market_open", "market_close", "next_day")
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
    if rule not in AVAILABILITY_RULES:
        raise ConfigError(f"signal_available_at must be one of {', '.join(AVAILABILITY_RULES)}, got {rule!r}")
    by_date = stamps.dtype == pl.Date
    opens, closes = calendar.sessions["open"], calendar.sessions["close"]
    session = (
        calendar.sessions["session"].search_sorted(stamps, side="left")
        if by_date
        else closes.search_sorted(stamps, side="left")
    )
    if rule == "market_close":
        known = closes.gather(session)
    elif rule == "market_open":
        known = opens.gather(session) if by_date else calendar.next_open(stamps)
    elif by_date:
        known = opens.gather(calendar.sessions["session"].search_sorted(stamps, side="right"))
    else:
        known = opens.gather(session + 1)
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
    known = (
        _never_superseded(rows, by)
        .select(*by, "available_at", pl.col("timestamp").alias("_about"), *names)
        .with_row_index("_row")
    )
    joined = (
        bars.with_row_index("_position")
        .sort(*by, _DECISION, "_position")
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
        joined = _forget_old(joined, names, max_age)
    joined = joined.with_columns(_is_new(by).alias("_is_new")).sort("_position")
    return joined.select(*bars.columns, *_shown(names, with_is_new=by_symbol))


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


def _forget_old(joined: pl.DataFrame, names: Sequence[str], max_age: str) -> pl.DataFrame:
    age = pl.col(_DECISION) - pl.col("_about")
    fresh = age <= timedelta(microseconds=span_microseconds(max_age))
    return joined.with_columns(
        pl.when(fresh).then(pl.col(name)).alias(name) for name in (*names, "available_at", "_row")
    )


def _is_new(by: Sequence[str]) -> pl.Expr:
    row = pl.col("_row").cast(pl.Int64)
    before = row.shift(1).over(by) if by else row.shift(1)
    return row.is_not_null() & row.ne_missing(before)


def _shown(names: Sequence[str], *, with_is_new: bool) -> list[pl.Expr]:
    shown: list[pl.Expr] = []
    for name in names:
        shown += [pl.col(name), pl.col("available_at").cast(UTC_MICROSECONDS).alias(f"{name}_available_at")]
        shown += [pl.col("_is_new").alias(f"{name}_is_new")] if with_is_new else []
    return shown
