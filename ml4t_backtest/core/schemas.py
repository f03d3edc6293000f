"""The one definition of every table: columns with type, unit and meaning, and the rules their values keep.

Loaders, validation, Dagster checks and the docs read these pandera schemas. Keys are checked by `data.validation` on
neighbouring rows, because pandera's `unique` needs several times the memory of the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import pandera.polars as pa
import polars as pl

from ml4t_backtest.core.columns import (
    FRACTION,
    MONEY,
    PER_SHARE,
    column,
    instant_column,
    not_negative,
    positive,
    price_column,
    row_rule,
    rule,
    symbol_column,
    value_column,
    volume_column,
)

SCHEMA_VERSION = 1

SIDES = ("long", "short")
ORDER_SIDES = ("buy", "sell")
TRADE_STATUSES = ("closed", "partial", "open")
ORDER_STATUSES = ("working", "filled", "rejected", "cancelled", "expired")
EXIT_REASONS = (
    "signal",
    "stop_loss",
    "take_profit",
    "trailing_stop",
    "time_exit",
    "risk_limit",
    "margin_call",
    "delisted",
    "corporate_action",
    "end_of_data",
)
FILL_PHASES = ("open", "rising", "falling", "inside", "close", "settled")
CASH_FLOW_KINDS = ("dividend", "borrow_fee", "interest", "cash_in_lieu")
ACTION_KINDS = ("split", "dividend")
PRICE_COLUMNS = ("open", "high", "low", "close")
BAR_COLUMNS = ("timestamp", "symbol", *PRICE_COLUMNS, "volume")


def _schema(
    name: str,
    columns: dict[str, pa.Column],
    checks: Sequence[pa.Check] = (),
    *,
    key: tuple[str, ...],
    meaning: str,
) -> pa.DataFrameSchema:
    return pa.DataFrameSchema(
        columns, checks=list(checks), name=name, description=meaning, metadata={"key": key}, strict=False
    )


def _bar_columns() -> dict[str, pa.Column]:
    return {
        "timestamp": instant_column("moment the bar is complete and known: its close"),
        "symbol": symbol_column(),
        "open": price_column("first price of the bar"),
        "high": price_column("highest price of the bar"),
        "low": price_column("lowest price of the bar"),
        "close": price_column("last price of the bar, known at `timestamp`"),
        "volume": volume_column("traded quantity of the bar"),
        "open_instant": instant_column("moment the bar opens; an order decided later is not filled at this open"),
    }


def _bar_rules() -> list[pa.Check]:
    high, low = pl.col("high"), pl.col("low")
    comparable = pl.all_horizontal(pl.col(name).is_finite() for name in PRICE_COLUMNS)
    return [
        row_rule(
            "E-PX-HILO", (high >= low) | ~comparable, "high is below low", "repair the source", shown=PRICE_COLUMNS
        ),
        row_rule(
            "E-PX-OUTSIDE",
            pl.all_horizontal(pl.col(name).is_between(low, high) for name in ("open", "close"))
            | (high < low)
            | ~comparable,
            "open or close lies outside low to high",
            "float32 rounding shows as differences near 1e-7 of the price: round the source to ticks",
            shown=PRICE_COLUMNS,
        ),
        row_rule(
            "E-TS-OPEN",
            pl.col("open_instant") <= pl.col("timestamp"),
            "the bar opens after it is complete",
            "`timestamp` is the bar's close: declare what the source's labels mean (bar_label)",
            shown=("open_instant", "timestamp"),
        ),
    ]


@cache
def prices_schema() -> pa.DataFrameSchema:
    """Return the schema of loaded prices: bars with their open instants, in (timestamp, symbol) order."""
    return _schema("prices", _bar_columns(), _bar_rules(), key=("timestamp", "symbol"), meaning="price bars")


@cache
def signals_schema(names: tuple[str, ...]) -> pa.DataFrameSchema:
    """Return the schema of one loaded signal source with the signal columns `names`."""
    columns = {
        "timestamp": instant_column("what the row is about"),
        "symbol": symbol_column(),
        "available_at": instant_column("moment the row became known and could be used"),
        **{name: value_column(f"model output {name}") for name in names},
    }
    key = ("timestamp", "symbol", "available_at")
    return _schema("signals", columns, key=key, meaning="model predictions")


@cache
def context_schema(names: tuple[str, ...]) -> pa.DataFrameSchema:
    """Return the schema of one loaded context source with the market-wide columns `names`."""
    columns = {
        "timestamp": instant_column("what the row is about"),
        "available_at": instant_column("moment the row became known and could be used"),
        **{name: value_column(f"market context {name}") for name in names},
    }
    return _schema("context", columns, key=("timestamp", "available_at"), meaning="market context")


@cache
def asset_data_schema(signals: tuple[str, ...], indicators: tuple[str, ...]) -> pa.DataFrameSchema:
    """Return the schema of prepared bars: prices with the signals known at each bar's decision."""
    columns = {
        **_bar_columns(),
        "decision_instant": instant_column("moment a strategy decides on this bar"),
    }
    for name in signals:
        columns[name] = value_column(f"signal {name}, as known at the decision")
        columns[f"{name}_available_at"] = instant_column(f"when the shown {name} became known", nullable=True)
        columns[f"{name}_is_new"] = column(pl.Boolean, f"first bar that shows this {name}")
    for name in indicators:
        columns[name] = value_column(f"indicator {name}, from prices up to this bar's close")
    return _schema(
        "asset_data",
        columns,
        [*_bar_rules(), _decided_after(), *_timing_rules(signals)],
        key=("timestamp", "symbol"),
        meaning="prepared bars with signals and indicators",
    )


