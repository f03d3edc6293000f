"""Whose turn it is: the order of orders in one pass over a slice. Knob `order_sequence`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from ml4t_backtest.core.orders import Order
from ml4t_backtest.execution.profiles import Profile


class Turns(Protocol):
    """The order in which orders are tried."""

    def place(self, order: Order) -> tuple[Any, ...]:
        """Return what sorts orders."""
        ...

    def adopt(self, entry: Order, bracket: Iterable[Order]) -> None:
        """Give the bracket of an entry its place in the sequence."""
        ...


class ByRank:
    """Rank, then sequence: brackets are a group of their own."""

    def place(self, order: Order) -> tuple[Any, ...]:
        """Return rank and sequence."""
        return (order.rank, order.sequence, order.order_id)

    def adopt(self, entry: Order, bracket: Iterable[Order]) -> None:
        """Do nothing."""


class AsSubmitted:
    """In the sequence of submission; a bracket was submitted with its entry, its stop before its target."""

    def place(self, order: Order) -> tuple[Any, ...]:
        """Return the entry's sequence and the place in its bracket."""
        return (order.sequence, order.is_protective, order.kind == "limit", order.order_id)

    def adopt(self, entry: Order, bracket: Iterable[Order]) -> None:
        """Let the bracket share its entry's sequence."""
        for order in bracket:
            order.sequence = entry.sequence


class StopsFirst:
    """Stops of brackets and closing orders, the latest first; then as submitted, targets when their entry filled."""

    def place(self, order: Order) -> tuple[Any, ...]:
        """Return the place in the queue: at its head the latest, at its tail the earliest comes first."""
        at_head = order.reduce_only and not (order.is_protective and order.kind == "limit")
        return (0, -order.order_id) if at_head else (1, order.order_id)

    def adopt(self, entry: Order, bracket: Iterable[Order]) -> None:
        """Do nothing: they were submitted when they came alive."""


class BySymbol:
    """In the order of symbols; of one symbol, what the bracket's stop does comes first."""

    def place(self, order: Order) -> tuple[Any, ...]:
        """Return the symbol and the place among its orders."""
        return (order.symbol, not order.is_protective, order.kind == "limit", order.order_id)

    def adopt(self, entry: Order, bracket: Iterable[Order]) -> None:
        """Do nothing."""


_TURNS: dict[str, Turns] = {
    "reducing_first": ByRank(),
    "submission": AsSubmitted(),
    "stops_first": StopsFirst(),
    "symbol": BySymbol(),
}


def turns_of(profile: Profile) -> Turns:
    """Return the order of orders."""
    return _TURNS[profile.order_sequence]
