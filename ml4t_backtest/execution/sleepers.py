"""Orders that wait for a price which the present bars do not reach: they sleep through the slice.

Most limits and stops wait for hundreds of bars. Whether any of them is reached is seen at once, in columns; what is
known of a sleeping order is what was known of it before.
"""

from __future__ import annotations

import math

import numpy as np

from ml4t_backtest.core.chunk import Floats, Integers
from ml4t_backtest.core.market import Market
from ml4t_backtest.core.orders import Order
from ml4t_backtest.execution.book import Book

_NEVER = -1


class Sleepers:
    """Knows who sleeps through a slice: of the limits and stops that are good till cancelled those out of reach."""

    def __init__(self, market: Market, book: Book) -> None:
        self._market = market
        self._book = book
        self._asleep: frozenset[int] = frozenset()
        # Which state of the book the table is of: what could sleep, where it lies, and what wakes it.
        self._known = _NEVER
        self._ids: list[int] = []
        self._symbol_ids: Integers = np.empty(0, dtype=np.int64)
        self._floors: Floats = np.empty(0)
        self._ceilings: Floats = np.empty(0)
        self._all: frozenset[int] = frozenset()

    def look(self) -> None:
        """Find out who sleeps through the present slice."""
        if self._known != self._book.changes:
            self._read_book()
        if not self._ids or not self._market.has_bars:
            self._asleep = self._all
            return
        rows, prices = self._market.rows_of(self._symbol_ids), self._market.chunk.prices
        out_of_reach = (prices["low"][rows] > self._floors) & (prices["high"][rows] < self._ceilings)
        if out_of_reach.all():
            self._asleep = self._all
            return
        self._asleep = frozenset(np.array(self._ids)[out_of_reach].tolist())
        # A stop that is reached and not filled whole has become something else.
        self._known = _NEVER

    def awake(self) -> list[Order]:
        """Return the single working orders that do not sleep, in the order they were submitted."""
        asleep, working = self._asleep, self._book.singles()
        return [order for order in working if order.order_id not in asleep] if asleep else working

    def _read_book(self) -> None:
        waiting = [order for order in self._book.singles() if _waits(order)]
        self._ids = [order.order_id for order in waiting]
        self._all = frozenset(self._ids)
        self._symbol_ids = np.array([order.symbol_id for order in waiting], dtype=np.int64)
        bounds = [_bounds(order) for order in waiting]
        self._floors, self._ceilings = np.array(bounds, dtype=np.float64).reshape(-1, 2).T
        self._known = self._book.changes


def _waits(order: Order) -> bool:
    """Return whether nothing but a price can concern an order."""
    return order.kind in ("limit", "stop") and order.tif == "gtc" and not order.triggered


def _bounds(order: Order) -> tuple[float, float]:
    """Return the prices between which the market does not reach an order: it falls to the one, or rises to the other.

    A market falls to a limit that buys and a stop that sells, and rises to the others.
    """
    level = order.limit if order.kind == "limit" else order.stop
    reached = math.nan if level is None else level
    falls = (order.kind == "limit") == (order.side == "buy")
    return (reached, math.inf) if falls else (-math.inf, reached)
