"""Filling: from a raw price to a booked fill, as far as volume, account and kind of order allow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ml4t_backtest.core.fill import Alternative, Fill, Phase
from ml4t_backtest.core.market import Market
from ml4t_backtest.core.orders import NO_ROW, Order
from ml4t_backtest.execution.accounts import Account, Exposure, Outlook
from ml4t_backtest.execution.affordability import SMALLEST_FRACTION, largest_admitted, largest_factor, without_dust
from ml4t_backtest.execution.brackets import entry_levels
from ml4t_backtest.execution.commission import CommissionModel
from ml4t_backtest.execution.guard import Guard
from ml4t_backtest.execution.journal import Journal
from ml4t_backtest.execution.knobs.habits import Habits
from ml4t_backtest.execution.order_size import Refusal
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


Part = tuple[Order, float, Chance]


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
        habits: Habits,
        *,
        fractional: bool,
    ) -> None:
        self._habits = habits
        self._market = market
        self._ledger = ledger
        self._journal = journal
        self._costs = costs
        self._account = account
        self._guard = guard
        self._fractional = fractional
        self._traded: dict[int, tuple[float, float]] = {}
        self._volume_used: dict[int, float] = {}
        self._freed = 0.0
        self._is_inside = False
        self._slice = 0

    def begin_slice(self) -> None:
        """Forget the volume used in the slice before, and what was freed in it."""
        self._volume_used.clear()
        self._freed, self._is_inside = 0.0, False
        self._slice = self._market.timestamp

    def begin_inside(self) -> None:
        """From here on what exits free is not spent before the next slice."""
        self._is_inside = True

    def begin_close(self) -> None:
        """From here on exits pay for entries again, but what the inside of the bars freed stays out of reach."""
        # It begins here where no single order worked before the close: the slice was passed over, or had a block alone.
        if self._slice != self._market.timestamp:
            self.begin_slice()
        self._is_inside = False

    def hold_back(self, order: Order, size: float, chance: Chance) -> None:
        """Keep what closing `size` shares is about to free out of reach until the next slice, inside the bar."""
        if self._is_inside and size > 0.0:
            flat = self._after([(order, 0.0, chance)])
            gain = self._account.headroom(self._after([(order, size, chance)])) - self._account.headroom(flat)
            self._freed += max(gain, 0.0)

    def available_volume(self, row: int) -> float:
        """Return how many shares may still be filled of a bar; infinite without a cap."""
        share = self._costs.max_volume_share
        if share is None or row == NO_ROW:
            return math.inf
        left = share * self._market.volume(row) - self._volume_used.get(row, 0.0)
        if self._fractional:
            return left if left >= SMALLEST_FRACTION else 0.0
        return max(float(math.floor(left)), 0.0)

    def price(self, order: Order, chance: Chance, quantity: float) -> float:
        """Return the fill price of signed `quantity`: slippage, but never worse than the order's limit.

        NaN where the slippage model has no price.
        """
        # A settlement at the close has no row of its own, but the bar of its slice has a volume.
        row = self._market.row_of(order.symbol_id) if chance.row == NO_ROW else chance.row
        volume = 0.0 if row is None else self._market.volume(row)
        slipped = self._costs.slippage.fill_price(chance.raw, quantity, volume)
        price = self._habits.slips.price(order, chance.raw, quantity, slipped)
        return self._habits.slip_cap.cap(order, chance.raw, price, chance.row)

    def without_price(self, order: Order, chance: Chance) -> Refusal | None:
        """Return why nothing fills at a price, None where it can: not above 0, or none with slippage."""
        if not chance.raw > 0.0:
            return "no_price", f"no order fills at {chance.raw:.6g}"
        if math.isnan(self.price(order, chance, order.quantity)):
            return "no_volume", "the slippage model has no price for a bar without volume"
        return None

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

    def common_factor(self, parts: Sequence[Part]) -> float:
        """Return the largest factor in [0, 1] by which all openings (order, shares, chance) can be paid for together.

        Fees that do not depend on the shares stay as they are.
        """

        def room(factor: float) -> float:
            return self._headroom([(order, size * factor, chance) for order, size, chance in parts])

        return largest_factor(room)

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
        # Only settlements come this far without a price: a position leaves at the end of the data in any case.
        price = chance.raw if math.isnan(price) else price
        commission = 0.0 if free else self._charge(order, size, price)
        self._traded[order.order_id] = self._traded_with(order, size, price)
        self._volume_used[chance.row] = self._volume_used.get(chance.row, 0.0) + size
        order.charged += commission
        order.filled_quantity += size
        order.quantity = without_dust(order.quantity - quantity)
        before = self._ledger.quantity(order.symbol_id)
        position_id = self._ledger.apply_fill(order.symbol_id, quantity, price, commission)
        self._journal.write(self._record(order, quantity, chance, (price, commission), (before, position_id)))

    def ends(self, hits: Sequence[tuple[Order, Chance]]) -> tuple[Alternative, Alternative] | None:
        """Return how an entry's protective orders would fill: a stop first, or the target first.

        Args:
            hits: Those that the bar reaches, each with its price.

        Returns:
            None where not both kinds are among them, or the bar has too little volume: what is left of one order goes
            on working, and what becomes of it is another story.
        """
        quotes: list[Alternative] = []
        for is_target in (False, True):
            own = [(order, chance) for order, chance in hits if (order.kind == "limit") == is_target]
            if not own:
                return None
            order, chance = min(own, key=lambda hit: hit[0].sign * hit[1].raw)
            size = min(abs(order.quantity), abs(self._ledger.quantity(order.symbol_id)))
            price = self.price(order, chance, order.sign * size)
            if size > self.available_volume(chance.row) or not price > 0.0:
                return None
            commission, slippage = self._charge(order, size, price), abs(price - chance.raw) * size
            quotes.append(Alternative(order.order_id, size, chance.raw, price, commission, slippage))
        return quotes[0], quotes[1]

    def refusal(self, order: Order, size: float, chance: Chance) -> Refusal:
        """Return why the account or the limits do not admit `size` shares."""
        if self._guard.halted:
            return "halted", "a loss limit has stopped trading"
        after = self._after([(order, size, chance)])
        broken = self._guard.broken(after)
        if broken is not None and self._account.headroom(after) - self._freed >= 0.0:
            return "risk_limit", broken
        return "insufficient_cash", self._shortfall(order, size, chance)

    def _shortfall(self, order: Order, quantity: float, chance: Chance) -> str:
        """Return the numbers behind a refusal for lack of cash or margin."""
        price = self.price(order, chance, order.sign * quantity)
        cost = order.sign * quantity * price + self._charge(order, quantity, price)
        return f"{quantity:g} shares at {price:.6g} cost {cost:.2f}, cash is {self._ledger.cash - self._freed:.2f}"

    def _admits(self, order: Order, size: float, chance: Chance) -> bool:
        if size < SMALLEST_FRACTION:
            return False
        after = self._after([(order, size, chance)])
        return self._account.headroom(after) - self._freed >= 0.0 and self._guard.admits(after)

    def _headroom(self, parts: Sequence[Part]) -> float:
        return self._account.headroom(self._after(parts)) - self._freed

    def _after(self, parts: Sequence[Part]) -> Outlook:
        """Return what would be after fills (order, shares, chance), none of them of the same symbol."""
        cash = self._ledger.cash
        for order, size, chance in parts:
            quantity = order.sign * size
            price = self.price(order, chance, quantity)
            # Subtracted in the ledger's order, so that what is admitted leaves no cash below zero by rounding.
            cash = cash - quantity * price - self._charge(order, size, price)
        return Outlook(cash, lambda: self._exposure_after(parts))

    def _exposure_after(self, parts: Sequence[Part]) -> Exposure:
        """Return what would be held after fills, as `_after`."""
        value = self._ledger.value()
        net, gross, num_positions, largest = value.positions_value, value.gross_value, value.num_positions, 0.0
        for order, size, chance in parts:
            held = self._ledger.quantity(order.symbol_id)
            before = held * self._market.mark(order.symbol_id) if held else 0.0
            after = (held + order.sign * size) * chance.raw
            net += after - before
            gross += abs(after) - abs(before)
            largest = max(largest, abs(after))
            num_positions += held == 0.0
        return Exposure(net, gross, largest, num_positions)

    def _charge(self, order: Order, size: float, price: float) -> float:
        """Return what `size` more shares add to an order's commission."""
        if size == 0.0:
            return 0.0
        return self._costs.commission.charge(*self._traded_with(order, size, price)) - order.charged

    def _traded_with(self, order: Order, size: float, price: float) -> tuple[float, float]:
        """Return shares as they were traded (no split changes them) and notional of an order after `size` more."""
        shares, notional = self._traded.get(order.order_id, (0.0, 0.0))
        return shares + size, notional + size * price

    def _record(
        self, order: Order, quantity: float, chance: Chance, cost: tuple[float, float], position: tuple[float, int]
    ) -> Fill:
        market, (price, commission), (before, position_id) = self._market, cost, position
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
            before=before,
            exit_reason=order.exit_reason,
            stop_loss=stop,
            take_profit=target,
        )
