"""Order types: when an order triggers inside a bar, and at which raw price.

Each type is one class with the rule of a buy. A sell is the mirror image: all prices change their sign, so that high
and low change places. A new type is one class more and its name in `RULES`. The rules as a table:
docs/concepts/fill_prices.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from ml4t_backtest.core.orders import Order, OrderKind


@dataclass(frozen=True, slots=True)
class Bar:
    """Prices of one bar, account currency per share; or their mirror image."""

    open: float
    high: float
    low: float
    close: float

    def seen_by(self, sign: float) -> Bar:
        """Return the bar as a buy sees it: unchanged for a buy, mirrored for a sell."""
        return self if sign > 0.0 else Bar(-self.open, -self.low, -self.high, -self.close)


@dataclass(frozen=True, slots=True)
class Birth:
    """How an order came alive inside the present bar: with the fill of its entry.

    Attributes:
        price: Raw price of that fill; it stands for the open of the rest of the bar.
        direction: 1 where the market rose to that price (a stop buy, a limit sell), -1 where it fell to it, 0 where
            the bar does not tell; None for a fill at the open, after which the whole bar follows.
    """

    price: float
    direction: int | None


@dataclass(frozen=True, slots=True)
class Levels:
    """An order's prices as a buy sees them."""

    limit: float
    stop: float


class Rule(Protocol):
    """When and where a buy of one type fills; None where it does not.

    A limit or stop is not asked in bars that do not reach its price: see `sleepers`. What fills elsewhere is a type of
    its own.
    """

    def at_once(self, order: Order, levels: Levels, price: float) -> float | None:
        """Return the raw price of a fill where the market stands at `price`: at an open, or where it came alive."""
        ...

    def inside(self, order: Order, levels: Levels, bar: Bar) -> float | None:
        """Return the raw price of a fill after the open."""
        ...


class Market:
    """Fills at the first eligible open; a time exit at the open of its bar."""

    def at_once(self, order: Order, levels: Levels, price: float) -> float | None:
        """Return the price, once the order is due."""
        return price if order.bars_met >= order.due_after else None

    def inside(self, order: Order, levels: Levels, bar: Bar) -> float | None:
        """Return None: what did not fill at the open waits for the next one."""
        return None


class Limit:
    """Fills when the market comes down to the limit: at the open when it opens there, else at the limit."""

    def at_once(self, order: Order, levels: Levels, price: float) -> float | None:
        """Return the price if it is at or below the limit."""
        return price if price <= levels.limit else None

    def inside(self, order: Order, levels: Levels, bar: Bar) -> float | None:
        """Return the limit if the low reaches it."""
        return levels.limit if bar.low <= levels.limit else None


class Stop:
    """Fills when the market rises to the stop: at the open when it opens beyond, else at the stop.

    Once triggered it is a market order: what the volume of that bar leaves of it fills at the next open.
    """

    def at_once(self, order: Order, levels: Levels, price: float) -> float | None:
        """Return the price if it is at or above the stop, or the stop was reached before."""
        order.triggered = order.triggered or price >= levels.stop
        return price if order.triggered else None

    def inside(self, order: Order, levels: Levels, bar: Bar) -> float | None:
        """Return the stop if the high reaches it for the first time."""
        if order.triggered or bar.high < levels.stop:
            return None
        order.triggered = True
        return levels.stop


class StopLimit:
    """Becomes a limit when the market rises to the stop."""

    def at_once(self, order: Order, levels: Levels, price: float) -> float | None:
        """Return the price if it triggers the stop and is within the limit."""
        order.triggered = order.triggered or price >= levels.stop
        return price if order.triggered and price <= levels.limit else None

    def inside(self, order: Order, levels: Levels, bar: Bar) -> float | None:
        """Return the stop if it is within the limit, else the limit if the market certainly came back to it."""
        if order.triggered:
            return levels.limit if bar.low <= levels.limit else None
        if bar.high < levels.stop:
            return None
        order.triggered = True
        if levels.stop <= levels.limit:
            return levels.stop
        return levels.limit if bar.close <= levels.limit else None


class MarketOnClose:
    """Fills at the close, in a phase of its own."""

    def at_once(self, order: Order, levels: Levels, price: float) -> float | None:
        """Return None."""
        return None

    def inside(self, order: Order, levels: Levels, bar: Bar) -> float | None:
        """Return None."""
        return None


Rules = Mapping[OrderKind, Rule]
RULES: Rules = {
    "market": Market(),
    "limit": Limit(),
    "stop": Stop(),
    "stop_limit": StopLimit(),
    "trailing_stop": Stop(),
    "market_on_close": MarketOnClose(),
}


def price_at_once(order: Order, price: float, rules: Rules = RULES) -> float | None:
    """Return the raw price at which an order fills where the market stands at `price`, None where it does not."""
    return _seen_back(order, rules[order.kind].at_once(order, _levels(order), order.sign * price))


def price_inside(order: Order, bar: Bar, birth: Birth | None = None, rules: Rules = RULES) -> tuple[float | None, bool]:
    """Return the raw price at which an order fills after the open, and whether the bar leaves that open.

    Args:
        order: A working order; notes whether its stop was triggered.
        bar: The whole bar.
        birth: How the order came alive in this bar; None for one that lived before it.
        rules: Rule of every order type.
    """
    sign, levels, seen = order.sign, _levels(order), bar.seen_by(order.sign)
    if birth is None or birth.direction is None:
        return _seen_back(order, rules[order.kind].inside(order, levels, seen)), False
    travel = int(sign) * birth.direction
    price = rules[order.kind].inside(order, levels, rest_of_bar(seen, levels, travel))
    doubtful = (travel <= 0 and seen.high >= levels.stop) or (travel >= 0 and seen.low <= levels.limit)
    return _seen_back(order, price), doubtful


def rest_of_bar(bar: Bar, levels: Levels, travel: int) -> Bar:
    """Return a bar, as a buy sees it, with the extremes that count for an order born inside it.

    A market that travelled up to the birth (1) made its high after it, one that travelled down (-1) its low. The other
    extreme may be older than the order, and then only the close is certain. That counts in the trader's favour (a
    limit) only where it is certain, and against him (a stop) also where the open does not explain the extreme.
    """
    high = bar.high if travel > 0 or bar.open < levels.stop else bar.close
    return Bar(bar.open, high, bar.low if travel < 0 else bar.close, bar.close)


def capped(order: Order, price: float) -> float:
    """Return a price with slippage that is not worse than the order's limit."""
    if order.limit is None:
        return price
    return min(price, order.limit) if order.sign > 0.0 else max(price, order.limit)


def _levels(order: Order) -> Levels:
    limit = order.limit if order.limit is not None else float("nan")
    return Levels(order.sign * limit, order.sign * order.stop_level())


def _seen_back(order: Order, price: float | None) -> float | None:
    return None if price is None else order.sign * price
