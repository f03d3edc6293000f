"""The one definition of every table: columns with type, unit and meaning, and the rules their values keep.

Loaders, validation, Dagster checks and the docs read these pandera schemas. Keys are checked by `data.validation` on
neighbouring rows, because pandera's `unique` needs several times the memory of the data.
"""

from __future__ import annotations

from functools import cache

import pandera.polars as pa
import polars as pl

from ml4t_backtest.core.columns import (
    PER_SHARE,
    column,
    instant_column,
    price_column,
    row_rule,
    rule,
    symbol_column,
    table,
    value_column,
    volume_column,
)
from ml4t_backtest.core.record_schemas import (
    CASH_FLOW_KINDS,
    EXIT_REASONS,
    FILL_PHASES,
    ORDER_SIDES,
    ORDER_STATUSES,
    SEVERITIES,
    SIDES,
    TRADE_STATUSES,
    cash_flows_schema,
    daily_returns_schema,
    data_quality_schema,
    fills_schema,
    orders_schema,
    portfolio_states_schema,
    rejected_orders_schema,
    result_schemas,
    trades_schema,
)

__all__ = [
    "ACTION_KINDS",
    "BAR_COLUMNS",
    "CASH_FLOW_KINDS",
    "EXIT_REASONS",
    "FILL_PHASES",
    "ORDER_SIDES",
    "ORDER_STATUSES",
    "PRICE_COLUMNS",
    "SCHEMA_VERSION",
    "SEVERITIES",
    "SIDES",
    "TRADE_STATUSES",
    "asset_data_schema",
    "cash_flows_schema",
    "context_data_schema",
    "context_schema",
    "corporate_actions_schema",
    "daily_returns_schema",
    "data_quality_schema",
    "empty_frame",
    "fills_schema",
    "orders_schema",
    "portfolio_states_schema",
    "prices_schema",
    "rejected_orders_schema",
    "result_schemas",
    "signals_schema",
    "trades_schema",
]

SCHEMA_VERSION = 2

ACTION_KINDS = ("split", "dividend")
# Adjustment of the prices -> what they do not contain yet, and therefore has to be applied.
ACTIONS_TO_APPLY = {"none": ("split", "dividend"), "split": ("dividend",), "total_return": ()}
PRICE_COLUMNS = ("open", "high", "low", "close")
BAR_COLUMNS = ("timestamp", "symbol", *PRICE_COLUMNS, "volume")
# Column, smallest and greatest value, as declared for a source.
Ranges = tuple[tuple[str, float, float], ...]


def _bar_columns(allow_nonpositive: bool) -> dict[str, pa.Column]:
    return {
        "timestamp": instant_column("moment the bar is complete and known: its close"),
        "symbol": symbol_column(),
        "open": price_column("first price of the bar", allow_nonpositive=allow_nonpositive),
        "high": price_column("highest price of the bar", allow_nonpositive=allow_nonpositive),
        "low": price_column("lowest price of the bar", allow_nonpositive=allow_nonpositive),
        "close": price_column("last price of the bar, known at `timestamp`", allow_nonpositive=allow_nonpositive),
        "volume": volume_column("traded quantity of the bar"),
        "open_instant": instant_column("moment the bar opens; an order decided later is not filled at this open"),
    }


