"""The book: working orders, and how they end without a fill."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ml4t_backtest.core.market import Market
from ml4t_backtest.core.orders import OTHER, Order
from ml4t_backtest.execution.affordability import whole_shares


class Book:
    """Every order of a run, and among them those that still work.

    Attributes:
        orders: All orders, in the order they were submitted.
        ended: Orders that have ended since somebody took note, each with what `moment` returned then; None where
            nobody asks.
    """

    def __init__(self, market: Market, moment: Callable[[], int], *, fractional: bool) -> None:
        self.orders: list[Order] = []
        self.ended: list[tuple[int, Order]] | None = None
        self._moment = moment
        self._market = market
        self._fractional = fractional
        self._working: dict[int, Order] = {}

    def submit(self, order: Order) -> None:
        """Take in an order; a rejected one is only recorded."""
        order.asked = abs(order.quantity)
        self.orders.append(order)
        if order.status == "working":
            self._working[order.order_id] = order
        else:
            self._note(order)

    def working(self) -> list[Order]:
        """Return the working orders, in the order they were submitted."""
        return list(self._working.values())

    def working_of(self, symbol_id: int) -> list[Order]:
        """Return the working orders of a symbol."""
        return [order for order in self._working.values() if order.symbol_id == symbol_id]

    def get(self, order_id: int) -> Order | None:
        """Return a working order, None where it has ended or never was."""
        return self._working.get(order_id)

    def __bool__(self) -> bool:
        """Whether any order works."""
        return bool(self._working)

    def remove(self, order: Order) -> None:
        """Take an ended order out of the working ones, and with it what only it could have brought to life."""
        if self._working.pop(order.order_id, None) is not None:
            self._note(order)

    def cancel(self, order: Order, reason: str) -> None:
        """Cancel a working order."""
        order.end("cancelled", self._market.timestamp, reason)
        self.remove(order)

    def refuse(self, order: Order, reason: str, detail: str) -> None:
        """End a working order of which nothing more can fill: rejected, unless a part has filled before."""
        order.end("filled" if order.filled_quantity > 0.0 else "rejected", self._market.timestamp, reason, detail)
        self.remove(order)

    def expire(self, order: Order, reason: str) -> None:
        """End an order whose time is over."""
        order.end("expired", self._market.timestamp, reason)
        self.remove(order)

    def cancel_plain(self, symbol_id: int, reason: str) -> None:
        """Cancel the working orders of a symbol that the strategy made; what protects or must close stays."""
        for order in self.working_of(symbol_id):
            if order.rank == OTHER:
                self.cancel(order, reason)

    def cancel_protection(self, symbol_id: int) -> None:
        """Cancel the protective orders of a position that is no more."""
        for order in self.working_of(symbol_id):
            if order.is_protective:
                self.cancel(order, "position_closed")

    def expire_all(self, reason: str) -> None:
        """End everything that still works."""
        for order in self.working():
            self.expire(order, reason)

    def rescale(self, symbol_id: int, ratio: float) -> None:
        """Put the working orders of a symbol on the basis after a split."""
        for order in self.working_of(symbol_id):
            order.rescale(ratio)
            order.quantity = self._on_new_basis(order.quantity, ratio)
            order.asked = order.filled_quantity + abs(order.quantity)
            if order.quantity == 0.0:
                self.cancel(order, "quantity_rounds_to_zero")

    def _note(self, order: Order) -> None:
        if self.ended is not None:
            self.ended.append((self._moment(), order))

    def _on_new_basis(self, quantity: float, ratio: float) -> float:
        return quantity * ratio if self._fractional else whole_shares(quantity * ratio)

    def __iter__(self) -> Iterator[Order]:
        return iter(self.working())
