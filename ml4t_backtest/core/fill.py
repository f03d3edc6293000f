"""What happens to a position: fills, splits and cash flows, in the order they happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CashFlowKind = Literal["dividend", "borrow_fee", "interest", "cash_in_lieu"]


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution.

    Attributes:
        fill_id: Sequence number from 1.
        order_id: Order filled.
        position_id: Position changed; the newly opened one for a flip.
        symbol_id: Index in the engine's symbol list.
        slice_index: Slice of the chunk.
        timestamp: Timestamp of that slice.
        instant: When it happened inside the slice.
        row: Row of the fill bar, counted over the run.
        decided: Decision instant of the order.
        decision_slice: Timestamp of the deciding slice.
        decision_row: Row of the deciding bar, counted over the run, or NO_ROW.
        quantity: Shares, positive bought, negative sold.
        raw_price: Market price per share.
        price: Price paid or received per share, slippage included.
        commission: Account currency, >= 0.
        slippage: Account currency, >= 0: `|price - raw_price| x |quantity|`.
        exit_reason: Recorded when the fill reduces a position.
    """

    fill_id: int
    order_id: int
    position_id: int
    symbol_id: int
    slice_index: int
    timestamp: int
    instant: int
    row: int
    decided: int
    decision_slice: int
    decision_row: int
    quantity: float
    raw_price: float
    price: float
    commission: float
    slippage: float
    exit_reason: str = "signal"


@dataclass(frozen=True, slots=True)
class SplitEvent:
    """A held position was rescaled at the open of the ex-date.

    Attributes:
        symbol_id: Index in the engine's symbol list.
        slice_index: First slice on the new basis.
        timestamp: Timestamp of that slice.
        ratio: New shares per old share.
        quantity: Position after the split and after cash in lieu, in new shares.
        lieu_quantity: New shares paid out in cash, signed like the position; 0 where nothing was left over.
        lieu_price: Price per new share they were paid at.
    """

    symbol_id: int
    slice_index: int
    timestamp: int
    ratio: float
    quantity: float
    lieu_quantity: float = 0.0
    lieu_price: float = 0.0


@dataclass(frozen=True, slots=True)
class CashFlow:
    """Cash that moved without a fill.

    Attributes:
        timestamp: Slice.
        slice_index: Slice of the chunk.
        symbol_id: Index in the engine's symbol list.
        position_id: Position it belongs to.
        kind: Why.
        amount: Account currency; positive is received.
    """

    timestamp: int
    slice_index: int
    symbol_id: int
    position_id: int
    kind: CashFlowKind
    amount: float


LedgerEvent = Fill | SplitEvent | CashFlow
