"""The one definition of every table: columns with type, unit and meaning, and the rules their values keep.

Loaders, validation, Dagster checks and the docs read these pandera schemas. A check's `name` is the stable code of
the violation it finds, its `error` the sentence and its `description` what to do. Keys and order are checked by
`data.validation` on neighbouring rows, because pandera's `unique` needs several times the memory of the data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import pandera.polars as pa
import polars as pl

from ml4t_backtest.core.instants import UTC_MICROSECONDS

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
FILL_PHASES = ("open", "rising", "falling", "close", "settled")
CASH_FLOW_KINDS = ("dividend", "borrow_fee", "interest", "cash_in_lieu")
ACTION_KINDS = ("split", "dividend")
PRICE_COLUMNS = ("open", "high", "low", "close")
BAR_COLUMNS = ("timestamp", "symbol", *PRICE_COLUMNS, "volume")
MAX_PRICE = 1e15
MAX_VOLUME = 1e15

_MONEY = "account currency"
_PER_SHARE = "account currency per share"
_FRACTION = "fraction (0.02 is 2 %)"
_INSTANT = "UTC microseconds"


def _column(
    dtype: Any, meaning: str, unit: str = "", *, nullable: bool = False, checks: Sequence[pa.Check] = ()
) -> pa.Column:
    finite = [_finite()] if dtype == pl.Float64 else []
    return pa.Column(dtype, nullable=nullable, description=meaning, metadata={"unit": unit}, checks=[*finite, *checks])


def _rule(code: str, holds: Callable[[pl.Expr], pl.Expr], error: str, hint: str) -> pa.Check:
    """Return a check on one column; `holds` maps the column to a boolean expression."""
    return pa.Check(
        lambda data: data.lazyframe.select(holds(pl.col(data.key))),
        name=code,
        error=error,
        description=hint,
        n_failure_cases=5,
    )


def _row_rule(code: str, holds: pl.Expr, error: str, hint: str) -> pa.Check:
    """Return a check across the columns of a row."""
    return pa.Check(
        lambda data: data.lazyframe.select(holds), name=code, error=error, description=hint, n_failure_cases=5
    )


def _finite() -> pa.Check:
    # A null passes here: whether nulls are allowed is the column's own property.
    return _rule(
        "E-INF",
        lambda c: c.is_finite() | c.is_null(),
        "is infinite or not a number",
        "write null where a value is missing, and remove infinities",
    )


def _price(meaning: str) -> pa.Column:
    return pa.Column(
        pl.Float64,
        description=meaning,
        metadata={"unit": _PER_SHARE},
        checks=[
            _rule("E-PX-NAN", lambda c: c.is_not_nan(), "is NaN", "drop the bar or repair the source"),
            _rule("E-PX-INF", lambda c: ~c.is_infinite(), "is infinite", "drop the bar or repair the source"),
            _rule("E-PX-NONPOS", lambda c: c > 0, "is not positive", "drop the bar or repair the source"),
            _rule("E-PX-RANGE", lambda c: c.abs() < MAX_PRICE, "is too large", "check the unit of the prices"),
        ],
    )


def _bar_columns() -> dict[str, pa.Column]:
    return {
        "timestamp": _column(UTC_MICROSECONDS, "moment the bar is complete and known: its close", _INSTANT),
        "symbol": _column(
            pl.String,
            "instrument",
            checks=[
                _rule("E-KEY-EMPTY", lambda c: c.str.len_chars() > 0, "is empty", "name the instrument"),
                _rule(
                    "E-KEY-WS",
                    lambda c: c == c.str.strip_chars(),
                    "has blanks around it",
                    "strip the blanks in the source",
                ),
                _rule(
                    "E-KEY-CHAR",
                    lambda c: ~c.str.contains(r"[\x00-\x1f\x7f]"),
                    "holds a control character",
                    "remove control characters",
                ),
                _rule("E-KEY-LEN", lambda c: c.str.len_chars() <= 64, "is longer than 64", "shorten it"),
            ],
        ),
        "open": _price("first price of the bar"),
        "high": _price("highest price of the bar"),
        "low": _price("lowest price of the bar"),
        "close": _price("last price of the bar, known at `timestamp`"),
        "volume": _column(
            pl.Float64,
            "traded quantity of the bar",
            "shares",
            checks=[
                _rule("E-PX-NEGVOL", lambda c: c >= 0, "is negative", "repair the source"),
                _rule("E-PX-VOLMAX", lambda c: c < MAX_VOLUME, "is a sentinel, not a volume", "write null or 0"),
            ],
        ),
    }


def _bar_rules() -> list[pa.Check]:
    high, low = pl.col("high"), pl.col("low")
    tolerance = "float32 rounding shows as differences near 1e-7 of the price: round the source to ticks"
    return [
        _row_rule("E-PX-HILO", high >= low, "high is below low", "repair the source"),
        _row_rule(
            "E-PX-OUTSIDE",
            pl.all_horizontal(pl.col(name).is_between(low, high) for name in ("open", "close")),
            "open or close lies outside low to high",
            tolerance,
        ),
    ]


def _open_instant() -> pa.Column:
    return _column(
        UTC_MICROSECONDS, "moment the bar opens; an order decided later is not filled at this open", _INSTANT
    )


def _available_at() -> pa.Column:
    return _column(UTC_MICROSECONDS, "moment the row became known and could be used", _INSTANT)


def _value(meaning: str) -> pa.Column:
    return pa.Column(
        pl.Float64,
        nullable=True,
        description=meaning,
        checks=[
            _rule("E-SG-NAN", lambda c: c.is_not_nan() | c.is_null(), "is NaN", "write null for 'no value'"),
            _rule("E-SG-INF", lambda c: ~c.is_infinite() | c.is_null(), "is infinite", "write null"),
        ],
    )


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


@cache
def prices_schema() -> pa.DataFrameSchema:
    """Return the schema of loaded prices: bars with their open instants, in (timestamp, symbol) order."""
    columns = {**_bar_columns(), "open_instant": _open_instant()}
    return _schema("prices", columns, _bar_rules(), key=("timestamp", "symbol"), meaning="price bars")


@cache
def signals_schema(names: tuple[str, ...]) -> pa.DataFrameSchema:
    """Return the schema of one loaded signal source with the signal columns `names`."""
    columns = {
        "timestamp": _column(UTC_MICROSECONDS, "what the row is about", _INSTANT),
        "symbol": _bar_columns()["symbol"],
        "available_at": _available_at(),
        **{name: _value(f"model output {name}") for name in names},
    }
    key = ("timestamp", "symbol", "available_at")
    return _schema("signals", columns, key=key, meaning="model predictions")


@cache
def context_schema(names: tuple[str, ...]) -> pa.DataFrameSchema:
    """Return the schema of one loaded context source with the market-wide columns `names`."""
    columns = {
        "timestamp": _column(UTC_MICROSECONDS, "what the row is about", _INSTANT),
        "available_at": _available_at(),
        **{name: _value(f"market context {name}") for name in names},
    }
    return _schema("context", columns, key=("timestamp", "available_at"), meaning="market context")


@cache
def asset_data_schema(signals: tuple[str, ...], indicators: tuple[str, ...]) -> pa.DataFrameSchema:
    """Return the schema of prepared bars: prices with the signals known at each bar's decision."""
    columns = {
        **_bar_columns(),
        "open_instant": _open_instant(),
        "decision_instant": _column(UTC_MICROSECONDS, "moment a strategy decides on this bar", _INSTANT),
    }
    for name in signals:
        columns[name] = _value(f"signal {name}, as known at the decision")
        columns[f"{name}_available_at"] = _column(
            UTC_MICROSECONDS, f"when the shown {name} became known", _INSTANT, nullable=True
        )
        columns[f"{name}_is_new"] = _column(pl.Boolean, f"first bar that shows this {name}")
    for name in indicators:
        columns[name] = _value(f"indicator {name}, from prices up to this bar's close")
    return _schema(
        "asset_data",
        columns,
        [*_bar_rules(), *_timing_rules(signals)],
        key=("timestamp", "symbol"),
        meaning="prepared bars with signals and indicators",
    )


