"""The records of a run, each with the moment at which it was written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from ml4t_backtest.core.instants import instants
from ml4t_backtest.lookahead.comparing import Outcome
from ml4t_backtest.lookahead.delivered import Delivered
from ml4t_backtest.reporting.result import BacktestResult

_NUMBERS = ("fill_id", "order_id", "position_id", "trade_id", "status", "filled_quantity", "reason", "detail")
# What an order is from its decision on; the rest tells what became of it.
_DECIDED = ("decision_timestamp", "symbol", "side", "order_type")


def result_outcomes(result: BacktestResult, requests: pl.DataFrame | None = None) -> list[Outcome]:
    """Return the tables of a result by the moment at which each row was written.

    Trades count from their exit on: until then they are not known. Daily returns are states once more. Sequence
    numbers are left out, because what comes later may take part in the counting.

    Args:
        result: The records.
        requests: What the strategy asked for, as `Watched.frame` tells it; None takes the orders, without those that
            protect a position: they are written when their entry fills, and say that they were decided with it.
    """
    closed = result.trades.filter(pl.col("exit_timestamp").is_not_null())
    asked = _without_protective(result.orders).select(_DECIDED) if requests is None else requests
    return [
        _written("orders", asked, "decision_timestamp", ("decision_timestamp", "symbol")),
        _written("fills", result.fills, "timestamp", ("timestamp", "symbol")),
        _written("trades", closed, "exit_timestamp", ("exit_timestamp", "symbol")),
        _written("cash_flows", result.cash_flows, "timestamp", ("timestamp", "symbol", "kind")),
        _written("portfolio_states", result.portfolio_states, "timestamp", ("timestamp",)),
    ]


def decisions_of(result: BacktestResult) -> Delivered:
    """Return the sides of the orders as a column: 1 to buy, -1 to sell; nobody times all of them rightly."""
    orders = _without_protective(result.orders)
    sides = orders.select(
        "symbol",
        timestamp="decision_timestamp",
        side=pl.when(pl.col("side") == "buy").then(1.0).otherwise(-1.0),
    )
    return replace(Delivered.of("orders", "side", sides, instants(sides["timestamp"])), stage="engine")


def _written(name: str, rows: pl.DataFrame, time: str, keys: Sequence[str]) -> Outcome:
    columns = [*keys, *(each for each in rows.columns if each not in keys and each not in _NUMBERS)]
    return Outcome(name, rows.select(columns), instants(rows[time]), tuple(keys))


def _without_protective(orders: pl.DataFrame) -> pl.DataFrame:
    """Return the orders but those that stand against an earlier one of the same symbol and decision."""
    opposite = pl.col("side") != pl.col("side").first().over("symbol", "decision_timestamp", order_by="order_id")
    return orders.filter(~opposite)
