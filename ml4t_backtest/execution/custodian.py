"""The custodian: what happens to positions and cash without anybody trading.

Corporate actions, borrow fees, interest, and the end of symbols that are no longer traded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml4t_backtest.core.choices import is_number
from ml4t_backtest.core.fill import SplitEvent
from ml4t_backtest.core.market import Market
from ml4t_backtest.core.orders import LIQUIDATION, NO_ROW, OrderIds
from ml4t_backtest.errors import ConfigError
from ml4t_backtest.execution.accounts import Account
from ml4t_backtest.execution.affordability import same_quantity, whole_shares
from ml4t_backtest.execution.book import Book
from ml4t_backtest.execution.filling import Chance, Filler
from ml4t_backtest.execution.house_orders import closing_order
from ml4t_backtest.execution.journal import Journal
from ml4t_backtest.portfolio.corporate_actions import Delisting, ScheduledAction
from ml4t_backtest.portfolio.ledger import Ledger

_DAYS_PER_YEAR = 365.0


@dataclass(frozen=True, slots=True)
class Custody:
    """What a run's positions are subject to.

    Attributes:
        actions: Splits and dividends in time order.
        delistings: Symbol -> when it ends and at which price.
        delisting_after: Sessions without a bar after which a position is settled at its last mark.
        interest_rate: Interest on cash, a fraction per year of 365 days.
    """

    actions: Sequence[ScheduledAction] = ()
    delistings: dict[str, Delisting] | None = None
    delisting_after: int = 10
    interest_rate: float = 0.0

    def __post_init__(self) -> None:
        after = self.delisting_after
        if isinstance(after, bool) or not isinstance(after, int) or after < 1:
            raise ConfigError(f"delisting_after must be a whole number of sessions from 1, got {after!r}")
        if not is_number(self.interest_rate):
            raise ConfigError(f"interest_rate must be a finite fraction per year, got {self.interest_rate!r}")


class Custodian:
    """Applies what nobody ordered."""

    def __init__(
        self,
        market: Market,
        ledger: Ledger,
        book: Book,
        journal: Journal,
        filler: Filler,
        account: Account,
        custody: Custody,
        *,
        fractional: bool,
        ids: OrderIds,
    ) -> None:
        self._market = market
        self._ledger = ledger
        self._book = book
        self._journal = journal
        self._filler = filler
        self._account = account
        self._custody = custody
        self._fractional = fractional
        self._ids = ids
        self._next_action = 0
        self._accrued_to: int | None = None
        self._accrues = account.borrow_rate > 0.0 or custody.interest_rate != 0.0
        self._action_instants = np.array([action.instant for action in custody.actions], dtype=np.int64)
        self._first_end = min((end.instant for end in (custody.delistings or {}).values()), default=None)
        # Per slice of the chunk, whether anything here may happen in it.
        self._due: list[bool] = []

    def enter(self, first: int) -> list[bool]:
        """Return in which slices of the chunk that the market has entered there may be something to do.

        That is a corporate action, fees of a new session, or a symbol's end: in all others the steps of this class do
        nothing, and `Desk` may leave them out.

        Args:
            first: First slice that is traded.
        """
        market, stamps = self._market, self._market.chunk.timestamps
        # Where every symbol has a bar in every slice, none goes without one until it is settled.
        by_session = self._accrues or not market.is_complete
        due = market.first_of_session.copy() if by_session else np.zeros(len(stamps), dtype=np.bool_)
        due[first : first + 1] = True
        begun = np.searchsorted(self._action_instants, stamps[-1])
        # An action is applied in the first slice after its instant.
        due[np.searchsorted(stamps, self._action_instants[self._next_action : begun], side="right")] = True
        if self._first_end is not None:
            due |= stamps >= self._first_end
        self._due = due.tolist()
        return self._due

    def apply_actions(self) -> None:
        """Step 0: apply corporate actions whose ex-date opened before this slice closes."""
        actions = self._custody.actions
        while self._next_action < len(actions) and actions[self._next_action].instant < self._market.timestamp:
            self._apply(actions[self._next_action])
            self._next_action += 1

    def accrue(self) -> None:
        """Step 0: charge borrow fees and pay interest for the calendar days since the last traded session."""
        if not self._accrues:
            return
        before, self._accrued_to = self._accrued_to, self._market.session
        if before is None or before == self._market.session:
            return
        years = (self._market.session - before) / _DAYS_PER_YEAR
        rate = self._account.borrow_rate
        if rate > 0.0:
            for symbol_id, holding in self._ledger.holdings.items():
                if holding.quantity < 0.0:
                    fee = -holding.quantity * self._market.mark(symbol_id) * rate * years
                    self._journal.book_cash(symbol_id, holding.position_id, "borrow_fee", -fee)
        if self._custody.interest_rate != 0.0 and self._ledger.cash > 0.0:
            interest = self._ledger.cash * self._custody.interest_rate * years
            self._journal.book_cash(NO_ROW, NO_ROW, "interest", interest)

    def after_close(self) -> None:
        """Step 3: settle positions in symbols that have ended.

        Sessions without a bar grow with each session only, so that its first slice is where they reach the limit.
        """
        if not self._due[self._market.index]:
            return
        for symbol_id in self._ledger.held():
            ended = (self._custody.delistings or {}).get(self._market.symbols[symbol_id])
            if ended is not None and ended.instant <= self._market.timestamp:
                self.settle(symbol_id, ended.price, "delisted")
            elif self._market.sessions_without_bar(symbol_id) >= self._custody.delisting_after:
                self.settle(symbol_id, self._market.mark(symbol_id), "delisted")

    def settle(self, symbol_id: int, price: float, reason: str, *, free: bool = True) -> None:
        """Close a position without a bar, at a price nobody quoted.

        Args:
            symbol_id: What is held.
            price: Account currency per share.
            reason: Exit reason.
            free: Without costs.
        """
        held = self._ledger.quantity(symbol_id)
        order = closing_order(self._market, symbol_id, held, order_id=next(self._ids), rank=LIQUIDATION, reason=reason)
        self._book.submit(order)
        self._filler.fill(order, -held, Chance(price, NO_ROW, "settled"), free=free)
        order.end("filled", self._market.timestamp)
        self._book.remove(order)
        self._book.cancel_protection(symbol_id)

    def _apply(self, action: ScheduledAction) -> None:
        symbol_id = self._market.ids.get(action.symbol)
        if symbol_id is None:
            return
        if action.kind == "split":
            self._split(symbol_id, action.value)
        elif (holding := self._ledger.holding(symbol_id)) is not None:
            self._journal.book_cash(symbol_id, holding.position_id, "dividend", holding.quantity * action.value)

    def _split(self, symbol_id: int, ratio: float) -> None:
        """Rescale mark, working orders and position; a whole-share account gets cash for what is left over."""
        market = self._market
        market.rescale_mark(symbol_id, ratio)
        self._book.rescale(symbol_id, ratio)
        holding = self._ledger.holding(symbol_id)
        if holding is None:
            return
        position_id, exact = holding.position_id, holding.quantity * ratio
        quantity = exact if self._fractional else whole_shares(exact)
        left_over = 0.0 if same_quantity(exact, quantity) else exact - quantity
        price = market.mark(symbol_id)
        self._ledger.apply_split(symbol_id, ratio, quantity)
        self._journal.write(SplitEvent(symbol_id, market.index, market.timestamp, ratio, quantity, left_over, price))
        self._journal.book_cash(symbol_id, position_id, "cash_in_lieu", left_over * price)
        if quantity == 0.0:
            self._book.cancel_protection(symbol_id)