@cache
def context_data_schema(names: tuple[str, ...]) -> pa.DataFrameSchema:
    """Return the schema of prepared context: one row per slice of the asset data."""
    columns = {
        "timestamp": instant_column("slice"),
        "decision_instant": instant_column("moment a strategy decides on this slice"),
    }
    for name in names:
        columns[name] = value_column(f"context {name}, as known at the decision")
        columns[f"{name}_available_at"] = instant_column(f"when the shown {name} became known", nullable=True)
    return _schema(
        "context_data",
        columns,
        [_decided_after(), *_timing_rules(names)],
        key=("timestamp",),
        meaning="context per slice",
    )


def _decided_after() -> pa.Check:
    return row_rule(
        "E-TS-DECISION",
        pl.col("timestamp") <= pl.col("decision_instant"),
        "the decision is made before the slice is known",
        "decide at `timestamp` or later",
        shown=("decision_instant", "timestamp"),
    )


def _timing_rules(names: tuple[str, ...]) -> list[pa.Check]:
    """Return one rule per name: what is shown was known at the decision."""
    return [
        row_rule(
            f"E-SG-TIMING:{name}",
            (pl.col(f"{name}_available_at") <= pl.col("decision_instant")).fill_null(True)
            & (pl.col(f"{name}_available_at").is_not_null() | pl.col(name).is_null()),
            f"{name} is used before it was known",
            "declare when the row becomes known (`available_at`) and join on that",
            shown=(f"{name}_available_at", "decision_instant"),
            column=f"{name}_available_at",
        )
        for name in names
    ]


@cache
def corporate_actions_schema() -> pa.DataFrameSchema:
    """Return the schema of corporate actions."""
    columns = {
        "symbol": symbol_column(),
        "ex_date": column(pl.Date, "first session without the right", "session"),
        "kind": column(
            pl.String,
            "split or dividend",
            checks=[rule("E-CA-KIND", lambda c: c.is_in(ACTION_KINDS), "is no known kind", f"one of {ACTION_KINDS}")],
        ),
        "value": column(
            pl.Float64,
            "split: new shares per old share; dividend: cash per share",
            "ratio or account currency per share",
            checks=[rule("E-CA-AMOUNT", lambda c: c > 0, "is not positive", "repair the source")],
        ),
    }
    return _schema("corporate_actions", columns, key=("ex_date", "symbol", "kind"), meaning="splits and cash dividends")


