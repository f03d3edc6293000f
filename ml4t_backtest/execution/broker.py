"""The broker: which orders fill in a slice, at what price, and what corporate actions do to them.

The order of events within a slice is a published contract: docs/concepts/event_order.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import count

from ml4t_backtest.core.fill import CashFlow, CashFlowKind, Fill, LedgerEvent, SplitEvent
from ml4t_backtest.core.market import Market
from ml4t_backtest.core.orders import Order
from ml4t_backtest.execution.affordability import cost_of, largest_affordable, same_quantity, whole_shares
from ml4t_backtest.execution.commission import CommissionModel
from ml4t_backtest.execution.slippage import SlippageModel
from ml4t_backtest.portfolio.corporate_actions import ScheduledAction
from ml4t_backtest.portfolio.ledger import Ledger


class Broker:
    """Holds working orders, fills them, and writes down everything that happens to positions.

    Attributes:
        orders: Every order ever submitted, in sequence.
    """

    def __init__(
        self,
        market: Market,
        ledger: Ledger,
        *,
        slippage: SlippageModel,
        commission: CommissionModel,
        fractional: bool,
    ) -> None:
        self.orders: list[Order] = []
        self._market = market
        self._ledger = ledger
        self._slippage = slippage
        self._commission = commission
        self._fractional = fractional
        self._working: list[Order] = []
        self._events: list[LedgerEvent] = []
        self._actions: Sequence[ScheduledAction] = ()
        self._next_action = 0
        self._fill_ids = count(1)

    def schedule(self, actions: Sequence[ScheduledAction]) -> None:
        """Set the corporate actions of the run, in time order."""
        self._actions = actions

    def submit(self, order: Order) -> None:
        """Take in an order; a rejected one is only recorded."""
        self.orders.append(order)
        if order.status == "working":
            self._working.append(order)

    def cancel_working(self, symbol_id: int, reason: str) -> None:
        """Cancel the working orders of a symbol."""
        for order in self._working:
            if order.symbol_id == symbol_id:
                order.end("cancelled", self._market.timestamp, reason)
        self._keep_working()

    def expire_working(self, reason: str) -> None:
        """End every order that is still working."""
        for order in self._working:
            order.end("expired", self._market.timestamp, reason)
        self._keep_working()

    def take_events(self) -> list[LedgerEvent]:
        """Return what happened since the last call, in order, and forget it."""
        events, self._events = self._events, []
        return events

    def before_open(self) -> None:
        """Step 0: apply the corporate actions whose ex-date opened before this slice closes."""
        while self._next_action < len(self._actions):
            action = self._actions[self._next_action]
            if action.instant >= self._market.timestamp:
                return
            self._next_action += 1
            self._apply(action)

    def at_open(self) -> None:
        """Step 1: fill eligible market orders at the open, those that reduce a position first."""
        eligible = [(order, row) for order in self._working if (row := self._eligible_row(order)) is not None]
        if not eligible:
            return
        reducing = [self._reduces(order) for order, _ in eligible]
        for (order, row), reduces in zip(eligible, reducing, strict=True):
            if reduces:
                self._reduce(order, row)
        self._open_positions([pair for pair, reduces in zip(eligible, reducing, strict=True) if not reduces])
        self._keep_working()

    def _eligible_row(self, order: Order) -> int | None:
        """Return the row whose open can fill the order: a bar of its symbol that opened at or after its decision."""
        row = self._market.row_of(order.symbol_id)
        return row if row is not None and self._market.open_instant(row) >= order.decided else None

    def _reduces(self, order: Order) -> bool:
        return self._ledger.quantity(order.symbol_id) * order.quantity < 0.0

    def _reduce(self, order: Order, row: int) -> None:
        """Fill an order against a position; a cash account sells what it has and not more."""
        held = self._ledger.quantity(order.symbol_id)
        if held * order.quantity >= 0.0:
            self._refuse_short(order, 0.0)
            return
        beyond = abs(order.quantity) > abs(held)
        quantity = -held if beyond else order.quantity
        if beyond and not order.reduce_only:
            self._refuse_short(order, abs(held))
        self._fill(order, row, quantity, self._price(row, quantity))

    def _open_positions(self, eligible: Sequence[tuple[Order, int]]) -> None:
        """Fill opening and adding orders in sequence; the orders of one rebalance are cut by one common factor."""
        done: set[int] = set()
        for order, row in eligible:
            if order.group is None:
                self._open(order, row, order.quantity)
            elif order.group not in done:
                done.add(order.group)
                self._open_group([pair for pair in eligible if pair[0].group == order.group])

    def _open_group(self, members: Sequence[tuple[Order, int]]) -> None:
        buys = [(order, row) for order, row in members if order.quantity > 0.0]
        total = 0.0
        for order, row in buys:
            total += cost_of(order.quantity, self._price(row, order.quantity), self._commission.charge)
        cash = self._ledger.cash
        short_of_cash = total > cash and all(order.on_insufficient_cash == "clip" for order, _ in buys)
        factor = max(cash, 0.0) / total if short_of_cash else 1.0
        for order, row in members:
            quantity = order.quantity if factor == 1.0 else self._round(order.quantity * factor)
            self._open(order, row, quantity)

    def _open(self, order: Order, row: int, quantity: float) -> None:
        """Fill an opening order up to `quantity` shares, as far as cash and the kind of account allow."""
        if order.reduce_only:
            order.end("cancelled", self._market.timestamp, "position_closed")
            return
        if order.quantity < 0.0:
            self._refuse_short(order, 0.0)
            return
        price = self._price(row, order.quantity)
        affordable = self._affordable(quantity, price)
        cut = affordable < order.quantity
        if affordable == 0.0 or (cut and order.on_insufficient_cash == "reject"):
            order.end("rejected", self._market.timestamp, "insufficient_cash", self._shortfall(order.quantity, price))
            return
        if cut:
            order.reason, order.detail = "clipped_to_cash", self._shortfall(order.quantity, price)
        self._fill(order, row, affordable, price)

    def _affordable(self, quantity: float, price: float) -> float:
        if quantity <= 0.0:
            return 0.0
        cash, charge = self._ledger.cash, self._commission.charge
        return largest_affordable(quantity, price, cash, charge, fractional=self._fractional)

    def _shortfall(self, quantity: float, price: float) -> str:
        cost = cost_of(quantity, price, self._commission.charge)
        return f"{quantity:g} shares at {price:.6g} cost {cost:.2f}, cash is {self._ledger.cash:.2f}"

    def _refuse_short(self, order: Order, held: float) -> None:
        """Record that a cash account sells no more than it holds; what it holds is filled by the caller."""
        order.reason = "short_not_allowed"
        order.detail = f"sell {abs(order.quantity):g} shares, held {held:g}"
        if held == 0.0:
            order.end("rejected", self._market.timestamp)

    def _price(self, row: int, quantity: float) -> float:
        return self._slippage.fill_price(self._market.open_price(row), quantity)

    def _round(self, quantity: float) -> float:
        return quantity if self._fractional else float(math.trunc(quantity))

    def _fill(self, order: Order, row: int, quantity: float, price: float) -> None:
        market, raw = self._market, self._market.open_price(row)
        commission = self._commission.charge(abs(quantity), price)
        position_id = self._ledger.apply_fill(order.symbol_id, quantity, price, commission)
        order.filled_quantity += abs(quantity)
        order.end("filled", market.timestamp)
        self._events.append(
            Fill(
                fill_id=next(self._fill_ids),
                order_id=order.order_id,
                position_id=position_id,
                symbol_id=order.symbol_id,
                slice_index=market.index,
                timestamp=market.timestamp,
                instant=market.open_instant(row),
                row=market.first_row + row,
                decided=order.decided,
                decision_slice=order.decision_slice,
                decision_row=order.decision_row,
                quantity=quantity,
                raw_price=raw,
                price=price,
                commission=commission,
                slippage=abs(price - raw) * abs(quantity),
            )
        )

    def _apply(self, action: ScheduledAction) -> None:
        symbol_id = self._market.ids.get(action.symbol)
        if symbol_id is None:
            return
        if action.kind == "split":
            self._split(symbol_id, action.value)
        elif (holding := self._ledger.holdings.get(symbol_id)) is not None:
            self._book(symbol_id, holding.position_id, "dividend", holding.quantity * action.value)

    def _split(self, symbol_id: int, ratio: float) -> None:
        """Rescale mark, working orders and position; a whole-share account gets cash for what is left over."""
        self._market.rescale_mark(symbol_id, ratio)
        for order in self._working:
            if order.symbol_id == symbol_id:
                order.quantity = self._on_new_basis(order.quantity, ratio)
                if order.quantity == 0.0:
                    order.end("cancelled", self._market.timestamp, "quantity_rounds_to_zero", f"split {ratio:g}")
        self._keep_working()
        holding = self._ledger.holdings.get(symbol_id)
        if holding is None:
            return
        position_id = holding.position_id
        quantity = self._on_new_basis(holding.quantity, ratio)
        left_over = 0.0 if self._fractional else _left_over(holding.quantity * ratio, quantity)
        price = self._market.mark(symbol_id)
        self._ledger.apply_split(symbol_id, ratio, quantity)
        timestamp, index = self._market.timestamp, self._market.index
        self._events.append(SplitEvent(symbol_id, index, timestamp, ratio, quantity, left_over, price))
        if left_over:
            self._book(symbol_id, position_id, "cash_in_lieu", left_over * price)

    def _on_new_basis(self, quantity: float, ratio: float) -> float:
        return quantity * ratio if self._fractional else whole_shares(quantity * ratio)

    def _book(self, symbol_id: int, position_id: int, kind: CashFlowKind, amount: float) -> None:
        self._ledger.receive(amount)
        market = self._market
        self._events.append(CashFlow(market.timestamp, market.index, symbol_id, position_id, kind, amount))

    def _keep_working(self) -> None:
        self._working = [order for order in self._working if order.status == "working"]


def _left_over(exact: float, whole: float) -> float:
    """Return the part of a share a split left over, 0 where only float rounding differs."""
    return 0.0 if same_quantity(exact, whole) else exact - whole
