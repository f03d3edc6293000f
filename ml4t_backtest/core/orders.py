"""Orders: what a strategy asked for, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, TypedDict

import numpy as np
import numpy.typing as npt

Sizing = Literal["quantity", "percent", "target_quantity", "target_value", "target_percent"]
OrderStatus = Literal["working", "filled", "rejected", "cancelled", "expired"]
OrderSide = Literal["buy", "sell"]
OrderKind = Literal["market", "limit", "stop", "stop_limit", "trailing_stop", "market_on_close"]
TimeInForce = Literal["gtc", "day", "ioc"]
CashPolicy = Literal["clip", "reject"]
NO_ROW = -1

# Order of orders within a phase; then sequence.
LIQUIDATION, PORTFOLIO_LIMIT, PROTECTIVE, OTHER = range(4)


@dataclass(frozen=True, slots=True)
class Terms:
    """How and how long an order works.

    Attributes:
        limit: Limit price, account currency per share.
        stop: Stop price; with `limit` a stop-limit order.
        trail_amount: Distance of a trailing stop from the water mark, account currency per share.
        trail_percent: The same as a fraction of the water mark.
        market_on_close: Fills at the session's close.
        tif: `gtc` until cancelled, `day` to the end of its first session, `ioc` for one bar.
    """

    limit: float | None = None
    stop: float | None = None
    trail_amount: float | None = None
    trail_percent: float | None = None
    market_on_close: bool = False
    tif: TimeInForce = "gtc"

    @property
    def kind(self) -> OrderKind:
        """The type of order these terms describe."""
        if self.market_on_close:
            return "market_on_close"
        if self.trail_amount is not None or self.trail_percent is not None:
            return "trailing_stop"
        if self.stop is not None:
            return "stop" if self.limit is None else "stop_limit"
        return "market" if self.limit is None else "limit"


# One for all, so that it is seen at once that an order is a plain one.
AT_MARKET = Terms()


@dataclass(frozen=True, slots=True)
class Protection:
    """Orders that come alive with an entry's fill, one cancelling the others.

    Attributes:
        stop_loss: Stop price.
        take_profit: Target price.
        stop_loss_percent: Distance of the stop as a fraction of the raw entry price.
        take_profit_percent: Distance of the target as a fraction of the raw entry price.
        trailing_stop_percent: Distance of a trailing stop as a fraction of the water mark.
        max_holding_bars: The position is closed at the open of this many bars after its entry bar.
        stop_loss_distance: Distance of the stop from the raw entry price, account currency per share.
        take_profit_distance: Distance of the target from the raw entry price, account currency per share.
    """

    stop_loss: float | None = None
    take_profit: float | None = None
    stop_loss_percent: float | None = None
    take_profit_percent: float | None = None
    trailing_stop_percent: float | None = None
    max_holding_bars: int | None = None
    stop_loss_distance: float | None = None
    take_profit_distance: float | None = None

    @property
    def has_stop(self) -> bool:
        """Whether a fixed stop is asked for."""
        return any(each is not None for each in (self.stop_loss, self.stop_loss_percent, self.stop_loss_distance))

    @property
    def has_target(self) -> bool:
        """Whether a target is asked for."""
        return any(each is not None for each in (self.take_profit, self.take_profit_percent, self.take_profit_distance))

    def rescaled(self, ratio: float) -> Protection:
        """Return the same on the basis after a split: prices and distances in money change."""
        levels = ("stop_loss", "take_profit", "stop_loss_distance", "take_profit_distance")
        found = {name: getattr(self, name) for name in levels}
        return replace(self, **{name: value / ratio for name, value in found.items() if value is not None})

    def __bool__(self) -> bool:
        """Whether anything is protected."""
        return any(getattr(self, name) is not None for name in self.__slots__)


# One for all, so that nobody has to look at each term to see that there is none.
UNPROTECTED = Protection()


class ProtectionTerms(TypedDict, total=False):
    """The fields of `Protection` as keyword arguments."""

    stop_loss: float
    take_profit: float
    stop_loss_percent: float
    take_profit_percent: float
    trailing_stop_percent: float
    max_holding_bars: int


class OrderRequest(NamedTuple):
    """An order as the strategy wrote it, before it has a quantity.

    Attributes:
        order_id: Sequence number from 1 over the run.
        symbol: Instrument.
        side: Buy or sell; of a target it is known only when it is sized.
        sizing: What `amount` means: shares, or a fraction of equity, signed for `quantity` and `percent`; for the
            targets the position wanted, in shares, account currency or as fraction of equity.
        amount: See `sizing`.
        terms: How and how long it works.
        protection: What protects the position it opens.
        group: Orders of one rebalance share a group and are clipped by one common factor.
        closes: The order may only reduce the position (`close_position`).
        minimum_value: A target is left as it is where the trade is worth less, account currency.
        tolerance: A `target_percent` is left as it is where the weight is off by at most this, fraction of equity.
    """

    order_id: int
    symbol: str
    side: OrderSide
    sizing: Sizing
    amount: float
    terms: Terms = AT_MARKET
    protection: Protection = UNPROTECTED
    group: int | None = None
    closes: bool = False
    minimum_value: float = 0.0
    tolerance: float = 0.0


class OrderIds:
    """Sequence numbers of orders, shared by all who make them."""

    def __init__(self) -> None:
        self._next = 1

    def __next__(self) -> int:
        return self.take(1).start

    def take(self, number: int) -> range:
        """Return so many numbers."""
        taken = range(self._next, self._next + number)
        self._next = taken.stop
        return taken


class BatchRequest(NamedTuple):
    """Market orders for explicit quantities, as columns; what `OrderRequest` is for each of them, in order.

    Attributes:
        order_ids: Sequence numbers over the run.
        symbol_ids: Indices in the engine's symbol list.
        quantities: Signed shares, not 0.
    """

    order_ids: range
    symbol_ids: npt.NDArray[np.int64]
    quantities: npt.NDArray[np.float64]

    def singles(self, symbols: Sequence[str]) -> Iterator[OrderRequest]:
        """Return the same one by one."""
        columns = (self.order_ids, self.symbol_ids.tolist(), self.quantities.tolist())
        for order_id, symbol_id, shares in zip(*columns, strict=True):
            yield OrderRequest(order_id, symbols[symbol_id], "sell" if shares < 0.0 else "buy", "quantity", shares)


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """A wish to take back a working order."""

    order_id: int


@dataclass(frozen=True, slots=True)
class ReplaceRequest:
    """A wish to change a working order; None leaves a term as it is.

    Attributes:
        order_id: Order to change; it keeps its place in the sequence.
        quantity: New total shares to work, > 0.
        limit: New limit price.
        stop: New stop price.
    """

    order_id: int
    quantity: float | None = None
    limit: float | None = None
    stop: float | None = None


Request = OrderRequest | BatchRequest | CancelRequest | ReplaceRequest


@dataclass(slots=True)
class Order:
    """A working order and its record.

    Attributes:
        order_id: Sequence number; earlier orders come first within a phase.
        symbol: Instrument.
        symbol_id: Its index in the engine's symbol list.
        side: What was asked for, also where no quantity came of it.
        quantity: Shares still to fill, positive buys, negative sells, on the basis of the last split.
        asked: Shares asked for, >= 0, before anything was cut or filled, on the basis of the last split.
        decided: Decision instant; of a protective order that of its entry.
        live_from: Only bars that open at or after this instant can fill the order: its decision, or its entry's fill.
        decision_slice: Timestamp of the deciding slice.
        decision_row: Row of the symbol's bar in the deciding slice, counted over the run; NO_ROW without a bar.
        kind: Order type.
        limit: Limit price, or None.
        stop: Stop price, or None; a trailing stop's is derived from `water`.
        trail_amount: See `Terms`.
        trail_percent: See `Terms`.
        water: Water mark of a trailing stop: the best price it has lived through; None before its first bar.
        tif: Time in force.
        rank: LIQUIDATION, PORTFOLIO_LIMIT, PROTECTIVE or OTHER.
        sequence: Place within its rank; the orders of one bracket share that of its first.
        on_insufficient_cash: Whether a buy is cut to what cash allows, or refused.
        reduce_only: Never opens or adds.
        group: Rebalance it belongs to.
        protection: What protects the position it opens.
        bracket: The protective orders of one fill, this one among them: what one fills, the others no longer cover.
        exit_reason: Recorded when its fill reduces a position.
        bars_met: Bars of its symbol whose open could have filled it.
        due_after: A time exit fills at the open of the bar that brings `bars_met` to this.
        session: Session it may work in (`day`, market-on-close), days since 1970; None before it is eligible.
        triggered: Its stop was reached: what is left of it works as a market order, or as a limit where it has one.
        charged: Commission charged for it so far.
        status: What became of it.
        reason: Code of a rejection, cut, cancellation or expiry.
        detail: The numbers behind the reason.
        filled_quantity: Shares filled, >= 0, on the basis of the last split.
        last_timestamp: Slice of its last change.
    """

    order_id: int
    symbol: str
    symbol_id: int
    side: OrderSide
    quantity: float
    decided: int
    live_from: int
    decision_slice: int
    decision_row: int
    kind: OrderKind = "market"
    limit: float | None = None
    stop: float | None = None
    trail_amount: float | None = None
    trail_percent: float | None = None
    water: float | None = None
    tif: TimeInForce = "gtc"
    rank: int = OTHER
    sequence: int = 0
    on_insufficient_cash: CashPolicy = "reject"
    reduce_only: bool = False
    group: int | None = None
    protection: Protection = Protection()
    bracket: list[Order] = field(default_factory=list)
    exit_reason: str = "signal"
    bars_met: int = 0
    due_after: int = 0
    session: int | None = None
    triggered: bool = False
    charged: float = 0.0
    status: OrderStatus = "working"
    reason: str | None = None
    detail: str | None = None
    filled_quantity: float = 0.0
    asked: float = 0.0
    last_timestamp: int = 0

    @property
    def sign(self) -> float:
        """1.0 for a buy, -1.0 for a sell."""
        return 1.0 if self.side == "buy" else -1.0

    @property
    def is_protective(self) -> bool:
        """Whether it belongs to a bracket."""
        return self.rank == PROTECTIVE

    def stop_level(self) -> float:
        """Return the stop price; for a trailing stop its distance from the water mark."""
        if self.kind != "trailing_stop":
            return self.stop if self.stop is not None else float("nan")
        water = self.water if self.water is not None else float("nan")
        distance = self.trail_amount if self.trail_amount is not None else water * (self.trail_percent or 0.0)
        return water + self.sign * distance

    def rescale(self, ratio: float) -> None:
        """Put prices and what was filled on the basis after a split; the quantity is the broker's to round."""
        self.filled_quantity *= ratio
        self.protection = self.protection.rescaled(ratio)
        for level in ("limit", "stop", "trail_amount", "water"):
            value = getattr(self, level)
            if value is not None:
                setattr(self, level, value / ratio)

    def end(self, status: OrderStatus, timestamp: int, reason: str | None = None, detail: str | None = None) -> None:
        """Record what became of the order."""
        self.status = status
        self.last_timestamp = timestamp
        if reason is not None:
            self.reason, self.detail = reason, detail
