"""What happens to a position: fills, splits, cash flows and doubts, in the order they happened."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from ml4t_backtest.core.chunk import Floats, Integers

CashFlowKind = Literal["dividend", "borrow_fee", "interest", "cash_in_lieu"]
Phase = Literal["open", "rising", "falling", "inside", "close", "settled"]


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
        instant: When it happened inside the slice; the close where only the bar is known.
        phase: Where in its bar: at the open; inside it while the market rose or fell to the price, or nobody knows how;
            at the close; or settled without a bar.
        row: Row of the fill bar, counted over the run, or NO_ROW.
        decided: Decision instant of the order; for a protective order that of its entry.
        decision_slice: Timestamp of the deciding slice.
        decision_row: Row of the deciding bar, counted over the run, or NO_ROW.
        quantity: Shares, positive bought, negative sold.
        raw_price: Market price per share.
        price: Price paid or received per share, slippage included.
        commission: Account currency, >= 0.
        slippage: Account currency, >= 0: `|price - raw_price| x |quantity|`.
        before: Signed shares held before it.
        exit_reason: Recorded when the fill reduces a position.
        stop_loss: Level of the stop an entry brings along, or None.
        take_profit: Level of the target an entry brings along, or None.
    """

    fill_id: int
    order_id: int
    position_id: int
    symbol_id: int
    slice_index: int
    timestamp: int
    instant: int
    phase: Phase
    row: int
    decided: int
    decision_slice: int
    decision_row: int
    quantity: float
    raw_price: float
    price: float
    commission: float
    slippage: float
    before: float
    exit_reason: str = "signal"
    stop_loss: float | None = None
    take_profit: float | None = None


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
        symbol_id: Index in the engine's symbol list; NO_ROW for interest on cash.
        position_id: Position it belongs to; NO_ROW for interest on cash.
        kind: Why.
        amount: Account currency; positive is received.
    """

    timestamp: int
    slice_index: int
    symbol_id: int
    position_id: int
    kind: CashFlowKind
    amount: float


@dataclass(frozen=True, slots=True)
class Alternative:
    """How shares would leave a position by one of its protective orders, at the prices and costs of the run's models.

    Attributes:
        order_id: The order that would fill.
        quantity: Shares it would fill, > 0.
        raw_price: Market price per share.
        price: Price paid or received per share, slippage included.
        commission: Account currency, >= 0.
        slippage: Account currency, >= 0.
    """

    order_id: int
    quantity: float
    raw_price: float
    price: float
    commission: float
    slippage: float


@dataclass(frozen=True, slots=True)
class Doubt:
    """The bar leaves open in which order prices were reached, and that matters to the position held.

    Attributes:
        symbol_id: Index in the engine's symbol list.
        slice_index: Slice of the chunk.
        timestamp: Timestamp of that slice.
        ends: Where a stop and a target of one entry lie in the bar: what happens when the stop comes first, and when
            the target does. None for every other doubt.
    """

    symbol_id: int
    slice_index: int
    timestamp: int
    ends: tuple[Alternative, Alternative] | None = None


class PlainFills(NamedTuple):
    """Fills of plain market orders at the open of one slice, as columns, in the order they happened.

    Attributes:
        order_ids: Per fill, the order.
        position_ids: Position changed; the newly opened one for a flip.
        symbol_ids: Index in the engine's symbol list.
        rows: Row of the fill bar, counted in the chunk.
        decision_rows: Row of the deciding bar, counted over the run, or NO_ROW.
        quantities: Shares, positive bought, negative sold.
        before: Signed shares held before it.
        raw_prices: Market price per share.
        prices: Price paid or received per share, slippage included.
        commissions: Account currency, >= 0.
    """

    order_ids: Integers
    position_ids: Integers
    symbol_ids: Integers
    rows: Integers
    decision_rows: Integers
    quantities: Floats
    before: Floats
    raw_prices: Floats
    prices: Floats
    commissions: Floats


@dataclass(slots=True)
class OpenFills:
    """Fills of plain market orders at the opens of consecutive slices, in the order they happened.

    Attributes:
        first_fill_id: Sequence number of the first.
        slices: Per slice with fills: slice of the chunk, decision instant of its orders, timestamp of the deciding
            slice, number of fills.
        columns: Per slice with fills, what filled.
    """

    first_fill_id: int
    slices: list[tuple[int, int, int, int]] = field(default_factory=list)
    columns: list[PlainFills] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(len(filled.order_ids) for filled in self.columns)


LedgerEvent = Fill | SplitEvent | CashFlow | Doubt
JournalEntry = LedgerEvent | OpenFills
