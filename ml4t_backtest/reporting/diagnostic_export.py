"""Results as ml4t-diagnostic 0.2 reads them: one folder that serves its result loader and its run-artifact reader.

Their words differ from ours: slippage per unit instead of money, P&L of a trade at fill prices net of commissions and
without dividends and borrow fees (which are in the equity), a signed quantity, a marked exit for what is still open.
What has no column there stands beside theirs under our name. See docs/guides/exporting.md.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from ml4t_backtest import __version__
from ml4t_backtest.data.safe_path import output_folder, safe_path
from ml4t_backtest.errors import BacktestError
from ml4t_backtest.reporting.prediction_export import signal_table

if TYPE_CHECKING:
    from ml4t_backtest.reporting.result import BacktestResult

SCHEMA_VERSION = 3
_INCOMPLETE = ".artifact-incomplete"
# Read by the run-artifact reader alone: the result loader refuses components that it does not know.
_BESIDE = ("daily_returns", "signals")
_OPEN = pl.col("status") == "open"
_QUOTES = ("quote_mid_price", "bid_price", "ask_price", "spread", "available_size")
_EXIT_REASONS = {
    "time_exit": "time_stop",
    "risk_limit": "risk_liquidation",
    "margin_call": "risk_liquidation",
    "delisted": "end_of_data",
    "corporate_action": "end_of_data",
}
_ORDER_TYPES = {"market_on_close": "moc"}
_REJECTIONS = {
    "no_price": "price_unavailable",
    "no_volume": "fill_check_failed",
    "quantity_rounds_to_zero": "quantity_rounds_to_zero",
    "insufficient_cash": "insufficient_cash",
    "short_not_allowed": "account_restriction",
    "risk_limit": "account_restriction",
    "halted": "account_restriction",
}
# Their name of a figure -> ours.
_METRICS = {
    "final_value": "final_equity",
    "total_return": "total_return",
    "cagr": "annual_return",
    "volatility": "annual_volatility",
    "sharpe": "sharpe_ratio",
    "sortino": "sortino_ratio",
    "calmar": "calmar_ratio",
    "max_drawdown": "max_drawdown",
    "num_trades": "num_trades",
    "win_rate": "hit_rate",
    "profit_factor": "profit_factor",
    "expectancy": "expectancy",
    "total_commission": "total_commission",
    "total_slippage": "total_slippage",
}


def write_diagnostic_folder(
    result: BacktestResult, folder: str | Path, *, predictions: pl.DataFrame | None = None
) -> Path:
    """Write a result so that ml4t-diagnostic reads it, and return the folder.

    `BacktestResult.from_parquet(folder)` of ml4t-backtest 0.2 loads it, and `profile_from_run_artifacts(folder)` and
    `generate_tearsheet_from_run_artifacts(folder)` of ml4t-diagnostic 0.2 (Python 3.12 or later) read it as it is.

    Args:
        result: What a run produced.
        folder: Where to; made when it is absent. Files of the same names are replaced; a folder in which writing was
            interrupted holds a marker that both loaders refuse.
        predictions: What `prediction_table` returns, for their analysis of the model; None for none.

    Raises:
        UnsafePathError: The path is no safe one.
        BacktestError: A file cannot be written.
    """
    home = output_folder(folder)
    frames = diagnostic_frames(result)
    if predictions is not None:
        frames["predictions"] = predictions
        frames["signals"] = signal_table(predictions, result.trades)
    try:
        home.mkdir(parents=True, exist_ok=True)
        marker = home / _INCOMPLETE
        marker.touch()
        for name, frame in frames.items():
            frame.write_parquet(safe_path(home, f"{name}.parquet"))
        for name, content in _documents(result, frames).items():
            safe_path(home, name).write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")
        os.remove(marker)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BacktestError(f"E-FL-WRITE: {home} cannot be written ({error})") from error
    return home


def diagnostic_frames(result: BacktestResult) -> dict[str, pl.DataFrame]:
    """Return the tables by the name of their file, with their columns, types and units."""
    equity = _equity(result)
    return {
        "trades": _trades(result),
        "fills": _fills(result),
        "rejected_orders": _rejected_orders(result),
        "equity": equity,
        "portfolio_state": _portfolio_state(result),
        "daily_pnl": _daily_pnl(equity, result.initial_capital),
        "daily_returns": _daily_returns(result),
    }


def _trades(result: BacktestResult) -> pl.DataFrame:
    sign = pl.when(pl.col("side") == "long").then(1.0).otherwise(-1.0)
    quantity = pl.col("entry_quantity")
    per_unit_entry = pl.col("entry_slippage") / quantity
    # The mark of what is open, back from its P&L at raw prices.
    mark = pl.col("entry_price") - sign * per_unit_entry + sign * pl.col("pnl_gross") / quantity
    last = result.portfolio_states["timestamp"].last()
    trades = result.trades.filter(quantity > 0.0).with_columns(
        exit_price=pl.when(_OPEN).then(mark).otherwise("exit_price"),
        exit_time=pl.coalesce("exit_timestamp", pl.lit(last, dtype=result.trades.schema["exit_timestamp"])),
        fees=pl.col("entry_commission") + pl.col("exit_commission").fill_null(0.0),
        signed=sign * quantity,
    )
    notional = pl.col("entry_price") * quantity
    trades = trades.with_columns(gross_pnl=(pl.col("exit_price") - pl.col("entry_price")) * pl.col("signed"))
    trades = trades.with_columns(pnl=pl.col("gross_pnl") - pl.col("fees"))
    slipped = pl.col("entry_slippage") + pl.col("exit_slippage").fill_null(0.0)
    return trades.select(
        pl.col("symbol").cast(pl.String),
        pl.col("entry_timestamp").alias("entry_time"),
        "exit_time",
        "entry_price",
        "exit_price",
        pl.col("signed").alias("quantity"),
        pl.col("side").cast(pl.String).alias("direction"),
        "pnl",
        (sign * (pl.col("exit_price") / pl.col("entry_price") - 1.0)).alias("pnl_percent"),
        pl.col("holding_period_bars").cast(pl.Int32).alias("bars_held"),
        "fees",
        (pl.col("exit_slippage").fill_null(0.0) / quantity).alias("exit_slippage"),
        pl.col("max_favorable_pct").clip(lower_bound=0.0).fill_null(0.0).alias("mfe"),
        pl.col("max_adverse_pct").clip(upper_bound=0.0).fill_null(0.0).alias("mae"),
        per_unit_entry.alias("entry_slippage"),
        pl.lit(1.0).alias("multiplier"),
        *(pl.lit(None, dtype=pl.Float64).alias(f"{end}_{name}") for end in ("entry", "exit") for name in _QUOTES),
        "gross_pnl",
        (pl.col("pnl") / notional).alias("net_return"),
        slipped.alias("total_slippage_cost"),
        ((pl.col("fees") + slipped) / notional).alias("cost_drag"),
        pl.when(_OPEN)
        .then(pl.lit("end_of_backtest"))
        .otherwise(pl.col("exit_reason").cast(pl.String).replace(_EXIT_REASONS))
        .alias("exit_reason"),
        pl.col("exit_reason").cast(pl.String).alias("exit_reason_detail"),
        pl.col("status").cast(pl.String),
        # Not theirs, and not read there: what their P&L of a trade leaves out, and ours of it.
        "dividends",
        "borrow_fees",
        "pnl_net",
    )


def _fills(result: BacktestResult) -> pl.DataFrame:
    kinds = result.orders.select("order_id", pl.col("order_type").cast(pl.String).replace(_ORDER_TYPES))
    fills = result.fills.join(kinds, on="order_id", how="left", maintain_order="left").with_row_index("fill_sequence")
    sign = pl.when(pl.col("side") == "buy").then(1.0).otherwise(-1.0)
    nothing = {name: pl.lit(None, dtype=pl.Float64).alias(name) for name in (*_QUOTES, "bid_size", "ask_size")}
    return fills.select(
        pl.col("order_id").cast(pl.String),
        pl.col("fill_sequence").cast(pl.UInt32),
        pl.lit(None, dtype=pl.String).alias("rebalance_id"),
        pl.col("symbol").cast(pl.String).alias("asset"),
        pl.col("side").cast(pl.String),
        "quantity",
        (sign * pl.col("quantity")).alias("signed_quantity"),
        pl.lit(1.0).alias("multiplier"),
        pl.lit(None, dtype=pl.String).alias("currency"),
        "price",
        "timestamp",
        "commission",
        (pl.col("slippage") / pl.col("quantity")).alias("slippage"),
        pl.col("order_type").fill_null("market"),
        pl.lit(None, dtype=pl.Float64).alias("limit_price"),
        pl.lit(None, dtype=pl.Float64).alias("stop_price"),
        pl.lit(None, dtype=fills.schema["timestamp"]).alias("stop_triggered_at"),
        pl.col("phase").cast(pl.String).alias("price_source"),
        pl.col("raw_price").alias("reference_price"),
        *(nothing[name] for name in ("quote_mid_price", "bid_price", "ask_price", "spread")),
        *(nothing[name] for name in ("bid_size", "ask_size", "available_size")),
        pl.lit("").alias("exit_reason"),
        pl.lit(None, dtype=pl.String).alias("exit_reason_detail"),
    )


def _rejected_orders(result: BacktestResult) -> pl.DataFrame:
    nothing = [pl.lit(None, dtype=pl.Float64).alias(name) for name in ("limit_price", "stop_price", "trail_amount")]
    return result.rejected_orders.select(
        pl.col("order_id").cast(pl.String),
        pl.col("symbol").cast(pl.String),
        pl.col("decision_timestamp").alias("timestamp"),
        pl.col("quantity").fill_null(0.0).alias("requested_quantity"),
        "filled_quantity",
        (pl.col("quantity").fill_null(0.0) - pl.col("filled_quantity")).alias("remaining_quantity"),
        pl.col("side").cast(pl.String),
        pl.col("order_type").cast(pl.String).replace(_ORDER_TYPES),
        *nothing,
        pl.lit(None, dtype=pl.String).alias("parent_id"),
        pl.lit(None, dtype=pl.String).alias("rebalance_id"),
        pl.lit("rejected").alias("status"),
        pl.col("reason").replace_strict(_REJECTIONS, default="order_validation_failed").alias("rejection_code"),
        pl.concat_str("reason", "detail", separator=": ", ignore_nulls=True).alias("rejection_reason"),
    )


def _equity(result: BacktestResult) -> pl.DataFrame:
    """Return the equity per recorded state; per session where states were recorded less often than that."""
    states, daily = result.portfolio_states, result.daily_returns
    points = (states if states.height >= daily.height else daily).select("timestamp", "equity").sort("timestamp")
    before = pl.col("equity").shift(1).fill_null(result.initial_capital)
    high = pl.col("equity").cum_max().clip(lower_bound=result.initial_capital)
    return points.select(
        "timestamp",
        "equity",
        (pl.col("equity") / before - 1.0).alias("return"),
        (pl.col("equity") / result.initial_capital - 1.0).alias("cumulative_return"),
        (pl.col("equity") / high - 1.0).alias("drawdown"),
        high.alias("high_water_mark"),
        pl.col("equity").alias("performance_equity"),
    )


def _portfolio_state(result: BacktestResult) -> pl.DataFrame:
    return result.portfolio_states.select(
        "timestamp",
        "equity",
        "cash",
        (pl.col("gross_leverage").fill_null(0.0) * pl.col("equity")).alias("gross_exposure"),
        pl.col("positions_value").alias("net_exposure"),
        pl.col("num_positions").cast(pl.Int32).alias("open_positions"),
    )


def _daily_pnl(equity: pl.DataFrame, initial: float) -> pl.DataFrame:
    """Return the days of UTC; it is recomputed there and must be equal to the bit, so the expressions are theirs."""
    days = equity.group_by(pl.col("timestamp").dt.date().alias("date"), maintain_order=True).agg(
        pl.col("equity").last().alias("close_equity"),
        pl.col("equity").max().alias("high_equity"),
        pl.col("equity").min().alias("low_equity"),
        pl.len().alias("num_bars"),
    )
    opened, closed = pl.col("close_equity").shift(1).fill_null(initial), pl.col("close_equity")
    return days.select(
        "date",
        opened.alias("open_equity"),
        "close_equity",
        "high_equity",
        "low_equity",
        "num_bars",
        (closed - opened).alias("pnl"),
        ((closed - opened) / opened).alias("return_pct"),
        (closed / initial - 1.0).alias("cumulative_return"),
    )


def _daily_returns(result: BacktestResult) -> pl.DataFrame:
    return result.daily_returns.select("timestamp", pl.col("daily_return").fill_null(0.0))


def _documents(result: BacktestResult, frames: Mapping[str, pl.DataFrame]) -> dict[str, dict[str, Any]]:
    components = {name: f"{name}.parquet" for name in frames if name not in _BESIDE}
    return {
        "metrics.json": {
            **{name: result.metrics[ours] for name, ours in _METRICS.items()},
            "total_return_pct": 100.0 * (result.metrics["total_return"] or 0.0),
        },
        "spec.json": {"strategy": {"signal": {}, "allocation": {}}},
        "manifest.json": {
            "artifact_type": "ml4t-backtest-result",
            "schema_version": SCHEMA_VERSION,
            "library_version": f"ml4t_backtest {__version__}",
            "account_method": None,
            "initial_capital": result.initial_capital,
            "holdings_sampling": "none",
            "recorded_sampling": None,
            "returns_include_commissions": True,
            "complete": True,
            "components": components | {"metrics": "metrics.json"},
            "omitted_components": {},
        },
    }
