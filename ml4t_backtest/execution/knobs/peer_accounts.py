"""Accounts of other engines, for their profiles; see `accounts` for those a configuration can name."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ml4t_backtest.core.market import Market
from ml4t_backtest.execution.accounts import Outlook
from ml4t_backtest.portfolio.ledger import Ledger


@dataclass(frozen=True, slots=True)
class _Lenient:
    """Sells short without a fee and never calls a position in."""

    @property
    def allows_short(self) -> bool:
        """True."""
        return True

    @property
    def gives_credit(self) -> bool:
        """True."""
        return True

    @property
    def borrow_rate(self) -> float:
        """0."""
        return 0.0

    def excess(self, cash: float, longs: float, shorts: float) -> float:
        """Return the equity: nothing of it is bound."""
        return cash + longs - shorts

    def must_close(self, ledger: Ledger, market: Market, leaving: Collection[int]) -> list[int]:
        """Return nothing."""
        return []


@dataclass(frozen=True, slots=True)
class ShortProceedsAccount(_Lenient):
    """Buys with cash, to which a short sale adds and of which it needs none."""

    def headroom(self, after: Outlook) -> float:
        """Return the cash."""
        return after.cash


@dataclass(frozen=True, slots=True)
class FullMarginAccount(_Lenient):
    """Holds, long and short together, no more than its equity."""

    def headroom(self, after: Outlook) -> float:
        """Return the equity that is not bound."""
        return after.equity - after.gross


@dataclass(frozen=True, slots=True)
class BoundlessAccount(_Lenient):
    """Buys and sells whatever is asked."""

    def headroom(self, after: Outlook) -> float:
        """Return 0: there is always just enough."""
        return 0.0