def _bar_rules() -> list[pa.Check]:
    high, low = pl.col("high"), pl.col("low")
    no_numbers = ~pl.all_horizontal(pl.col(name).is_finite() for name in PRICE_COLUMNS)
    return [
        row_rule(
            "E-PX-HILO",
            high >= low,
            "high is below low",
            "repair the source",
            shown=PRICE_COLUMNS,
            unless=no_numbers,
        ),
        row_rule(
            "E-PX-OUTSIDE",
            pl.all_horizontal(pl.col(name).is_between(low, high) for name in ("open", "close")),
            "open or close lies outside low to high",
            "float32 rounding shows as differences near 1e-7 of the price: round the source to ticks, or declare "
            "price_tolerance=1e-6 to move high and low there",
            shown=PRICE_COLUMNS,
            unless=(high < low) | no_numbers,
            enclosed=("low", "open", "close", "high"),
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
def prices_schema(*, allow_nonpositive: bool = False) -> pa.DataFrameSchema:
    """Return the schema of loaded prices: bars with their open instants, in (timestamp, symbol) order."""
    columns = _bar_columns(allow_nonpositive)
    return table("prices", columns, _bar_rules(), key=("timestamp", "symbol"), meaning="price bars")


@cache
def signals_schema(names: tuple[str, ...], ranges: Ranges = ()) -> pa.DataFrameSchema:
    """Return the schema of one loaded signal source with the signal columns `names`, within `ranges` where given."""
    within = {name: (low, high) for name, low, high in ranges}
    columns = {
        "timestamp": instant_column("what the row is about"),
        "symbol": symbol_column(),
        "available_at": instant_column("moment the row became known and could be used"),
        **{name: value_column(f"model output {name}", within.get(name)) for name in names},
    }
    key = ("timestamp", "symbol", "available_at")
    return table("signals", columns, key=key, meaning="model predictions")


@cache
def context_schema(names: tuple[str, ...], ranges: Ranges = ()) -> pa.DataFrameSchema:
    """Return the schema of one loaded context source with the market-wide columns `names`, within `ranges`."""
    within = {name: (low, high) for name, low, high in ranges}
    columns = {
        "timestamp": instant_column("what the row is about"),
        "available_at": instant_column("moment the row became known and could be used"),
        **{name: value_column(f"market context {name}", within.get(name)) for name in names},
    }
    return table("context", columns, key=("timestamp", "available_at"), meaning="market context")


@cache
def asset_data_schema(
    signals: tuple[str, ...], indicators: tuple[str, ...], *, allow_nonpositive: bool = False
) -> pa.DataFrameSchema:
    """Return the schema of prepared bars: prices with the signals known at each bar's decision."""
    columns = {
        **_bar_columns(allow_nonpositive),
        "decision_instant": instant_column("moment a strategy decides on this bar"),
    }
    for name in signals:
        columns[name] = value_column(f"signal {name}, as known at the decision")
        columns[f"{name}_available_at"] = instant_column(f"when the shown {name} became known", nullable=True)
        columns[f"{name}_is_new"] = column(pl.Boolean, f"first bar that shows this {name}")
    for name in indicators:
        columns[name] = value_column(f"indicator {name}, from prices up to this bar's close")
    return table(
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
    return table(
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
    return table("corporate_actions", columns, key=("ex_date", "symbol", "kind"), meaning="splits and cash dividends")


@cache
def delistings_schema() -> pa.DataFrameSchema:
    """Return the schema of the declared ends of symbols."""
    columns = {
        "symbol": symbol_column(),
        "date": column(pl.Date, "last session", "session"),
        "price": column(
            pl.Float64,
            "what a share is paid for",
            PER_SHARE,
            checks=[rule("E-DL-PRICE", lambda c: c >= 0, "is negative", "write what was paid, 0 for nothing")],
        ),
    }
    return table("delistings", columns, key=("symbol",), meaning="symbols that ended")


@cache
def universe_schema() -> pa.DataFrameSchema:
    """Return the schema of a universe: the spans of sessions in which symbols belonged to it."""
    start, end = pl.col("start"), pl.col("end")
    before = end.shift(1).over("symbol", order_by="start")
    is_first = start.cum_count().over("symbol", order_by="start") == 1
    columns = {
        "symbol": symbol_column(),
        "start": column(pl.Date, "first session as a member", "session"),
        "end": column(pl.Date, "last session as a member, null until further notice", "session", nullable=True),
    }
    rules = [
        row_rule("E-UNI-RANGE", end >= start, "it ends before it starts", "repair the source", shown=("start", "end")),
        row_rule(
            "E-UNI-OVERLAP",
            is_first | (before < start).fill_null(False),
            "it starts before the span before it has ended",
            "join overlapping spans in the source",
            shown=("start", "end"),
        ),
    ]
    return table("universe", columns, rules, key=("symbol", "start"), meaning="membership by session")


def empty_frame(schema: pa.DataFrameSchema) -> pl.DataFrame:
    """Return a frame without rows that has exactly the columns of `schema`."""
    return pl.DataFrame(schema={name: each.dtype.type for name, each in schema.columns.items()})
