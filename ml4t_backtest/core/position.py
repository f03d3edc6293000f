"""A position as a strategy sees it."""

from __future__ import annotations

from typing import NamedTuple


class Position(NamedTuple):
    """What is held of one symbol.

    Attributes:
        symbol: Instrument.
        quantity: Shares, negative when short, 0 when flat.
        average_price: Average fill price of the shares held, 0 when flat.
        market_price: Last close seen of the symbol; None before its first bar.

    >>> held = Position("A", 10.0, average_price=98.0, market_price=100.0)
    >>> held.market_value, held.unrealized_pnl, bool(Position("B"))
    (1000.0, 20.0, False)
    """

    symbol: str
    quantity: float = 0.0
    average_price: float = 0.0
    market_price: float | None = None

    @property
    def market_value(self) -> float:
        """Quantity times the last close, account currency."""
        return self.quantity * (self.market_price or 0.0)

    @property
    def unrealized_pnl(self) -> float:
        """Market value less what the shares cost, before commissions."""
        return self.market_value - self.quantity * self.average_price

    def __bool__(self) -> bool:
        """Whether anything is held."""
        return self.quantity != 0.0
