"""Market orders of one decision at an open, without an object for each of them.

The rules are those of `Broker` and `Filler`. What the orders would do is worked out first; where it is not beyond
doubt that each fills whole, nothing happens here, and each is tried at its turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ml4t_backtest.core.market import Market
from ml4t_backtest.core.order_block import OrderBlock
from ml4t_backtest.core.orders import NO_ROW
from ml4t_backtest.execution.accounts import Account, Outlook
from ml4t_backtest.execution.commission import CommissionModel
from ml4t_backtest.execution.journal import Journal
from ml4t_backtest.execution.slippage import SlippageModel
from ml4t_backtest.portfolio.ledger import Ledger

# Money left, as a fraction of what there is, below which rounding could decide: then each order is looked at.
_BEYOND_DOUBT = 1e-9
# Shares left of a position that rounding may have left.
_NEARLY_FLAT = 1e-6


class _Trial(NamedTuple):
    """What the orders of a block would do, each at its turn."""

    before: list[float]
    raw_prices: list[float]
    prices: list[float]
    charges: list[float]


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
    ) -> None:
        self._market = market
        self._ledger = ledger
        self._journal = journal
        self._account = account
        self._fill_price = slippage.fill_price
        self._charge = commission.charge

    def fill(self, block: OrderBlock) -> tuple[OrderBlock | None, OrderBlock | None]:
        """Fill what has a bar that opened after the decision, reducing orders first.

        Returns:
            What has filled, and what has not; None for nothing.
        """
        market = self._market
        rows = market.rows_of(block.symbol_ids)
        if market.chunk.first_opened[market.index] < block.decided or (not market.is_complete and NO_ROW in rows):
            opened = market.chunk.opened
            due = [place for place, row in enumerate(rows) if row != NO_ROW and opened.item(row) >= block.decided]
            if len(due) < len(rows):
                return self._fill_due(block, rows, due)
        filled = self._fill(block, rows)
        return filled, None if filled is not None else block

    def _fill_due(
        self, block: OrderBlock, rows: Sequence[int], due: Sequence[int]
    ) -> tuple[OrderBlock | None, OrderBlock | None]:
        """Fill a part of a block; the rest goes on working."""
        filled = self._fill(block.part(due), [rows[place] for place in due]) if due else None
        if filled is None:
            return None, block
        late = set(range(len(block))).difference(due)
        return filled, block.part(sorted(late))

    def _fill(self, block: OrderBlock, rows: list[int]) -> OrderBlock | None:
        """Fill all orders of a block, each at the open of its row, and return them in their turns; or None of them."""
        held = self._ledger.quantities_of(block.symbol_ids)
        reducing = [place for place, quantity in enumerate(block.quantities) if quantity * held[place] < 0.0]
        if 0 < len(reducing) < len(rows):
            opening = [place for place, quantity in enumerate(block.quantities) if not quantity * held[place] < 0.0]
            turns = reducing + opening
            block, rows, held = block.part(turns), [rows[place] for place in turns], [held[place] for place in turns]
        trial = self._try(block, rows, held)
        if trial is None:
            return None
        booked = zip(block.symbol_ids, block.quantities, trial.prices, trial.charges, strict=True)
        fills = self._journal.open_fills(len(rows))
        fills.slices.append((self._market.index, block.decided, block.decision_slice, len(rows)))
        fills.position_ids += [self._ledger.apply_fill(*fill) for fill in booked]
        fills.order_ids += block.order_ids
        fills.symbol_ids += block.symbol_ids
        fills.rows += rows
        fills.decision_rows += block.decision_rows
        fills.quantities += block.quantities
        fills.before += trial.before
        fills.raw_prices += trial.raw_prices
        fills.prices += trial.prices
        fills.commissions += trial.charges
        return block

    def _try(self, block: OrderBlock, rows: Sequence[int], held: list[float]) -> _Trial | None:
        """Return what the orders would do, or None where one of them might not fill whole."""
        bars = self._market.chunk.prices
        opens, volumes = bars["open"], bars["volume"]
        trial = _Trial(held, [], [], [])
        cash = self._ledger.cash
        least, allows_short = _BEYOND_DOUBT * abs(cash), self._account.allows_short
        orders = zip(block.quantities, rows, held, block.reduce_only, strict=True)
        for quantity, row, before, reduce_only in orders:
            raw, after = opens.item(row), before + quantity
            if not raw > 0.0:
                return None
            price = self._fill_price(raw, quantity, volumes.item(row))
            charge = self._charge(abs(quantity), abs(quantity) * price)
            cash = cash - quantity * price - charge
            # A price that is missing (NaN) makes the cash NaN, and that is not more than anything.
            nearly_flat = -_NEARLY_FLAT < after < _NEARLY_FLAT and after != 0.0
            if nearly_flat or not cash > least or (after < 0.0 and not allows_short):
                return None
            if reduce_only and (after * quantity > 0.0 or before == 0.0):
                return None
            trial.raw_prices.append(raw)
            trial.prices.append(price)
            trial.charges.append(charge)
        return trial if not self._account.gives_credit or self._has_room(block, trial) else None

    def _has_room(self, block: OrderBlock, trial: _Trial) -> bool:
        """Return whether an account on credit can carry every order at its turn beyond doubt."""
        value = self._ledger.value()
        cash, worth, gross = value.cash, value.positions_value, value.gross_value
        for quantity, before, raw, price, charge in zip(block.quantities, *trial, strict=True):
            cash = cash - quantity * price - charge
            worth += quantity * raw
            gross += (abs(before + quantity) - abs(before)) * raw
            room = self._account.headroom(Outlook(cash, cash + worth, gross, worth, gross, 0))
            if not room > _BEYOND_DOUBT * (abs(cash) + gross):
                return False
        return True
