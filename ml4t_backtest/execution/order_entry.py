"""From what a strategy asked for to orders with a quantity, sized at the deciding slice's closes."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ml4t_backtest.core.market import Market
from ml4t_backtest.core.orders import NO_ROW, CashPolicy, Order, OrderRequest
from ml4t_backtest.execution.affordability import whole_shares
from ml4t_backtest.execution.broker import Broker
from ml4t_backtest.portfolio.ledger import Ledger

_TARGETS = ("target_quantity", "target_value", "target_percent")


class OrderEntry:
    """Turns requests into orders and hands them to the broker; what cannot be an order is rejected with its reason."""

    def __init__(
        self,
        market: Market,
        ledger: Ledger,
        broker: Broker,
        *,
        fractional: bool,
        on_insufficient_cash: CashPolicy | None,
    ) -> None:
        self._market = market
        self._ledger = ledger
        self._broker = broker
        self._fractional = fractional
        self._on_insufficient_cash = on_insufficient_cash

    def accept(self, requests: Iterable[OrderRequest]) -> None:
        """Size the requests with the present equity and closes and queue them; none can touch the present slice."""
        equity = self._ledger.value().equity
        for request in requests:
            order = self._order_for(request)
            reason, detail = self._size(order, request, equity)
            if reason == "on_target":
                continue
            if reason is not None:
                order.end("rejected", self._market.timestamp, reason, detail)
            self._broker.submit(order)

    def _order_for(self, request: OrderRequest) -> Order:
        market = self._market
        symbol_id = market.ids.get(request.symbol, NO_ROW)
        return Order(
            order_id=request.order_id,
            symbol=request.symbol,
            symbol_id=symbol_id,
            side="buy" if math.copysign(1.0, request.amount) > 0.0 else "sell",
            quantity=0.0,
            decided=int(market.chunk.decided[market.index]),
            decision_slice=market.timestamp,
            decision_row=NO_ROW if symbol_id == NO_ROW else market.run_row_of(symbol_id),
            on_insufficient_cash=self._cash_policy(request),
            reduce_only=request.closes,
            group=request.group,
            last_timestamp=market.timestamp,
        )

    def _cash_policy(self, request: OrderRequest) -> CashPolicy:
        return self._on_insufficient_cash or ("reject" if request.sizing == "quantity" else "clip")

    def _size(self, order: Order, request: OrderRequest, equity: float) -> tuple[str | None, str | None]:
        """Set the order's quantity; return why there can be no order, and the numbers behind it."""
        if order.symbol_id == NO_ROW:
            return "unknown_symbol", f"{request.symbol!r} is not in the data"
        if not math.isfinite(request.amount):
            return "invalid_quantity", f"{request.sizing} {request.amount!r}"
        mark = self._market.mark(order.symbol_id)
        if math.isnan(mark) and request.sizing != "quantity":
            return "no_price", "no bar of the symbol so far"
        if request.sizing == "percent" and request.amount > 1.0:
            return "insufficient_cash", f"{request.amount:.4g} of equity in a cash account"
        wanted = self._wanted(request, equity, mark)
        return self._set_quantity(order, request, wanted)

    def _wanted(self, request: OrderRequest, equity: float, mark: float) -> float:
        """Return the shares asked for: to trade for plain orders, to hold for targets."""
        if request.sizing in ("quantity", "target_quantity"):
            return request.amount
        money = request.amount if request.sizing == "target_value" else request.amount * equity
        return money / mark

    def _set_quantity(self, order: Order, request: OrderRequest, wanted: float) -> tuple[str | None, str | None]:
        rounded = wanted if self._fractional else whole_shares(wanted)
        if request.sizing not in _TARGETS:
            order.quantity = rounded
            if rounded == 0.0:
                return "quantity_rounds_to_zero", f"{wanted:.6g} shares"
            return None, None
        self._broker.cancel_working(order.symbol_id, "replaced_by_target")
        held = self._ledger.quantity(order.symbol_id)
        order.quantity = rounded - held
        order.side = "buy" if wanted >= held else "sell"
        if order.quantity != 0.0:
            return None, None
        if rounded == 0.0 and wanted != 0.0:
            return "quantity_rounds_to_zero", f"{wanted:.6g} shares"
        return "on_target", None
