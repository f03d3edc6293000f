"""What people look at in the UI: row counts, columns with their meanings, a preview, the equity curve, key numbers."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from ml4t_backtest.reporting.curves import evenly
from ml4t_backtest.reporting.formats import plain

if TYPE_CHECKING:
    import pandera.polars as pa

    from ml4t_backtest.reporting.result import BacktestResult

# The UI shows Markdown in place below this length and hides it behind a link above.
_SHOWN_IN_PLACE = 1000
_PREVIEW_SIZES = ((8, 12), (6, 9), (5, 8), (4, 7), (3, 6), (3, 4))
_SPARK_POINTS, _SPARK_STEP, _SPARK_HEIGHT = 100, 4, 60
_LONGEST_CELL = 40
_MOMENTS = {
    "decision": "as known at the decision",
    "entry": "on the bar of the entry",
    "exit": "on the bar of the exit",
}
Metadata = dict[str, Any]


def tables_metadata(tables: Mapping[str, pl.DataFrame], schemas: Mapping[str, pa.DataFrameSchema]) -> Metadata:
    """Return row count, columns and previews of one or several tables; the columns are those of the first."""
    first = next(iter(tables))
    previews = {
        "preview" if len(tables) == 1 else f"preview of {name}": dg.MetadataValue.md(preview(frame))
        for name, frame in tables.items()
    }
    return {
        "dagster/row_count": sum(frame.height for frame in tables.values()),
        "dagster/column_schema": table_schema(tables[first], schemas[first]),
        **previews,
    }


def table_metadata(frame: pl.DataFrame, schema: pa.DataFrameSchema) -> Metadata:
    """Return row count, columns and a preview of a table."""
    return tables_metadata({"table": frame}, {"table": schema})


def table_schema(frame: pl.DataFrame, schema: pa.DataFrameSchema) -> dg.TableSchema:
    """Return the columns of a frame with meaning, unit and rules where the schema knows them."""
    return dg.TableSchema([_column(name, dtype, schema.columns.get(name)) for name, dtype in frame.schema.items()])


def preview(frame: pl.DataFrame) -> str:
    """Return the first rows and columns as a Markdown table, as many as the UI shows without a click."""
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


def picture(svg: str, title: str) -> dg.MarkdownMetadataValue:
    """Return an SVG as Markdown with the picture inside, so that it shows without a file server."""
    data = base64.b64encode(svg.encode()).decode()
    return dg.MetadataValue.md(f"![{title}](data:image/svg+xml;base64,{data})")


def equity_pictures(result: BacktestResult, benchmark: str | None = None) -> Metadata:
    """Return a run's equity as a line that shows at once, and in full with its drawdown behind a click."""
    from ml4t_backtest.reporting.tearsheet import equity_svg

    return {
        "equity": picture(sparkline(result.daily_returns["equity"].to_list()), "equity"),
        "equity and drawdown": picture(equity_svg(result, benchmark=benchmark), "equity and drawdown"),
    }


def sparkline(values: Sequence[float]) -> str:
    """Return a line without axes as SVG, small enough to show in place."""
    chosen = [values[index] for index in evenly(len(values), _SPARK_POINTS)]
    low, high = min(chosen, default=0.0), max(chosen, default=0.0)
    heights = [round((high - value) / ((high - low) or 1.0) * _SPARK_HEIGHT) + 1 for value in chosen]
    steps = " ".join(f"{_SPARK_STEP} {after - before}" for before, after in pairwise(heights))
    size = f'width="{_SPARK_POINTS * _SPARK_STEP}" height="{_SPARK_HEIGHT + 2}"'
    path = f'<path fill="none" stroke="#2563eb" d="M0 {heights[0] if heights else 0}l{steps}"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{path}</svg>'


def key_numbers(result: BacktestResult) -> Metadata:
    """Return the figures that the UI plots over materializations; those that are not defined are left out."""
    names = ("total_return", "sharpe_ratio", "max_drawdown", "num_trades", "total_costs")
    return {name: result.metrics[name] for name in names if result.metrics[name] is not None}


def _column(name: str, dtype: pl.DataType, column: pa.Column | None) -> dg.TableColumn:
    if column is None:
        return dg.TableColumn(name, str(dtype), description=_seen_at(name))
    unit = (column.metadata or {}).get("unit")
    meaning = f"{column.description} [{unit}]" if unit else column.description
    rules = [f"{check.name}: never {check.error}" for check in column.checks]
    constraints = dg.TableColumnConstraints(nullable=column.nullable, other=rules)
    return dg.TableColumn(name, str(dtype), description=meaning, constraints=constraints)


def _seen_at(name: str) -> str | None:
    """Return what the columns mean that come from a data set: `decision_NAME`, `entry_NAME`, `exit_NAME`."""
    moments = {
        "decision": "as known at the decision",
        "entry": "on the bar of the entry",
        "exit": "on the bar of the exit",
    }
    moment, _, value = name.partition("_")
    return f"{value} {moments[moment]}" if moment in moments else None


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
