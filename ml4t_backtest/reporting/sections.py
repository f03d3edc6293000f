"""The parts of the report that are tables and words. Every text that comes from outside is escaped here."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from html import escape
from typing import Any

import polars as pl

from ml4t_backtest.reporting.benchmark import benchmark_metrics, relative_metrics
from ml4t_backtest.reporting.curves import monthly_returns, session_labels, worst_drawdowns
from ml4t_backtest.reporting.formats import MISSING, Number, count, money, percent, plain, ratio, shares
from ml4t_backtest.reporting.page import card
from ml4t_backtest.reporting.result import BacktestResult
from ml4t_backtest.reporting.summary import data_notes, figure_rows

# Heading and texts, one per row.
Column = tuple[str, list[str]]

MOST_TRADES_LISTED = 20
MOST_FINDINGS_LISTED = 30
_MOST_DECISION_COLUMNS = 6
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_COMPARED: tuple[tuple[str, str, Callable[[Number], str]], ...] = (
    ("Total return", "total_return", percent),
    ("Annual return", "annual_return", percent),
    ("Annual volatility", "annual_volatility", percent),
    ("Sharpe ratio", "sharpe_ratio", ratio),
    ("Sortino ratio", "sortino_ratio", ratio),
    ("Max drawdown", "max_drawdown", percent),
    ("Longest drawdown (sessions)", "longest_drawdown_sessions", count),
    ("Value at risk, 5 % of days", "value_at_risk", percent),
)
_RELATIVE: tuple[tuple[str, str, Callable[[Number], str]], ...] = (
    ("Beta", "beta", ratio),
    ("Alpha per year", "alpha", percent),
    ("Tracking error", "tracking_error", percent),
    ("Information ratio", "information_ratio", ratio),
)


def cards(result: BacktestResult, benchmark_figures: Mapping[str, Number]) -> str:
    """Return the few figures one looks at first."""
    metrics = result.metrics
    beside = benchmark_figures.get("total_return")
    shown = [
        (
            "Total return",
            percent(metrics["total_return"]),
            f"benchmark {percent(beside)}" if beside is not None else "",
        ),
        ("Annual return", percent(metrics["annual_return"]), f"volatility {percent(metrics['annual_volatility'])}"),
        ("Sharpe ratio", ratio(metrics["sharpe_ratio"]), f"Sortino {ratio(metrics['sortino_ratio'])}"),
        ("Max drawdown", percent(metrics["max_drawdown"]), f"Calmar {ratio(metrics['calmar_ratio'])}"),
        ("Trades", count(metrics["num_trades"]), f"hit rate {percent(metrics['hit_rate'])}"),
        ("Total costs", money(metrics["total_costs"]), _cost_rate(metrics)),
    ]
    return "".join(card(label, value, more) for label, value, more in shown)


def figures_table(result: BacktestResult, capacity: float | None = None) -> str:
    """Return all figures of the run as label and value, with the capacity where it is known."""
    figures = figure_rows(result)
    if capacity is not None:
        figures.append(("Capacity at 1 % of bar volume", money(capacity)))
    rows = "".join(f"<div><dt>{escape(label)}</dt><dd>{escape(text)}</dd></div>" for label, text in figures)
    return f'<dl class="figures">{rows}</dl>'


def benchmark_table(result: BacktestResult, benchmark: str) -> str:
    """Return strategy and benchmark side by side, and how the one moved with the other."""
    figures = benchmark_metrics(result, benchmark)
    if not figures:
        return f"<p class='note'>The benchmark {escape(benchmark)} has no values in this span.</p>"
    rows = [[label, write(result.metrics[name]), write(figures.get(name))] for label, name, write in _COMPARED]
    together = relative_metrics(result, benchmark)
    rows += [[label, write(together[name]), ""] for label, name, write in _RELATIVE]
    return table(["", "Strategy", benchmark], rows, words=(0,))


def months_table(result: BacktestResult) -> str:
    """Return the returns of months as a heat map, one row per year."""
    years = monthly_returns(result)
    strongest = max((abs(v) for row in years.values() for v in row[:12] if v is not None), default=0.0)
    rows = []
    for year, row in years.items():
        cells = "".join(_heat_cell(value, strongest) for value in row[:12])
        rows.append(f"<tr><th scope='row'>{year}</th>{cells}<td class='total'>{_short_percent(row[12])}</td></tr>")
    head = "".join(f"<th scope='col'>{name}</th>" for name in ("", *_MONTHS, "Year"))
    body = "".join(rows)
    return f"<div class='wide'><table class='heat'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def drawdowns_table(result: BacktestResult) -> str:
    """Return the ten deepest drawdowns."""
    rows = [
        [
            percent(each.depth),
            str(each.peak or "start"),
            str(each.trough),
            str(each.recovered or "not yet"),
            count(each.sessions),
        ]
        for each in worst_drawdowns(result)
    ]
    return table(["Depth", "Peak", "Trough", "Recovered", "Sessions"], rows) if rows else _nothing("No drawdown.")


def costs_table(result: BacktestResult) -> str:
    """Return the way from gross to net P&L over all trades, open ones included."""
    trades = result.trades

    def total(*columns: str) -> float:
        return math.fsum(value for column in columns for value in trades[column].to_list())

    rows = [
        ["Gross P&L", money(total("pnl_gross"))],
        ["Commission", money(-total("entry_commission", "exit_commission"))],
        ["Slippage", money(-total("entry_slippage", "exit_slippage"))],
        ["Dividends", money(total("dividends"))],
        ["Borrow fees", money(-total("borrow_fees"))],
        ["Net P&L", money(total("pnl_net"))],
    ]
    return table(["", "Account currency"], rows, words=(0,))


def trades_table(result: BacktestResult, *, best: bool) -> str:
    """Return the trades that gained or lost most, with what was known when they were decided."""
    side = pl.col("pnl_net") > 0.0 if best else pl.col("pnl_net") < 0.0
    order = ["pnl_net", "trade_id"]
    shown = result.trades.filter(side).sort(order, descending=[best, False]).head(MOST_TRADES_LISTED)
    if shown.is_empty():
        return _nothing("No trade gained." if best else "No trade lost.")
    known = [name for name in shown.columns if name.startswith("decision_") and name != "decision_timestamp"]
    left_out = known[_MOST_DECISION_COLUMNS:]
    columns = [
        *_outcome_columns(result, shown),
        *((name, [plain(value) for value in shown[name].to_list()]) for name in known[:_MOST_DECISION_COLUMNS]),
        *_execution_columns(result, shown),
    ]
    rows = list(zip(*(texts for _, texts in columns), strict=True))
    more = f"<p class='note'>Not shown: {escape(', '.join(left_out))}.</p>" if left_out else ""
    return table([name for name, _ in columns], rows, words=(0, 1)) + more


def orders_table(result: BacktestResult) -> str:
    """Return how orders ended, by status and reason, with the first one's numbers."""
    if result.orders.is_empty():
        return _nothing("No orders.")
    outcomes = (
        result.orders.group_by("status", "reason")
        .agg(
            pl.len().alias("orders"),
            pl.col("order_id").min(),
            pl.col("detail").sort_by("order_id").drop_nulls().first(),
        )
        .sort(pl.col("status").to_physical(), "orders", "order_id", descending=[False, True, False])
    )
    rows = [
        [status, reason or "", count(orders), detail or ""]
        for status, reason, detail, orders in outcomes.select("status", "reason", "detail", "orders").iter_rows()
    ]
    return table(["Outcome", "Reason", "Orders", "First of them"], rows, words=(0, 1, 3))


