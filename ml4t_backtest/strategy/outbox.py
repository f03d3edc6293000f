"""What a strategy asks for, on its way to the engine."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

from ml4t_backtest.core.orders import (
    UNPROTECTED,
    CancelRequest,
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
_AT_MARKET = Terms()


class Outbox:
    """Requests since the engine last looked, in the order they were made."""

    def __init__(self, ids: Iterator[int]) -> None:
        """Start empty.

        Args:
            ids: Source of order ids, shared with whoever else makes orders.
        """
        self._ids = ids
        self._groups = count(1)
        self._requests: list[Request] = []

    def put(
        self,
        symbol: str,
        sizing: Sizing,
        amount: float,
        *,
        side: OrderSide = "buy",
        terms: Terms = _AT_MARKET,
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
        requests, self._requests = self._requests, []
        return requests

    def _add(self, request: Request) -> None:
        if len(self._requests) >= MAX_REQUESTS_PER_SLICE:
            raise StrategyError(
                f"E-ST-LIMIT more than {MAX_REQUESTS_PER_SLICE} orders, cancellations and replacements in one slice"
            )
        self._requests.append(request)


class NotRunning:
    """Stands where account and outbox will be, and says so when a strategy reaches for them too early."""

    def __getattr__(self, name: str) -> Any:
        raise StrategyError("a strategy can order and look at its account only while an engine runs it")
