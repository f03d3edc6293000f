"""Checks of money when an order is submitted: knobs `cash_check` (submit, both) and `failed_order_cost`.

Ours is none: money is checked where it is spent, at the fill.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from ml4t_backtest.core.market import Market
from ml4t_backtest.core.orders import Order
from ml4t_backtest.execution.book import Book
from ml4t_backtest.execution.brackets import entry_levels
from ml4t_backtest.execution.commission import CommissionModel
from ml4t_backtest.execution.profiles import Profile
from ml4t_backtest.portfolio.ledger import Ledger


class Screening(Protocol):
    """What happens to the orders of a slice before they work."""

    def screen(self, orders: Sequence[Order]) -> None:
        """Refuse those that must not."""
        ...


class NoScreening:
    """Every order works."""

    def screen(self, orders: Sequence[Order]) -> None:
        """Do nothing."""


class ExpectedCash:
    """Fills the orders of a slice in thought, in their order, at the prices they are expected at.

    The money of each comes out of the same cash, sales add to it. An order after which cash is below zero is refused,
    whatever its side. A bracket is tried with its entry, one after the other, and ends with it.
    """

    def __init__(
        self, market: Market, ledger: Ledger, book: Book, commission: CommissionModel, *, keeps_failed: bool
    ) -> None:
        """Wire it.

        Args:
            market: Last prices.
            ledger: Cash.
            book: Where orders are refused.
            commission: What a fill is charged.
            keeps_failed: Whether a refused order's money stays spent for those after it.
        """
        self._market = market
        self._ledger = ledger
        self._book = book
        self._commission = commission
        self._keeps_failed = keeps_failed

    def screen(self, orders: Sequence[Order]) -> None:
        """Refuse the orders that the cash of this moment would not cover."""
        cash = self._ledger.cash
        for order in orders:
            if order.status != "working":
                continue
            left = self._after(order, cash)
            if left < 0.0:
                detail = f"{abs(order.quantity):g} shares at {self._expected(order):.6g} would leave cash at {left:.2f}"
                self._book.refuse(order, "insufficient_cash", detail)
            cash = cash if left < 0.0 and not self._keeps_failed else left

    def _after(self, order: Order, cash: float) -> float:
        """Return the cash after an order and each order of its bracket, up to the first that fails."""
        price = self._expected(order)
        cash -= self._cost(order.quantity, price)
        for level in self._levels(order, price):
            if cash < 0.0:
                break
            cash -= self._cost(-order.quantity, level)
        return cash

    def _expected(self, order: Order) -> float:
        """Return the stop, else the limit, else the last close."""
        if order.kind == "trailing_stop":
            return order.stop_level()
        return order.stop or order.limit or self._market.mark(order.symbol_id)

    def _levels(self, order: Order, price: float) -> Iterator[float]:
        """Yield the prices of an order's bracket."""
        wanted = order.protection
        for level in entry_levels(order, price):
            if level is not None:
                yield level
        if wanted.trailing_stop_percent is not None:
            yield self._market.mark(order.symbol_id) * (1.0 - order.sign * wanted.trailing_stop_percent)

    def _cost(self, quantity: float, price: float) -> float:
        size = abs(quantity)
        return quantity * price + self._commission.charge(size, size * price)


def screening_of(
    profile: Profile, market: Market, ledger: Ledger, book: Book, commission: CommissionModel
) -> Screening:
    """Return what checks orders at submission."""
    if profile.cash_check not in ("submit", "both"):
        return NoScreening()
    return ExpectedCash(market, ledger, book, commission, keeps_failed=profile.failed_order_cost == "kept")