@cache
def context_data_schema(names: tuple[str, ...]) -> pa.DataFrameSchema:
    """Return the schema of prepared context: one row per slice of the asset data."""
    columns = {
        "timestamp": _column(UTC_MICROSECONDS, "slice", _INSTANT),
        "decision_instant": _column(UTC_MICROSECONDS, "moment a strategy decides on this slice", _INSTANT),
    }
    for name in names:
        columns[name] = _value(f"context {name}, as known at the decision")
        columns[f"{name}_available_at"] = _column(
            UTC_MICROSECONDS, f"when the shown {name} became known", _INSTANT, nullable=True
        )
    return _schema("context_data", columns, _timing_rules(names), key=("timestamp",), meaning="context per slice")


def _timing_rules(names: tuple[str, ...]) -> list[pa.Check]:
    """Return one rule per name: what is shown was known at the decision."""
    return [
        _row_rule(
            f"E-SG-TIMING:{name}",
            (pl.col(f"{name}_available_at") <= pl.col("decision_instant")).fill_null(True)
            & (pl.col(f"{name}_available_at").is_not_null() | pl.col(name).is_null()),
            f"{name} is used before it was known",
            "declare when the row becomes known (`available_at`) and join on that",
        )
        for name in names
    ]


@cache
def corporate_actions_schema() -> pa.DataFrameSchema:
    """Return the schema of corporate actions."""
    columns = {
        "symbol": _bar_columns()["symbol"],
        "ex_date": _column(pl.Date, "first session without the right", "session"),
        "kind": _column(
            pl.String,
            "split or dividend",
            checks=[_rule("E-CA-KIND", lambda c: c.is_in(ACTION_KINDS), "is no known kind", f"one of {ACTION_KINDS}")],
        ),
        "value": _column(
            pl.Float64,
            "split: new shares per old share; dividend: cash per share",
            "ratio or account currency per share",
            checks=[_rule("E-CA-AMOUNT", lambda c: c > 0, "is not positive", "repair the source")],
        ),
    }
    return _schema("corporate_actions", columns, key=("ex_date", "symbol", "kind"), meaning="splits and cash dividends")