@cache
def orders_schema() -> pa.DataFrameSchema:
    """Return the schema of orders, one row each, whatever became of them."""
    columns = {
        "order_id": column(pl.Int64, "sequence number from 1"),
        "symbol": column(pl.String, "instrument"),
        "side": column(pl.Enum(ORDER_SIDES), "direction"),
        "order_type": column(pl.String, "market"),
        "decision_timestamp": instant_column("when it was decided"),
        "quantity": column(pl.Float64, "asked for, on the basis of the last update", "shares", nullable=True),
        "filled_quantity": column(pl.Float64, "filled, on the basis of the fill", "shares"),
        "status": column(pl.Enum(ORDER_STATUSES), "what became of it"),
        "reason": column(pl.String, "code of a rejection, cut or expiry", nullable=True),
        "detail": column(pl.String, "the numbers behind the reason", nullable=True),
        "last_timestamp": instant_column("slice of the last change"),
    }
    return _schema("orders", columns, key=("order_id",), meaning="orders")


@cache
def fills_schema() -> pa.DataFrameSchema:
    """Return the schema of fills, one row per execution, in the order they happened."""
    columns = {
        "fill_id": column(pl.Int64, "sequence number from 1"),
        "order_id": column(pl.Int64, "order filled"),
        "position_id": column(pl.Int64, "position changed (the opened one for a flip)"),
        "symbol": column(pl.String, "instrument"),
        "side": column(pl.Enum(ORDER_SIDES), "direction"),
        "decision_timestamp": instant_column("when it was decided"),
        "timestamp": instant_column("slice of the fill"),
        "fill_instant": instant_column("when it happened; the close where only the bar is known"),
        "phase": column(pl.Enum(FILL_PHASES), "where in its bar; settled: closed without a bar"),
        "quantity": column(pl.Float64, "filled", "shares", checks=[positive()]),
        "raw_price": column(pl.Float64, "market price", PER_SHARE, checks=[positive()]),
        "price": column(pl.Float64, "paid or received, slippage included", PER_SHARE, checks=[positive()]),
        "commission": column(pl.Float64, "commission", MONEY, checks=[not_negative()]),
        "slippage": column(pl.Float64, "cost against the raw price", MONEY, checks=[not_negative()]),
    }
    return _schema("fills", columns, key=("fill_id",), meaning="executions")


@cache
def cash_flows_schema() -> pa.DataFrameSchema:
    """Return the schema of cash that moved without a fill."""
    columns = {
        "timestamp": instant_column("slice"),
        "symbol": column(pl.String, "instrument, null for interest", nullable=True),
        "position_id": column(pl.Int64, "position, null for interest", nullable=True),
        "kind": column(pl.Enum(CASH_FLOW_KINDS), "why"),
        "amount": column(pl.Float64, "positive: received", MONEY),
    }
    return _schema("cash_flows", columns, key=(), meaning="cash moved without a fill")


