"""Where rows come from: Parquet, CSV or Arrow files, here or on an object store, and frames in memory.

The entry of everything that is read. Sortedness flags are taken off here: a flag is a claim of whoever made the data,
and the `min`, `sort` and comparisons of Polars believe it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import polars as pl

from ml4t_backtest.data.files.file_formats import FileRequest, scan_path
from ml4t_backtest.data.files.parquet_files import reading
from ml4t_backtest.errors import DataValidationError, Violation


class ArrowStream(Protocol):
    """Whatever hands out Arrow data: a DataFrame of pandas, a table of pyarrow, ..."""

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """Return the rows as a stream of Arrow."""
        ...


Source = str | Path | pl.DataFrame | pl.LazyFrame | ArrowStream
Columnar = TypeVar("Columnar", pl.DataFrame, pl.Series)
_TEXT_COLUMNS = ("symbol", "kind")
_MOMENT_COLUMNS = ("timestamp", "available_at")
_OTHER_MOMENTS = {"corporate_actions": ("ex_date",), "universe": ("start", "end")}
_BY_SYMBOL = ("prices", "asset_data", "signals", "universe", "corporate_actions", "delistings")
_OTHER_NAMES = {
    "symbol": ("ticker", "asset", "instrument", "Symbol", "sym"),
    "timestamp": ("date", "datetime", "time", "Date", "ts"),
}


def scan(source: Source, *, columns: Mapping[str, str] | None = None, dataset: str = "data") -> pl.LazyFrame:
    """Return the rows of a source lazily, under this package's column names.

    Args:
        source: Path of a file or folder (hive-partitioned or not), a glob, an address such as `s3://bucket/key`, or
            a frame in memory: of Polars, pandas (its index included where it has a name), or any Arrow table.
        columns: This package's name -> the source's name, for columns that are called otherwise there. A column of
            the source that has this package's name already gives way to the mapped one.
        dataset: What it is, for messages (`prices`, `signals`, ...).

    Raises:
        DataValidationError: The path does not exist, holds no data file, or a mapped column is absent; files differ;
            or the source is of no such type.
        CorruptDatasetError: A file cannot be read.
    """
    if isinstance(source, pl.DataFrame):
        lazy = unflagged(source).lazy()
    elif isinstance(source, pl.LazyFrame):
        lazy = source
    elif isinstance(source, (str, Path)):
        theirs = dict(columns or {})
        times = _OTHER_MOMENTS.get(dataset, _MOMENT_COLUMNS)
        texts, moments = ([theirs.get(name, name) for name in names] for names in (_TEXT_COLUMNS, times))
        lazy = scan_path(FileRequest(str(source), dataset, texts, moments))
    else:
        lazy = _from_memory(source, dataset).lazy()
    return _rename(lazy, columns or {}, dataset, describe(source))


def _from_memory(source: object, dataset: str) -> pl.DataFrame:
    """Return a frame of another library, values as they are."""
    try:
        if type(source).__module__.split(".")[0] == "pandas" and hasattr(source, "columns"):
            frame: Any = source
            named = any(name is not None for name in frame.index.names)
            return unflagged(pl.from_pandas(frame.reset_index() if named else frame))
        if hasattr(source, "__arrow_c_stream__") and not isinstance(source, pl.Series):
            return unflagged(pl.DataFrame(source))
    except (ImportError, TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise DataValidationError([_no_source(source, dataset, str(error))]) from error
    raise DataValidationError([_no_source(source, dataset)])


def describe(source: Source) -> str | None:
    """Return the path of a source for messages, or None for a frame in memory."""
    return str(source) if isinstance(source, (str, Path)) else None


def collect(lazy: pl.LazyFrame, *, file: str | None = None) -> pl.DataFrame:
    """Read a lazy frame with the in-memory engine, whose results do not vary from run to run.

    Raises:
        CorruptDatasetError: A file turned out to be unreadable.
    """
    with reading(file):
        return unflagged(lazy.collect(engine="in-memory"))


def schema_of(lazy: pl.LazyFrame, *, file: str | None = None) -> pl.Schema:
    """Return column names and types, from the footer alone for files.

    Raises:
        CorruptDatasetError: The file is no Parquet file.
    """
    with reading(file):
        return lazy.collect_schema()


def unflagged(data: Columnar) -> Columnar:
    """Return the same values without a sortedness flag on any column."""
    if isinstance(data, pl.DataFrame):
        flagged = any(any(flags.values()) for flags in data.flags.values())
        # A list of columns would give one without a name another.
        return pl.DataFrame({each.name: unflagged(each) for each in data.get_columns()}) if flagged else data
    if not any(data.flags.values()):
        return data
    # Rows gathered by number are in no order that Polars knows of; a name may look like a pattern to it.
    return data.alias("_").gather(pl.int_range(data.len(), eager=True)).alias(data.name)


def _rename(lazy: pl.LazyFrame, columns: Mapping[str, str], dataset: str, file: str | None) -> pl.LazyFrame:
    found = schema_of(lazy, file=file).names()
    if "symbol" not in columns and dataset in _BY_SYMBOL:
        _refuse_ambiguous(found, dataset, file)
    if not columns:
        return lazy
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
    return lazy.with_columns(pl.col(theirs).alias(ours) for ours, theirs in columns.items() if ours != theirs)


def _refuse_ambiguous(found: Sequence[str], dataset: str, file: str | None) -> None:
    """Refuse a source with a column `symbol` and another one that may be it, unless it was said which one counts."""
    others = [name for name in _OTHER_NAMES["symbol"] if name in found]
    if "symbol" in found and others:
        text = f"symbols may stand in 'symbol' or in {', '.join(map(repr, others))}"
        hint = "say which: columns: {symbol: symbol}; or drop the other"
        raise DataValidationError([Violation("E-SC-AMBIG", dataset, text, file=file, column="symbol", hint=hint)])


def require_columns(lazy: pl.LazyFrame, needed: Sequence[str], *, dataset: str, file: str | None = None) -> None:
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
    hint = f"the columns are: {', '.join(found)}"
    if dataset == "asset_data":
        hint += "; a feed takes no other names: DataPreparer().add_prices(..., columns={...}) maps them, or rename them"
    hint = f"map it: columns: {{{name}: {near[0]}}}; {hint}" if near else hint
    return Violation("E-SC-MISSING", dataset, f"column {name!r} is absent", file=file, column=name, hint=hint)


def _no_source(source: object, dataset: str, reason: str = "") -> Violation:
    given = type(source)
    said = f" ({reason.splitlines()[0]})" if reason else ""
    return Violation(
        "E-FL-KIND",
        dataset,
        f"a {given.__module__}.{given.__qualname__} is no source of rows{said}",
        hint="give a path, folder, glob or address of Parquet, CSV or Arrow files, or a frame of Polars or pandas "
        "(for which pandas needs pyarrow)",
    )
