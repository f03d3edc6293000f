"""Order types: when an order triggers inside a bar, and at which raw price.

Each type is one class with the rule of a buy. A sell is the mirror image: all prices change their sign, so that high
and low change places. A new type is one class more and its name in `RULES`. The rules as a table:
docs/concepts/fill_prices.md.
"""

from __future__ import annotations

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
    """How an order came alive inside a bar: with the fill of its entry.

    Attributes:
        price: Raw price of that fill; it stands for the open of the rest of the bar.
        direction: 1 where the market rose to that price (a stop buy, a limit sell), -1 where it fell to it, 0 where
            the bar does not tell.
    """

    price: float
    direction: int

    def seen_by(self, sign: float) -> Birth:
        """Return the birth as a buy sees it."""
        return self if sign > 0.0 else Birth(-self.price, -self.direction)


@dataclass(frozen=True, slots=True)
class Levels:
    """An order's prices as a buy sees them."""

    limit: float
    stop: float


class Rule(Protocol):
    """When and where a buy of one type fills; None where it does not."""

    def at_open(self, order: Order, levels: Levels, open_: float) -> float | None:
        """Return the raw price of a fill at the open."""
        ...

    def inside(self, order: Order, levels: Levels, bar: Bar) -> float | None:
        """Return the raw price of a fill after the open."""
        ...

    def born(self, levels: Levels, bar: Bar, birth: Birth) -> tuple[float | None, bool]:
        """Return the raw price of a fill in the rest of the bar, and whether the bar leaves the outcome open."""
        ...


class Market:
    """Fills at the first eligible open."""

    def at_open(self, order: Order, levels: Levels, open_: float) -> float | None:
        """Return the open; a time exit waits for its bar."""
        return open_ if not order.bars_left else None

    def inside(self, order: Order, levels: Levels, bar: Bar) -> float | None:
        """Return None: what did not fill at the open waits for the next one."""
        return None

    def born(self, levels: Levels, bar: Bar, birth: Birth) -> tuple[float | None, bool]:
        """Return None: a market order never comes alive inside a bar."""
        return None, False


class Limit:
    """Fills when the market comes down to the limit: at the open when it opens there, else at the limit."""

    def at_open(self, order: Order, levels: Levels, open_: float) -> float | None:
        """Return the open if it is at or below the limit."""
        return open_ if open_ <= levels.limit else None

    def inside(self, order: Order, levels: Levels, bar: Bar) -> float | None:
        """Return the limit if the low reaches it."""
        return levels.limit if bar.low <= levels.limit else None

    def born(self, levels: Levels, bar: Bar, birth: Birth) -> tuple[float | None, bool]:
        """Return the limit if the market certainly came down to it after the birth.

        Unless it fell to the birth the low may lie before it: then only a close at or below the limit counts.
        """
        if birth.price <= levels.limit:
            return birth.price, False
        touched = bar.low <= levels.limit
        if birth.direction < 0:
            return (levels.limit if touched else None), False
        return (levels.limit if bar.close <= levels.limit else None), touched


class Stop:
    """Fills when the market rises to the stop: at the open when it opens beyond, else at the stop."""

    def at_open(self, order: Order, levels: Levels, open_: float) -> float | None:
        """Return the open if it is at or above the stop."""
        return open_ if open_ >= levels.stop else None

    def inside(self, order: Order, levels: Levels, bar: Bar) -> float | None:
        """Return the stop if the high reaches it."""
        return levels.stop if bar.high >= levels.stop else None

    def born(self, levels: Levels, bar: Bar, birth: Birth) -> tuple[float | None, bool]:
        """Return the stop if the market rose to it after the birth, or may have.

        Unless it rose to the birth the high may lie before it. It counts against the trader where the open does not
        explain it.
        """
        if birth.price >= levels.stop:
            return birth.price, False
        touched = bar.high >= levels.stop
        if birth.direction > 0:
            return (levels.stop if touched else None), False
        counts = bar.close >= levels.stop or (touched and bar.open < levels.stop)
        return (levels.stop if counts else None), touched


class StopLimit:
    """Becomes a limit when the market rises to the stop."""

    def at_open(self, order: Order, levels: Levels, open_: float) -> float | None:
        """Return the open if it triggers the stop and is within the limit."""
        order.triggered = order.triggered or open_ >= levels.stop
        return open_ if order.triggered and open_ <= levels.limit else None

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

    def born(self, levels: Levels, bar: Bar, birth: Birth) -> tuple[float | None, bool]:
        """Return None: brackets have no stop-limit orders."""
        return None, False


class MarketOnClose:
    """Fills at the close, in a phase of its own."""

    def at_open(self, order: Order, levels: Levels, open_: float) -> float | None:
        """Return None."""
        return None

    def inside(self, order: Order, levels: Levels, bar: Bar) -> float | None:
        """Return None."""
        return None

    def born(self, levels: Levels, bar: Bar, birth: Birth) -> tuple[float | None, bool]:
        """Return None."""
        return None, False


RULES: dict[OrderKind, Rule] = {
    "market": Market(),
    "limit": Limit(),
    "stop": Stop(),
    "stop_limit": StopLimit(),
    "trailing_stop": Stop(),
    "market_on_close": MarketOnClose(),
}


def price_at_open(order: Order, open_: float) -> float | None:
    """Return the raw price at which an order fills at the open, None where it does not."""
    return _seen_back(order, RULES[order.kind].at_open(order, _levels(order), order.sign * open_))


def price_inside(order: Order, bar: Bar) -> float | None:
    """Return the raw price at which an order fills after the open, None where it does not."""
    return _seen_back(order, RULES[order.kind].inside(order, _levels(order), bar.seen_by(order.sign)))


def price_when_born(order: Order, bar: Bar, birth: Birth) -> tuple[float | None, bool]:
    """Return the raw price at which a protective order fills in the bar of its birth, and whether that is ambiguous."""
    sign = order.sign
    price, ambiguous = RULES[order.kind].born(_levels(order), bar.seen_by(sign), birth.seen_by(sign))
    return _seen_back(order, price), ambiguous


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
