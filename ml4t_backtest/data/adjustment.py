"""Prices on the basis of a symbol's first bar: what indicators are computed on.

Adjusted forward: each bar is scaled by the splits and dividends up to it, and by none that come later. So nothing in
the past changes when a company splits its shares next year, and no bar knows that it will.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Literal

import polars as pl

from ml4t_backtest.core.choices import require_choice
from ml4t_backtest.core.schemas import ACTIONS_TO_APPLY
from ml4t_backtest.data.calendar import TradingCalendar

Adjustment = Literal["none", "split", "total_return"]
PRICE_FACTOR, SHARE_FACTOR = "price_factor", "share_factor"
_UNCHANGED = {PRICE_FACTOR: 1.0, SHARE_FACTOR: 1.0}


def forward_factors(
    bars: pl.DataFrame, actions: pl.DataFrame, calendar: TradingCalendar, adjustment: str
) -> pl.DataFrame:
    """Return what brings each bar to the basis of its symbol's first one.

    Args:
        bars: Frame with `timestamp`, `symbol`, `close`, in any order.
        actions: Frame of schema `corporate_actions`.
        calendar: Sessions covering the bars.
        adjustment: What the prices contain already; those actions change nothing.

    Returns:
        `price_factor` (prices are multiplied by it) and `share_factor` (volumes are divided by it), in the order of
        the bars. A split of r new shares for one multiplies both by r from its ex-date on. A dividend d after a close
        c multiplies the price factor by c / (c - d); one that is not below that close leaves it as it is.

    Raises:
        ConfigError: The adjustment is unknown.
    """
    require_choice("adjustment", adjustment, list(ACTIONS_TO_APPLY))
    wanted = actions.filter(pl.col("kind").is_in(ACTIONS_TO_APPLY[adjustment]))
    keyed = bars.select("symbol", "close", session=calendar.session_at(bars["timestamp"])["session"])
    if wanted.is_empty():
        return keyed.with_columns(**{name: pl.lit(value) for name, value in _UNCHANGED.items()}).select(*_UNCHANGED)
    steps = pl.DataFrame(
        list(_steps(_with_close_before(wanted, keyed, bars["timestamp"]))),
        schema={"symbol": pl.String, "ex_date": pl.Date, PRICE_FACTOR: pl.Float64, SHARE_FACTOR: pl.Float64},
        orient="row",
    )
    latest = steps.unique(["symbol", "ex_date"], keep="last", maintain_order=True).sort("symbol", "ex_date")
    known = (
        keyed.with_row_index("position")
        .sort("symbol", "session", "position")
        .join_asof(
            latest, left_on="session", right_on="ex_date", by="symbol", strategy="backward", check_sortedness=False
        )
    )
    return known.sort("position").select(pl.col(name).fill_null(value) for name, value in _UNCHANGED.items())


def _with_close_before(actions: pl.DataFrame, keyed: pl.DataFrame, stamps: pl.Series) -> pl.DataFrame:
    """Return the actions in the order they apply, with the last bar of a session before their ex-date."""
    bars = keyed.with_columns(stamps.alias("bar")).sort("symbol", "session", "bar")
    ordered = actions.sort("symbol", "ex_date", pl.col("kind") != "split")
    before = ordered.join_asof(
        bars,
        left_on="ex_date",
        right_on="session",
        by="symbol",
        strategy="backward",
        allow_exact_matches=False,
        check_sortedness=False,
    )
    # Before its first bar a symbol has nothing to bring to another basis.
    return before.drop_nulls("bar").select("symbol", "ex_date", "kind", "value", "bar", "close")


def _steps(actions: pl.DataFrame) -> Iterator[tuple[str, object, float, float]]:
    """Yield symbol, ex-date and both factors from then on."""
    for symbol, of_symbol in groupby(actions.iter_rows(), key=lambda action: action[0]):
        price_factor = share_factor = 1.0
        for _, of_bar in groupby(of_symbol, key=lambda action: action[4]):
            close = None
            for _, ex_date, kind, value, _, last_close in of_bar:
                # Several actions between two bars: each sees what the one before left of the close.
                close = last_close if close is None else close
                if kind == "split":
                    share_factor *= value
                    price_factor *= value
                    close /= value
                elif value < close:
                    price_factor *= close / (close - value)
                    close -= value
                yield symbol, ex_date, price_factor, share_factor
