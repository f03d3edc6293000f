"""The ledger: cash and positions, changed by fills, splits and cash flows and by nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from ml4t_backtest.core.market import Market


@dataclass(slots=True)
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
        holdings: Symbol id -> what is held of it; a symbol that is flat has no entry.
    """

    def __init__(self, initial_capital: float, market: Market) -> None:
        self.cash = initial_capital
        self.holdings: dict[int, Holding] = {}
        self._market = market
        self._positions_opened = 0

    def quantity(self, symbol_id: int) -> float:
        """Return the signed shares held, 0.0 when flat."""
        holding = self.holdings.get(symbol_id)
        return holding.quantity if holding is not None else 0.0

    def held(self) -> list[int]:
        """Return the ids of held symbols in symbol order."""
        return sorted(self.holdings, key=self._market.symbols.__getitem__)

    def value(self) -> Valuation:
        """Value the account at the last closes, added left to right in symbol order."""
        net = gross = 0.0
        for symbol_id in self.held():
            value = self.holdings[symbol_id].quantity * self._market.mark(symbol_id)
            net += value
            gross += abs(value)
        return Valuation(self.cash, net, gross, len(self.holdings))

    def apply_fill(self, symbol_id: int, quantity: float, price: float, commission: float) -> int:
        """Book a fill and return the id of the position it changed (the new one when it flips)."""
        self.cash -= quantity * price
        self.cash -= commission
        holding = self.holdings.get(symbol_id)
        if holding is None:
            return self._open(symbol_id, quantity, price)
        before, after = holding.quantity, holding.quantity + quantity
        if after == 0.0:
            del self.holdings[symbol_id]
        elif (after > 0.0) != (before > 0.0):
            return self._open(symbol_id, after, price)
        else:
            if abs(after) > abs(before):
                holding.average_price = (before * holding.average_price + quantity * price) / after
            holding.quantity = after
        return holding.position_id

    def apply_split(self, symbol_id: int, ratio: float, quantity: float) -> None:
        """Rescale a holding to `quantity` shares on the new basis; nothing stays when that is 0."""
        holding = self.holdings[symbol_id]
        holding.average_price /= ratio
        holding.quantity = quantity
        if quantity == 0.0:
            del self.holdings[symbol_id]

    def receive(self, amount: float) -> None:
        """Book cash that moved without a fill; negative amounts are paid."""
        self.cash += amount

    def _open(self, symbol_id: int, quantity: float, price: float) -> int:
        self._positions_opened += 1
        self.holdings[symbol_id] = Holding(self._positions_opened, quantity, price)
        return self._positions_opened
