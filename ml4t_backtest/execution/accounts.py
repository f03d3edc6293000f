"""Kinds of accounts: what a new position may cost, and when the broker closes positions.

An account is one frozen dataclass and its own config section, like a cost model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from ml4t_backtest.core.market import Market
from ml4t_backtest.portfolio.ledger import Ledger


class Exposure(NamedTuple):
    """What would be held after fills that have not happened: what fills at its raw price, the rest at its last one.

    Attributes:
        net: Sum of quantity x price, account currency.
        gross: Sum of |quantity x price|.
        largest: Greatest |quantity x price| among what fills.
        num_positions: Symbols held.
    """

    net: float
    gross: float
    largest: float
    num_positions: int


class Outlook:
    """What would be after fills that have not happened.

    What is held is valued only where an account or a limit asks for it: those who buy with their cash never do.

    Attributes:
        cash: Cash, account currency.
    """

    def __init__(self, cash: float, value: Callable[[], Exposure]) -> None:
        self.cash = cash
        self._value = value

    @cached_property
    def exposure(self) -> Exposure:
        """What would be held."""
        return self._value()

    @property
    def equity(self) -> float:
        """Cash plus positions."""
        return self.cash + self.exposure.net

    @property
    def gross(self) -> float:
        """Sum of |quantity x price|, account currency."""
        return self.exposure.gross


@runtime_checkable
class Account(Protocol):
    """What may be opened, and what must be closed."""

    @property
    def allows_short(self) -> bool:
        """Whether a position may be negative."""
        ...

    @property
    def gives_credit(self) -> bool:
        """Whether more than the cash can be spent, so that what is held decides too."""
        ...

    @property
    def borrow_rate(self) -> float:
        """Fee on the value of short positions, a fraction per year of 365 days."""
        ...

    def headroom(self, after: Outlook) -> float:
        """Return the money that is left to open more with, account currency; below 0 it is too much.

        Where the account gives credit, it must neither fall as cash or equity rises nor rise with the gross value.
        """
        ...

    def excess(self, cash: float, longs: float, shorts: float) -> float:
        """Return what equity exceeds the maintenance margin by, account currency.

        It rises with `longs` and falls with `shorts`. As long as it is above 0, `must_close` has nothing to close.

        Args:
            cash: Cash, account currency.
            longs: Value of the long positions, at least 0.
            shorts: Value of the shares owed, at least 0.
        """
        ...

    def must_close(self, ledger: Ledger, market: Market, leaving: Collection[int]) -> list[int]:
        """Return the symbols to close, in order, at the closes of the present slice.

        Args:
            ledger: What is held.
            market: Its prices.
            leaving: Symbols that are on their way out already.
        """
        ...


@dataclass(frozen=True, slots=True)
class CashAccount:
    """Buys with the cash it has and never sells short.

    >>> CashAccount().allows_short
    False
    """

    model: Literal["cash"] = "cash"

    @property
    def allows_short(self) -> bool:
        """False."""
        return False

    @property
    def gives_credit(self) -> bool:
        """False."""
        return False

    @property
    def borrow_rate(self) -> float:
        """0: nothing is borrowed."""
        return 0.0

    def headroom(self, after: Outlook) -> float:
        """Return the cash."""
        return after.cash

    def excess(self, cash: float, longs: float, shorts: float) -> float:
        """Return the equity: nothing of it is bound."""
        return cash + longs - shorts

    def must_close(self, ledger: Ledger, market: Market, leaving: Collection[int]) -> list[int]:
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

    >>> MarginAccount(initial=0.4, borrow_rate=0.02).allows_short
    True
    >>> MarginAccount(initial=1.5)
    Traceback (most recent call last):
    ValueError: initial is a fraction in (0, 1], got 1.5
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

    @property
    def gives_credit(self) -> bool:
        """True."""
        return True

    def headroom(self, after: Outlook) -> float:
        """Return the equity that the initial margin of what is held does not bind."""
        return after.equity - self.initial * after.gross

    def excess(self, cash: float, longs: float, shorts: float) -> float:
        """Return the equity that the maintenance margin of what is held does not bind."""
        return cash + (1.0 - self.maintenance_long) * longs - (1.0 + self.maintenance_short) * shorts

    def must_close(self, ledger: Ledger, market: Market, leaving: Collection[int]) -> list[int]:
        """Return the largest positions, until initial margin holds, once maintenance margin does not."""
        equity = ledger.value().equity
        if equity >= self._maintenance(ledger, market):
            return []
        values = {
            symbol_id: abs(ledger.quantity(symbol_id) * market.mark(symbol_id))
            for symbol_id in ledger.held()
            if symbol_id not in leaving
        }
        closed: list[int] = []
        for symbol_id in sorted(values, key=lambda symbol_id: -values[symbol_id]):
            if self.initial * math.fsum(values.values()) <= equity:
                break
            closed.append(symbol_id)
            values[symbol_id] = 0.0
        return closed

    def _maintenance(self, ledger: Ledger, market: Market) -> float:
        required = 0.0
        for symbol_id in ledger.held():
            value = ledger.quantity(symbol_id) * market.mark(symbol_id)
            required += self.maintenance_long * value if value > 0.0 else self.maintenance_short * -value
        return required
