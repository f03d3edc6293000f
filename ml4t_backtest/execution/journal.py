"""What happened to the account, in the order it happened, until the records are made of it."""

from __future__ import annotations

from ml4t_backtest.core.fill import Alternative, CashFlow, CashFlowKind, Doubt, Fill, JournalEntry, OpenFills
from ml4t_backtest.core.market import Market
from ml4t_backtest.portfolio.ledger import Ledger


class Journal:
    """What the present chunk has brought; whoever changes the ledger writes here what was done."""

    def __init__(self, market: Market, ledger: Ledger) -> None:
        self._market = market
        self._ledger = ledger
        self._entries: list[JournalEntry] = []
        self._fills = 0

    def next_fill_id(self, number: int = 1) -> int:
        """Return the sequence number of the next fill, the first of so many."""
        first = self._fills + 1
        self._fills += number
        return first

    def write(self, entry: JournalEntry) -> None:
        """Add what happened."""
        self._ledger.catch_up()
        self._entries.append(entry)

    def open_fills(self, number: int) -> OpenFills:
        """Return the entry to which so many fills of plain orders are to be added now."""
        first = self.next_fill_id(number)
        last = self._entries[-1] if self._entries else None
        if not isinstance(last, OpenFills):
            last = OpenFills(first)
            self._entries.append(last)
        return last

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
        """Return the single fills among the entries from number `first` up to number `last`."""
        return [entry for entry in self._entries[first:last] if isinstance(entry, Fill)]

    def __len__(self) -> int:
        return len(self._entries)

    def take(self) -> list[JournalEntry]:
        """Return the entries and forget them."""
        self._ledger.catch_up()
        entries, self._entries = self._entries, []
        return entries
