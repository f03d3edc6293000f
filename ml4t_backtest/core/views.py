"""Orders and fills as a strategy sees them: values that nothing it does can change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ml4t_backtest.core.fill import Fill
from ml4t_backtest.core.instants import to_datetime
from ml4t_backtest.core.orders import Order, OrderKind, OrderSide, OrderStatus, TimeInForce


@dataclass(frozen=True, slots=True)
class OrderView:
    """An order at one moment.

    Attributes:
        order_id: What `buy` or `sell` returned; protective orders have ids of their own.
        symbol: Instrument.
        side: buy or sell.
        order_type: market, limit, stop, stop_limit, trailing_stop or market_on_close.
        status: working, filled, cancelled, rejected or expired.
        quantity: Shares still to fill, >= 0, on the basis of the last split.
        filled_quantity: Shares filled, >= 0, on the basis of the last split.
        limit: Limit price, or None.
        stop: Stop price, or None; of a trailing stop where it stands now.
        tif: Time in force.
        is_protective: Whether it protects a position: it only reduces, and ends with the position.
        reason: Code of a rejection, cut, cancellation or expiry, or None.
        decision_timestamp: When it was decided, UTC; of a protective order that of its entry.
        last_timestamp: Slice of its last change, UTC.

    >>> from ml4t_backtest import BacktestEngine, PolarsDataFeed, Strategy
    >>> from ml4t_backtest.data.synthetic import random_bars
    >>> class Patient(Strategy):
    ...     def on_timestamp_batch(self, timestamp, asset_batch, context):
    ...         if not self.get_orders("S0000"):
    ...             self.buy("S0000", 10, limit=1.0)
    ...     def on_order(self, order):
    ...         print(order.order_type, order.limit, order.status, order.reason)
    >>> result = BacktestEngine(PolarsDataFeed(random_bars(1, 3), signal_columns=["prediction"]), Patient()).run()
    limit 1.0 expired end_of_data
    """

    order_id: int
    symbol: str
    side: OrderSide
    order_type: OrderKind
    status: OrderStatus
    quantity: float
    filled_quantity: float
    limit: float | None
    stop: float | None
    tif: TimeInForce
    is_protective: bool
    reason: str | None
    decision_timestamp: datetime
    last_timestamp: datetime

    @classmethod
    def of(cls, order: Order) -> OrderView:
        """Return what an order is at this moment."""
        level = order.stop_level()
        return cls(
            order_id=order.order_id,
            symbol=order.symbol,
            side=order.side,
            order_type=order.kind,
            status=order.status,
            quantity=abs(order.quantity),
            filled_quantity=order.filled_quantity,
            limit=order.limit,
            stop=None if level != level else level,
            tif=order.tif,
            is_protective=order.is_protective,
            reason=order.reason,
            decision_timestamp=to_datetime(order.decided),
            last_timestamp=to_datetime(order.last_timestamp),
        )


@dataclass(frozen=True, slots=True)
class FillView:
    """One execution.

    Attributes:
        fill_id: Sequence number from 1.
        order_id: Order filled.
        symbol: Instrument.
        side: buy or sell.
        quantity: Shares, > 0.
        price: Paid or received per share, slippage included, account currency.
        raw_price: Market price per share.
        commission: Account currency, >= 0.
        slippage: Account currency, >= 0.
        timestamp: Slice of the fill, UTC.
        fill_instant: When it happened, UTC; the slice's close where only the bar is known.

    >>> from ml4t_backtest import BacktestEngine, NoCommission, PercentageSlippage, PolarsDataFeed, Strategy
    >>> from ml4t_backtest.data.synthetic import random_bars
    >>> class BuyAndHold(Strategy):
    ...     def on_timestamp_batch(self, timestamp, asset_batch, context):
    ...         if not self.get_position("S0000"):
    ...             self.buy("S0000", 10)
    ...     def on_fill(self, fill):
    ...         print(fill.symbol, fill.quantity, round(fill.price / fill.raw_price, 6), fill.commission)
    >>> feed = PolarsDataFeed(random_bars(1, 3), signal_columns=["prediction"])
    >>> costs = {"slippage": PercentageSlippage(0.001), "commission": NoCommission()}
    >>> result = BacktestEngine(feed, BuyAndHold(), **costs).run()
    S0000 10.0 1.001 0.0
    """

    fill_id: int
    order_id: int
    symbol: str
    side: OrderSide
    quantity: float
    price: float
    raw_price: float
    commission: float
    slippage: float
    timestamp: datetime
    fill_instant: datetime

    @classmethod
    def of(cls, fill: Fill, symbol: str) -> FillView:
        """Return a fill with its symbol by name."""
        return cls(
            fill_id=fill.fill_id,
            order_id=fill.order_id,
            symbol=symbol,
            side="buy" if fill.quantity > 0.0 else "sell",
            quantity=abs(fill.quantity),
            price=fill.price,
            raw_price=fill.raw_price,
            commission=fill.commission,
            slippage=fill.slippage,
            timestamp=to_datetime(fill.timestamp),
            fill_instant=to_datetime(fill.instant),
        )
