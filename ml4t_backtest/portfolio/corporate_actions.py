"""Splits and cash dividends on a run's time line, by the data set's declared adjustment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import polars as pl

from ml4t_backtest.core.instants import instants
from ml4t_backtest.core.schemas import ACTIONS_TO_APPLY
from ml4t_backtest.errors import ConfigError

Adjustment = Literal["none", "split", "total_return"]


@dataclass(frozen=True, slots=True)
class ScheduledAction:
    """One split or dividend.

    Attributes:
        instant: Open of the ex-date's session; it applies before the first slice that closes after it.
        symbol: Instrument.
        kind: `split` or `dividend`.
        value: New shares per old share, or cash per share on the basis of the ex-date.
    """

    instant: int
    symbol: str
    kind: Literal["split", "dividend"]
    value: float


@dataclass(frozen=True, slots=True)
class Delisting:
    """The declared end of a symbol.

    Attributes:
        instant: Close of its last session; a position is settled at the first slice at or after it.
        price: What a share is paid for, account currency.
    """

    instant: int
    price: float


def declared_ends(delistings: pl.DataFrame | None, close_of: Callable[[pl.Series], pl.Series]) -> dict[str, Delisting]:
    """Return the declared ends by symbol.

    Args:
        delistings: Frame `symbol, date, price`, or None.
        close_of: Date series -> close of the last session on or before each date.
    """
    if delistings is None or delistings.is_empty():
        return {}
    closes = instants(close_of(delistings["date"])).to_list()
    rows = zip(delistings["symbol"].to_list(), closes, delistings["price"].to_list(), strict=True)
    return {symbol: Delisting(instant, float(price)) for symbol, instant, price in rows}


def schedule(
    actions: pl.DataFrame | None,
    adjustment: str,
    open_of: Callable[[pl.Series], pl.Series],
) -> list[ScheduledAction]:
    """Return the actions to apply, in time order, splits before dividends of the same ex-date.

    Args:
        actions: Frame of schema `corporate_actions`, or None.
        adjustment: What the prices are adjusted for already: `none`, `split` (dividends are on that basis too) or
            `total_return`.
        open_of: Date series -> open of the first session on or after each date, null after the last session; those
            actions lie beyond the data and are left out.

    Raises:
        ConfigError: The adjustment is unknown.
    """
    if adjustment not in ACTIONS_TO_APPLY:
        raise ConfigError(f"adjustment must be one of {', '.join(ACTIONS_TO_APPLY)}, got {adjustment!r}")
    if actions is None or actions.is_empty():
        return []
    wanted = actions.filter(pl.col("kind").is_in(ACTIONS_TO_APPLY[adjustment]))
    wanted = wanted.with_columns(instants(open_of(wanted["ex_date"])).alias("instant"))
    ordered = wanted.drop_nulls("instant").sort("instant", pl.col("kind") != "split", "symbol")
    rows = ordered.select("instant", "symbol", "kind", "value").iter_rows()
    return [ScheduledAction(*row) for row in rows]