@cache
def orders_schema() -> pa.DataFrameSchema:
    """Return the schema of orders, one row each, whatever became of them."""
    columns = {
        "order_id": _column(pl.Int64, "sequence number from 1"),
        "symbol": _column(pl.String, "instrument"),
        "side": _column(pl.Enum(ORDER_SIDES), "direction"),
        "order_type": _column(pl.String, "market"),
        "decision_timestamp": _column(UTC_MICROSECONDS, "when it was decided", _INSTANT),
        "quantity": _column(pl.Float64, "asked for, on the basis of the last update", "shares", nullable=True),
        "filled_quantity": _column(pl.Float64, "filled, on the basis of the fill", "shares"),
        "status": _column(pl.Enum(ORDER_STATUSES), "what became of it"),
        "reason": _column(pl.String, "code of a rejection, cut or expiry", nullable=True),
        "detail": _column(pl.String, "the numbers behind the reason", nullable=True),
        "last_timestamp": _column(UTC_MICROSECONDS, "slice of the last change", _INSTANT),
    }
    return _schema("orders", columns, key=("order_id",), meaning="orders")


@cache
def fills_schema() -> pa.DataFrameSchema:
    """Return the schema of fills, one row per execution, in the order they happened."""
    columns = {
        "fill_id": _column(pl.Int64, "sequence number from 1"),
        "order_id": _column(pl.Int64, "order filled"),
        "position_id": _column(pl.Int64, "position changed (the opened one for a flip)"),
        "symbol": _column(pl.String, "instrument"),
        "side": _column(pl.Enum(ORDER_SIDES), "direction"),
        "decision_timestamp": _column(UTC_MICROSECONDS, "when it was decided", _INSTANT),
        "timestamp": _column(UTC_MICROSECONDS, "slice of the fill", _INSTANT),
        "fill_instant": _column(UTC_MICROSECONDS, "when it happened; the close where only the bar is known", _INSTANT),
        "phase": _column(pl.Enum(FILL_PHASES), "where in its bar; settled: closed without a bar"),
        "quantity": _column(pl.Float64, "filled", "shares", checks=[_positive()]),
        "raw_price": _column(pl.Float64, "market price", _PER_SHARE, checks=[_positive()]),
        "price": _column(pl.Float64, "paid or received, slippage included", _PER_SHARE, checks=[_positive()]),
        "commission": _column(pl.Float64, "commission", _MONEY, checks=[_not_negative()]),
        "slippage": _column(pl.Float64, "cost against the raw price", _MONEY, checks=[_not_negative()]),
    }
    return _schema("fills", columns, key=("fill_id",), meaning="executions")


