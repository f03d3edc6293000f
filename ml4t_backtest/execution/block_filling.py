"""Market orders of one decision at an open, all at once.

The rules are those of `Broker` and `Filler`; here they are applied to columns. Whether the account can carry the
orders is tested for all of them first. Where that is not beyond doubt, nothing happens, and each is tried at its turn.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ml4t_backtest.core.chunk import Floats, Integers
from ml4t_backtest.core.fill import OpenFills
from ml4t_backtest.core.market import Market
from ml4t_backtest.core.order_block import OrderBlock
from ml4t_backtest.core.orders import NO_ROW
from ml4t_backtest.execution.accounts import Account, Outlook
from ml4t_backtest.execution.columnar_costs import charges_of, prices_of
from ml4t_backtest.execution.commission import CommissionModel
from ml4t_backtest.execution.journal import Journal
from ml4t_backtest.execution.slippage import SlippageModel
from ml4t_backtest.portfolio.ledger import Ledger

# Money left, as a fraction of what moves, below which rounding could decide: then each order is looked at.
_BEYOND_DOUBT = 1e-9
# Shares left of a position that rounding may have left.
_NEARLY_FLAT = 1e-6


class BlockFiller:
    """Fills blocks of market orders where nothing is special about them."""

    def __init__(
        self,
        market: Market,
        ledger: Ledger,
        journal: Journal,
        account: Account,
        slippage: SlippageModel,
        commission: CommissionModel,
        *,
        fractional: bool,
    ) -> None:
        self._market = market
        self._ledger = ledger
        self._journal = journal
        self._account = account
        self._fractional = fractional
        self._prices = prices_of(slippage)
        self._charges = charges_of(commission)

    def fill(self, block: OrderBlock) -> tuple[OrderBlock, OrderBlock | None]:
        """Fill what has a bar that opened after the decision, reducing orders first.

        Returns:
            What has filled, and what has not; None for the latter where that is nothing.
        """
        market = self._market
        rows = market.rows_of(block.symbol_ids)
        opened = market.chunk.first_opened[market.index] >= block.decided
        if opened and (market.is_complete or rows.min() != NO_ROW):
            return self._fill(block, rows)
        due = (rows != NO_ROW) & (market.chunk.opened[rows] >= block.decided)
        filled, refused = self._fill(block.part(due), rows[due]) if due.any() else (block.part(due), None)
        if due.all() or refused is not None:
            return filled, block if refused is not None else None
        return filled, block.part(~due)

    def _fill(self, block: OrderBlock, rows: Integers) -> tuple[OrderBlock, OrderBlock | None]:
        """Fill all orders of a block, each at the open of its row, or none."""
        before = self._ledger.quantities_of(block.symbol_ids)
        reduces = block.quantities * before < 0.0
        if 0 < np.count_nonzero(reduces) < len(block):
            turns = np.argsort(~reduces, kind="stable")
            block, rows, before = block.part(turns), rows[turns], before[turns]
        quantities, columns = block.quantities, self._market.chunk.prices
        raw = columns["open"][rows]
        price = self._prices(raw, quantities, columns["volume"][rows])
        size = np.abs(quantities)
        charge = self._charges(size, size * price)
        cash = self._ledger.cash_after(quantities, price, charge)
        after = before + quantities
        if not (self._is_plain(block, before, after) and self._carries(before, after, raw, cash)):
            return block.part(np.zeros(len(block), dtype=bool)), block
        position_ids = self._ledger.hold(block.symbol_ids, quantities, price, before, after, cash=cash.item(-1))
        self._journal.write(
            OpenFills(
                self._journal.next_fill_id(len(block)),
                self._market.index,
                block.decided,
                block.decision_slice,
                block.order_ids,
                position_ids,
                block.symbol_ids,
                rows,
                block.decision_rows,
                quantities,
                before,
                raw,
                price,
                charge,
            )
        )
        return block, None

    def _is_plain(self, block: OrderBlock, before: Floats, after: Floats) -> bool:
        """Return whether every order fills whole: none is cut to what is held, or misses it by a rounding error."""
        if not self._account.allows_short and after.min() < 0.0:
            return False
        if np.count_nonzero(block.reduce_only):
            beyond = block.reduce_only & ((after * block.quantities > 0.0) | (before == 0.0))
            if beyond.any():
                return False
        return not (self._fractional and ((np.abs(after) < _NEARLY_FLAT) & (after != 0.0)).any())

    def _carries(self, before: Floats, after: Floats, raw: Floats, cash: Floats) -> bool:
        """Return whether the account can carry every order at its turn beyond doubt; not where a price is missing."""
        room, scale = cash, abs(self._ledger.cash)
        if self._account.gives_credit:
            value = self._ledger.value()
            worth = value.positions_value + np.cumsum((after - before) * raw)
            gross = value.gross_value + np.cumsum((np.abs(after) - np.abs(before)) * raw)
            # An outlook of columns: the formula of the account is the same for each row of them.
            outlook: Any = Outlook(cash, cash + worth, gross, worth, gross, 0)  # type: ignore[arg-type]
            room = np.asarray(self._account.headroom(outlook))
            scale += float(gross.max())
        # With NaN among them, the least is NaN, and that is not beyond doubt.
        return bool(room.min() > _BEYOND_DOUBT * scale)
