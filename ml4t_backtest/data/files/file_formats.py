"""Formats of files that rows come from. A format is one function to add to `READERS`.

A reader takes a path (file, folder, glob or remote address), what it holds, and the columns that are text and moments
under the names of the file; it returns the rows lazily.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

import polars as pl

from ml4t_backtest.data.files.file_months import check_months
from ml4t_backtest.data.files.folder_files import files_in
from ml4t_backtest.data.files.parquet_files import (
    files_of,
    hive_keys,
    in_order_of_rows,
    reading,
    scan_files,
    scan_parquet_files,
)
from ml4t_backtest.data.store.storage import is_published_folder, published_files
from ml4t_backtest.errors import CorruptDatasetError, DataValidationError, Violation

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}([T ]|$)")
_OFFSET = re.compile(r"(Z|[+-]\d{2}:\d{2})")
_MOMENT = "%Y-%m-%dT%H:%M:%S%.f"


class FileRequest(NamedTuple):
    """What a reader is asked for.

    Attributes:
        path: File, folder, glob or address such as `s3://bucket/key`.
        dataset: What it is, for messages.
        texts: Columns that are text, whatever their values look like.
        moments: Columns that are dates or datetimes, for formats that have no types.
    """

    path: str
    dataset: str
    texts: Sequence[str] = ()
    moments: Sequence[str] = ()

    @property
    def is_remote(self) -> bool:
        """Whether Polars fetches it over the network; credentials and end points come from the environment."""
        return "://" in self.path


def scan_path(request: FileRequest) -> pl.LazyFrame:
    """Return the rows of a path, read by the reader of its ending; a published data set by its current version.

    Raises:
        DataValidationError: There is no such file, or the files of a folder are of several formats.
        CorruptDatasetError: A file cannot be read, or differs from the manifest it is published with.
    """
    if not request.is_remote and is_published_folder(folder := _local(request.path)):
        return scan_parquet_files(published_files(folder), request.dataset)
    return READERS[_ending(request)](request)


def scan_parquet(request: FileRequest) -> pl.LazyFrame:
    """Read Parquet; hive keys are text."""
    if request.is_remote:
        with reading(request.path):
            texts = _remote_keys(request.path)
            return pl.scan_parquet(request.path, hive_partitioning=bool(texts), hive_schema=texts or None)
    rows = scan_files(request.path, request.dataset)
    if request.moments:
        files = files_of(request.path, request.dataset, (".parquet",))
        check_months(files, request.path, request.dataset, request.moments[0])
    return rows


def files_in_order(path: str) -> list[Path]:
    """Return the local Parquet files that a path stands for, in the order of their rows; none for other formats.

    Raises:
        BacktestError: There are none, or one cannot be read.
    """
    if is_published_folder(folder := _local(path)):
        return published_files(folder)
    request = FileRequest(path, "data")
    if READERS[_ending(request)] is not scan_parquet:
        return []
    return in_order_of_rows(files_of(path, request.dataset, (".parquet",)), request.dataset)


def is_in_parts(path: str) -> bool:
    """Return whether a local path stands for several files that nobody has published together."""
    return "://" not in path and not is_published_folder(_local(path)) and len(files_in_order(path)) > 1


def unread_beside(path: str) -> list[Path]:
    """Return files in a local folder of Parquet files that are called like data and are not read."""
    folder = _local(path)
    if is_published_folder(folder) or not folder.is_dir():
        return []
    return list(files_in(folder, (".parquet",)).strays)


def scan_csv(request: FileRequest) -> pl.LazyFrame:
    """Read CSV with a header; moments are ISO 8601 (2024-01-31, 2024-01-31 16:00:00, with or without an offset).

    Nothing else is read as a date: 01/02/2024 is one day in one country and another in the next.
    """
    files = [request.path] if request.is_remote else files_of(request.path, request.dataset, (".csv",))
    with reading(request.path):
        texts = dict.fromkeys((*request.texts, *request.moments), pl.String())
        rows = pl.scan_csv(files, schema_overrides=texts, infer_schema_length=None, glob=request.is_remote)
        found = rows.collect_schema().names()
        return rows.with_columns(_moment(rows, name, request.path) for name in request.moments if name in found)


def scan_arrow(request: FileRequest) -> pl.LazyFrame:
    """Read Arrow IPC files (Feather 2)."""
    files = [request.path] if request.is_remote else files_of(request.path, request.dataset, _ARROW)
    with reading(request.path):
        return pl.scan_ipc(files, glob=request.is_remote, hive_partitioning=False)


_ARROW = (".arrow", ".feather", ".ipc")
READERS: dict[str, Callable[[FileRequest], pl.LazyFrame]] = {
    ".parquet": scan_parquet,
    ".csv": scan_csv,
    **dict.fromkeys(_ARROW, scan_arrow),
}


def reads_anywhere(path: str) -> bool:
    """Return whether rows from the middle of a source are to be had without reading those before."""
    return READERS[_ending(FileRequest(path, ""))] in (scan_parquet, scan_arrow)


def files_behind(path: str, dataset: str = "data") -> list[Path] | None:
    """Return the files that `scan_path` reads, in its order; None for a remote address.

    Raises:
        DataValidationError: There is no such file.
        CorruptDatasetError: A published data set is damaged.
    """
    request = FileRequest(path, dataset)
    if request.is_remote:
        return None
    if is_published_folder(folder := _local(path)):
        return published_files(folder)
    reader = READERS[_ending(request)]
    return files_of(path, dataset, [ending for ending, other in READERS.items() if other is reader])


def _ending(request: FileRequest) -> str:
    """Return the ending that decides on the reader: that of the path, else that of the files in the folder."""
    own = PurePath(request.path).suffix.lower()
    if own in READERS or request.is_remote:
        return own if own in READERS else ".parquet"
    try:
        folder = _local(request.path)
        inside = {file.suffix.lower() for file in folder.rglob("*")} if folder.is_dir() else set()
    except (OSError, ValueError):
        return ".parquet"  # whose reader says what is wrong with the path
    found = [ending for ending in READERS if ending in inside]
    if ".parquet" in found or not found:
        return ".parquet"
    if len({READERS[ending] for ending in found}) > 1:
        raise DataValidationError([_mixed(request, found)])
    return found[0]


def _local(path: str) -> Path:
    return Path(os.path.expanduser(path))  # which leaves the unknown users that `Path` raises on


def _mixed(request: FileRequest, endings: Sequence[str]) -> Violation:
    return Violation(
        "E-FL-KIND",
        request.dataset,
        f"the folder holds files of several formats: {', '.join(endings)}",
        file=request.path[:200],
        hint="give a glob, for example folder/*.csv",
    )


def _remote_keys(path: str) -> dict[str, pl.DataType]:
    """Return the hive keys of a remote address as text: otherwise `symbol=0700` becomes the number 700."""
    listed = pl.scan_parquet(path, hive_partitioning=False, include_file_paths="path of file").select("path of file")
    files = listed.unique().collect(engine="in-memory").to_series().sort()
    return {key: pl.String() for file in files for key in hive_keys(PurePath(file))}


def _moment(rows: pl.LazyFrame, name: str, path: str) -> pl.Expr:
    """Return a text column as dates or datetimes, told by its first value; another kind further down is an error."""
    first = rows.select(pl.col(name).drop_nulls().first()).collect(engine="in-memory").item() or ""
    if first and not _ISO.match(first):
        raise CorruptDatasetError(
            f"{path}: column {name!r} begins with {first[:40]!r}, which may be one day here and another elsewhere: "
            "write it as ISO 8601, 2024-01-31, 2024-01-31 16:00:00 or 2024-01-31T16:00:00-05:00"
        )
    text = pl.col(name).str.replace(" ", "T", literal=True)
    if _DAY.fullmatch(first):
        return pl.col(name).str.to_date("%Y-%m-%d", strict=True)
    if _OFFSET.search(first, 10):
        return text.str.replace("Z", "+00:00", literal=True).str.to_datetime(f"{_MOMENT}%:z", time_unit="us")
    return text.str.to_datetime(_MOMENT, time_unit="us")
