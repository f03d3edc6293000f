"""From the objects of a run to its published tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandera.polars as pa
import polars as pl

from ml4t_backtest.core import schemas
from ml4t_backtest.core.fill import CashFlow, Fill
from ml4t_backtest.core.instants import UTC_MICROSECONDS
from ml4t_backtest.core.orders import NO_ROW, Order
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


def orders_frame(orders: Sequence[Order]) -> pl.DataFrame:
    """Return one row per order, in sequence."""
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
    return _frame(rows, schemas.orders_schema())


def fills_frame(fills: Sequence[Fill], symbols: Sequence[str]) -> pl.DataFrame:
    """Return one row per fill, in the order they happened."""
    rows = [
        (
            fill.fill_id,
            fill.order_id,
            fill.position_id,
            symbols[fill.symbol_id],
            _side(fill.quantity),
            fill.decided,
            fill.timestamp,
            fill.instant,
            fill.phase,
            abs(fill.quantity),
            fill.raw_price,
            fill.price,
            fill.commission,
            fill.slippage,
        )
        for fill in fills
    ]
    return _frame(rows, schemas.fills_schema())


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


def _side(quantity: float) -> str:
    return "buy" if quantity >= 0.0 else "sell"


def _frame(rows: Sequence[tuple[Any, ...]], schema: pa.DataFrameSchema) -> pl.DataFrame:
    """Build a frame of `schema` from tuples in which instants are integers."""
    types = {name: column.dtype.type for name, column in schema.columns.items()}
    stamps = [name for name, dtype in types.items() if dtype == UTC_MICROSECONDS]
    plain = types | dict.fromkeys(stamps, pl.Int64)
    return pl.DataFrame(rows, schema=plain, orient="row").with_columns(
        pl.from_epoch(pl.col(stamps), time_unit="us").dt.replace_time_zone("UTC").cast(UTC_MICROSECONDS)
    )
