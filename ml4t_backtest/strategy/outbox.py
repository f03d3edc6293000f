"""What a strategy asks for, on its way to the engine."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Any

from ml4t_backtest.core.chunk import Floats, Integers
from ml4t_backtest.core.market import Market
from ml4t_backtest.core.orders import (
    AT_MARKET,
    UNPROTECTED,
    BatchRequest,
    CancelRequest,
    OrderIds,
    OrderRequest,
    OrderSide,
    Protection,
    ReplaceRequest,
    Request,
    Sizing,
    Terms,
)
from ml4t_backtest.errors import StrategyError

# More than any universe needs in one slice; a loop that orders without end must not fill the memory.
MAX_REQUESTS_PER_SLICE = 100_000


class Outbox:
    """Requests since the engine last looked, in the order they were made.

    Attributes:
        requests: The requests; `drain` takes them.
    """

    def __init__(self, ids: OrderIds, market: Market) -> None:
        """Start empty.

        Args:
            ids: Source of order ids, shared with whoever else makes orders.
            market: Knows the symbols.
        """
        self._ids = ids
        self._market = market
        self._groups = count(1)
        self.requests: list[Request] = []
        self._room = MAX_REQUESTS_PER_SLICE

    def put(
        self,
        symbol: str,
        sizing: Sizing,
        amount: float,
        *,
        side: OrderSide = "buy",
        terms: Terms = AT_MARKET,
        protection: Protection = UNPROTECTED,
        group: int | None = None,
        closes: bool = False,
        minimum_value: float = 0.0,
        tolerance: float = 0.0,
    ) -> int:
        """Add a request and return its order id; the arguments are the attributes of `OrderRequest`."""
        order_id = next(self._ids)
        request = OrderRequest(
            order_id, symbol, side, sizing, amount, terms, protection, group, closes, minimum_value, tolerance
        )
        self._add(request)
        return order_id

    def symbol_ids(self, symbols: Iterable[str]) -> Integers:
        """Return the ids of symbols, NO_ROW for one that is not known."""
        return self._market.ids_of(symbols)

    def put_batch(self, symbol_ids: Integers, quantities: Floats) -> list[int]:
        """Add market orders for signed quantities, none of them 0, and return their order ids."""
        order_ids = self._ids.take(len(quantities))
        self._add(BatchRequest(order_ids, symbol_ids, quantities), len(order_ids))
        return list(order_ids)

    def cancel(self, order_id: int) -> None:
        """Add a wish to take an order back."""
        self._add(CancelRequest(order_id))

    def replace(self, request: ReplaceRequest) -> None:
        """Add a wish to change an order."""
        self._add(request)

    def new_group(self) -> int:
        """Return an id for orders that belong together."""
        return next(self._groups)

    def drain(self) -> list[Request]:
        """Return the requests since the last call, in order."""
        requests, self.requests = self.requests, []
        self._room = MAX_REQUESTS_PER_SLICE
        return requests

    def _add(self, request: Request, number: int = 1) -> None:
        self._room -= number
        if self._room < 0:
            raise StrategyError(
                f"E-ST-LIMIT more than {MAX_REQUESTS_PER_SLICE} orders, cancellations and replacements in one slice"
            )
        self.requests.append(request)


class NotRunning:
    """Stands where account and outbox will be, and says so when a strategy reaches for them too early."""

    def __getattr__(self, name: str) -> Any:
        # What Python and its tools ask any object for is no order.
        if name.startswith("__"):
            raise AttributeError(name)
        raise StrategyError("a strategy can order and look at its account only while an engine runs it")
