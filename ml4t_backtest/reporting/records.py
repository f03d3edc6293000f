"""From the objects of a run to its published tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandera.polars as pa
import polars as pl

from ml4t_backtest.core import schemas
from ml4t_backtest.core.chunk import Floats, Integers
from ml4t_backtest.core.columns import coded
from ml4t_backtest.core.fill import CashFlow
from ml4t_backtest.core.fill_table import FillTable
from ml4t_backtest.core.instants import UTC_MICROSECONDS
from ml4t_backtest.core.orders import NO_ROW, Order
from ml4t_backtest.core.record_schemas import FILL_PHASES, ORDER_SIDES, ORDER_STATUSES
from ml4t_backtest.errors import ConfigError


def require_free_names(seen: Sequence[str], context_columns: Sequence[str]) -> None:
    """Refuse columns of the data whose copies in the records would take the name of another column.

    Args:
        seen: Signal and indicator columns, shown in trades as `decision_NAME`, `entry_NAME` and `exit_NAME`.
        context_columns: Context columns, shown in trades likewise and in portfolio states under their own names.

    Raises:
        ConfigError: One would.
    """
    taken = set(schemas.trades_schema().columns)
    for name in (*seen, *context_columns):
        for copy in (f"decision_{name}", f"entry_{name}", f"exit_{name}"):
            if copy in taken:
                raise ConfigError(f"column {name!r} would be {copy} in trades, where that is something else: rename it")
    states = {*schemas.portfolio_states_schema().columns, *schemas.daily_returns_schema().columns}
    for name in context_columns:
        if name in states:
            raise ConfigError(f"context column {name!r} is something else in portfolio_states: rename it")


def orders_frame(orders: Sequence[Order], fills: FillTable, symbols: list[str]) -> pl.DataFrame:
    """Return one row per order, in sequence.

    Args:
        orders: Single orders that have ended.
        fills: Fills; of plain orders they are all there is to tell.
        symbols: Every symbol, by its id.
    """
    schema = schemas.orders_schema()
    rows = [
        (
            order.order_id,
            order.symbol,
            order.side,
            order.kind,
            order.decided,
            order.asked,
            order.filled_quantity,
            order.status,
            order.reason,
            order.detail,
            order.last_timestamp,
        )
        for order in orders
    ]
    singles = _frame(rows, schema)
    if not fills.is_plain.any():
        return singles
    return pl.concat([singles, _plain_orders(fills, symbols).select(singles.columns)]).sort("order_id")


def _plain_orders(fills: FillTable, symbols: list[str]) -> pl.DataFrame:
    """Return the market orders that filled whole, at once, one fill each."""
    plain = fills.is_plain
    quantity = fills.quantity[plain]
    columns = {
        "order_id": fills.order_id[plain],
        "symbol": _named(fills.symbol_id[plain], symbols),
        "side": _sides(quantity),
        "decision_timestamp": fills.decided[plain],
        "quantity": np.abs(quantity),
        "filled_quantity": np.abs(quantity),
        "last_timestamp": fills.timestamp[plain],
    }
    return pl.DataFrame(columns).with_columns(
        pl.lit("market").alias("order_type"),
        pl.lit("filled", dtype=pl.Enum(ORDER_STATUSES)).alias("status"),
        pl.lit(None, dtype=pl.String).alias("reason"),
        pl.lit(None, dtype=pl.String).alias("detail"),
        _datetimes("decision_timestamp", "last_timestamp"),
    )


def fills_frame(fills: FillTable, symbols: list[str]) -> pl.DataFrame:
    """Return one row per fill, in the order they happened."""
    columns = {
        "fill_id": fills.fill_id,
        "order_id": fills.order_id,
        "position_id": fills.position_id,
        "symbol": _named(fills.symbol_id, symbols),
        "side": _sides(fills.quantity),
        "decision_timestamp": fills.decided,
        "timestamp": fills.timestamp,
        "fill_instant": fills.instant,
        "phase": coded(fills.phase, FILL_PHASES),
        "quantity": np.abs(fills.quantity),
        "raw_price": fills.raw_price,
        "price": fills.price,
        "commission": fills.commission,
        "slippage": fills.slippage,
    }
    return pl.DataFrame(columns).with_columns(_datetimes("decision_timestamp", "timestamp", "fill_instant"))


def cash_flows_frame(flows: Sequence[CashFlow], symbols: Sequence[str]) -> pl.DataFrame:
    """Return one row per cash flow, in the order they happened."""
    rows = [
        (
            flow.timestamp,
            None if flow.symbol_id == NO_ROW else symbols[flow.symbol_id],
            None if flow.position_id == NO_ROW else flow.position_id,
            flow.kind,
            flow.amount,
        )
        for flow in flows
    ]
    return _frame(rows, schemas.cash_flows_schema())


def _sides(quantities: Floats) -> pl.Series:
    return coded((quantities < 0.0).astype(np.int64), ORDER_SIDES)


def _named(symbol_ids: Integers, symbols: list[str]) -> pl.Series:
    return pl.Series(symbols, dtype=pl.String).gather(symbol_ids)


def _datetimes(*names: str) -> pl.Expr:
    stamps = pl.from_epoch(pl.col(*names), time_unit="us")
    return stamps.dt.replace_time_zone("UTC").cast(UTC_MICROSECONDS)


def _frame(rows: Sequence[tuple[Any, ...]], schema: pa.DataFrameSchema) -> pl.DataFrame:
    """Build a frame of `schema` from tuples in which instants are integers."""
    types = {name: column.dtype.type for name, column in schema.columns.items()}
    stamps = [name for name, dtype in types.items() if dtype == UTC_MICROSECONDS]
    plain = types | dict.fromkeys(stamps, pl.Int64)
    return pl.DataFrame(rows, schema=plain, orient="row").with_columns(_datetimes(*stamps))
