"""What people look at in the UI: row counts, columns with their meanings, a preview, the equity curve, key numbers."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from ml4t_backtest.reporting.formats import plain

if TYPE_CHECKING:
    import pandera.polars as pa

    from ml4t_backtest.reporting.result import BacktestResult

_PREVIEW_ROWS = 8
_PREVIEW_COLUMNS = 12
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
    """Return the first rows as a Markdown table."""
    shown = frame.head(_PREVIEW_ROWS)[:, :_PREVIEW_COLUMNS]
    left_out = frame.width - shown.width
    note = f"\n\nand {left_out} more columns, see the column schema" if left_out else ""
    return markdown_table(shown.columns, shown.rows()) + note


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return rows as a Markdown table; numbers with six significant digits."""
    lines = [header, ["---"] * len(header), *([_cell(value) for value in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def picture(svg: str, title: str) -> dg.MarkdownMetadataValue:
    """Return an SVG as Markdown with the picture inside, so that it shows without a file server."""
    data = base64.b64encode(svg.encode()).decode()
    return dg.MetadataValue.md(f"![{title}](data:image/svg+xml;base64,{data})")


def equity_curve(result: BacktestResult, benchmark: str | None = None) -> dg.MarkdownMetadataValue:
    """Return the picture of a run's equity and drawdown."""
    from ml4t_backtest.reporting.tearsheet import equity_svg

    return picture(equity_svg(result, benchmark=benchmark), "equity and drawdown")


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
    moments = {"decision": "as known at the decision", "entry": "on the bar of the entry", "exit": "on the bar of the exit"}
    moment, _, value = name.partition("_")
    return f"{value} {moments[moment]}" if moment in moments else None


def _cell(value: Any) -> str:
    text = value.isoformat(sep=" ") if hasattr(value, "hour") else plain(value) if value is not None else ""
    for raw, escaped in (("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("\n", " ")):
        text = text.replace(raw, escaped)
    return text[:80]
