"""Kinds of accounts: what a new position may cost, and when the broker closes positions.

An account is one frozen dataclass and its own config section, like a cost model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

from ml4t_backtest.core.market import Market
from ml4t_backtest.portfolio.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Opening:
    """What would be after a fill that opens or adds.

    Attributes:
        cash: Cash after it, account currency, without what was freed inside the present bar.
        equity: Equity after it, its symbol valued at the raw price, others at the open or their last price.
        gross: Sum of |quantity x price| after it, valued likewise.
        net: Sum of quantity x price after it.
        value: Quantity x price of its symbol after it.
        num_positions: Symbols held after it.
    """

    cash: float
    equity: float
    gross: float
    net: float
    value: float
    num_positions: int


class Account(Protocol):
    """What may be opened, and what must be closed."""

    @property
    def allows_short(self) -> bool:
        """Whether a position may be negative."""
        ...

    @property
    def borrow_rate(self) -> float:
        """Fee on the value of short positions, a fraction per year of 365 days."""
        ...

    def admits(self, opening: Opening) -> bool:
        """Return whether a fill that opens or adds is covered."""
        ...

    def must_close(self, ledger: Ledger, market: Market) -> list[int]:
        """Return the symbols to close, in order, at the closes of the present slice."""
        ...


@dataclass(frozen=True, slots=True)
class CashAccount:
    """Buys with the cash it has and never sells short."""

    model: Literal["cash"] = "cash"

    @property
    def allows_short(self) -> bool:
        """False."""
        return False

    @property
    def borrow_rate(self) -> float:
        """0: nothing is borrowed."""
        return 0.0

    def admits(self, opening: Opening) -> bool:
        """Return whether cash covers the cost."""
        return opening.cash >= 0.0

    def must_close(self, ledger: Ledger, market: Market) -> list[int]:
        """Return nothing: shares that are paid for are never called in."""
        return []


@dataclass(frozen=True, slots=True)
class MarginAccount:
    """Buys on credit and sells short within margin requirements (the rates of US Regulation T by default).

    Attributes:
        initial: Equity needed to open, a fraction of gross value in (0, 1].
        maintenance_long: Equity needed to keep long positions, a fraction of their value.
        maintenance_short: Equity needed to keep short positions, a fraction of their value.
        borrow_rate: Fee on short value, a fraction per year of 365 days.
    """

    initial: float = 0.50
    maintenance_long: float = 0.25
    maintenance_short: float = 0.30
    borrow_rate: float = 0.0
    model: Literal["margin"] = "margin"

    def __post_init__(self) -> None:
        for name in ("initial", "maintenance_long", "maintenance_short"):
            value = getattr(self, name)
            if not (math.isfinite(value) and 0.0 < value <= 1.0):
                raise ValueError(f"{name} is a fraction in (0, 1], got {value!r}")
        if not (math.isfinite(self.borrow_rate) and self.borrow_rate >= 0.0):
            raise ValueError(f"borrow_rate is a fraction per year >= 0, got {self.borrow_rate!r}")

    @property
    def allows_short(self) -> bool:
        """True."""
        return True

    def admits(self, opening: Opening) -> bool:
        """Return whether equity covers the initial margin of everything held afterwards."""
        return self.initial * opening.gross <= opening.equity

    def must_close(self, ledger: Ledger, market: Market) -> list[int]:
        """Return the largest positions, until initial margin holds, once maintenance margin does not."""
        value = ledger.value()
        if value.equity >= self._maintenance(ledger, market):
            return []
        held = sorted(ledger.held(), key=lambda symbol_id: -abs(ledger.quantity(symbol_id) * market.mark(symbol_id)))
        closed: list[int] = []
        gross = value.gross_value
        for symbol_id in held:
            if self.initial * gross <= value.equity:
                break
            closed.append(symbol_id)
            gross -= abs(ledger.quantity(symbol_id) * market.mark(symbol_id))
        return closed

    def _maintenance(self, ledger: Ledger, market: Market) -> float:
        required = 0.0
        for symbol_id in ledger.held():
            value = ledger.quantity(symbol_id) * market.mark(symbol_id)
            required += self.maintenance_long * value if value > 0.0 else self.maintenance_short * -value
        return required
