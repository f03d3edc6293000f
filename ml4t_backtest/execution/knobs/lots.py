"""Which brackets a closing order takes along: knob `lots`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ml4t_backtest.core.orders import Order
from ml4t_backtest.execution.affordability import without_dust
from ml4t_backtest.execution.profiles import Profile


class Lots(Protocol):
    """What was bought when, as far as brackets care."""

    def opened(self, symbol_id: int, size: float, bracket: Sequence[Order]) -> None:
        """Take in shares that opened or added, with the bracket that protects them."""
        ...

    def closed(self, order: Order, size: float) -> list[Order]:
        """Take out shares that an order closed; return the protective orders that have nothing left to cover."""
        ...


class AverageLots:
    """All shares are alike: brackets stay until the position is closed."""

    def opened(self, symbol_id: int, size: float, bracket: Sequence[Order]) -> None:
        """Do nothing."""

    def closed(self, order: Order, size: float) -> list[Order]:
        """Return nothing."""
        return []


@dataclass(slots=True)
class _Lot:
    size: float
    bracket: Sequence[Order]


class FirstInFirstOut:
    """The oldest shares leave first, and their brackets with them; a bracket closes its own."""

    def __init__(self) -> None:
        self._lots: dict[int, list[_Lot]] = defaultdict(list)

    def opened(self, symbol_id: int, size: float, bracket: Sequence[Order]) -> None:
        """Take in a lot."""
        self._lots[symbol_id].append(_Lot(size, bracket))

    def closed(self, order: Order, size: float) -> list[Order]:
        """Take shares out of the order's own lot, or else out of the oldest ones."""
        lots = self._lots[order.symbol_id]
        own = [lot for lot in lots if order.is_protective and any(order is each for each in lot.bracket)]
        ended: list[Order] = []
        for lot in own or list(lots):
            part = min(size, lot.size)
            lot.size, size = without_dust(lot.size - part), without_dust(size - part)
            # The others of a bracket's own lot are released by the fill itself.
            if not own and part > 0.0:
                ended += _shrunk(lot)
        self._lots[order.symbol_id] = [lot for lot in lots if lot.size > 0.0]
        return ended


def _shrunk(lot: _Lot) -> list[Order]:
    """Let a bracket cover what is left of its lot; return the orders for which that is nothing."""
    alive = [order for order in lot.bracket if order.status == "working"]
    for order in alive:
        order.quantity = order.sign * lot.size
    return [order for order in alive if lot.size == 0.0]


def lots_of(profile: Profile) -> Lots:
    """Return how closed shares are told apart."""
    return FirstInFirstOut() if profile.lots == "fifo" else AverageLots()
