"""Where rows come from: a Parquet file, a folder, a glob, a DataFrame or a LazyFrame."""

from __future__ import annotations

import difflib
import glob
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from ml4t_backtest.errors import BacktestError, CorruptDatasetError, DataValidationError, Violation

Source = str | Path | pl.DataFrame | pl.LazyFrame
_OTHER_NAMES = {
    "symbol": ("ticker", "asset", "instrument", "Symbol", "sym"),
    "timestamp": ("date", "datetime", "time", "Date", "ts"),
}


def scan(source: Source, *, columns: Mapping[str, str] | None = None, dataset: str = "data") -> pl.LazyFrame:
    """Return the rows of a source lazily, under this package's column names.

    Args:
        source: Path of a Parquet file or folder (hive-partitioned or not), a glob, or a Polars frame.
        columns: This package's name -> the source's name, for columns that are called otherwise there.
        dataset: What it is, for messages (`prices`, `signals`, ...).

    Raises:
        DataValidationError: The path does not exist, holds no Parquet, or a mapped column is absent.
        CorruptDatasetError: The file is no readable Parquet file.
    """
    if isinstance(source, pl.DataFrame):
        lazy = source.lazy()
    elif isinstance(source, pl.LazyFrame):
        lazy = source
    else:
        lazy = _scan_parquet(str(source), dataset)
    return _rename(lazy, columns or {}, dataset, describe(source))


def describe(source: Source) -> str | None:
    """Return the path of a source for messages, or None for a frame in memory."""
    return None if isinstance(source, (pl.DataFrame, pl.LazyFrame)) else str(source)


def collect(lazy: pl.LazyFrame, *, file: str | None = None) -> pl.DataFrame:
    """Read a lazy frame with the in-memory engine, whose results do not vary from run to run.

    Raises:
        CorruptDatasetError: A file turned out to be unreadable.
    """
    try:
        return lazy.collect(engine="in-memory")
    except pl.exceptions.PolarsError as error:
        raise CorruptDatasetError(f"{file or 'the data'} cannot be read: {_first_line(error)}") from error
    except OSError as error:
        raise CorruptDatasetError(f"{file or 'the data'} cannot be read: {_first_line(error)}") from error


def schema_of(lazy: pl.LazyFrame, *, file: str | None = None) -> pl.Schema:
    """Return column names and types, from the footer alone for files.

    Raises:
        CorruptDatasetError: The file is no Parquet file.
    """
    try:
        return lazy.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        hint = _looks_like(file)
        raise CorruptDatasetError(
            f"{file or 'the data'} is no readable Parquet file{hint}: {_first_line(error)}"
        ) from error


def _scan_parquet(path: str, dataset: str) -> pl.LazyFrame:
    if "://" in path:
        return pl.scan_parquet(path, hive_partitioning=True)
    local = Path(path).expanduser()
    if local.is_dir():
        path = str(local / "**" / "*.parquet")
        if not any(local.rglob("*.parquet")):
            raise _no_file("E-DS-EMPTY", dataset, str(local.absolute()), "the folder holds no Parquet file")
        return pl.scan_parquet(path, hive_partitioning=True, hive_schema=_hive_schema(local))
    if any(letter in path for letter in "*?["):
        if not glob.glob(path, recursive=True):
            raise _no_file("E-DS-EMPTY", dataset, path, "no file matches the pattern")
    elif not local.exists():
        raise _no_file("E-FL-MISSING", dataset, str(local.absolute()), "the file does not exist")
    elif not local.is_file():
        raise _no_file("E-FL-KIND", dataset, str(local.absolute()), "the path is neither a file nor a folder")
    return pl.scan_parquet(str(local))


def _hive_schema(folder: Path) -> dict[str, pl.DataType]:
    """Read every hive key as text: otherwise `symbol=0700` becomes the number 700."""
    keys = sorted(
        {
            part.split("=", 1)[0]
            for file in folder.rglob("*.parquet")
            for part in file.relative_to(folder).parts[:-1]
            if "=" in part
        }
    )
    return {key: pl.String() for key in keys}


def _rename(lazy: pl.LazyFrame, columns: Mapping[str, str], dataset: str, file: str | None) -> pl.LazyFrame:
    found = schema_of(lazy, file=file).names()
    absent = [
        Violation(
            "E-SC-MISSING",
            dataset,
            f"column {theirs!r}, mapped to {ours!r}, is absent",
            file=file,
            column=theirs,
            hint=f"the columns are: {', '.join(found)}",
        )
        for ours, theirs in columns.items()
        if theirs not in found
    ]
    if absent:
        raise DataValidationError(absent)
    return lazy.rename({theirs: ours for ours, theirs in columns.items() if ours != theirs})


def require_columns(lazy: pl.LazyFrame, needed: list[str], *, dataset: str, file: str | None = None) -> None:
    """Raise one violation per needed column that is absent, naming the column that probably is it.

    Raises:
        DataValidationError: A column is absent.
    """
    found = schema_of(lazy, file=file).names()
    absent = [name for name in needed if name not in found]
    if absent:
        raise DataValidationError([_absent(name, found, dataset, file) for name in absent])


def _absent(name: str, found: list[str], dataset: str, file: str | None) -> Violation:
    near = [other for other in _OTHER_NAMES.get(name, ()) if other in found] or difflib.get_close_matches(
        name, found, 1
    )
    hint = f"map it: columns: {{{name}: {near[0]}}}" if near else f"the columns are: {', '.join(found)}"
    return Violation("E-SC-MISSING", dataset, f"column {name!r} is absent", file=file, column=name, hint=hint)


def _no_file(code: str, dataset: str, path: str, message: str) -> BacktestError:
    return DataValidationError([Violation(code, dataset, message, file=path, hint="check the path in the config")])


def _looks_like(file: str | None) -> str:
    """Return a hint when the first bytes say what the file really is."""
    if file is None or "://" in file or not Path(file).is_file():
        return ""
    with Path(file).open("rb") as opened:
        start = opened.read(64)
    if not start:
        return " (it is empty)"
    if start[:4] == b"PAR1":
        return " (its footer is damaged)"
    return " (it looks like CSV)" if b"," in start and start.isascii() else ""


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
