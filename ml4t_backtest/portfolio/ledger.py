"""The ledger: cash and positions, changed by fills, splits and cash flows and by nothing else.

Positions are columns over symbol ids, so that one fill and a whole slice of fills are booked by the same rules.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml4t_backtest.core.chunk import Floats, Integers
from ml4t_backtest.core.market import Market

# Slice of the chunk, symbols, and what is held of each from then on.
Change = tuple[int, Integers, Floats]


@dataclass(frozen=True, slots=True)
class Holding:
    """Shares of one symbol.

    Attributes:
        position_id: Counts positions from flat to flat, from 1.
        quantity: Shares, negative when short, never 0.
        average_price: Average fill price of the shares held.
    """

    position_id: int
    quantity: float
    average_price: float


@dataclass(frozen=True, slots=True)
class Valuation:
    """What the account is worth at one moment, in account currency.

    Attributes:
        cash: Cash.
        positions_value: Sum of quantity x mark.
        gross_value: Sum of |quantity x mark|.
        num_positions: Symbols held.
    """

    cash: float
    positions_value: float
    gross_value: float
    num_positions: int

    @property
    def equity(self) -> float:
        """Cash plus positions."""
        return self.cash + self.positions_value


class Ledger:
    """Cash and holdings of one account.

    Attributes:
        cash: Account currency.
        quantities: Per symbol id the signed shares held, 0 when flat; only the ledger changes it.
    """

    def __init__(self, initial_capital: float, market: Market) -> None:
        self.cash = initial_capital
        self.quantities = np.zeros(len(market.symbols))
        self._market = market
        self._average_prices = np.zeros(len(market.symbols))
        self._position_ids = np.zeros(len(market.symbols), dtype=np.int64)
        self._positions_opened = 0
        self._num_positions = 0
        self._changes: list[Change] = []

    @property
    def holdings(self) -> dict[int, Holding]:
        """Symbol id -> what is held of it, in symbol order; a symbol that is flat has no entry."""
        return {symbol_id: self._holding(symbol_id) for symbol_id in self.held()}

    def holding(self, symbol_id: int) -> Holding | None:
        """Return what is held of a symbol, None when flat."""
        return self._holding(symbol_id) if self.quantity(symbol_id) else None

    def quantity(self, symbol_id: int) -> float:
        """Return the signed shares held, 0.0 when flat."""
        return self.quantities.item(symbol_id) if symbol_id < len(self.quantities) else 0.0

    def quantities_of(self, symbol_ids: Integers) -> Floats:
        """Return the signed shares held of each symbol, 0 when flat."""
        self._make_room()
        return self.quantities[symbol_ids]

    def held(self) -> list[int]:
        """Return the ids of held symbols in symbol order."""
        ids: list[int] = np.flatnonzero(self.quantities).tolist()
        return ids if self._market.in_order else sorted(ids, key=self._market.symbols.__getitem__)

    def value(self) -> Valuation:
        """Value the account at the last prices, added left to right in symbol order."""
        if self._num_positions == 0:
            return Valuation(self.cash, 0.0, 0.0, 0)
        ids = self.held()
        values = self.quantities[ids] * self._market.marks()[ids]
        # `accumulate` adds from left to right, which `sum` does not promise.
        net, gross = np.add.accumulate(values)[-1], np.add.accumulate(np.abs(values))[-1]
        return Valuation(self.cash, float(net), float(gross), len(ids))

    def apply_fill(self, symbol_id: int, quantity: float, price: float, commission: float) -> int:
        """Book a fill and return the id of the position it changed (the new one when it flips)."""
        self._make_room()
        ids, quantities, prices = np.array([symbol_id]), np.array([float(quantity)]), np.array([price])
        cash = self.cash_after(quantities, prices, np.array([commission])).item(0)
        before = self.quantities[ids]
        return self.hold(ids, quantities, prices, before, before + quantities, cash=cash).item(0)

    def hold(
        self,
        symbol_ids: Integers,
        quantities: Floats,
        prices: Floats,
        before: Floats,
        after: Floats,
        *,
        cash: float,
    ) -> Integers:
        """Book fills of different symbols and return the ids of the positions they changed.

        Args:
            symbol_ids: Each once, in the order of the fills.
            quantities: Signed shares.
            prices: Fill prices.
            before: Shares held before.
            after: Shares held after.
            cash: What `cash_after` gives for the last of them.
        """
        self.cash = cash
        begins = before == 0.0
        if np.count_nonzero(after) > np.count_nonzero(begins):
            begins |= after * before < 0.0
            self._average_in(symbol_ids, quantities, prices, before, after)
        new = symbol_ids[begins]
        self._average_prices[new] = prices[begins]
        self._position_ids[new] = np.arange(self._positions_opened + 1, self._positions_opened + 1 + len(new))
        self._positions_opened += len(new)
        self._change(symbol_ids, before, after)
        return self._position_ids[symbol_ids]

    def cash_after(self, quantities: Floats, prices: Floats, commissions: Floats) -> Floats:
        """Return the cash after each of some fills, booked one after the other: price first, then commission."""
        steps = np.empty(2 * len(quantities) + 1)
        steps[0] = self.cash
        steps[1::2] = -(quantities * prices)
        steps[2::2] = -commissions
        cash: Floats = np.add.accumulate(steps)[2::2]
        return cash

    def apply_split(self, symbol_id: int, ratio: float, quantity: float) -> None:
        """Rescale a holding to `quantity` shares on the new basis; nothing stays when that is 0."""
        self._average_prices[symbol_id] /= ratio
        ids = np.array([symbol_id])
        self._change(ids, self.quantities[ids], np.array([quantity]))

    def receive(self, amount: float) -> None:
        """Book cash that moved without a fill; negative amounts are paid."""
        self.cash += amount

    def take_changes(self) -> list[Change]:
        """Return how holdings changed since the last call, in order, and forget it."""
        changes, self._changes = self._changes, []
        return changes

    def _average_in(
        self, symbol_ids: Integers, quantities: Floats, prices: Floats, before: Floats, after: Floats
    ) -> None:
        """Average the prices of positions that grow; they have been begun before."""
        grows = (before != 0.0) & (np.abs(after) > np.abs(before)) & (after * before > 0.0)
        ids = symbol_ids[grows]
        paid = before[grows] * self._average_prices[ids] + quantities[grows] * prices[grows]
        self._average_prices[ids] = paid / after[grows]

    def _holding(self, symbol_id: int) -> Holding:
        quantity, price = self.quantities.item(symbol_id), self._average_prices.item(symbol_id)
        return Holding(self._position_ids.item(symbol_id), quantity, price)

    def _change(self, symbol_ids: Integers, before: Floats, after: Floats) -> None:
        self.quantities[symbol_ids] = after
        self._num_positions += int(np.count_nonzero(after)) - int(np.count_nonzero(before))
        self._changes.append((self._market.index, symbol_ids, after))

    def _make_room(self) -> None:
        """Follow the market to symbols that were not known at the start."""
        more = len(self._market.symbols) - len(self.quantities)
        if more > 0:
            self.quantities = np.append(self.quantities, np.zeros(more))
            self._average_prices = np.append(self._average_prices, np.zeros(more))
            self._position_ids = np.append(self._position_ids, np.zeros(more, dtype=np.int64))
