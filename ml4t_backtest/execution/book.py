"""The book: working orders, and how they end without a fill."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ml4t_backtest.core.market import Market
from ml4t_backtest.core.order_block import OrderBlock
from ml4t_backtest.core.orders import OTHER, Order
from ml4t_backtest.execution.affordability import whole_shares


class Book:
    """The orders of a run that work, and those that have ended since somebody took them.

    Market orders of one decision may lie here as a block of columns. Whoever asks for single orders gets them all as
    objects; nobody else can tell the difference.

    Attributes:
        submitted: Orders that no record was taken of yet, in the order of their submission.
        ended: Orders that have ended since somebody took note, each with what `moment` returned then; None where
            nobody asks.
        changes: How often an order came, went or got other terms.
    """

    def __init__(self, market: Market, moment: Callable[[], int], *, fractional: bool) -> None:
        self.ended: list[tuple[int, Order]] | None = None
        self.changes = 0
        self._moment = moment
        self._market = market
        self._fractional = fractional
        self._working: dict[int, Order] = {}
        self._block: OrderBlock | None = None
        self.submitted: list[Order] = []
        self._decision_rows: list[int] = []

    def submit(self, order: Order) -> None:
        """Take in an order; a rejected one is only recorded."""
        order.asked = abs(order.quantity)
        self.submitted.append(order)
        self._decision_rows.append(order.decision_row)
        if order.status == "working":
            self.changes += 1
            self._working[order.order_id] = order
        else:
            self._note(order)

    def submit_block(self, block: OrderBlock) -> None:
        """Take in the orders of a decision; the block before has been tried by then."""
        self._break_up()
        self._block = block

    def take_block(self) -> OrderBlock | None:
        """Return the orders that nobody has looked at singly, and hand them over."""
        block, self._block = self._block, None
        return block

    def adopt(self, block: OrderBlock) -> list[Order]:
        """Let what is left of a block work as single orders, and return them."""
        orders = block.orders(self._market.symbols)
        self._decision_rows += block.decision_rows.tolist()
        self.submitted += orders
        self.changes += 1
        self._working.update((order.order_id, order) for order in orders)
        return orders

    def take_records(self) -> tuple[list[Order], list[int]]:
        """Return the single orders that have ended since the last call.

        Beside them the rows, counted over the run, that orders were decided on of which no fill tells yet.
        """
        ended = [order for order in self.submitted if order.status != "working"]
        self.submitted = [order for order in self.submitted if order.status == "working"]
        rows, self._decision_rows = self._decision_rows, []
        return ended, rows if self._block is None else [*rows, *self._block.decision_rows.tolist()]

    @property
    def has_singles(self) -> bool:
        """Whether single orders work."""
        return bool(self._working)

    def singles(self) -> list[Order]:
        """Return the single working orders, in the order they were submitted."""
        return list(self._working.values())

    def working(self) -> list[Order]:
        """Return the working orders, in the order they were submitted."""
        self._break_up()
        return self.singles()

    def working_of(self, symbol_id: int) -> list[Order]:
        """Return the working orders of a symbol."""
        return [order for order in self.working() if order.symbol_id == symbol_id]

    def get(self, order_id: int) -> Order | None:
        """Return a working order, None where it has ended or never was."""
        self._break_up()
        return self._working.get(order_id)

    def __bool__(self) -> bool:
        """Whether any order works."""
        return bool(self._working) or self._block is not None

    def remove(self, order: Order) -> None:
        """Take an ended order out of the working ones, and with it what only it could have brought to life."""
        if self._working.pop(order.order_id, None) is not None:
            self.changes += 1
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
        self.changes += 1
        for order in self.working_of(symbol_id):
            order.rescale(ratio)
            order.quantity = self._on_new_basis(order.quantity, ratio)
            order.asked = order.filled_quantity + abs(order.quantity)
            if order.quantity == 0.0:
                self.cancel(order, "quantity_rounds_to_zero")

    def _break_up(self) -> None:
        """Turn the block into single orders."""
        if (block := self.take_block()) is not None:
            self.adopt(block)

    def _note(self, order: Order) -> None:
        if self.ended is not None:
            self.ended.append((self._moment(), order))

    def _on_new_basis(self, quantity: float, ratio: float) -> float:
        return quantity * ratio if self._fractional else whole_shares(quantity * ratio)

    def __iter__(self) -> Iterator[Order]:
        return iter(self.working())
