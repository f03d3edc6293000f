"""What people look at in the UI: row counts, columns with their meanings, previews, pictures, key numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from ml4t_backtest.pipeline.pages import preview, run_pages

if TYPE_CHECKING:
    import pandera.polars as pa

    from ml4t_backtest.reporting.result import BacktestResult

_MOMENTS = {
    "decision": "as known at the decision",
    "entry": "on the bar of the entry",
    "exit": "on the bar of the exit",
}
_KEY_NUMBERS = ("total_return", "sharpe_ratio", "max_drawdown", "num_trades", "total_costs")
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
        "dagster/column_schema": _table_schema(tables[first], schemas[first]),
        **previews,
    }


def table_metadata(frame: pl.DataFrame, schema: pa.DataFrameSchema) -> Metadata:
    """Return row count, columns and a preview of a table."""
    return tables_metadata({"table": frame}, {"table": schema})


def run_metadata(result: BacktestResult, benchmark: str | None = None) -> Metadata:
    """Return pictures and tables of a run, and the figures that the UI plots over materializations."""
    pages = {title: dg.MetadataValue.md(text) for title, text in run_pages(result, benchmark).items()}
    return {**pages, **{name: result.metrics[name] for name in _KEY_NUMBERS if result.metrics[name] is not None}}


def _table_schema(frame: pl.DataFrame, schema: pa.DataFrameSchema) -> dg.TableSchema:
    return dg.TableSchema([_column(name, dtype, schema.columns.get(name)) for name, dtype in frame.schema.items()])


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
    moment, _, value = name.partition("_")
    return f"{value} {_MOMENTS[moment]}" if moment in _MOMENTS else None
