"""The schemas of what a run records: trades, fills, orders, cash flows, portfolio states, daily returns.

They are read through `core.schemas`, which has the schemas of all tables.
"""

from __future__ import annotations

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
    row_rule,
    rule,
    table,
)

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
# Why an order did not do all that was asked of it.
ORDER_REASONS = {
    "unknown_symbol": "rejected: the symbol is not in the data",
    "no_price": "rejected: the symbol has had no bar so far, or a price not above 0 where it is sized or would fill",
    "invalid_quantity": "rejected: the quantity is no finite number",
    "invalid_price": "rejected: a limit, stop or trail is no positive finite number, or a trail is no fraction below 1",
    "invalid_tif": "rejected: the time in force is unknown",
    "invalid_replacement": "a replacement with impossible terms was ignored; the order works on",
    "quantity_rounds_to_zero": "rejected, or cancelled by a reverse split: less than one share",
    "insufficient_cash": "rejected, or a flip cut to its closing part: cash or margin does not cover it",
    "clipped_to_cash": "cut to what cash or margin covers",
    "short_not_allowed": "rejected, or cut to the position: a cash account never sells short",
    "risk_limit": "rejected or cut: a limit of the portfolio",
    "halted": "rejected or cancelled: a loss limit has stopped trading",
    "no_volume": "rejected: the slippage model has no price for a bar without volume",
    "by_strategy": "cancelled by the strategy",
    "replaced_by_target": "cancelled by a later target order for the symbol",
    "oco": "cancelled: another order of its bracket filled",
    "position_closed": "cancelled: the position it would have reduced is gone",
    "day": "expired at the end of its session",
    "ioc": "expired after its first eligible bar",
    "no_bar_at_close": "market-on-close: expired, its session ended without a bar to fill at",
    "ruined": "expired: equity fell to zero or below",
    "end_of_data": "expired: the data ended",
}
SEVERITIES = ("note", "doubt", "defect")
CASH_FLOW_KINDS = ("dividend", "borrow_fee", "interest", "cash_in_lieu")

_STILL_OPEN = "open rows"
_NO_GROWTH_FROM_NOTHING = "the equity it is measured against is <= 0"


@cache
def orders_schema() -> pa.DataFrameSchema:
    """Return the schema of orders, one row each, whatever became of them."""
    return table("orders", _order_columns(), key=("order_id",), meaning="every order, whatever became of it")


@cache
def rejected_orders_schema() -> pa.DataFrameSchema:
    """Return the schema of rejected orders: the rows of `orders` that were refused, each with its reason."""
    refused = rule("E-RC-STATUS", lambda c: c == "rejected", "is not rejected", "report this as a defect of the engine")
    columns = {
        **_order_columns(),
        "status": column(pl.Enum(ORDER_STATUSES), "rejected", checks=[refused]),
        "reason": column(pl.String, "code of the refusal"),
        "detail": column(pl.String, "the numbers behind the reason"),
        "last_timestamp": instant_column("slice of the refusal"),
    }
    return table("rejected_orders", columns, key=("order_id",), meaning="orders that were refused")


def _order_columns() -> dict[str, pa.Column]:
    return {
        "order_id": column(pl.Int64, "sequence number from 1"),
        "symbol": column(pl.String, "instrument"),
        "side": column(pl.Enum(ORDER_SIDES), "direction"),
        "order_type": column(pl.String, "market, limit, stop, stop_limit, trailing_stop or market_on_close"),
        "decision_timestamp": instant_column("when it was decided; for a protective order, when its entry was"),
        "quantity": column(
            pl.Float64, "asked for, on the basis of the last update; 0 where it was never sized", "shares"
        ),
        "filled_quantity": column(pl.Float64, "filled so far, on the basis of the last update", "shares"),
        "status": column(pl.Enum(ORDER_STATUSES), "what became of it"),
        "reason": column(
            pl.String, "code of a rejection, cut, cancellation or expiry", null_when="nothing was taken from it"
        ),
        "detail": column(
            pl.String, "the numbers behind the reason", null_when="without a reason, or one that needs no numbers"
        ),
        "last_timestamp": instant_column("slice of the last change"),
    }


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
        "phase": column(
            pl.Enum(FILL_PHASES),
            "where in its bar: at the open; inside, where the market rose or fell to the price or nobody knows; "
            "at the close; settled without a bar",
        ),
        "quantity": column(pl.Float64, "filled", "shares", checks=[positive()]),
        "raw_price": column(pl.Float64, "market price; 0: a worthless end", PER_SHARE, checks=[not_negative()]),
        "price": column(pl.Float64, "paid or received, slippage included", PER_SHARE, checks=[not_negative()]),
        "commission": column(pl.Float64, "commission", MONEY, checks=[not_negative()]),
        "slippage": column(pl.Float64, "|price - raw_price| x quantity", MONEY, checks=[not_negative()]),
    }
    priced = row_rule(
        "E-RC-PRICE",
        (pl.col("raw_price") > 0) | (pl.col("phase") == "settled"),
        "is zero, and no settlement of a worthless symbol",
        "report this as a defect of the engine",
        shown=("raw_price", "phase"),
        column="raw_price",
    )
    return table("fills", columns, [priced], key=("fill_id",), meaning="executions, in the order they happened")


