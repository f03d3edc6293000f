"""Market orders of one decision as columns: what most strategies order most of the time.

They are plain: one per symbol, good till cancelled, without protection. Nobody has looked at one of them singly yet;
who does gets an `Order`, and with it all of them become objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
        reduce_only: Whether it never opens or adds.
        clips: Whether a buy is cut to what cash allows, or refused.
        groups: Rebalance it belongs to, 0 for none.
    """

    decided: int
    decision_slice: int
    order_ids: Sequence[int]
    symbol_ids: Sequence[int]
    quantities: Sequence[float]
    decision_rows: Sequence[int]
    reduce_only: Sequence[bool]
    clips: Sequence[bool]
    groups: Sequence[int]

    def __len__(self) -> int:
        return len(self.order_ids)

    def part(self, which: Sequence[int]) -> OrderBlock:
        """Return some of the orders, by their places."""
        columns = (
            self.order_ids,
            self.symbol_ids,
            self.quantities,
            self.decision_rows,
            self.reduce_only,
            self.clips,
            self.groups,
        )
        taken = ([column[place] for place in which] for column in columns)
        return OrderBlock(self.decided, self.decision_slice, *taken)  # type: ignore[arg-type]

    def orders(self, symbols: Sequence[str]) -> list[Order]:
        """Return the orders as objects, working."""
        return [self._order(place, symbols) for place in range(len(self))]

    def _order(self, place: int, symbols: Sequence[str]) -> Order:
        quantity, symbol_id = self.quantities[place], self.symbol_ids[place]
        return Order(
            order_id=self.order_ids[place],
            symbol=symbols[symbol_id],
            symbol_id=symbol_id,
            side="buy" if quantity > 0.0 else "sell",
            quantity=quantity,
            decided=self.decided,
            live_from=self.decided,
            decision_slice=self.decision_slice,
            decision_row=self.decision_rows[place],
            sequence=self.order_ids[place],
            on_insufficient_cash="clip" if self.clips[place] else "reject",
            reduce_only=self.reduce_only[place],
            group=self.groups[place] or None,
            asked=abs(quantity),
            last_timestamp=self.decision_slice,
        )