@cache
def cash_flows_schema() -> pa.DataFrameSchema:
    """Return the schema of cash that moved without a fill."""
    columns = {
        "timestamp": _column(UTC_MICROSECONDS, "slice", _INSTANT),
        "symbol": _column(pl.String, "instrument, null for interest", nullable=True),
        "position_id": _column(pl.Int64, "position, null for interest", nullable=True),
        "kind": _column(pl.Enum(CASH_FLOW_KINDS), "why"),
        "amount": _column(pl.Float64, "positive: received", _MONEY),
    }
    return _schema("cash_flows", columns, key=(), meaning="cash moved without a fill")


@cache
def trades_schema() -> pa.DataFrameSchema:
    """Return the schema of trades: one row per exit fill, and per open position at the end.

    Signal, indicator and context columns follow as `decision_NAME`, `entry_NAME`, `exit_NAME`.
    """
    columns = {
        "trade_id": _column(pl.Int64, "sequence number from 1"),
        "position_id": _column(pl.Int64, "from flat to flat"),
        "symbol": _column(pl.String, "instrument"),
        "side": _column(pl.Enum(SIDES), "direction of the position"),
        "status": _column(pl.Enum(TRADE_STATUSES), "closed: now flat; partial: reduced; open: still held"),
        "decision_timestamp": _column(UTC_MICROSECONDS, "decision of the first entry", _INSTANT),
        "entry_timestamp": _column(UTC_MICROSECONDS, "slice of the first entry fill", _INSTANT),
        "entry_price": _column(pl.Float64, "average fill price of the entries", _PER_SHARE),
        "entry_quantity": _column(
            pl.Float64, "quantity of this row, exit date's basis", "shares", checks=[_positive()]
        ),
        "entry_commission": _column(pl.Float64, "pro rata", _MONEY, checks=[_not_negative()]),
        "entry_slippage": _column(pl.Float64, "pro rata", _MONEY, checks=[_not_negative()]),
        "exit_decision_timestamp": _column(UTC_MICROSECONDS, "null for protective exits", _INSTANT, nullable=True),
        "exit_timestamp": _column(UTC_MICROSECONDS, "slice of the exit fill", _INSTANT, nullable=True),
        "exit_price": _column(pl.Float64, "fill price of the exit", _PER_SHARE, nullable=True),
        "exit_quantity": _column(pl.Float64, "quantity closed", "shares", nullable=True),
        "exit_commission": _column(pl.Float64, "commission of the exit", _MONEY, checks=[_not_negative()]),
        "exit_slippage": _column(pl.Float64, "slippage of the exit", _MONEY, checks=[_not_negative()]),
        "exit_reason": _column(pl.Enum(EXIT_REASONS), "why it was closed", nullable=True),
        "pnl_gross": _column(pl.Float64, "at raw prices; open rows at the last mark", _MONEY),
        "dividends": _column(pl.Float64, "received (negative: paid by a short), pro rata", _MONEY),
        "borrow_fees": _column(pl.Float64, "paid, pro rata", _MONEY),
        "total_cost": _column(pl.Float64, "commissions and slippage", _MONEY, checks=[_not_negative()]),
        "pnl_net": _column(pl.Float64, "pnl_gross - total_cost + dividends - borrow_fees", _MONEY),
        "pnl_percent": _column(pl.Float64, "pnl_net of entry_price x entry_quantity", _FRACTION),
        "holding_period_bars": _column(pl.Int64, "bars of the symbol from entry to exit", "bars"),
        "holding_period_days": _column(pl.Float64, "from entry slice to exit slice", "days"),
        "stop_loss_level": _column(pl.Float64, "null without a stop", _PER_SHARE, nullable=True),
        "take_profit_level": _column(pl.Float64, "null without a target", _PER_SHARE, nullable=True),
        "max_favorable_excursion": _column(pl.Float64, "best unrealised result", _MONEY),
        "max_adverse_excursion": _column(pl.Float64, "worst unrealised result", _MONEY),
        "max_favorable_pct": _column(pl.Float64, "best, of the average raw entry", _FRACTION),
        "max_adverse_pct": _column(pl.Float64, "worst, of the average raw entry", _FRACTION),
        "ambiguous_bar": _column(pl.Boolean, "the outcome depends on an unknown intrabar order"),
    }
    return _schema("trades", columns, key=("trade_id",), meaning="round trips")


