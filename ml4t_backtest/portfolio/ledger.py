"""The ledger: cash and positions, changed by fills, splits and cash flows and by nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ml4t_backtest.core.market import Market


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


@dataclass(slots=True)
class Changes:
    """How holdings changed, in the order it happened, as columns.

    Attributes:
        slices: Slice of the chunk.
        symbol_ids: Symbol.
        quantities: Signed shares held from then on.
    """

    slices: list[int] = field(default_factory=list)
    symbol_ids: list[int] = field(default_factory=list)
    quantities: list[float] = field(default_factory=list)


class Ledger:
    """Cash and holdings of one account.

    Attributes:
        cash: Account currency.
        quantities: Per symbol id the signed shares held, 0 when flat, as far as something was held of them; only
            the ledger changes it.
    """

    def __init__(self, initial_capital: float, market: Market) -> None:
        self.cash = initial_capital
        self.quantities = np.zeros(len(market.symbols))
        self._market = market
        self._average_prices = [0.0] * len(market.symbols)
        self._position_ids = [0] * len(market.symbols)
        self._positions_opened = 0
        self._changes = Changes()

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

    def average_price(self, symbol_id: int) -> float:
        """Return the average fill price of the shares held; what it was of the last ones when flat."""
        return self._average_prices[symbol_id]

    def quantities_of(self, symbol_ids: Sequence[int]) -> list[float]:
        """Return the signed shares held of each symbol, 0 when flat."""
        self._make_room()
        return [self.quantities.item(symbol_id) for symbol_id in symbol_ids]

    def held(self) -> list[int]:
        """Return the ids of held symbols in symbol order."""
        ids: list[int] = np.flatnonzero(self.quantities).tolist()
        return ids if self._market.in_order else sorted(ids, key=self._market.symbols.__getitem__)

    def value(self) -> Valuation:
        """Value the account at the last prices, added left to right in symbol order."""
        ids = self.held()
        if not ids:
            return Valuation(self.cash, 0.0, 0.0, 0)
        values = self.quantities[ids] * self._market.marks()[ids]
        # `accumulate` adds from left to right, which `sum` does not promise.
        net, gross = np.add.accumulate(values)[-1], np.add.accumulate(np.abs(values))[-1]
        return Valuation(self.cash, float(net), float(gross), len(ids))

    def apply_fill(self, symbol_id: int, quantity: float, price: float, commission: float) -> int:
        """Book a fill and return the id of the position it changed (the new one when it flips)."""
        self._make_room()
        self.cash -= quantity * price
        self.cash -= commission
        before = self.quantities.item(symbol_id)
        after = before + quantity
        self._hold(symbol_id, after)
        if before == 0.0 or after * before < 0.0:
            self._positions_opened += 1
            self._position_ids[symbol_id] = self._positions_opened
            self._average_prices[symbol_id] = price
        elif abs(after) > abs(before):
            paid = before * self._average_prices[symbol_id] + quantity * price
            self._average_prices[symbol_id] = paid / after
        return self._position_ids[symbol_id]

    def apply_split(self, symbol_id: int, ratio: float, quantity: float) -> None:
        """Rescale a holding to `quantity` shares on the new basis; nothing stays when that is 0."""
        self._average_prices[symbol_id] /= ratio
        self._hold(symbol_id, quantity)

    def receive(self, amount: float) -> None:
        """Book cash that moved without a fill; negative amounts are paid."""
        self.cash += amount

    def take_changes(self) -> Changes:
        """Return how holdings changed since the last call, in order, and forget it."""
        changes, self._changes = self._changes, Changes()
        return changes

    def _holding(self, symbol_id: int) -> Holding:
        quantity: float = self.quantities.item(symbol_id)
        return Holding(self._position_ids[symbol_id], quantity, self._average_prices[symbol_id])

    def _hold(self, symbol_id: int, quantity: float) -> None:
        self.quantities[symbol_id] = quantity
        self._changes.slices.append(self._market.index)
        self._changes.symbol_ids.append(symbol_id)
        self._changes.quantities.append(quantity)

    def _make_room(self) -> None:
        """Follow the market to symbols that were not known at the start."""
        more = len(self._market.symbols) - len(self._position_ids)
        if more > 0:
            self.quantities = np.append(self.quantities, np.zeros(more))
            self._average_prices += [0.0] * more
            self._position_ids += [0] * more
