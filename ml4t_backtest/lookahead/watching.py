"""What a strategy asks for, taken down at the moment it asks."""

from __future__ import annotations

from typing import Any

import polars as pl

from ml4t_backtest.core.orders import ReplaceRequest, Sizing
from ml4t_backtest.portfolio.view import PortfolioView
from ml4t_backtest.strategy.base import Strategy
from ml4t_backtest.strategy.history import History
from ml4t_backtest.strategy.outbox import Outbox

_TYPES = {"order_id": pl.Int64, "symbol": pl.String, "sizing": pl.String, "amount": pl.Float64, "terms": pl.String}
_Rows = list[tuple[int, str, str, float, str]]


class Watched:
    """The orders of a strategy as it wrote them, before anything became of them."""

    def __init__(self, strategy: Strategy) -> None:
        """Stand between a strategy that has not run yet and its outbox."""
        self._requests: _Rows = []
        attach = strategy.attach

        def attach_watched(portfolio: PortfolioView, outbox: Outbox, history: History, **columns: Any) -> None:
            attach(portfolio, _Noting(outbox, self._requests), history, **columns)

        vars(strategy)["attach"] = attach_watched

    def frame(self, orders: pl.DataFrame) -> pl.DataFrame:
        """Return one row per order asked for, with the decision that the records of the run say it belongs to."""
        requests = pl.DataFrame(self._requests, schema=_TYPES, orient="row")
        return requests.join(orders.select("order_id", "decision_timestamp"), on="order_id", maintain_order="left")


class _Noting(Outbox):
    """Hands everything on, and takes orders down."""

    def __init__(self, outbox: Outbox, requests: _Rows) -> None:
        self._outbox = outbox
        self._noted = requests

    def put(self, symbol: str, sizing: Sizing, amount: float, **terms: Any) -> int:
        order_id = self._outbox.put(symbol, sizing, amount, **terms)
        self._noted.append((order_id, symbol, sizing, amount, repr(sorted(terms.items()))))
        return order_id

    def cancel(self, order_id: int) -> None:
        self._outbox.cancel(order_id)

    def replace(self, request: ReplaceRequest) -> None:
        self._outbox.replace(request)

    def new_group(self) -> int:
        return self._outbox.new_group()