@cache
def portfolio_states_schema() -> pa.DataFrameSchema:
    """Return the schema of portfolio states; context columns follow."""
    columns = {
        "timestamp": _column(UTC_MICROSECONDS, "slice, after its fills and marks", _INSTANT),
        "equity": _column(pl.Float64, "cash + positions_value", _MONEY),
        "cash": _column(pl.Float64, "cash", _MONEY),
        "positions_value": _column(pl.Float64, "sum of quantity x mark (net)", _MONEY),
        "num_positions": _column(pl.Int64, "symbols held"),
        "gross_leverage": _column(
            pl.Float64, "sum of |quantity x mark| / equity", "ratio, null when equity <= 0", nullable=True
        ),
        "net_leverage": _column(pl.Float64, "positions_value / equity", "ratio, null when equity <= 0", nullable=True),
        "period_return": _column(pl.Float64, "equity against the row before", _FRACTION, nullable=True),
        "daily_return": _column(
            pl.Float64, "equity against the last row of the session before", _FRACTION, nullable=True
        ),
        "cumulative_return": _column(pl.Float64, "equity against initial capital", _FRACTION),
    }
    return _schema("portfolio_states", columns, key=("timestamp",), meaning="portfolio after each slice")


@cache
def daily_returns_schema() -> pa.DataFrameSchema:
    """Return the schema of daily returns: the last state of each session."""
    columns = {
        "session": _column(pl.Date, "trading day"),
        "timestamp": _column(UTC_MICROSECONDS, "last slice of the session", _INSTANT),
        "equity": _column(pl.Float64, "at the session's last slice", _MONEY),
        "daily_return": _column(pl.Float64, "against the session before", _FRACTION, nullable=True),
        "cumulative_return": _column(pl.Float64, "against initial capital", _FRACTION),
    }
    return _schema("daily_returns", columns, key=("session",), meaning="one row per session")


def _positive() -> pa.Check:
    return _rule("E-RC-NONPOS", lambda c: c > 0, "is not positive", "report this as a defect of the engine")


def _not_negative() -> pa.Check:
    return _rule("E-RC-NEG", lambda c: c >= 0, "is negative", "report this as a defect of the engine")


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
    return pl.DataFrame(schema={name: column.dtype.type for name, column in schema.columns.items()})
