"""What fills of plain market orders cost, worked out when somebody asks: their shares are booked at once.

In most slices of most runs nobody looks at the cash. Fills whose money is beyond doubt wait here and are priced many
slices at a time, in the order they happened: the same bits as one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from ml4t_backtest.core.chunk import Floats, Integers
from ml4t_backtest.core.fill import PlainFills
from ml4t_backtest.core.market import Market
from ml4t_backtest.core.order_block import OrderBlock
from ml4t_backtest.execution.cost_columns import charge_column, price_column
from ml4t_backtest.execution.filling import Costs
from ml4t_backtest.execution.journal import Journal
from ml4t_backtest.portfolio.cash_path import cash_after
from ml4t_backtest.portfolio.ledger import Ledger

Number = TypeVar("Number", np.int64, np.float64)


class FilledBlock(NamedTuple):
    """Orders that fill whole at one open.

    Attributes:
        slice_index: Slice of the chunk.
        orders: The orders.
        rows: Per order the row of its bar, counted in the chunk.
        held: Per order the signed shares held of its symbol before.
    """

    slice_index: int
    orders: OrderBlock
    rows: Integers
    held: Floats


class Bill(NamedTuple):
    """What blocks cost: columns over their orders, at their turns, in each block those that reduce a position first.

    Attributes:
        blocks: The blocks, in the order of time.
        turns: Per fill, which of all the orders of the blocks it is.
        quantities: Signed shares.
        before: Signed shares held before.
        rows: Row of the bar, counted in the chunk.
        raw_prices: Open.
        prices: Fill price.
        charges: Commission.
        cash: Cash after it.
    """

    blocks: Sequence[FilledBlock]
    turns: Integers
    quantities: Floats
    before: Floats
    rows: Integers
    raw_prices: Floats
    prices: Floats
    charges: Floats
    cash: Floats


class Settlement:
    """Works out and books what blocks cost."""

    def __init__(self, market: Market, ledger: Ledger, journal: Journal, costs: Costs) -> None:
        self._market = market
        self._ledger = ledger
        self._journal = journal
        self._fill_price = costs.slippage.fill_price
        self._prices = price_column(costs.slippage)
        self._charges = charge_column(costs.commission)
        self._waiting: list[FilledBlock] = []

    def put_off(self, block: FilledBlock, after: Floats, outlay: float) -> None:
        """Book the shares of a block now, and its money when somebody looks.

        Args:
            block: What fills.
            after: Per order the signed shares held then.
            outlay: What the cash falls by at most; below 0 it rises at least by as much.
        """
        self._waiting.append(block)
        self._ledger.put_off(block.orders.symbol_ids, after, outlay, self)

    def bill(self, blocks: Sequence[FilledBlock]) -> Bill:
        """Return what blocks cost; nothing is booked. A price that is missing (NaN) makes the cash NaN."""
        quantities, before = _joined([each.orders.quantities for each in blocks]), _joined([b.held for b in blocks])
        of_block = np.repeat(np.arange(len(blocks)), [len(each.rows) for each in blocks])
        turns = np.argsort(2 * of_block + ~(quantities * before < 0.0), kind="stable")
        quantities, before, rows = quantities[turns], before[turns], _joined([b.rows for b in blocks])[turns]
        bars, shares = self._market.chunk.prices, np.abs(quantities)
        raw = bars["open"][rows]
        prices = self._prices(raw, quantities, bars["volume"][rows])
        charges = self._charges(shares, shares * prices)
        cash = cash_after(self._ledger.cash, quantities * prices, charges)
        return Bill(blocks, turns, quantities, before, rows, raw, prices, charges, cash)

    def pay(self) -> None:
        """Book what was put off."""
        waiting, self._waiting = self._waiting, []
        self.book(self.bill(waiting))

    def entry_price(self, number: int, symbol_id: int) -> float | None:
        """Return what a symbol of the block that was put off at this number filled at, where its position began."""
        block = self._waiting[number - 1]
        place = block.orders.symbol_ids.tolist().index(symbol_id)
        quantity, before, row = block.orders.quantities.item(place), block.held.item(place), block.rows.item(place)
        if before != 0.0 and before * (before + quantity) >= 0.0:
            return None
        return self._fill_price(self._market.price("open", row), quantity, self._market.volume(row))

    def book(self, bill: Bill) -> None:
        """Book a bill and write it down."""
        orders = [each.orders for each in bill.blocks]
        symbol_ids = _joined([each.symbol_ids for each in orders])[bill.turns]
        cash = bill.cash.item(-1)
        position_ids = self._ledger.apply_fills(symbol_ids, bill.before, bill.quantities, bill.prices, cash)
        entry = self._journal.open_fills(len(symbol_ids))
        entry.slices += [
            (each.slice_index, each.orders.decided, each.orders.decision_slice, len(each.rows)) for each in bill.blocks
        ]
        entry.columns.append(
            PlainFills(
                _joined([each.order_ids for each in orders])[bill.turns],
                position_ids,
                symbol_ids,
                bill.rows,
                _joined([each.decision_rows for each in orders])[bill.turns],
                bill.quantities,
                bill.before,
                bill.raw_prices,
                bill.prices,
                bill.charges,
            )
        )


def _joined(columns: Sequence[npt.NDArray[Number]]) -> npt.NDArray[Number]:
    return np.concatenate(columns) if len(columns) > 1 else columns[0]