def timing_list(result: BacktestResult) -> str:
    """Return what is known of who knew what when: the look-ahead status of the run."""
    facts = result.facts
    lag = facts.get("median_signal_lag_hours")
    filled = {
        None: "Every fill came after its decision, which the records of the run were checked for.",
        "same_close": "Orders filled at the very close they were decided on, as was asked for: signals had to be known "
        "before it.",
    }.get(facts.get("fill_at"), "No order filled on a bar that opened before its decision.")
    told = [
        f"Every one of {count(facts.get('rows_checked'))} rows was checked before the first decision; a signal known "
        "later than the decision it was shown to would have ended the run.",
        *([f"From a signal being known to the fill it led to: {ratio(lag)} hours, in the median."] if lag else []),
        filled,
        "That nothing computed before this run knew the future, a run cannot tell: ml4t-backtest check-lookahead does.",
    ]
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in told) + "</ul>"


def notes_list(result: BacktestResult) -> str:
    """Return what the feed noted about its data."""
    notes = data_notes(result)
    if not notes:
        return _nothing("Nothing to note.")
    return "<ul>" + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>"


def quality_table(result: BacktestResult) -> str:
    """Return what was found in the data, the gravest first."""
    found = result.data_quality
    if found.is_empty():
        return _nothing("Nothing was found, or nothing was looked for (validation: fast).")
    columns = ("what", "severity", "symbol", "count", "first", "example", "meaning")
    rows = [
        [what, severity, symbol or "all", count(number), f"{first:%Y-%m-%d}" if first else "", example, meaning]
        for what, severity, symbol, number, first, example, meaning in found.head(MOST_FINDINGS_LISTED)
        .select(columns)
        .iter_rows()
    ]
    left_out = found.height - len(rows)
    more = f"<p class='note'>{count(left_out)} more in the table data_quality.</p>" if left_out else ""
    return table([name.capitalize() for name in columns], rows, words=(0, 1, 2, 4, 5, 6)) + more


