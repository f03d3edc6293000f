"""What must hold for every result: identities of its tables, and agreement with a replay of the run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from datetime import datetime

import polars as pl
from replay import EXIT, Record, Replay, World, is_told_in_full, near

from ml4t_backtest.core.record_schemas import ORDER_REASONS
from ml4t_backtest.core.schemas import result_schemas
from ml4t_backtest.reporting.result import BacktestResult


def check(result: BacktestResult, world: World | None, *, by_schema: bool = True) -> None:
    """Raise AssertionError with everything that does not hold.

    Args:
        result: What an engine returned.
        world: What it was given; None when that cannot be read again.
        by_schema: Whether pandera checks every table too.
    """
    if by_schema:
        for name, schema in result_schemas().items():
            # pandera reports its findings by raising; an empty frame has columns to check as well.
            schema.validate(result.tables()[name], lazy=True)
    unknown = set(result.orders["reason"].drop_nulls()) - set(ORDER_REASONS)
    complaints = [f"orders.reason {code!r} is not documented" for code in sorted(unknown)]
    complaints += [*_tables(result), *_returns(result), *_trade_rows(result)]
    # What a replay cannot tell has tests of its own: tables by hand, and the oracle.
    if is_told_in_full(result):
        complaints += _orders(result)
        if world is not None and world.slices:
            complaints += [*_first_eligible(result, world), *_replayed(result, world)]
    assert not complaints, "\n".join(complaints)


def _tables(result: BacktestResult) -> Iterator[str]:
    for name, schema in result_schemas().items():
        frame = result.tables()[name]
        for column, rule in schema.columns.items():
            if frame.schema[column] != rule.dtype.type or (not rule.nullable and frame[column].null_count()):
                yield f"{name}.{column} is {frame.schema[column]} with {frame[column].null_count()} nulls"
        for column in frame.columns:
            if frame.schema[column].is_float() and not frame[column].drop_nulls().is_finite().all():
                yield f"{name}.{column} is not finite"
    extra = set(result.trades.columns) - set(result_schemas()["trades"].columns)
    yield from (f"trades.{name}" for name in extra if not name.startswith(("decision_", "entry_", "exit_")))
    for row in result.trades.iter_rows(named=True):
        is_open = row["status"] == "open"
        if any((row[name] is None) != is_open for name in EXIT):
            yield f"trade {row['trade_id']}: exit is null when and only when it is open"
    for name, key in (("trades", "trade_id"), ("fills", "fill_id")):
        ids = result.tables()[name][key].to_list()
        if ids != list(range(1, len(ids) + 1)):
            yield f"{name} are not numbered from 1: {ids}"


def _orders(result: BacktestResult) -> Iterator[str]:
    filled = {row["order_id"]: row for row in result.fills.iter_rows(named=True)}
    if len(filled) != result.fills.height:
        yield "a market order fills once"
    orders = {row["order_id"]: row for row in result.orders.iter_rows(named=True)}
    if list(orders) != sorted(orders) or len(orders) != result.orders.height:
        yield "orders are not in sequence"
    if not set(filled) <= set(orders):
        yield f"fills of orders that are not there: {set(filled) - set(orders)}"
    for order_id, row in orders.items():
        fill, status = filled.get(order_id), row["status"]
        if status == "working" or (status == "filled") != (fill is not None):
            yield f"order {order_id} is {status}, fill {fill}"
        if status != "filled" and not row["reason"]:
            yield f"order {order_id} is {status} without a reason"
        if row["filled_quantity"] != (fill["quantity"] if fill else 0.0):
            yield f"order {order_id}: filled quantity {row['filled_quantity']}"
        if fill and (row["side"], row["symbol"], row["decision_timestamp"], row["last_timestamp"]) != (
            fill["side"],
            fill["symbol"],
            fill["decision_timestamp"],
            fill["timestamp"],
        ):
            yield f"order {order_id} and its fill contradict each other"
        if fill and fill["quantity"] > row["quantity"] * (1.0 + 1e-12):
            yield f"order {order_id} fills more than was asked for"


def _returns(result: BacktestResult) -> Iterator[str]:
    """Returns follow from equity; the daily ones from the last slice of the session before."""
    states, daily = result.portfolio_states, list(result.daily_returns.iter_rows(named=True))
    before = session_base = result.initial_capital
    sessions = iter(daily)
    session = next(sessions, None)
    for row in states.iter_rows(named=True):
        equity = row["equity"]
        # States may leave sessions out; each of them has its row all the same.
        while session is not None and row["timestamp"] > session["timestamp"]:
            session_base, session = session["equity"], next(sessions, None)
        expected = {
            "period_return": _growth(before, equity),
            "daily_return": _growth(session_base, equity),
            "cumulative_return": _growth(result.initial_capital, equity),
        }
        yield from _unequal(f"state {row['timestamp']}", row, expected, 1e-9)
        if session is None:
            yield f"state {row['timestamp']} belongs to no session of daily_returns"
        elif session["timestamp"] == row["timestamp"]:
            wanted = {"equity": equity, **_without(expected, "period_return")}
            yield from _unequal("daily_returns", session, wanted, 0.0)
        before = equity
    if states.height and (not daily or daily[-1]["timestamp"] != states["timestamp"][-1]):
        yield "the last state is not that of the last session"
    if len({row["session"] for row in daily}) != len(daily):
        yield "daily_returns has two rows for a session"


def _growth(before: float, now: float) -> float | None:
    return now / before - 1.0 if before > 0.0 else None


def _trade_rows(result: BacktestResult) -> Iterator[str]:
    trades, tolerance = result.trades, _tolerance(result)
    for row in trades.iter_rows(named=True):
        name = f"trade {row['trade_id']}"
        side, quantity = 1.0 if row["side"] == "long" else -1.0, row["entry_quantity"]
        cost = math.fsum(row[f"{end}_{kind}"] for end in ("entry", "exit") for kind in ("commission", "slippage"))
        net = row["pnl_gross"] - cost + row["dividends"] - row["borrow_fees"]
        expected = {"total_cost": cost, "pnl_net": net, "pnl_percent": net / (row["entry_price"] * quantity)}
        yield from _unequal(name, row, expected, tolerance)
        raw_entry = row["entry_price"] - side * row["entry_slippage"] / quantity
        gain = row["pnl_gross"] / (raw_entry * quantity)
        if not row["max_adverse_pct"] - 1e-9 <= gain <= row["max_favorable_pct"] + 1e-9:
            yield f"{name}: raw return {gain} outside its excursions"
        if row["status"] != "open":
            if row["exit_quantity"] != quantity:
                yield f"{name}: entry and exit quantity differ"
            if (row["exit_decision_timestamp"] is None) != (row["exit_reason"] != "signal"):
                yield f"{name}: exit decision {row['exit_decision_timestamp']} for {row['exit_reason']}"
    for cost in ("commission", "slippage"):
        shared = _sum(trades[f"entry_{cost}"]) + _sum(trades[f"exit_{cost}"])
        if abs(shared - _sum(result.fills[cost])) > tolerance:
            yield f"{cost} of trades {shared}, of fills {_sum(result.fills[cost])}"


def _first_eligible(result: BacktestResult, world: World) -> Iterator[str]:
    """A market order fills or fails at the first bar of its symbol that opens at or after the decision."""
    lived: dict[str, list[tuple[datetime, datetime | None]]] = {}
    for timestamp, now in world.slices:
        for symbol, bar in now.items():
            lived.setdefault(symbol, []).append((timestamp, bar.opened))
    for row in result.orders.iter_rows(named=True):
        decided = row["decision_timestamp"]
        opened = (t for t, moment in lived.get(row["symbol"], []) if (moment or t) >= decided and t > decided)
        first = next(opened, None)
        if row["reason"] == "end_of_data" and first is not None:
            yield f"order {row['order_id']} expired although it could have filled at {first}"
        if row["status"] == "filled" and row["last_timestamp"] != first:
            yield f"order {row['order_id']} filled at {row['last_timestamp']}, not at {first}"


def _replayed(result: BacktestResult, world: World) -> Iterator[str]:
    replay, tolerance = Replay(result, world).walk(), _tolerance(result)
    yield from replay.complaints
    start = result.portfolio_states["timestamp"].min()
    states = [state for state in replay.states if start is not None and state["timestamp"] >= start]
    yield from _rows_differ("portfolio_states", result.portfolio_states, states, tolerance)
    yield from _rows_differ("cash_flows", result.cash_flows, replay.flows, tolerance)
    yield from _rows_differ("trades", result.trades, [_finished(row) for row in replay.trades], tolerance)
    gained = _sum(result.trades["pnl_net"])
    if states and abs(gained - (states[-1]["equity"] - result.initial_capital)) > tolerance:
        yield f"sum(pnl_net) {gained} is not the gain {states[-1]['equity'] - result.initial_capital}"


def _finished(row: Record) -> Record:
    cost = row["entry_commission"] + row["entry_slippage"] + row["exit_commission"] + row["exit_slippage"]
    net = row["pnl_gross"] - cost + row["dividends"] - row["borrow_fees"]
    percent = net / row["pnl_percent_of"]
    return {**_without(row, "pnl_percent_of"), "total_cost": cost, "pnl_net": net, "pnl_percent": percent}


def _rows_differ(name: str, frame: pl.DataFrame, expected: list[Record], tolerance: float) -> Iterator[str]:
    if frame.height != len(expected):
        yield f"{name}: {frame.height} rows, the replay has {len(expected)}"
        return
    for number, (row, wanted) in enumerate(zip(frame.iter_rows(named=True), expected, strict=True)):
        yield from _unequal(f"{name} row {number}", row, wanted, tolerance)


def _unequal(name: str, row: Record, expected: Record, tolerance: float) -> Iterator[str]:
    for column, wanted in expected.items():
        found = row[column]
        is_number = isinstance(wanted, float) and isinstance(found, float)
        if not (near(found, wanted, tolerance) if is_number else found == wanted):
            yield f"{name}: {column} is {found!r}, expected {wanted!r}"


def _tolerance(result: BacktestResult) -> float:
    """Return 1e-9 x max(1, turnover), as the design states it."""
    fills = result.fills
    return 1e-9 * max(1.0, _sum(fills["quantity"] * fills["price"]))


def _sum(values: Iterable[float]) -> float:
    return math.fsum(values)


def _without(row: Record, name: str) -> Record:
    return {column: value for column, value in row.items() if column != name}
