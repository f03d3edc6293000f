"""The ledger: cash and positions, changed by fills, splits and cash flows and by nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ml4t_backtest.core.chunk import Floats, Integers
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


class Waiting(Protocol):
    """Fills whose shares are booked and whose money is not."""

    def pay(self) -> None:
        """Book all of it by `Ledger.apply_fills`."""
        ...

    def entry_price(self, number: int, symbol_id: int) -> float | None:
        """Return what a symbol was bought or sold at where this began its position; None where it did not.

        Args:
            number: Which call of `Ledger.put_off`, from 1, counted since the last payment.
            symbol_id: One of its symbols.
        """
        ...


class Ledger:
    """Cash and holdings of one account.

    Fills whose money is beyond doubt may change the shares at once and the cash later, when somebody looks at it.

    Attributes:
        least_cash: What the cash is not below, account currency; the cash itself unless fills wait to be paid.
        changes: How often cash or holdings have changed.
    """

    def __init__(self, initial_capital: float, market: Market) -> None:
        self.least_cash = initial_capital
        self.changes = 0
        self._cash = initial_capital
        self._waiting: Waiting | None = None
        # Per symbol the last of the puttings-off that concern it, 0 for none; and how many there are.
        self._put_off = np.zeros(len(market.symbols), dtype=np.int64)
        self._times_put_off = 0
        self._market = market
        # Per symbol id; the last place stands for a symbol that is not known, of which nothing is held.
        self._quantities = np.zeros(len(market.symbols) + 1)
        self._average_prices = np.zeros(len(market.symbols))
        self._position_ids = np.zeros(len(market.symbols), dtype=np.int64)
        self._positions_opened = 0

    @property
    def cash(self) -> float:
        """Cash, account currency."""
        self.catch_up()
        return self._cash

    @property
    def is_overdrawn(self) -> bool:
        """Whether the cash is below zero."""
        return self.least_cash < 0.0 and self.cash < 0.0

    @property
    def quantities(self) -> Floats:
        """Per symbol id the signed shares held, 0 when flat; not to be changed."""
        self._make_room()
        return self._quantities[:-1]

    @property
    def holdings(self) -> dict[int, Holding]:
        """Symbol id -> what is held of it, in symbol order; a symbol that is flat has no entry."""
        return {symbol_id: self._holding(symbol_id) for symbol_id in self.held()}

    def holding(self, symbol_id: int) -> Holding | None:
        """Return what is held of a symbol, None when flat."""
        return self._holding(symbol_id) if self.quantity(symbol_id) else None

    def quantity(self, symbol_id: int) -> float:
        """Return the signed shares held, 0.0 when flat."""
        return self._quantities.item(symbol_id) if symbol_id < len(self._position_ids) else 0.0

    def average_price(self, symbol_id: int) -> float:
        """Return the average fill price of the shares held; what it was of the last ones when flat."""
        if self._waiting is not None and (number := self._put_off.item(symbol_id)):
            # Strategies ask for positions all the time: most began with one fill, and nothing else has to be priced.
            price = self._waiting.entry_price(number, symbol_id)
            if price is not None:
                return price
            self.catch_up()
        return self._average_prices.item(symbol_id)

    def quantities_of(self, symbol_ids: Integers) -> Floats:
        """Return the signed shares held of each symbol, 0 when flat or for NO_ROW."""
        self._make_room()
        return self._quantities[symbol_ids]

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
        self.receive(-(quantity * price))
        self.receive(-commission)
        before = self._quantities.item(symbol_id)
        after = before + quantity
        self._quantities[symbol_id] = after
        if _begins(before, after):
            self._positions_opened += 1
            self._position_ids[symbol_id] = self._positions_opened
            self._average_prices[symbol_id] = price
        else:
            self._average_in(symbol_id, before, after, quantity * price)
        return self._position_ids.item(symbol_id)

    def put_off(self, symbol_ids: Integers, after: Floats, outlay: float, waiting: Waiting) -> None:
        """Book the shares of fills whose money follows when somebody looks.

        Args:
            symbol_ids: Symbols, each once.
            after: Signed shares held of each from now on.
            outlay: What the cash falls by at most; below 0 it rises at least by as much.
            waiting: Holds these fills and those put off before.
        """
        self.changes += 1
        self._quantities[symbol_ids] = after
        self.least_cash -= outlay
        self._waiting = waiting
        self._times_put_off += 1
        self._put_off[symbol_ids] = self._times_put_off

    def catch_up(self) -> None:
        """Book what was put off."""
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            self._put_off[:] = self._times_put_off = 0
            waiting.pay()

    def apply_fills(
        self, symbol_ids: Integers, before: Floats, quantities: Floats, prices: Floats, cash: float
    ) -> Integers:
        """Book fills as `apply_fill` does one by one, and return the ids of their positions.

        Args:
            symbol_ids: Per fill, in the order they happened, its symbol.
            before: Signed shares held before it.
            quantities: Signed shares.
            prices: Price per share.
            cash: What is left after all of them.
        """
        self.changes += 1
        self._cash = self.least_cash = cash
        after = before + quantities
        self._quantities[symbol_ids] = after
        begins = _begins(before, after)
        grows = ~begins & (np.abs(after) > np.abs(before))
        if grows.any():
            for place in np.flatnonzero(begins | grows).tolist():
                symbol_id, price = symbol_ids.item(place), prices.item(place)
                if begins.item(place):
                    self._average_prices[symbol_id] = price
                else:
                    self._average_in(symbol_id, before.item(place), after.item(place), quantities.item(place) * price)
        else:
            # NumPy assigns in order: of a symbol that comes twice the last value stays.
            self._average_prices[symbol_ids[begins]] = prices[begins]
        return self._numbered(symbol_ids, begins)

    def _average_in(self, symbol_id: int, before: float, after: float, paid: float) -> None:
        """Take what was paid for more of a position into its average price."""
        if abs(after) > abs(before):
            self._average_prices[symbol_id] = (before * self._average_prices.item(symbol_id) + paid) / after

    def _numbered(self, symbol_ids: Integers, begins: npt.NDArray[np.bool_]) -> Integers:
        """Return the positions of fills: each that begins one gets the next number, the others follow the last."""
        numbers = np.where(begins, self._positions_opened + np.cumsum(begins), self._position_ids[symbol_ids])
        by_symbol = np.argsort(symbol_ids, kind="stable")
        ids, opens = symbol_ids[by_symbol], begins[by_symbol]
        opens[1:] |= ids[1:] != ids[:-1]
        opens[:1] = True
        # A fill takes its number from the last one before it that begins a position or is the symbol's first.
        source = np.maximum.accumulate(np.where(opens, np.arange(len(ids)), 0))
        numbers[by_symbol] = numbers[by_symbol][source]
        self._positions_opened += int(np.count_nonzero(begins))
        self._position_ids[symbol_ids] = numbers
        return numbers

    def apply_split(self, symbol_id: int, ratio: float, quantity: float) -> None:
        """Rescale a holding to `quantity` shares on the new basis; nothing stays when that is 0."""
        self.catch_up()
        self.changes += 1
        self._average_prices[symbol_id] /= ratio
        self._quantities[symbol_id] = quantity

    def receive(self, amount: float) -> None:
        """Book cash that moved without a fill; negative amounts are paid."""
        self.changes += 1
        self.least_cash = self._cash = self.cash + amount

    def _holding(self, symbol_id: int) -> Holding:
        self.catch_up()
        return Holding(self._position_ids.item(symbol_id), self.quantity(symbol_id), self.average_price(symbol_id))

    def _make_room(self) -> None:
        """Follow the market to symbols that were not known at the start."""
        more = len(self._market.symbols) - len(self._position_ids)
        if more > 0:
            self._quantities = np.append(self._quantities, np.zeros(more))
            self._average_prices = np.append(self._average_prices, np.zeros(more))
            self._position_ids = np.append(self._position_ids, np.zeros(more, dtype=np.int64))
            self._put_off = np.append(self._put_off, np.zeros(more, dtype=np.int64))


def _begins(before: Any, after: Any) -> Any:
    """Return whether a fill begins a position: from flat, or from the other side."""
    return (before == 0.0) | (after * before < 0.0)
