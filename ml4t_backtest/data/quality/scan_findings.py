"""What the files and the types of a source show before a row is looked at: nothing wrong, but worth knowing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl

from ml4t_backtest.core.schemas import PRICE_COLUMNS
from ml4t_backtest.data.files.file_formats import files_in_order, unread_beside
from ml4t_backtest.data.files.parquet_files import height_of, shapes_of
from ml4t_backtest.data.quality.data_quality import Finding
from ml4t_backtest.data.sources import Source, describe, scan, schema_of
from ml4t_backtest.errors import BacktestError

_SHOWN = 3


def scan_findings(source: Source, columns: Mapping[str, str] | None, dataset: str) -> list[Finding]:
    """Return what a source shows; what is wrong with it is said by whoever reads it.

    Args:
        source: Where the rows are.
        columns: This package's name -> the source's name.
        dataset: What they are.
    """
    try:
        types = schema_of(scan(source, columns=columns, dataset=dataset))
        found = list(_of_types(types, describe(source))) if dataset == "prices" else []
        if isinstance(source, pl.DataFrame):
            found += _of_flags(source, (columns or {}).get("timestamp", "timestamp"))
        elif isinstance(source, (str, Path)) and "://" not in str(source):
            found += _of_files(str(source), dataset)
    except BacktestError:
        return []
    return found


def _of_types(types: Mapping[str, pl.DataType], file: str | None) -> Iterator[Finding]:
    short = [name for name in PRICE_COLUMNS if types.get(name) == pl.Float32]
    whole = [name for name in PRICE_COLUMNS if name in types and types[name].is_integer()]
    if short:
        yield Finding(
            "DQ-F32",
            None,
            None,
            None,
            len(short),
            f"{', '.join(short)} are numbers of 32 bits",
            "doubt",
            "prices were kept in 32 bits: each is read as the shortest decimal that stands for it",
            "keep prices in 64 bits, or as whole ticks with price_scale",
            file=file,
        )
    if whole:
        yield Finding(
            "DQ-WHOLE",
            None,
            None,
            None,
            len(whole),
            f"{', '.join(whole)} are whole numbers",
            "note",
            "prices are whole numbers: they are taken to be in account currency, or as price_scale says",
            file=file,
        )


def _of_flags(frame: pl.DataFrame, column: str) -> Iterator[Finding]:
    """Yield that a frame is flagged as sorted by time and is not."""
    if column not in frame.columns or not any(frame.flags[column].values()):
        return
    stamps = frame[column].to_physical().to_numpy()
    backwards = stamps[1:] < stamps[:-1] if frame.flags[column]["SORTED_ASC"] else stamps[1:] > stamps[:-1]
    if backwards.any():
        row = int(backwards.argmax()) + 1
        yield Finding(
            "E-TS-ORDER",
            None,
            None,
            None,
            int(backwards.sum()),
            f"row {row} is {frame[column][row]}, the one before {frame[column][row - 1]}",
            "doubt",
            "the frame is flagged as sorted by time and is not: Polars' own answers about it are wrong",
            "sort it, or leave set_sorted out; here values are compared",
            row=row,
        )


def _of_files(path: str, dataset: str) -> Iterator[Finding]:
    files = files_in_order(path)
    strays, empty = unread_beside(path), [file for file in files if height_of(file) == 0]
    if strays:
        meaning = "files that are called like data are not read: some writer has not finished them"
        yield _about("DQ-STRAY", path, strays, meaning, "remove them, or finish what writes them")
    if empty and len(files) > 1:
        meaning = "files have no rows, among others that have"
        yield _about("DQ-EMPTY", path, empty, meaning, "ask the source whether rows are missing")
    shapes = shapes_of(files, dataset)
    known = set(next(iter(shapes.values()), ()))
    added = {file: sorted(set(shape) - known) for file, shape in shapes.items() if set(shape) - known}
    if added:
        names = [f"{name} in {file.name}" for file, more in added.items() for name in more]
        yield Finding(
            "DQ-DRIFT",
            None,
            None,
            None,
            len(names),
            ", ".join(names[:_SHOWN]),
            "doubt",
            "some files have columns that others lack: those are not read",
            "write all files of a data set with the same columns",
            file=path,
        )


def _about(code: str, path: str, files: list[Path], meaning: str, hint: str) -> Finding:
    shown = ", ".join(file.name for file in files[:_SHOWN])
    return Finding(code, None, None, None, len(files), shown, "doubt", meaning, hint, file=path)