@cache
def trades_schema() -> pa.DataFrameSchema:
    """Return the schema of trades: one row per exit fill, and per open position at the end.

    Signal, indicator and context columns follow as `decision_NAME`, `entry_NAME`, `exit_NAME`.
    """
    columns = {
        "trade_id": column(pl.Int64, "sequence number from 1"),
        "position_id": column(pl.Int64, "from flat to flat"),
        "symbol": column(pl.String, "instrument"),
        "side": column(pl.Enum(SIDES), "direction of the position"),
        "status": column(pl.Enum(TRADE_STATUSES), "closed: now flat; partial: reduced; open: still held"),
        "decision_timestamp": instant_column("decision of the first entry"),
        "entry_timestamp": instant_column("slice of the first entry fill"),
        "entry_price": column(pl.Float64, "average fill price of the entries", PER_SHARE),
        "entry_quantity": column(pl.Float64, "quantity of this row, exit date's basis", "shares", checks=[positive()]),
        "entry_commission": column(pl.Float64, "pro rata", MONEY, checks=[not_negative()]),
        "entry_slippage": column(pl.Float64, "pro rata", MONEY, checks=[not_negative()]),
        "exit_decision_timestamp": instant_column("null for protective exits", nullable=True),
        "exit_timestamp": instant_column("slice of the exit fill", nullable=True),
        "exit_price": column(pl.Float64, "fill price of the exit", PER_SHARE, nullable=True),
        "exit_quantity": column(pl.Float64, "quantity closed", "shares", nullable=True),
        "exit_commission": column(pl.Float64, "commission of the exit", MONEY, checks=[not_negative()]),
        "exit_slippage": column(pl.Float64, "slippage of the exit", MONEY, checks=[not_negative()]),
        "exit_reason": column(pl.Enum(EXIT_REASONS), "why it was closed", nullable=True),
        "pnl_gross": column(pl.Float64, "at raw prices; open rows at the last mark", MONEY),
        "dividends": column(pl.Float64, "received (negative: paid by a short), pro rata", MONEY),
        "borrow_fees": column(pl.Float64, "paid, pro rata", MONEY),
        "total_cost": column(pl.Float64, "commissions and slippage", MONEY, checks=[not_negative()]),
        "pnl_net": column(pl.Float64, "pnl_gross - total_cost + dividends - borrow_fees", MONEY),
        "pnl_percent": column(pl.Float64, "pnl_net of entry_price x entry_quantity", FRACTION),
        "holding_period_bars": column(pl.Int64, "bars of the symbol from entry to exit", "bars"),
        "holding_period_days": column(pl.Float64, "from entry slice to exit slice", "days"),
        "stop_loss_level": column(pl.Float64, "null without a stop", PER_SHARE, nullable=True),
        "take_profit_level": column(pl.Float64, "null without a target", PER_SHARE, nullable=True),
        "max_favorable_excursion": column(pl.Float64, "best unrealised result", MONEY),
        "max_adverse_excursion": column(pl.Float64, "worst unrealised result", MONEY),
        "max_favorable_pct": column(pl.Float64, "best, of the average raw entry", FRACTION),
        "max_adverse_pct": column(pl.Float64, "worst, of the average raw entry", FRACTION),
        "ambiguous_bar": column(pl.Boolean, "the outcome depends on an unknown intrabar order"),
    }
    return _schema("trades", columns, key=("trade_id",), meaning="round trips")


@cache
def portfolio_states_schema() -> pa.DataFrameSchema:
    """Return the schema of portfolio states; context columns follow."""
    columns = {
        "timestamp": instant_column("slice, after its fills and marks"),
        "equity": column(pl.Float64, "cash + positions_value", MONEY),
        "cash": column(pl.Float64, "cash", MONEY),
        "positions_value": column(pl.Float64, "sum of quantity x mark (net)", MONEY),
        "num_positions": column(pl.Int64, "symbols held"),
        "gross_leverage": column(
            pl.Float64, "sum of |quantity x mark| / equity", "ratio, null when equity <= 0", nullable=True
        ),
        "net_leverage": column(pl.Float64, "positions_value / equity", "ratio, null when equity <= 0", nullable=True),
        "period_return": column(pl.Float64, "equity against the row before", FRACTION, nullable=True),
        "daily_return": column(
            pl.Float64, "equity against the last row of the session before", FRACTION, nullable=True
        ),
        "cumulative_return": column(pl.Float64, "equity against initial capital", FRACTION),
    }
    return _schema("portfolio_states", columns, key=("timestamp",), meaning="portfolio after each slice")


@cache
def daily_returns_schema() -> pa.DataFrameSchema:
    """Return the schema of daily returns: the last state of each session."""
    columns = {
        "session": column(pl.Date, "trading day"),
        "timestamp": instant_column("last slice of the session"),
        "equity": column(pl.Float64, "at the session's last slice", MONEY),
        "daily_return": column(pl.Float64, "against the session before", FRACTION, nullable=True),
        "cumulative_return": column(pl.Float64, "against initial capital", FRACTION),
    }
    return _schema("daily_returns", columns, key=("session",), meaning="one row per session")


def result_schemas() -> dict[str, pa.DataFrameSchema]:
    """Return the schema of every table of a result, by table name."""
    return {
        "trades": trades_schema(),
        "fills": fills_schema(),
        "orders": orders_schema(),
        "cash_flows": cash_flows_schema(),
        "portfolio_states": portfolio_states_schema(),
        "daily_returns": daily_returns_schema(),
    }


def empty_frame(schema: pa.DataFrameSchema) -> pl.DataFrame:
    """Return a frame without rows that has exactly the columns of `schema`."""
    return pl.DataFrame(schema={name: each.dtype.type for name, each in schema.columns.items()})
