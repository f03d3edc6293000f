"""Market orders of one decision as columns: what most strategies order most of the time.

They are plain: one per symbol, good till cancelled, without protection. Nobody has looked at one of them singly yet;
who does gets an `Order`, and with it all of them become objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ml4t_backtest.core.chunk import Flags, Floats, Integers
from ml4t_backtest.core.orders import Order


@dataclass(slots=True, eq=False)
class OrderBlock:
    """Orders in the order of their submission.

    Attributes:
        decided: Decision instant.
        decision_slice: Timestamp of the deciding slice.
        order_ids: Sequence numbers over the run.
        symbol_ids: Indices in the engine's symbol list, each once.
        quantities: Shares to fill, positive buys, negative sells, never 0.
        decision_rows: Row of the symbol's bar in the deciding slice, counted over the run; NO_ROW without a bar.
        reduce_only: Whether it never opens or adds; None where no order is such.
        clips: Whether a buy is cut to what cash allows, or refused; None where all are refused.
        groups: Rebalance it belongs to, 0 for none; None where no order belongs to one.
    """

    decided: int
    decision_slice: int
    order_ids: Integers
    symbol_ids: Integers
    quantities: Floats
    decision_rows: Integers
    reduce_only: Flags | None
    clips: Flags | None
    groups: Integers | None

    def __len__(self) -> int:
        return len(self.order_ids)

    def part(self, which: Integers | Flags) -> OrderBlock:
        """Return some of the orders, by their places in the order wanted, or marked."""
        return OrderBlock(
            self.decided,
            self.decision_slice,
            self.order_ids[which],
            self.symbol_ids[which],
            self.quantities[which],
            self.decision_rows[which],
            None if self.reduce_only is None else self.reduce_only[which],
            None if self.clips is None else self.clips[which],
            None if self.groups is None else self.groups[which],
        )

    def orders(self, symbols: Sequence[str]) -> list[Order]:
        """Return the orders as objects, working."""
        return [self._order(place, symbols) for place in range(len(self))]

    def _order(self, place: int, symbols: Sequence[str]) -> Order:
        quantity, symbol_id = self.quantities.item(place), self.symbol_ids.item(place)
        order_id = self.order_ids.item(place)
        return Order(
            order_id=order_id,
            symbol=symbols[symbol_id],
            symbol_id=symbol_id,
            side="buy" if quantity > 0.0 else "sell",
            quantity=quantity,
            decided=self.decided,
            live_from=self.decided,
            decision_slice=self.decision_slice,
            decision_row=self.decision_rows.item(place),
            sequence=order_id,
            on_insufficient_cash="clip" if self.clips is not None and self.clips.item(place) else "reject",
            reduce_only=self.reduce_only is not None and self.reduce_only.item(place),
            group=None if self.groups is None else self.groups.item(place) or None,
            asked=abs(quantity),
            last_timestamp=self.decision_slice,
        )
