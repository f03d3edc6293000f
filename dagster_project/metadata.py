"""What people look at in the UI: row counts, columns with their meanings, previews, pictures, key numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from dagster_project.io_manager import INPUTS
from ml4t_backtest.pipeline.column_lineage import Lineage
from ml4t_backtest.pipeline.column_meanings import meaning, rules, short_type
from ml4t_backtest.pipeline.pages import preview, run_pages

if TYPE_CHECKING:
    import pandera.polars as pa

    from ml4t_backtest.reporting.result import BacktestResult

_KEY_NUMBERS = ("total_return", "sharpe_ratio", "max_drawdown", "num_trades", "total_costs")
Metadata = dict[str, Any]


def tables_metadata(
    tables: Mapping[str, pl.DataFrame], schemas: Mapping[str, pa.DataFrameSchema], lineage: Lineage | None = None
) -> Metadata:
    """Return row count, columns, where those come from, and previews of one or several tables."""
    columns: dict[str, dg.TableColumn] = {}
    for name, frame in tables.items():
        columns = _columns(frame, schemas[name]) | columns
    previews = {
        "preview" if len(tables) == 1 else f"preview of {name}": dg.MetadataValue.md(preview(frame))
        for name, frame in tables.items()
    }
    return {
        "dagster/row_count": sum(frame.height for frame in tables.values()),
        "dagster/column_schema": dg.TableSchema([*columns.values()]),
        **({"dagster/column_lineage": _lineage(lineage)} if lineage else {}),
        **previews,
    }


def table_metadata(frame: pl.DataFrame, schema: pa.DataFrameSchema, lineage: Lineage | None = None) -> Metadata:
    """Return row count, columns, where those come from, and a preview of a table."""
    return tables_metadata({"table": frame}, {"table": schema}, lineage)


def published(
    tables: Mapping[str, pl.DataFrame],
    schemas: Mapping[str, pa.DataFrameSchema],
    lineage: Mapping[str, Lineage],
    inputs: dict[str, str],
    versions: Mapping[str, str],
    shown: Mapping[str, Metadata] = MappingProxyType({}),
) -> Iterator[dg.MaterializeResult[pl.DataFrame]]:
    """Yield tables that one step makes, each with what is told of it and its version."""
    for name, frame in tables.items():
        yield dg.MaterializeResult(
            asset_key=name,
            value=frame,
            metadata={**shown.get(name, {}), **table_metadata(frame, schemas[name], lineage[name]), INPUTS: inputs},
            data_version=dg.DataVersion(versions[name]),
        )


def run_metadata(result: BacktestResult, benchmark: str | None = None) -> Metadata:
    """Return pictures and tables of a run, and the figures that the UI plots over materializations."""
    pages = {title: dg.MetadataValue.md(text) for title, text in run_pages(result, benchmark).items()}
    return {**pages, **{name: result.metrics[name] for name in _KEY_NUMBERS if result.metrics[name] is not None}}


def _columns(frame: pl.DataFrame, schema: pa.DataFrameSchema) -> dict[str, dg.TableColumn]:
    return {name: _column(name, dtype, schema.columns.get(name)) for name, dtype in frame.schema.items()}


def _lineage(lineage: Lineage) -> dg.TableColumnLineage:
    return dg.TableColumnLineage(
        {name: [dg.TableColumnDep(asset, column) for asset, column in origins] for name, origins in lineage.items()}
    )


def _column(name: str, dtype: pl.DataType, column: pa.Column | None) -> dg.TableColumn:
    constraints = None if column is None else dg.TableColumnConstraints(nullable=column.nullable, other=rules(column))
    return dg.TableColumn(name, short_type(dtype), description=meaning(name, column), constraints=constraints)
