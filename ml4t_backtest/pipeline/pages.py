"""Runs and tables as Markdown and small pictures, for a page that shows Markdown."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

import polars as pl

from ml4t_backtest.reporting.curves import evenly, monthly_returns
from ml4t_backtest.reporting.formats import money, percent, plain
from ml4t_backtest.reporting.result import BacktestResult
from ml4t_backtest.reporting.svg import equity_svg

# Below this length Markdown is shown in place, above it behind a link.
_SHOWN_IN_PLACE = 1000
_PREVIEW_SIZES = ((8, 12), (6, 9), (5, 8), (4, 7), (3, 6), (3, 4))
_SPARK_POINTS, _SPARK_STEP, _SPARK_HEIGHT = 100, 4, 60
_LONGEST_CELL = 40
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Year")
_CELL_WIDTH, _CELL_HEIGHT = 52, 22
_MOST_TRADES = 10
# Grey is read on a light and on a dark page, and on a faint colour; on a strong one it takes dark ink.
_GREY, _INK, _FAINT = "#64748b", "#0f172a", 0.25


def run_pages(result: BacktestResult, benchmark: str | None = None) -> dict[str, str]:
    """Return what to look at of a run, title to Markdown."""
    return {
        "equity": picture(sparkline(result.daily_returns["equity"].to_list()), "equity"),
        "equity and drawdown": picture(equity_svg(result, benchmark=benchmark), "equity and drawdown"),
        "monthly returns": picture(heat_map(result), "monthly returns"),
        "costs": costs_page(result),
        "largest trades": trades_page(result.trades),
        "data quality": quality_page(result.data_quality),
    }


def preview(frame: pl.DataFrame) -> str:
    """Return the first rows and columns as a Markdown table, as many as are shown in place."""
    for rows, columns in _PREVIEW_SIZES:
        shown = frame[:rows, :columns]
        note = f"\n\n{frame.width - columns} more columns" if frame.width > columns else ""
        text = markdown_table(shown.columns, shown.rows()) + note
        if len(text) < _SHOWN_IN_PLACE:
            break
    return text


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return rows as a Markdown table; numbers with six significant digits, large ones as whole numbers."""
    lines = [header, ["---"] * len(header), *([_cell(value) for value in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def tables_page(title: str, tables: Mapping[str, pl.DataFrame]) -> str:
    """Return a page with a section for each table, under its own title."""
    sections = [f"## {name}\n\n{markdown_table(frame.columns, frame.rows())}\n" for name, frame in tables.items()]
    return "\n".join([f"# {title}\n", *sections])


def picture(svg: str, title: str) -> str:
    """Return an SVG as Markdown with the picture inside, so that it shows without a file server."""
    data = base64.b64encode(svg.encode()).decode()
    return f"![{title}](data:image/svg+xml;base64,{data})"


def sparkline(values: Sequence[float]) -> str:
    """Return a line without axes as SVG, small enough to show in place."""
    chosen = [values[index] for index in evenly(len(values), _SPARK_POINTS)]
    low, high = min(chosen, default=0.0), max(chosen, default=0.0)
    heights = [round((high - value) / ((high - low) or 1.0) * _SPARK_HEIGHT) + 1 for value in chosen]
    steps = " ".join(f"{_SPARK_STEP} {after - before}" for before, after in pairwise(heights))
    size = f'width="{_SPARK_POINTS * _SPARK_STEP}" height="{_SPARK_HEIGHT + 2}"'
    path = f'<path fill="none" stroke="#2563eb" d="M0 {heights[0] if heights else 0}l{steps}"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{path}</svg>'


def heat_map(result: BacktestResult) -> str:
    """Return the returns of months as SVG, one row per year; the stronger the colour, the larger the return."""
    years = monthly_returns(result)
    strongest = max((abs(v) for row in years.values() for v in row[:12] if v is not None), default=0.0) or 1.0
    cells = [_words(column + 1, 0, name) for column, name in enumerate(_MONTHS)]
    for line, (year, row) in enumerate(years.items(), start=1):
        cells.append(_words(0, line, str(year)))
        cells += [_heat(column, line, value, strongest) for column, value in enumerate(row, start=1)]
    width, height = _CELL_WIDTH * (len(_MONTHS) + 1), _CELL_HEIGHT * (len(years) + 1)
    style = 'font-family="sans-serif" font-size="11" text-anchor="middle"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" {style}>{"".join(cells)}</svg>'


def costs_page(result: BacktestResult) -> str:
    """Return what trading gained before costs, what was taken from it and what is left: the rows add up."""

    def total(*names: str) -> float:
        return math.fsum(value for name in names for value in result.trades[name].drop_nulls().to_list())

    rows = [
        ("Gross P&L", total("pnl_gross")),
        ("Commission", -total("entry_commission", "exit_commission")),
        ("Slippage", -total("entry_slippage", "exit_slippage")),
        ("Dividends", total("dividends")),
        ("Borrow fees", -total("borrow_fees")),
        ("Net P&L", total("pnl_net")),
        ("Turnover", result.metrics["turnover"]),
    ]
    return markdown_table(("", "account currency"), [(label, money(value)) for label, value in rows])


def trades_page(trades: pl.DataFrame) -> str:
    """Return the trades that gained or lost most."""
    largest = trades.sort(pl.col("pnl_net").abs(), "trade_id", descending=[True, False]).head(_MOST_TRADES)
    columns = ["symbol", "side", "entry_timestamp", "exit_timestamp", "entry_price", "exit_price", "exit_reason"]
    rows = [
        (*row[:-2], money(row[-2]), percent(row[-1]))
        for row in largest.select(*columns, "pnl_net", "pnl_percent").iter_rows()
    ]
    return markdown_table([*columns, "pnl_net", "return"], rows) if rows else "no trades"


def quality_page(found: pl.DataFrame) -> str:
    """Return what was found in the data that is no error."""
    columns = ["what", "severity", "symbol", "count", "example", "meaning"]
    shown = found.select(columns).head(_MOST_TRADES)
    return markdown_table(columns, shown.rows()) if shown.height else "nothing was found"


def _heat(column: int, line: int, value: float | None, strongest: float) -> str:
    if value is None:
        return ""
    colour = "#16a34a" if value > 0.0 else "#dc2626"
    strength = min(1.0, abs(value) / strongest) * 0.7
    place = f'x="{column * _CELL_WIDTH}" y="{line * _CELL_HEIGHT}"'
    size = f'width="{_CELL_WIDTH - 2}" height="{_CELL_HEIGHT - 2}"'
    box = f'<rect {place} {size} fill="{colour}" fill-opacity="{strength:.2f}"/>'
    # Adding zero makes of -0.0 what it is.
    return box + _words(column, line, f"{round(value * 100.0, 1) + 0.0:.1f}", _INK if strength > _FAINT else _GREY)


def _words(column: int, line: int, text: str, colour: str = _GREY) -> str:
    x, y = column * _CELL_WIDTH + _CELL_WIDTH // 2, line * _CELL_HEIGHT + 15
    return f'<text x="{x}" y="{y}" fill="{colour}">{text}</text>'


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:%Y-%m-%d %H:%M:%SZ}" if isinstance(value, datetime) else _number(value)
    for raw, escaped in (("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("\n", " ")):
        text = text.replace(raw, escaped)
    return text if len(text) <= _LONGEST_CELL else f"{text[: _LONGEST_CELL - 1]}…"


def _number(value: Any) -> str:
    is_large = isinstance(value, float) and 1e5 <= abs(value) < 1e15
    return f"{value:,.0f}" if is_large else plain(value)
