"""Protective orders: how an entry's fill brings them to life, and which comes first inside a bar."""

from __future__ import annotations

from typing import Literal

from ml4t_backtest.core.orders import PROTECTIVE, Order, OrderIds, OrderKind, OrderSide
from ml4t_backtest.execution.affordability import without_dust

IntrabarPath = Literal["pessimistic", "optimistic", "ohlc", "olhc"]
_REASONS = {"stop": "stop_loss", "limit": "take_profit", "trailing_stop": "trailing_stop", "market": "time_exit"}


def protective_orders(entry: Order, quantity: float, raw_price: float, instant: int, ids: OrderIds) -> list[Order]:
    """Return the bracket of one fill: the orders that protect what it opened, in order of their names.

    Args:
        entry: The order that opened or added.
        quantity: Shares it opened, > 0.
        raw_price: Raw price of the fill; levels in per cent are of it.
        instant: When that was; the orders live from then on.
        ids: Source of order ids.
    """
    wanted = entry.protection
    stop, target = entry_levels(entry, raw_price)
    bracket: list[Order] = []
    if stop is not None:
        bracket.append(_protective(entry, "stop", quantity, instant, next(ids)))
        bracket[-1].stop = stop
    if target is not None:
        bracket.append(_protective(entry, "limit", quantity, instant, next(ids)))
        bracket[-1].limit = target
    if wanted.trailing_stop_percent is not None:
        bracket.append(_protective(entry, "trailing_stop", quantity, instant, next(ids)))
        bracket[-1].trail_percent, bracket[-1].water = wanted.trailing_stop_percent, raw_price
    if wanted.max_holding_bars is not None:
        bracket.append(_protective(entry, "market", quantity, instant, next(ids)))
        bracket[-1].due_after = wanted.max_holding_bars
    for order in bracket:
        order.bracket, order.sequence = bracket, bracket[0].order_id
    return bracket


def entry_levels(entry: Order, raw_price: float) -> tuple[float | None, float | None]:
    """Return the prices of the stop and the target that an entry filled at `raw_price` brings along."""
    wanted, side = entry.protection, entry.sign
    stop, target = wanted.stop_loss, wanted.take_profit
    if wanted.stop_loss_percent is not None:
        stop = raw_price * (1.0 - side * wanted.stop_loss_percent)
    elif wanted.stop_loss_distance is not None:
        stop = raw_price - side * wanted.stop_loss_distance
    if wanted.take_profit_percent is not None:
        target = raw_price * (1.0 + side * wanted.take_profit_percent)
    elif wanted.take_profit_distance is not None:
        target = raw_price + side * wanted.take_profit_distance
    return stop, target


def release(order: Order, size: float) -> list[Order]:
    """Let the others of a bracket cover `size` shares less; return those that have nothing left to cover."""
    others = [other for other in order.bracket if other is not order and other.status == "working"]
    for other in others:
        other.quantity = other.sign * max(without_dust(abs(other.quantity) - size), 0.0)
    return [other for other in others if other.quantity == 0.0]


def place_in_path(order: Order, path: IntrabarPath) -> int:
    """Return which of an entry's protective orders the assumed path reaches first: the one with the lowest number.

    `pessimistic` reaches stops first and `optimistic` targets; `ohlc` reaches what lies above the open first (the
    target of a long position, the stop of a short one), `olhc` what lies below. A time exit comes last: what the open
    gaps through is named after its level.
    """
    if order.kind == "market":
        return 2
    is_stop = order.kind in ("stop", "trailing_stop")
    if path in ("pessimistic", "optimistic"):
        return int(is_stop == (path == "optimistic"))
    lies_above = is_stop == (order.sign > 0.0)
    return int(lies_above == (path == "olhc"))


def _protective(entry: Order, kind: OrderKind, quantity: float, instant: int, order_id: int) -> Order:
    side: OrderSide = "sell" if entry.side == "buy" else "buy"
    return Order(
        order_id=order_id,
        symbol=entry.symbol,
        symbol_id=entry.symbol_id,
        side=side,
        quantity=-entry.sign * quantity,
        decided=entry.decided,
        live_from=instant,
        decision_slice=entry.decision_slice,
        decision_row=entry.decision_row,
        kind=kind,
        rank=PROTECTIVE,
        reduce_only=True,
        exit_reason=_REASONS[kind],
    )
