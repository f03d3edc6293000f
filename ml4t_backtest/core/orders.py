"""Orders: what a strategy asked for, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Sizing = Literal["quantity", "percent", "target_quantity", "target_value", "target_percent"]
OrderStatus = Literal["working", "filled", "rejected", "cancelled", "expired"]
OrderSide = Literal["buy", "sell"]
CashPolicy = Literal["clip", "reject"]
NO_ROW = -1


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """An order as the strategy wrote it, before it has a quantity.

    Attributes:
        order_id: Sequence number from 1 over the run.
        symbol: Instrument.
        sizing: What `amount` means: shares, or a fraction of equity, signed for `quantity` and `percent`; for the
            targets the position wanted, in shares, account currency or as fraction of equity.
        amount: See `sizing`.
        group: Orders of one rebalance share a group and are clipped by one common factor.
        closes: The order may only reduce the position (`close_position`).
    """

    order_id: int
    symbol: str
    sizing: Sizing
    amount: float
    group: int | None = None
    closes: bool = False


@dataclass(slots=True)
class Order:
    """A working order and its record.

    Attributes:
        order_id: Sequence number; earlier orders come first within a phase.
        symbol: Instrument.
        symbol_id: Its index in the engine's symbol list.
        side: What was asked for, also where no quantity came of it.
        quantity: Shares, positive buys, negative sells, on the basis of the last split.
        decided: Decision instant; only bars that open at or after it can fill the order.
        decision_slice: Timestamp of the deciding slice.
        decision_row: Row of the symbol's bar in the deciding slice, counted over the run; NO_ROW without a bar.
        on_insufficient_cash: Whether a buy is cut to what cash allows, or refused.
        reduce_only: Never opens or adds.
        group: Rebalance it belongs to.
        status: What became of it.
        reason: Code of a rejection, cut, cancellation or expiry.
        detail: The numbers behind the reason.
        filled_quantity: Shares filled, >= 0.
        last_timestamp: Slice of its last change.
    """

    order_id: int
    symbol: str
    symbol_id: int
    side: OrderSide
    quantity: float
    decided: int
    decision_slice: int
    decision_row: int
    on_insufficient_cash: CashPolicy = "reject"
    reduce_only: bool = False
    group: int | None = None
    status: OrderStatus = "working"
    reason: str | None = None
    detail: str | None = None
    filled_quantity: float = 0.0
    last_timestamp: int = 0

    def end(self, status: OrderStatus, timestamp: int, reason: str | None = None, detail: str | None = None) -> None:
        """Record what became of the order."""
        self.status = status
        self.last_timestamp = timestamp
        if reason is not None:
            self.reason, self.detail = reason, detail
