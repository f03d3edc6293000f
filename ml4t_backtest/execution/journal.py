"""What happened to the account, in the order it happened, until the records are made of it."""

from __future__ import annotations

from itertools import count

from ml4t_backtest.core.fill import Alternative, CashFlow, CashFlowKind, Doubt, Fill, LedgerEvent
from ml4t_backtest.core.market import Market
from ml4t_backtest.portfolio.ledger import Ledger


class Journal:
    """Events of the present chunk; whoever changes the ledger writes here what was done."""

    def __init__(self, market: Market, ledger: Ledger) -> None:
        self._market = market
        self._ledger = ledger
        self._events: list[LedgerEvent] = []
        self._fill_ids = count(1)

    def next_fill_id(self) -> int:
        """Return the sequence number of the next fill."""
        return next(self._fill_ids)

    def write(self, event: LedgerEvent) -> None:
        """Add an event."""
        self._events.append(event)

    def book_cash(self, symbol_id: int, position_id: int, kind: CashFlowKind, amount: float) -> None:
        """Move cash without a fill and write it down; nothing happens for an amount of 0."""
        if amount != 0.0:
            self._ledger.receive(amount)
            market = self._market
            self.write(CashFlow(market.timestamp, market.index, symbol_id, position_id, kind, amount))

    def doubt(self, symbol_id: int, ends: tuple[Alternative, Alternative] | None = None) -> None:
        """Write down that the present bar leaves the outcome of the held position open, between `ends` where known."""
        self.write(Doubt(symbol_id, self._market.index, self._market.timestamp, ends))

    def fills_between(self, first: int, last: int) -> list[Fill]:
        """Return the fills among the events from number `first` up to number `last`."""
        return [event for event in self._events[first:last] if isinstance(event, Fill)]

    def __len__(self) -> int:
        return len(self._events)

    def take(self) -> list[LedgerEvent]:
        """Return the events and forget them."""
        events, self._events = self._events, []
        return events
