"""The figures of a run as label and text: what the terminal, Dagster and the report show."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from ml4t_backtest.data.quality.data_quality import summarize
from ml4t_backtest.reporting.formats import Number, count, money, percent, ratio
from ml4t_backtest.reporting.result import BacktestResult

# Label, name in `result.metrics`, how to write it.
_METRICS: tuple[tuple[str, str, Callable[[Number], str]], ...] = (
    ("Initial capital", "initial_capital", money),
    ("Final equity", "final_equity", money),
    ("Total return", "total_return", percent),
    ("Annual return", "annual_return", percent),
    ("Annual volatility", "annual_volatility", percent),
    ("Sharpe ratio", "sharpe_ratio", ratio),
    ("Sortino ratio", "sortino_ratio", ratio),
    ("Calmar ratio", "calmar_ratio", ratio),
    ("Max drawdown", "max_drawdown", percent),
    ("Longest drawdown (sessions)", "longest_drawdown_sessions", count),
    ("Value at risk, 5 % of days", "value_at_risk", percent),
    ("Conditional value at risk", "conditional_value_at_risk", percent),
    ("Tail ratio", "tail_ratio", ratio),
    ("Skewness", "skewness", ratio),
    ("Excess kurtosis", "excess_kurtosis", ratio),
    ("Probability of Sharpe above 0", "probabilistic_sharpe_ratio", percent),
    ("Sessions to be 95 % sure of it", "minimum_track_record_sessions", count),
    ("Average exposure", "exposure", percent),
    ("Time in the market", "time_in_market", percent),
    ("Sessions", "num_sessions", count),
    ("Trades", "num_trades", count),
    ("Exits", "num_exits", count),
    ("Open trades", "num_open_trades", count),
    ("Hit rate", "hit_rate", percent),
    ("Profit factor", "profit_factor", ratio),
    ("Payoff ratio", "payoff_ratio", ratio),
    ("Expectancy per trade", "expectancy", money),
    ("System quality number", "system_quality_number", ratio),
    ("Average holding (bars)", "average_holding_bars", ratio),
    ("Net P&L", "pnl_net", money),
    ("Ambiguous trades", "num_ambiguous_trades", count),
    ("Fills", "num_fills", count),
    ("Turnover", "turnover", money),
    ("Turnover per year, times equity", "annual_turnover", ratio),
    ("Break-even cost of traded money", "break_even_cost", percent),
    ("Commission", "total_commission", money),
    ("Slippage", "total_slippage", money),
    ("Total costs", "total_costs", money),
)
# Shown where there are ambiguous trades.
_RANGE: tuple[tuple[str, str, Callable[[Number], str]], ...] = (
    ("Net P&L, stops first", "pnl_net_pessimistic", money),
    ("Net P&L, targets first", "pnl_net_optimistic", money),
    ("Ambiguous without a range", "num_ambiguous_without_range", count),
)
_FACTS: tuple[tuple[str, str, Callable[[Number], str]], ...] = (
    ("Symbols", "symbols", count),
    ("Slices", "slices", count),
    ("Rows checked", "rows_checked", count),
    ("Hours from signal known to fill, median", "median_signal_lag_hours", ratio),
)


def summary_rows(result: BacktestResult) -> list[tuple[str, str]]:
    """Return what to say about a run, in reading order.

    Args:
        result: The run.

    Returns:
        Pairs of label and text; a figure that is undefined reads `n/a`. After the figures come the lines of
        `remarks`.
    """
    return [*figure_rows(result), *remarks(result)]


def remarks(result: BacktestResult) -> list[tuple[str, str]]:
    """Return what is no figure: why orders were rejected, notes of the data, and what was found in it.

    Args:
        result: The run.

    Returns:
        Pairs of label and text: `Rejected` for each reason, `Note` for each note, `Data quality` for each kind of
        finding.
    """
    rejected = [("Rejected", line) for line in rejections(result)]
    notes = [("Note", note) for note in data_notes(result)]
    return [*rejected, *notes, *(("Data quality", line) for line in summarize(result.data_quality))]


def rejections(result: BacktestResult) -> list[str]:
    """Return one line per reason for which orders were rejected: how many, and the first of them with its numbers."""
    first = pl.col("side", "symbol", "decision_timestamp", "detail").first()
    reasons = result.rejected_orders.group_by("reason", maintain_order=True).agg(pl.len().alias("count"), first)
    return [
        f"{row['reason']}: {count(row['count'])} {'orders' if row['count'] > 1 else 'order'}; first: {row['side']} "
        f"{row['symbol']} at {row['decision_timestamp']:%Y-%m-%d %H:%M} UTC"
        + (f", {row['detail']}" if row["detail"] else "")
        for row in reasons.iter_rows(named=True)
    ]


def figure_rows(result: BacktestResult) -> list[tuple[str, str]]:
    """Return the figures of `summary_rows`, without the notes."""
    metrics = result.metrics
    doubtful = _RANGE if metrics["num_ambiguous_trades"] else ()
    return [
        *((label, write(metrics.get(name))) for label, name, write in (*_METRICS, *doubtful)),
        ("Rejected orders", count(result.rejected_orders.height)),
        *((label, write(result.facts.get(name))) for label, name, write in _FACTS),
    ]


def data_notes(result: BacktestResult) -> list[str]:
    """Return what the feed had to say about its data."""
    return [str(note) for note in result.facts.get("notes") or ()]
