"""What the order helpers were called with, checked: whatever can be no order at all is told where it was written.

Values that could be an order but must not be one (a limit of NaN, a stop-loss below zero) become rejected orders with
their reason: see `execution.order_entry`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import fields
from numbers import Integral, Real
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import polars as pl

from ml4t_backtest.core.orders import AT_MARKET, UNPROTECTED, Protection, Terms, TimeInForce
from ml4t_backtest.errors import StrategyError

_PROTECTION = {each.name for each in fields(Protection)} - {"stop_loss_distance", "take_profit_distance"}


def number(what: str, value: object) -> float:
    """Return a number as float.

    Raises:
        StrategyError: It is none: text and booleans are no numbers, however they look.
    """
    if type(value) is float:  # The usual case, quicker to see than that something is a number.
        return value
    if isinstance(value, bool) or not isinstance(value, Real):
        raise StrategyError(f"{what} must be a number, got {value!r}")
    return float(value)


def number_array(what: str, values: Iterable[object]) -> npt.NDArray[np.float64]:
    """Return numbers as an array of floats.

    Raises:
        StrategyError: One is none.
    """
    if isinstance(values, pl.Series) and values.dtype.is_numeric():
        values = values.to_numpy()
    if isinstance(values, np.ndarray) and values.dtype.kind in "iuf":
        return values.astype(np.float64)
    return np.array([number(what, value) for value in values], dtype=np.float64)


def optional_number(what: str, value: object) -> float | None:
    """Return a number as float, None for None."""
    return None if value is None else number(what, value)


def not_negative(what: str, value: object) -> float:
    """Return a number from 0 as float.

    Raises:
        StrategyError: It is none.
    """
    checked = number(what, value)
    if not 0.0 <= checked < float("inf"):
        raise StrategyError(f"{what} must be a finite number from 0, got {value!r}")
    return checked


def symbol_name(value: object) -> str:
    """Return a symbol.

    Raises:
        StrategyError: It is no text.
    """
    if not isinstance(value, str):
        raise StrategyError(f"a symbol is text, got {value!r}")
    return value


def order_number(value: object) -> int:
    """Return an order id.

    Raises:
        StrategyError: It is no whole number.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise StrategyError(f"an order id is what buy or sell returned, got {value!r}")
    return int(value)


def amount_of(symbol: str, quantity: object, percent: object) -> float:
    """Return the one of both that was given.

    Raises:
        StrategyError: Both or neither were, or it is negative.
    """
    if (quantity is None) == (percent is None):
        raise StrategyError(f"order for {symbol!r}: give exactly one of quantity and percent")
    what, given = ("quantity", quantity) if quantity is not None else ("percent", percent)
    amount = number(f"order for {symbol!r}: {what}", given)
    if amount < 0.0:
        raise StrategyError(f"order for {symbol!r}: {given!r} is negative; the side is in the method's name")
    return amount


def terms_of(
    symbol: str,
    limit: object,
    stop: object,
    trailing: object,
    trailing_percent: object,
    market_on_close: bool,
    tif: TimeInForce,
) -> Terms:
    """Return how and how long an order works.

    Raises:
        StrategyError: Terms exclude each other, or are of a wrong type.
    """
    prices = {"limit": limit, "stop": stop, "trailing": trailing, "trailing_percent": trailing_percent}
    if tif == "gtc" and not market_on_close and all(price is None for price in prices.values()):
        return AT_MARKET
    given = {
        name: number(f"order for {symbol!r}: {name}", value) for name, value in prices.items() if value is not None
    }
    trails = [name for name in given if name.startswith("trailing")]
    if trails and len(given) > 1:
        raise StrategyError(f"order for {symbol!r}: a trailing stop takes one distance and neither limit nor stop")
    if market_on_close and given:
        raise StrategyError(f"order for {symbol!r}: a market-on-close order takes no price")
    if tif not in get_args(TimeInForce):
        raise StrategyError(f"order for {symbol!r}: tif must be one of {', '.join(get_args(TimeInForce))}, got {tif!r}")
    return Terms(
        given.get("limit"),
        given.get("stop"),
        given.get("trailing"),
        given.get("trailing_percent"),
        bool(market_on_close),
        tif,
    )


def protection_of(symbol: str, wanted: Mapping[str, Any]) -> Protection:
    """Return what protects the position that an order opens.

    Raises:
        StrategyError: An argument is unknown, of a wrong type, or contradicts another.
    """
    if not wanted:
        return UNPROTECTED
    for name in wanted:
        if name not in _PROTECTION:
            near = difflib.get_close_matches(name, sorted(_PROTECTION), n=1)
            hint = f"; {near[0]!r}?" if near else ""
            raise StrategyError(f"order for {symbol!r}: unknown argument {name!r}{hint}")
    checked = {name: optional_number(f"order for {symbol!r}: {name}", value) for name, value in wanted.items()}
    for pair in (("stop_loss", "stop_loss_percent"), ("take_profit", "take_profit_percent")):
        if all(checked.get(name) is not None for name in pair):
            raise StrategyError(f"order for {symbol!r}: give one of {pair[0]} and {pair[1]}")
    bars = checked.pop("max_holding_bars", None)
    if bars is not None and not bars.is_integer():
        raise StrategyError(f"order for {symbol!r}: max_holding_bars must be a whole number, got {bars!r}")
    return Protection(**checked, max_holding_bars=None if bars is None else int(bars))
