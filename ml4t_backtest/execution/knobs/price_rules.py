"""What a fill's price keeps to: which fills slip and how far, and the grid of prices that orders name."""

from __future__ import annotations

import math
from typing import Protocol

from ml4t_backtest.core.market import Market
from ml4t_backtest.core.orders import NO_ROW, Order
from ml4t_backtest.execution.order_types import capped
from ml4t_backtest.execution.profiles import Profile
from ml4t_backtest.portfolio.ledger import Ledger

# How much of a tick may be missing to the next one, and a little for the rounding of the division.
_LEEWAY = 0.05
_ROUNDING = 1e-9


class SlipCap(Protocol):
    """How far slippage may go: knob `slip_cap`."""

    def cap(self, order: Order, raw: float, price: float, row: int) -> float:
        """Return a price with slippage, brought back to where it may be."""
        ...


class WithinLimit:
    """Not beyond the order's limit."""

    def cap(self, order: Order, raw: float, price: float, row: int) -> float:
        """Return the better of price and limit."""
        return capped(order, price)


class WithinBar:
    """Not beyond the high (of a buy) or low (of a sell) of the bar, and not beyond the order's limit.

    But a sell limit knows no low, and a stop-limit order that fills at its stop knows no limit.
    """

    def __init__(self, market: Market) -> None:
        self._market = market

    def cap(self, order: Order, raw: float, price: float, row: int) -> float:
        """Return the best of price, limit and extreme."""
        at_stop = order.kind == "stop_limit" and raw == order.stop
        if row == NO_ROW or (order.limit is not None and order.sign < 0.0 and not at_stop):
            return capped(order, price)
        extreme = self._market.price("high" if order.sign > 0.0 else "low", row)
        within = min(price, extreme) if order.sign > 0.0 else max(price, extreme)
        return within if at_stop else capped(order, within)


class Unbounded:
    """As far as the model says."""

    def cap(self, order: Order, raw: float, price: float, row: int) -> float:
        """Return the price."""
        return price


class Slips(Protocol):
    """Which fills slip: knob `slip_on`."""

    def price(self, order: Order, raw: float, quantity: float, slipped: float) -> float:
        """Return the fill price of signed `quantity`, given its raw price and that with slippage."""
        ...


class AllSlip:
    """Every fill."""

    def price(self, order: Order, raw: float, quantity: float, slipped: float) -> float:
        """Return the price with slippage."""
        return slipped


class OpeningSlips:
    """Only the shares that open or add; a fill that turns a position round gets the average."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def price(self, order: Order, raw: float, quantity: float, slipped: float) -> float:
        """Return the raw price for the shares that close and the slipped one for the others."""
        held = self._ledger.quantity(order.symbol_id)
        size = abs(quantity)
        closing = min(abs(held), size) if held * order.sign < 0.0 else 0.0
        if closing in (0.0, size):
            return raw if closing else slipped
        return (closing * raw + (size - closing) * slipped) / size


class OrdersSlip:
    """What the strategy ordered; brackets fill at their level."""

    def price(self, order: Order, raw: float, quantity: float, slipped: float) -> float:
        """Return the raw price for an order of a bracket."""
        return raw if order.is_protective else slipped


class PriceGrid(Protocol):
    """The prices an order may name: knob `tick`."""

    def limit(self, price: float | None, *, is_buy: bool) -> float | None:
        """Return the limit the order gets."""
        ...

    def stop(self, price: float | None, *, is_buy: bool) -> float | None:
        """Return the stop the order gets."""
        ...


class AnyPrice:
    """As given."""

    def limit(self, price: float | None, *, is_buy: bool) -> float | None:
        """Return it."""
        return price

    def stop(self, price: float | None, *, is_buy: bool) -> float | None:
        """Return it."""
        return price


class Ticks:
    """Multiples of a tick; to the trader's good, unless less than a twentieth of a tick is missing."""

    def __init__(self, tick: float) -> None:
        self._tick = tick

    def limit(self, price: float | None, *, is_buy: bool) -> float | None:
        """Return a buy's limit rounded down, a sale's up."""
        return None if price is None else self._on_grid(price, down=is_buy)

    def stop(self, price: float | None, *, is_buy: bool) -> float | None:
        """Return a buy's stop rounded up, a sale's down."""
        return None if price is None else self._on_grid(price, down=not is_buy)

    def _on_grid(self, price: float, *, down: bool) -> float:
        steps = price / self._tick
        whole = math.floor(steps + _LEEWAY + _ROUNDING) if down else math.ceil(steps - _LEEWAY - _ROUNDING)
        return self._tick * whole


def slip_cap_of(profile: Profile, market: Market) -> SlipCap:
    """Return what bounds slippage."""
    if profile.slip_cap == "bar":
        return WithinBar(market)
    return WithinLimit() if profile.slip_cap == "limit" else Unbounded()


def slips_of(profile: Profile, ledger: Ledger) -> Slips:
    """Return what decides which fills slip."""
    if profile.slip_on == "opening":
        return OpeningSlips(ledger)
    return AllSlip() if profile.slip_on == "all" else OrdersSlip()


def grid_of(profile: Profile) -> PriceGrid:
    """Return the prices orders may name."""
    return AnyPrice() if profile.tick is None else Ticks(profile.tick)