@cache
def cash_flows_schema() -> pa.DataFrameSchema:
    """Return the schema of cash that moved without a fill."""
    columns = {
        "timestamp": instant_column("slice"),
        "symbol": column(pl.String, "instrument", null_when="interest"),
        "position_id": column(pl.Int64, "position", null_when="interest"),
        "kind": column(pl.Enum(CASH_FLOW_KINDS), "why"),
        "amount": column(pl.Float64, "positive: received; negative: paid", MONEY),
    }
    return table("cash_flows", columns, key=(), meaning="cash that moved without a fill")


@cache
def trades_schema() -> pa.DataFrameSchema:
    """Return the schema of trades: one row per exit fill, and per open position at the end.

    Signal, indicator and context columns follow as `decision_NAME`, `entry_NAME`, `exit_NAME`.
    """
    columns = {
        "trade_id": column(pl.Int64, "sequence number from 1, in the order of the exits; open rows last"),
        "position_id": column(pl.Int64, "counts positions from flat to flat, from 1"),
        "symbol": column(pl.String, "instrument"),
        "side": column(pl.Enum(SIDES), "direction of the position"),
        "status": column(pl.Enum(TRADE_STATUSES), "closed: now flat; partial: reduced; open: still held"),
        "decision_timestamp": instant_column("decision of the first entry"),
        "entry_timestamp": instant_column("slice of the first entry fill"),
        "entry_price": column(pl.Float64, "average fill price of the entries so far", PER_SHARE),
        "entry_quantity": column(pl.Float64, "quantity of this row, exit date's basis", "shares", checks=[positive()]),
        "entry_commission": column(pl.Float64, "of the entries, pro rata", MONEY, checks=[not_negative()]),
        "entry_slippage": column(pl.Float64, "of the entries, pro rata", MONEY, checks=[not_negative()]),
        "exit_decision_timestamp": instant_column(
            "decision of the exit",
            null_when="open rows, and exits that the strategy did not order (protective, forced)",
        ),
        "exit_timestamp": instant_column("slice of the exit fill", null_when=_STILL_OPEN),
        "exit_price": column(pl.Float64, "fill price of the exit", PER_SHARE, null_when=_STILL_OPEN),
        "exit_quantity": column(pl.Float64, "quantity closed", "shares", null_when=_STILL_OPEN),
        "exit_commission": column(pl.Float64, "commission of the exit", MONEY, checks=[not_negative()]),
        "exit_slippage": column(pl.Float64, "slippage of the exit", MONEY, checks=[not_negative()]),
        "exit_reason": column(pl.Enum(EXIT_REASONS), "why it was closed", null_when=_STILL_OPEN),
        "pnl_gross": column(pl.Float64, "at raw prices; open rows at the last mark", MONEY),
        "dividends": column(pl.Float64, "received (negative: paid by a short), pro rata", MONEY),
        "borrow_fees": column(pl.Float64, "paid, pro rata", MONEY),
        "total_cost": column(pl.Float64, "commissions and slippage of entry and exit", MONEY, checks=[not_negative()]),
        "pnl_net": column(pl.Float64, "pnl_gross - total_cost + dividends - borrow_fees", MONEY),
        "pnl_percent": column(pl.Float64, "pnl_net of entry_price x entry_quantity", FRACTION),
        "holding_period_bars": column(pl.Int64, "bars of the symbol after the first entry's, up to the exit's", "bars"),
        "holding_period_days": column(pl.Float64, "calendar time from entry slice to exit slice", "days"),
        "stop_loss_level": column(
            pl.Float64, "stop price the first entry brought along", PER_SHARE, null_when="it brought no fixed stop"
        ),
        "take_profit_level": column(
            pl.Float64, "target price the first entry brought along", PER_SHARE, null_when="it brought no target"
        ),
        "max_favorable_excursion": column(pl.Float64, "best unrealised result of these shares", MONEY),
        "max_adverse_excursion": column(pl.Float64, "worst unrealised result of these shares", MONEY),
        "max_favorable_pct": column(pl.Float64, "best, of the average raw entry", FRACTION),
        "max_adverse_pct": column(pl.Float64, "worst, of the average raw entry", FRACTION),
        "ambiguous_bar": column(pl.Boolean, "a bar left open in which order prices were reached, and it mattered"),
        "pnl_net_pessimistic": column(
            pl.Float64,
            "pnl_net had the stop been reached first; pnl_net where nothing is in doubt",
            MONEY,
            null_when="ambiguous rows without a range",
        ),
        "pnl_net_optimistic": column(
            pl.Float64,
            "pnl_net had the target been reached first; pnl_net where nothing is in doubt",
            MONEY,
            null_when="ambiguous rows without a range",
        ),
    }
    return table(
        "trades", columns, key=("trade_id",), meaning="one row per exit fill, and per position open at the end"
    )