def provenance_list(provenance: Mapping[str, str]) -> str:
    """Return where the numbers came from, in the order given."""
    if not provenance:
        return _nothing("Not recorded for this run.")
    entries = provenance.items()
    rows = "".join(f"<div><dt>{escape(key)}</dt><dd>{escape(str(value))}</dd></div>" for key, value in entries)
    return f'<dl class="provenance">{rows}</dl>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], words: Collection[int] = ()) -> str:
    """Return an HTML table.

    Args:
        head: Column names.
        rows: Texts, one per column.
        words: Which columns hold words, from 0; the others hold numbers and stand to the right.
    """
    kinds = [" class='word'" if index in words else "" for index in range(len(head))]
    # A long column name may break after an underscore.
    names = [escape(name).replace("_", "_<wbr>") for name in head]
    top = "".join(f"<th scope='col'{kind}>{name}</th>" for name, kind in zip(names, kinds, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{escape(cell)}</td>" for cell, kind in zip(row, kinds, strict=True)) + "</tr>"
        for row in rows
    )
    return f"<div class='wide'><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"


def _outcome_columns(result: BacktestResult, trades: pl.DataFrame) -> list[Column]:
    """Return what came of each trade and when it was decided."""
    return [
        ("Symbol", _written(trades, "symbol", str)),
        ("Side", _written(trades, "side", str)),
        ("Net P&L", _written(trades, "pnl_net", money)),
        ("Return", _written(trades, "pnl_percent", percent)),
        ("Decided", _stamps(result, trades, "decision_timestamp")),
    ]


def _execution_columns(result: BacktestResult, trades: pl.DataFrame) -> list[Column]:
    """Return how each trade was filled and ended."""
    reasons = [
        "still open" if status == "open" else str(reason or "")
        for status, reason in trades.select("status", "exit_reason").iter_rows()
    ]
    return [
        ("Entry", _stamps(result, trades, "entry_timestamp")),
        ("Exit", _stamps(result, trades, "exit_timestamp")),
        ("Ended by", reasons),
        ("Bars", _written(trades, "holding_period_bars", count)),
        ("Quantity", _written(trades, "entry_quantity", shares)),
        ("Entry price", _written(trades, "entry_price", money)),
        ("Exit price", _written(trades, "exit_price", money)),
        ("MAE", _written(trades, "max_adverse_pct", percent)),
        ("MFE", _written(trades, "max_favorable_pct", percent)),
    ]


def _written(trades: pl.DataFrame, name: str, write: Callable[[Any], str]) -> list[str]:
    return [write(value) for value in trades[name].to_list()]


def _stamps(result: BacktestResult, trades: pl.DataFrame, name: str) -> list[str]:
    return [label or MISSING for label in session_labels(result, trades[name])]


def _heat_cell(value: float | None, strongest: float) -> str:
    if value is None:
        return "<td></td>"
    kind = "gain" if value > 0.0 else "loss"
    strength = abs(value) / strongest if strongest > 0.0 else 0.0
    return f"<td class='{kind}' style='--heat:{strength:.3f}'>{_short_percent(value)}</td>"


def _short_percent(value: float | None) -> str:
    return (
        "" if value is None else percent(value)[:-3] if abs(value) >= 10.0 else f"{round(value * 100.0, 1) + 0.0:.1f}"
    )


def _cost_rate(metrics: Mapping[str, Number]) -> str:
    costs, turnover = metrics["total_costs"], metrics["turnover"]
    return f"{percent(costs / turnover)} of turnover" if costs is not None and turnover else "no turnover"


def _nothing(words: str) -> str:
    return f"<p class='note'>{escape(words)}</p>"
