"""Protective orders: how an entry's fill brings them to life, and which comes first inside a bar."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from ml4t_backtest.core.orders import PROTECTIVE, Bracket, Order, OrderKind, OrderSide

IntrabarPath = Literal["pessimistic", "optimistic", "ohlc", "olhc"]
_REASONS = {"stop": "stop_loss", "limit": "take_profit", "trailing_stop": "trailing_stop", "market": "time_exit"}


def protective_orders(entry: Order, raw_price: float, instant: int, ids: Iterator[int]) -> list[Order]:
    """Return the orders that protect what `entry` opens; levels in per cent are of its first raw fill.

    Args:
        entry: The order that opened or added.
        raw_price: Raw price of its fill.
        instant: When that was; the orders live from then on.
        ids: Source of order ids.
    """
    wanted = entry.protection
    stop, target = entry_levels(entry, raw_price)
    orders: list[Order] = []
    if stop is not None:
        orders.append(_protective(entry, "stop", instant, next(ids)))
        orders[-1].stop = stop
    if wanted.trailing_stop_percent is not None:
        orders.append(_protective(entry, "trailing_stop", instant, next(ids)))
        orders[-1].trail_percent, orders[-1].water = wanted.trailing_stop_percent, raw_price
    if target is not None:
        orders.append(_protective(entry, "limit", instant, next(ids)))
        orders[-1].limit = target
    if wanted.max_holding_bars is not None:
        orders.append(_protective(entry, "market", instant, next(ids)))
        orders[-1].bars_left = wanted.max_holding_bars
    return orders


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


def cover(bracket: Bracket, quantity: float) -> None:
    """Make a bracket's orders protect `quantity` more shares (fewer where it is negative)."""
    bracket.remaining += quantity
    for order in bracket.orders:
        order.quantity = order.sign * bracket.remaining
        order.asked = order.filled_quantity + abs(order.quantity)


def place_in_path(order: Order, path: IntrabarPath) -> int:
    """Return 0 for a protective order that the assumed path reaches before those that get 1.

    `pessimistic` reaches stops first and `optimistic` targets; `ohlc` reaches what lies above the open first (the
    target of a long position, the stop of a short one), `olhc` what lies below.
    """
    is_stop = order.kind in ("stop", "trailing_stop")
    if path in ("pessimistic", "optimistic"):
        return int(is_stop == (path == "optimistic"))
    lies_above = is_stop == (order.sign > 0.0)
    return int(lies_above == (path == "olhc"))


def _protective(entry: Order, kind: OrderKind, instant: int, order_id: int) -> Order:
    side: OrderSide = "sell" if entry.side == "buy" else "buy"
    return Order(
        order_id=order_id,
        symbol=entry.symbol,
        symbol_id=entry.symbol_id,
        side=side,
        quantity=0.0,
        decided=entry.decided,
        live_from=instant,
        decision_slice=entry.decision_slice,
        decision_row=entry.decision_row,
        kind=kind,
        rank=PROTECTIVE,
        sequence=entry.sequence,
        reduce_only=True,
        bracket=entry.bracket,
        exit_reason=_REASONS[kind],
    )
