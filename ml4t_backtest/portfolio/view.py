"""What a strategy may know about its own account: everything, and nothing it could change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from ml4t_backtest.core.market import Market
from ml4t_backtest.core.orders import Order
from ml4t_backtest.core.position import Position
from ml4t_backtest.core.views import OrderView
from ml4t_backtest.portfolio.ledger import Ledger


class PortfolioView:
    """Read-only view of the account at the current slice, marked at its closes."""

    def __init__(self, ledger: Ledger, market: Market, working: Callable[[], Sequence[Order]]) -> None:
        """Look at an account.

        Args:
            ledger: Cash and holdings.
            market: Last prices.
            working: Returns the working orders, in the order they were submitted.
        """
        self._ledger = ledger
        self._market = market
        self._working = working

    @property
    def cash(self) -> float:
        """Cash in account currency."""
        return self._ledger.cash

    @property
    def equity(self) -> float:
        """Cash plus positions at their last closes."""
        return self._ledger.value().equity

    def position(self, symbol: str) -> Position:
        """Return what is held of a symbol; an empty position when flat or unknown."""
        symbol_id = self._market.ids.get(symbol)
        if symbol_id is None:
            return Position(symbol)
        mark, quantity = self._market.mark(symbol_id), self._ledger.quantity(symbol_id)
        average_price = self._ledger.average_price(symbol_id) if quantity else 0.0
        return Position(symbol, quantity, average_price, None if mark != mark else mark)

    def positions(self) -> pl.DataFrame:
        """Return one row per held symbol: symbol, quantity, average_price, market_price, market_value."""
        held = [self.position(self._market.symbols[symbol_id]) for symbol_id in self._ledger.held()]
        schema = {"symbol": pl.String, "quantity": pl.Float64, "average_price": pl.Float64}
        rows = [(p.symbol, p.quantity, p.average_price, p.market_price, p.market_value) for p in held]
        columns = {**schema, "market_price": pl.Float64, "market_value": pl.Float64}
        return pl.DataFrame(rows, schema=columns, orient="row")

    def quantities(self, symbols: Iterable[str]) -> npt.NDArray[np.float64]:
        """Return the signed shares held of each symbol, aligned with `symbols`."""
        return self._ledger.quantities_of(self._market.ids_of(symbols))

    def orders(self, symbol: str | None) -> list[OrderView]:
        """Return the working orders of a symbol, of all symbols for None."""
        return [OrderView.of(order) for order in self._working() if symbol is None or order.symbol == symbol]
