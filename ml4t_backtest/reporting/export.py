"""Tables as CSV files, for spreadsheets: no cell begins a formula, and what is read back is what was written.

A text that begins with one of `= + - @`, a tab, a carriage return or an apostrophe gets an apostrophe in front, which
`read_csv_folder` takes off again. Numbers are never touched: -1.5 stays a number.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from ml4t_backtest.core.schemas import result_schemas
from ml4t_backtest.data.files.parquet_files import reading
from ml4t_backtest.data.safe_path import output_folder, safe_path
from ml4t_backtest.errors import BacktestError

if TYPE_CHECKING:
    from ml4t_backtest.reporting.result import BacktestResult

_QUOTED = r"^[=+\-@\t\r']"
_TEXTS = (pl.String, pl.Enum, pl.Categorical)


def write_csv_folder(result: BacktestResult, folder: str | Path) -> Path:
    """Write every table of a result as TABLE.csv and return the folder.

    Args:
        result: What a run produced.
        folder: Where to; made when it is absent. Files of the same names are replaced, each at once.

    Raises:
        UnsafePathError: The path is no safe one.
        BacktestError: A file cannot be written.
    """
    home = output_folder(folder)
    try:
        home.mkdir(parents=True, exist_ok=True)
        for table, frame in result.tables().items():
            path, partial = safe_path(home, f"{table}.csv"), safe_path(home, f"{table}.csv.part")
            _neutral(frame).write_csv(partial)
            os.replace(partial, path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BacktestError(f"E-FL-WRITE: {home} cannot be written ({error})") from error
    return home


def read_csv_folder(folder: str | Path) -> dict[str, pl.DataFrame]:
    """Return the tables that `write_csv_folder` wrote, with their types.

    Raises:
        CorruptDatasetError: A file is absent or no such table.
    """
    return {table: _read(Path(folder) / f"{table}.csv", _types(table)) for table in result_schemas()}


def _neutral(frame: pl.DataFrame) -> pl.DataFrame:
    texts = [name for name, dtype in frame.schema.items() if dtype in _TEXTS]
    quoted = [_quoted(pl.col(name).cast(pl.String)).alias(name) for name in texts]
    names = pl.DataFrame({"name": frame.columns}).select(_quoted(pl.col("name"))).to_series()
    return frame.with_columns(quoted).rename(dict(zip(frame.columns, names, strict=True)))


def _quoted(text: pl.Expr) -> pl.Expr:
    return pl.when(text.str.contains(_QUOTED)).then(pl.lit("'") + text).otherwise(text)


def _types(table: str) -> Mapping[str, pl.DataType]:
    return {name: column.dtype.type for name, column in result_schemas()[table].columns.items()}


def _read(path: Path, types: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Read as text first: `0700` is a symbol, and only the schema knows."""
    with reading(path):
        written = pl.read_csv(path, infer_schema=False)
        read = written.rename(lambda name: name.removeprefix("'"))
        return read.select(_typed(pl.col(name), types.get(name, pl.Float64())) for name in read.columns)


def _typed(text: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if isinstance(dtype, pl.Datetime):
        return text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%z", time_unit="us", time_zone="UTC")
    if dtype == pl.Date:
        return text.str.to_date("%Y-%m-%d")
    if dtype == pl.Boolean:
        return text == "true"
    return (text.str.replace("^'", "") if dtype in _TEXTS else text).cast(dtype)
