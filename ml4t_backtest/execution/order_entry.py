"""From what a strategy asked for to orders with a quantity, sized at the deciding slice's closes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from ml4t_backtest.core.market import Market
from ml4t_backtest.core.orders import (
    NO_ROW,
    UNPROTECTED,
    BatchRequest,
    CancelRequest,
    CashPolicy,
    Order,
    OrderRequest,
    Protection,
    ReplaceRequest,
    Request,
    Terms,
)
from ml4t_backtest.execution.accounts import Account
from ml4t_backtest.execution.book import Book
from ml4t_backtest.execution.guard import PositionRules
from ml4t_backtest.execution.knobs.habits import Habits
from ml4t_backtest.execution.order_size import TARGETS, OrderSize, Refusal
from ml4t_backtest.portfolio.ledger import Ledger

# Protection -> what it stays below; all are above 0.
_LARGEST = {
    "stop_loss": math.inf,
    "take_profit": math.inf,
    "stop_loss_percent": 1.0,
    "take_profit_percent": math.inf,
    "trailing_stop_percent": 1.0,
    "max_holding_bars": math.inf,
}


class OrderEntry:
    """Turns requests into orders in the book; what cannot be an order is rejected with its reason."""

    def __init__(
        self,
        market: Market,
        ledger: Ledger,
        book: Book,
        account: Account,
        rules: PositionRules,
        habits: Habits,
        size: OrderSize,
        *,
        on_insufficient_cash: CashPolicy | None,
    ) -> None:
        """Wire it.

        Args:
            market: Last prices.
            ledger: What is held.
            book: Where orders go.
            account: Whether it may be short.
            rules: Protection that entries get without asking.
            habits: Tick and water marks of a profile.
            size: How much an order is for.
            on_insufficient_cash: Policy for all buys; None for the one of each sizing.
        """
        self._market = market
        self._ledger = ledger
        self._book = book
        self._account = account
        self._rules = rules
        self._habits = habits
        self._size = size
        self._on_insufficient_cash = on_insufficient_cash

    def accept(self, requests: Sequence[Request]) -> None:
        """Work through the requests of a slice in order; none can touch the slice itself."""
        equity = self._ledger.value().equity
        for request in _one_by_one(requests, self._market.symbols):
            if isinstance(request, OrderRequest):
                self._enter(request, equity)
            elif (order := self._book.get(request.order_id)) is None:
                continue
            elif isinstance(request, CancelRequest):
                self._book.cancel(order, "by_strategy")
            else:
                self._replace(order, request)

    def _enter(self, request: OrderRequest, equity: float) -> None:
        order = self._order_for(request)
        if request.sizing in TARGETS and order.symbol_id != NO_ROW:
            self._book.cancel_plain(order.symbol_id, "replaced_by_target")
        refusal = self._refusal(request, order) or self._take_size(order, request, equity)
        if refusal is not None and refusal[0] == "on_target":
            return
        if refusal is not None:
            order.end("rejected", self._market.timestamp, *refusal)
        elif not order.reduce_only:
            order.protection = self._rules.complete(order.protection, self._market, order.symbol_id)
        self._book.submit(order)

    def _order_for(self, request: OrderRequest) -> Order:
        market, terms = self._market, request.terms
        symbol_id = market.ids.get(request.symbol, NO_ROW)
        return Order(
            order_id=request.order_id,
            symbol=request.symbol,
            symbol_id=symbol_id,
            side=request.side,
            quantity=0.0,
            decided=market.decided,
            live_from=market.decided,
            decision_slice=market.timestamp,
            decision_row=NO_ROW if symbol_id == NO_ROW else market.run_row_of(symbol_id),
            kind=terms.kind,
            limit=self._habits.grid.limit(terms.limit, is_buy=request.side == "buy"),
            stop=self._habits.grid.stop(terms.stop, is_buy=request.side == "buy"),
            water=None if symbol_id == NO_ROW else self._habits.water.at_decision(market.mark(symbol_id)),
            trail_amount=terms.trail_amount,
            trail_percent=terms.trail_percent,
            tif=terms.tif,
            sequence=request.order_id,
            on_insufficient_cash=self._cash_policy(request),
            reduce_only=request.closes,
            group=request.group,
            protection=request.protection,
            last_timestamp=market.timestamp,
        )

    def _cash_policy(self, request: OrderRequest) -> CashPolicy:
        return self._on_insufficient_cash or ("reject" if request.sizing == "quantity" else "clip")

    def _refusal(self, request: OrderRequest, order: Order) -> Refusal | None:
        """Return why the request makes no order at all."""
        if order.symbol_id == NO_ROW:
            return "unknown_symbol", f"{request.symbol!r} is not in the data"
        if not math.isfinite(request.amount):
            return "invalid_quantity", f"{request.sizing} {request.amount!r}"
        mark = self._market.mark(order.symbol_id)
        if math.isnan(mark) and request.sizing != "quantity":
            return "no_price", "no bar of the symbol so far"
        if request.sizing == "percent" and request.amount > 1.0 and not self._account.allows_short:
            return "insufficient_cash", f"{request.amount:.4g} of equity in a cash account"
        protected = request.protection is not UNPROTECTED
        return _invalid_terms(request.terms) or (_invalid_protection(request.protection) if protected else None)

    def _take_size(self, order: Order, request: OrderRequest, equity: float) -> Refusal | None:
        """Set the order's quantity; return why there is nothing to trade."""
        held, mark = self._ledger.quantity(order.symbol_id), self._market.mark(order.symbol_id)
        size = self._size.of(request, held, mark, equity)
        order.quantity, order.reduce_only = size.quantity, size.reduce_only
        order.side = "buy" if size.is_buy else "sell"
        return size.refusal

    def _replace(self, order: Order, request: ReplaceRequest) -> None:
        """Change a working order; it counts as decided now, so that no earlier price can fill its new terms."""
        terms = Terms(limit=request.limit, stop=request.stop)
        refused = _invalid_terms(terms)
        if refused is not None or (request.quantity is not None and not 0.0 < request.quantity < math.inf):
            order.reason, order.detail = "invalid_replacement", f"{request}"
            return
        if request.limit is not None and order.limit is not None:
            order.limit = self._habits.grid.limit(request.limit, is_buy=order.side == "buy")
        if request.stop is not None and order.stop is not None:
            order.stop = self._habits.grid.stop(request.stop, is_buy=order.side == "buy")
        if request.quantity is not None:
            left = request.quantity - order.filled_quantity
            order.quantity = order.sign * self._size.rounded(left)
            order.asked = order.filled_quantity + abs(order.quantity)
        order.decided = order.live_from = self._market.decided
        self._book.changes += 1
        order.last_timestamp = self._market.timestamp
        if order.quantity * order.sign <= 0.0:
            order.quantity = 0.0
            self._book.cancel(order, "by_strategy")


def _one_by_one(
    requests: Iterable[Request], symbols: Sequence[str]
) -> Iterator[OrderRequest | CancelRequest | ReplaceRequest]:
    """Yield requests in order, those of a batch singly."""
    for request in requests:
        if isinstance(request, BatchRequest):
            yield from request.singles(symbols)
        else:
            yield request


def _invalid_terms(terms: Terms) -> Refusal | None:
    prices = {"limit": terms.limit, "stop": terms.stop, "trail_amount": terms.trail_amount}
    for name, price in prices.items():
        if price is not None and not (math.isfinite(price) and price > 0.0):
            return "invalid_price", f"{name} {price!r}"
    if terms.trail_percent is not None and not 0.0 < terms.trail_percent < 1.0:
        return "invalid_price", f"trail_percent {terms.trail_percent!r}"
    return None


def _invalid_protection(protection: Protection) -> Refusal | None:
    """Return why levels cannot be: a stop that is breached already is no such case, it fills with its entry."""
    for name, below in _LARGEST.items():
        level = getattr(protection, name)
        if level is not None and not 0.0 < level < below:
            return "invalid_price", f"{name} {level!r}"
    return None