@cache
def portfolio_states_schema() -> pa.DataFrameSchema:
    """Return the schema of portfolio states; context columns follow."""
    leverage = "equity <= 0"
    columns = {
        "timestamp": instant_column("slice, after its fills and marks"),
        "equity": column(pl.Float64, "cash + positions_value", MONEY),
        "cash": column(pl.Float64, "cash", MONEY),
        "positions_value": column(pl.Float64, "sum of quantity x mark (net)", MONEY),
        "num_positions": column(pl.Int64, "symbols held"),
        "gross_leverage": column(pl.Float64, "sum of |quantity x mark| / equity", "ratio", null_when=leverage),
        "net_leverage": column(pl.Float64, "positions_value / equity", "ratio", null_when=leverage),
        "period_return": column(
            pl.Float64,
            "equity against the row before; the first against initial capital",
            FRACTION,
            null_when=_NO_GROWTH_FROM_NOTHING,
        ),
        "daily_return": column(
            pl.Float64,
            "equity against the last slice of the session before; initial capital in the first session",
            FRACTION,
            null_when=_NO_GROWTH_FROM_NOTHING,
        ),
        "cumulative_return": column(pl.Float64, "equity against initial capital", FRACTION),
    }
    meaning = "the account after each slice, or after the last one of each session, week or month (state_frequency)"
    return table("portfolio_states", columns, key=("timestamp",), meaning=meaning)


@cache
def daily_returns_schema() -> pa.DataFrameSchema:
    """Return the schema of daily returns: the last slice of each session; context columns follow."""
    columns = {
        "session": column(pl.Date, "trading day"),
        "timestamp": instant_column("last slice of the session"),
        "equity": column(pl.Float64, "at the session's last slice", MONEY),
        "daily_return": column(
            pl.Float64,
            "against the session before; initial capital in the first",
            FRACTION,
            null_when=_NO_GROWTH_FROM_NOTHING,
        ),
        "cumulative_return": column(pl.Float64, "against initial capital", FRACTION),
    }
    meaning = "one row per session, whatever the state_frequency"
    return table("daily_returns", columns, key=("session",), meaning=meaning)


@cache
def data_quality_schema() -> pa.DataFrameSchema:
    """Return the schema of what was found in the data that is no error."""
    timeless = "it is about no instant"
    columns = {
        "what": column(pl.String, "code of the finding"),
        "symbol": column(pl.String, "instrument", null_when="it is about the data as a whole"),
        "first": instant_column("first bar concerned", null_when=timeless),
        "last": instant_column("last bar concerned", null_when=timeless),
        "count": column(pl.Int64, "how often", checks=[positive()]),
        "example": column(pl.String, "the first of them, with its numbers"),
        "severity": column(pl.Enum(SEVERITIES), "note; doubt: it may be right; defect: it hardly is"),
        "meaning": column(pl.String, "what it may mean"),
    }
    return table("data_quality", columns, key=("what", "symbol"), meaning="what was found in the data, no error")


def result_schemas() -> dict[str, pa.DataFrameSchema]:
    """Return the schema of every table of a result, by table name."""
    return {
        "trades": trades_schema(),
        "fills": fills_schema(),
        "orders": orders_schema(),
        "rejected_orders": rejected_orders_schema(),
        "cash_flows": cash_flows_schema(),
        "portfolio_states": portfolio_states_schema(),
        "daily_returns": daily_returns_schema(),
        "data_quality": data_quality_schema(),
    }
