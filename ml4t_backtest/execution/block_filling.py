"""Market orders of one decision at an open, without an object for each of them.

The rules are those of `Broker` and `Filler`. What the orders would do is worked out first; where it is not beyond
doubt that each fills whole, nothing happens here, and each is tried at its turn.
"""

from __future__ import annotations

import numpy as np

from ml4t_backtest.core.chunk import Flags, Floats, Integers
from ml4t_backtest.core.market import Market
from ml4t_backtest.core.order_block import OrderBlock
from ml4t_backtest.core.orders import NO_ROW
from ml4t_backtest.execution.accounts import Account, Exposure, Outlook
from ml4t_backtest.execution.cost_columns import most_cost
from ml4t_backtest.execution.filling import Costs
from ml4t_backtest.execution.settlement import Bill, FilledBlock, Settlement
from ml4t_backtest.portfolio.ledger import Ledger

# Money left, as a fraction of what there is, below which rounding could decide: then each order is looked at.
_BEYOND_DOUBT = 1e-9
# Shares left of a position that rounding may have left.
_NEARLY_FLAT = 1e-6


class BlockFiller:
    """Fills blocks of market orders where nothing is special about them."""

    def __init__(
        self,
        market: Market,
        ledger: Ledger,
        account: Account,
        costs: Costs,
        settlement: Settlement,
        *,
        fractional: bool,
    ) -> None:
        self._market = market
        self._ledger = ledger
        self._account = account
        self._settlement = settlement
        self._fractional = fractional
        # Without credit the cash must last at every turn, and where shares may be sold short, what reduces a position
        # may be a purchase: then the first turns may need more than all of them together.
        is_bounded = account.gives_credit or not account.allows_short
        self._most_cost = most_cost(costs.slippage, costs.commission) if is_bounded else None

    def fill(self, block: OrderBlock) -> tuple[OrderBlock | None, OrderBlock | None]:
        """Fill what has a bar that opened after the decision, reducing orders first.

        Returns:
            What has filled, and what has not; None for nothing.
        """
        market = self._market
        rows = market.rows_of(block.symbol_ids)
        if market.chunk.first_opened[market.index] < block.decided or (not market.is_complete and NO_ROW in rows):
            due = rows != NO_ROW
            due[due] = market.chunk.opened[rows[due]] >= block.decided
            if not due.all():
                return self._fill_due(block, rows, due)
        return (block, None) if self._fill(block, rows) else (None, block)

    def _fill_due(self, block: OrderBlock, rows: Integers, due: Flags) -> tuple[OrderBlock | None, OrderBlock | None]:
        """Fill a part of a block; the rest goes on working."""
        part = block.part(due)
        return (part, block.part(~due)) if due.any() and self._fill(part, rows[due]) else (None, block)

    def _fill(self, block: OrderBlock, rows: Integers) -> bool:
        """Fill all orders of a block, each at the open of its row, or none; return whether they were."""
        held = self._ledger.quantities_of(block.symbol_ids)
        raw, after = self._market.chunk.prices["open"][rows], held + block.quantities
        has_prices = self._market.chunk.has_positive_opens or raw.min() > 0.0
        if not (has_prices and self._may_hold(block, held, after)):
            return False
        filled = FilledBlock(self._market.index, block, rows, held)
        outlay = self._outlay(block.quantities, raw, held)
        if outlay is not None:
            self._settlement.put_off(filled, after, outlay)
            return True
        bill = self._settlement.bill([filled])
        has_room = self._has_credit(bill) if self._account.gives_credit else self._has_cash(bill)
        if has_room:
            self._settlement.book(bill)
        return has_room

    def _may_hold(self, block: OrderBlock, held: Floats, after: Floats) -> bool:
        """Return whether what would be held is allowed, and no order would be cut to the shares there are."""
        # Comparing and counting takes a third of the time of `min`.
        if not self._account.allows_short and np.count_nonzero(after < 0.0):
            return False
        if self._fractional and ((np.abs(after) < _NEARLY_FLAT) & (after != 0.0)).any():
            return False
        if block.reduce_only is None:
            return True
        cut = block.reduce_only & ((after * block.quantities > 0.0) | (held == 0.0))
        return not cut.any()

    def _outlay(self, quantities: Floats, raw: Floats, held: Floats) -> float | None:
        """Return what the cash falls by at most; None where it might not suffice at one of the turns, or nobody knows.

        Orders that reduce a position come first, and of a cash account these are sales: the cash is lowest before all
        or after all of them, but for costs.
        """
        if self._most_cost is None:
            return None
        cost, net = self._most_cost(np.abs(quantities), raw), float(quantities.dot(raw))
        least = self._ledger.least_cash
        if self._account.gives_credit:
            suffices = self._has_credit_at_worst(quantities, raw, np.abs(held + quantities) - np.abs(held), cost)
        else:
            suffices = least - cost - max(net, 0.0) > _BEYOND_DOUBT * least
        return net + cost if suffices else None

    def _has_credit_at_worst(self, quantities: Floats, raw: Floats, growth: Floats, cost: float) -> bool:
        """Return whether an account on credit could carry all at once what grows, if nothing of the rest shrank.

        At none of the turns does it hold more, or own less, than that.
        """
        held = self._ledger.quantities
        # A symbol that is not held may have no price yet.
        worth = np.where(held == 0.0, 0.0, held * self._market.marks())
        gross = float(np.add.reduce(np.abs(worth)) + np.maximum(growth, 0.0).dot(raw))
        least = self._ledger.least_cash - cost
        equity, cash = least + float(np.add.reduce(worth)), least - float(np.maximum(quantities, 0.0).dot(raw))
        return self._has_room(cash, equity - cash, gross)

    def _has_credit(self, bill: Bill) -> bool:
        """Return whether an account on credit can carry every order at its turn beyond doubt."""
        value = self._ledger.value()
        grown = np.abs(bill.before + bill.quantities) - np.abs(bill.before)
        worth = value.positions_value + np.cumsum(bill.quantities * bill.raw_prices)
        gross = value.gross_value + np.cumsum(grown * bill.raw_prices)
        turns = zip(bill.cash.tolist(), worth.tolist(), gross.tolist(), strict=True)
        return all(self._has_room(*turn) for turn in turns)

    def _has_room(self, cash: float, net: float, gross: float) -> bool:
        # A price that is missing (NaN) makes the cash NaN, and that is not more than anything.
        room = self._account.headroom(Outlook(cash, lambda: Exposure(net, gross, gross, 0)))
        return room > _BEYOND_DOUBT * (abs(cash) + gross)

    def _has_cash(self, bill: Bill) -> bool:
        """Return whether the cash lasts at every turn beyond doubt."""
        return bool(bill.cash.min() > _BEYOND_DOUBT * abs(self._ledger.cash))
