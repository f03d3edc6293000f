"""A run as one row, and all runs side by side, for whoever compares them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import pandera.polars as pa
import polars as pl

from ml4t_backtest.config.schema import BacktestConfig
from ml4t_backtest.core import schemas
from ml4t_backtest.core.columns import rule
from ml4t_backtest.reporting.formats import count, money, percent, ratio
from ml4t_backtest.reporting.result import BacktestResult

MIXED_VERSIONS = "E-VS-MIXED"
_MONEY = "account currency"
_FRACTION = "fraction (0.02 is 2 %)"
_PER_YEAR = "fraction per year"
_METRICS: dict[str, tuple[type[pl.DataType], str, str]] = {
    "initial_capital": (pl.Float64, "cash at the start", _MONEY),
    "final_equity": (pl.Float64, "equity after the last slice", _MONEY),
    "total_return": (pl.Float64, "equity against initial capital", _FRACTION),
    "annual_return": (pl.Float64, "compound growth, 252 sessions a year; null for fewer than 21", _PER_YEAR),
    "annual_volatility": (pl.Float64, "deviation of daily returns times sqrt(252)", _PER_YEAR),
    "sharpe_ratio": (pl.Float64, "mean over deviation of daily returns times sqrt(252)", "ratio"),
    "sortino_ratio": (pl.Float64, "mean over downside deviation times sqrt(252)", "ratio"),
    "calmar_ratio": (pl.Float64, "annual return over deepest drawdown", "ratio"),
    "max_drawdown": (pl.Float64, "deepest fall from a peak, <= 0", _FRACTION),
    "num_sessions": (pl.Int64, "trading days", "sessions"),
    "exposure": (pl.Float64, "mean gross leverage", "ratio"),
    "num_trades": (pl.Int64, "round trips ended, from flat to flat", "trades"),
    "num_exits": (pl.Int64, "exits, partial ones included: rows of trades that are not open", "exits"),
    "num_open_trades": (pl.Int64, "positions held at the end", "trades"),
    "hit_rate": (pl.Float64, "round trips with a gain", _FRACTION),
    "profit_factor": (pl.Float64, "gains over losses of round trips", "ratio"),
    "expectancy": (pl.Float64, "mean net result of round trips", _MONEY),
    "average_holding_bars": (pl.Float64, "mean bars from first entry to last exit of round trips", "bars"),
    "pnl_net": (pl.Float64, "net result of all trades, open ones at the last mark", _MONEY),
    "num_ambiguous_trades": (pl.Int64, "rows of trades marked ambiguous_bar", "rows"),
    "num_ambiguous_without_range": (pl.Int64, "those of them whose other outcome is unknown", "rows"),
    "pnl_net_pessimistic": (pl.Float64, "pnl_net had stops been reached before targets in ambiguous bars", _MONEY),
    "pnl_net_optimistic": (pl.Float64, "pnl_net had targets been reached before stops in ambiguous bars", _MONEY),
    "num_fills": (pl.Int64, "executions", "fills"),
    "turnover": (pl.Float64, "sum of |quantity x price| over fills", _MONEY),
    "total_commission": (pl.Float64, "commissions", _MONEY),
    "total_slippage": (pl.Float64, "slippage against raw prices", _MONEY),
    "total_costs": (pl.Float64, "commissions and slippage", _MONEY),
}
_OPTIONAL = {*_METRICS} - {"initial_capital", "final_equity", "total_return", "max_drawdown"}
_IDENTITY: dict[str, tuple[type[pl.DataType], str, str]] = {
    "config": (pl.String, "configuration", ""),
    "dataset": (pl.String, "data set", ""),
}
_PROVENANCE: dict[str, tuple[type[pl.DataType], str, str]] = {
    "rows_checked": (pl.Int64, "bars walked through, every one checked", "rows"),
    "slices": (pl.Int64, "timestamps walked through", "slices"),
    "symbols": (pl.Int64, "instruments", "symbols"),
    "notes": (pl.String, "what the run assumed about its data, one per line", ""),
    "config_hash": (pl.String, "sha256 of the configuration with its data set's", "hex"),
    "data_hash": (pl.String, "content hash of the prepared data", "hex"),
    "engine_version": (pl.String, "version of ml4t_backtest", ""),
}
_COMPARED = (
    ("return", "total_return", percent),
    ("per year", "annual_return", percent),
    ("Sharpe", "sharpe_ratio", ratio),
    ("drawdown", "max_drawdown", percent),
    ("trades", "num_trades", count),
    ("costs", "total_costs", money),
)
_RUN = {**_IDENTITY, **_METRICS, **_PROVENANCE}


def run_summary(key: str, config: BacktestConfig, result: BacktestResult, inputs: Mapping[str, str]) -> pl.DataFrame:
    """Return a run as one row: what it was made from and what came out."""
    row = {
        "config": key,
        "dataset": config.dataset.name,
        "config_hash": inputs["config"],
        "data_hash": inputs["data"],
        "engine_version": inputs["ml4t_backtest"],
        **{name: result.facts[name] for name in ("rows_checked", "slices", "symbols")},
        "notes": "\n".join(result.facts["notes"]),
        **{name: result.metrics[name] for name in _METRICS},
    }
    return pl.DataFrame([row], schema={name: dtype for name, (dtype, _, _) in _RUN.items()})


@cache
def run_summary_schema() -> pa.DataFrameSchema:
    """Return the schema of `run_summary`; a figure that is not defined is null."""
    columns = {
        name: pa.Column(dtype, nullable=name in _OPTIONAL, description=meaning, metadata={"unit": unit})
        for name, (dtype, meaning, unit) in _RUN.items()
    }
    return pa.DataFrameSchema(columns, name="backtest_run", metadata={"key": ("config",)})


def compare_runs(runs: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return all runs in the order of their names; `is_comparable` is false where the runs of a data set differ in it.

    A figure from last week's data beside one from today's looks like a difference between strategies.
    """
    table = pl.concat([schemas.empty_frame(run_summary_schema()), *runs]).sort("config")
    versions = pl.concat_str("data_hash", "engine_version", separator=" ").n_unique().over("dataset")
    return table.with_columns(is_comparable=versions == 1)


@cache
def comparison_schema() -> pa.DataFrameSchema:
    """Return the schema of `compare_runs`."""
    same = rule(
        MIXED_VERSIONS,
        lambda is_comparable: is_comparable,
        "is false: runs on one data set used different versions of it or of the engine",
        "materialize the backtests on this data set again",
    )
    meaning = "all runs on this data set used the same version of it and of the engine"
    columns = {**run_summary_schema().columns, "is_comparable": pa.Column(pl.Boolean, same, description=meaning)}
    return pa.DataFrameSchema(columns, name="comparison_report", metadata={"key": ("config",)})


def comparison_page(table: pl.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Return the heading and the rows of `compare_runs` as people read them."""
    rows = [
        [run["config"], *(write(run[name]) for _, name, write in _COMPARED), "yes" if run["is_comparable"] else "no"]
        for run in table.to_dicts()
    ]
    return ["config", *(label for label, _, _ in _COMPARED), "comparable"], rows
