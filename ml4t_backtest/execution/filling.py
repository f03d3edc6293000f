"""Filling: from a raw price to a booked fill, as far as volume, account and kind of order allow."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ml4t_backtest.core.fill import Fill, Phase
from ml4t_backtest.core.market import Market
from ml4t_backtest.core.orders import NO_ROW, Order
from ml4t_backtest.execution.accounts import Account, Opening
from ml4t_backtest.execution.affordability import SMALLEST_FRACTION, largest_admitted
from ml4t_backtest.execution.brackets import entry_levels
from ml4t_backtest.execution.commission import CommissionModel
from ml4t_backtest.execution.guard import Guard
from ml4t_backtest.execution.journal import Journal
from ml4t_backtest.execution.order_types import capped
from ml4t_backtest.execution.slippage import SlippageModel
from ml4t_backtest.portfolio.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Costs:
    """What trading costs, and how much of a bar's volume one may be.

    Attributes:
        slippage: From raw price to fill price.
        commission: What the broker charges.
        max_volume_share: Largest fraction of a bar's volume that all orders of a symbol may fill; None for no limit.
    """

    slippage: SlippageModel
    commission: CommissionModel
    max_volume_share: float | None = None


@dataclass(frozen=True, slots=True)
class Chance:
    """A price at which an order can fill now.

    Attributes:
        raw: Raw price per share.
        row: Row of the bar in the chunk; NO_ROW without a bar.
        phase: Where in the bar.
    """

    raw: float
    row: int
    phase: Phase


class Filler:
    """Books fills: price, charge, ledger, journal."""

    def __init__(
        self,
        market: Market,
        ledger: Ledger,
        journal: Journal,
        costs: Costs,
        account: Account,
        guard: Guard,
        *,
        fractional: bool,
    ) -> None:
        self._market = market
        self._ledger = ledger
        self._journal = journal
        self._costs = costs
        self._account = account
        self._guard = guard
        self._fractional = fractional
        self._notional: dict[int, float] = {}
        self._volume_used: dict[int, float] = {}
        self._spendable: float | None = None

    def begin_slice(self) -> None:
        """Forget the volume used in the slice before."""
        self._volume_used.clear()
        self._spendable = None

    def begin_inside(self) -> None:
        """From here to the end of the slice only the cash of this moment is spent, not what sales still free."""
        self._spendable = self._ledger.cash

    def available_volume(self, row: int) -> float:
        """Return how many shares may still be filled of a bar; infinite without a cap."""
        share = self._costs.max_volume_share
        if share is None or row == NO_ROW:
            return math.inf
        left = share * self._market.volume(row) - self._volume_used.get(row, 0.0)
        return max(left if self._fractional else float(math.floor(left)), 0.0)

    def price(self, order: Order, chance: Chance, quantity: float) -> float:
        """Return the fill price of signed `quantity`: slippage, but never worse than the order's limit.

        NaN where the slippage model has no price.
        """
        volume = 0.0 if chance.row == NO_ROW else self._market.volume(chance.row)
        return capped(order, self._costs.slippage.fill_price(chance.raw, quantity, volume))

    def cost(self, order: Order, quantity: float, price: float) -> float:
        """Return what buying `quantity` more shares for an order takes from cash, commission included."""
        return quantity * price + self._charge(order, abs(quantity), price)

    def admitted(self, order: Order, quantity: float, chance: Chance, *, closing: float = 0.0) -> float:
        """Return how many of `quantity` > 0 shares the account can open or add, at the prices they would fill at.

        Args:
            order: The order.
            quantity: Shares to open or add.
            chance: At which raw price.
            closing: Shares that the same fill closes first (a flip).
        """
        return largest_admitted(
            quantity, lambda part: self._admits(order, closing + part, chance), fractional=self._fractional
        )

    def shortfall(self, order: Order, quantity: float, chance: Chance) -> str:
        """Return the numbers behind a refusal for lack of cash or margin."""
        price = self.price(order, chance, order.sign * quantity)
        cost = self.cost(order, order.sign * quantity, price)
        return f"{quantity:g} shares at {price:.6g} cost {cost:.2f}, cash is {self._cash():.2f}"

    def fill(self, order: Order, quantity: float, chance: Chance, *, free: bool = False) -> None:
        """Book `quantity` signed shares of an order.

        Args:
            order: The order; the quantity it still has to fill shrinks.
            quantity: Shares, of the order's sign.
            chance: At which raw price.
            free: Without slippage and commission (settlement of what cannot be traded any more).
        """
        size = abs(quantity)
        price = chance.raw if free else self.price(order, chance, quantity)
        commission = 0.0 if free else self._charge(order, size, price)
        if self._spendable is not None and quantity > 0.0:
            self._spendable -= quantity * price + commission
        self._notional[order.order_id] = self._notional.get(order.order_id, 0.0) + size * price
        self._volume_used[chance.row] = self._volume_used.get(chance.row, 0.0) + size
        order.charged += commission
        order.filled_quantity += size
        order.quantity -= quantity
        position_id = self._ledger.apply_fill(order.symbol_id, quantity, price, commission)
        self._journal.write(self._record(order, quantity, chance, price, commission, position_id))

    def refusal(self, order: Order, size: float, chance: Chance) -> str:
        """Return the code of why the account or the limits do not admit `size` shares."""
        if self._guard.halted:
            return "halted"
        opening = self._after(order, size, chance)
        covered = opening is not None and self._account.admits(opening)
        return "risk_limit" if opening and covered and not self._guard.admits(opening) else "insufficient_cash"

    def _admits(self, order: Order, size: float, chance: Chance) -> bool:
        opening = self._after(order, size, chance)
        return opening is not None and self._account.admits(opening) and self._guard.admits(opening)

    def _after(self, order: Order, size: float, chance: Chance) -> Opening | None:
        """Return what would be after filling `size` shares; None where they have no price."""
        quantity = order.sign * size
        price = self.price(order, chance, quantity)
        if not price > 0.0 or size < SMALLEST_FRACTION:
            return None
        # Subtracted in the ledger's order, so that what is admitted leaves no cash below zero by rounding.
        charge = self._charge(order, size, price)
        value, mark = self._ledger.value(), self._market.mark(order.symbol_id)
        held = self._ledger.quantity(order.symbol_id)
        at_mark = held * mark if held else 0.0
        after = (held + quantity) * chance.raw
        return Opening(
            cash=self._cash() - quantity * price - charge,
            equity=value.equity - at_mark + after - quantity * price - charge,
            gross=value.gross_value - abs(at_mark) + abs(after),
            net=value.positions_value - at_mark + after,
            value=after,
            num_positions=value.num_positions + (held == 0.0),
        )

    def _cash(self) -> float:
        return self._ledger.cash if self._spendable is None else min(self._spendable, self._ledger.cash)

    def _charge(self, order: Order, size: float, price: float) -> float:
        """Return what `size` more shares add to an order's commission."""
        notional = self._notional.get(order.order_id, 0.0) + size * price
        return self._costs.commission.charge(order.filled_quantity + size, notional) - order.charged

    def _record(
        self, order: Order, quantity: float, chance: Chance, price: float, commission: float, position_id: int
    ) -> Fill:
        market = self._market
        at_open = chance.phase == "open"
        stop, target = entry_levels(order, chance.raw)
        return Fill(
            fill_id=self._journal.next_fill_id(),
            order_id=order.order_id,
            position_id=position_id,
            symbol_id=order.symbol_id,
            slice_index=market.index,
            timestamp=market.timestamp,
            instant=market.open_instant(chance.row) if at_open else market.timestamp,
            phase=chance.phase,
            row=NO_ROW if chance.row == NO_ROW else market.first_row + chance.row,
            decided=order.decided,
            decision_slice=order.decision_slice,
            decision_row=order.decision_row,
            quantity=quantity,
            raw_price=chance.raw,
            price=price,
            commission=commission,
            slippage=abs(price - chance.raw) * abs(quantity),
            exit_reason=order.exit_reason,
            stop_loss=stop,
            take_profit=target,
        )
