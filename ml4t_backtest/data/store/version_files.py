"""The files of a version of a data set while they are written: tables as Parquet, attachments as they are.

A table comes as a frame, or in parts where it is larger than memory. Long tables lie month by month:
TABLE/year=2024/month=01/part.parquet, then part_0002.parquet where a month came in several parts.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from ml4t_backtest.data.content_hash import TableHash, refuse_foreign_types
from ml4t_backtest.data.safe_path import safe_path
from ml4t_backtest.errors import ConfigError

# Parts of a table follow each other; they are asked for one by one, when the part before is written. A table that does
# not lie by month is one part. What is known only when the tables before are written is asked for then.
Table = pl.DataFrame | Iterable[pl.DataFrame] | Callable[[], pl.DataFrame]
Attachment = bytes | Callable[[], bytes]
_PART = re.compile(r"(?P<table>[^/]+)/(?P<part>year=\d{4}/month=\d{2}/part(_\d{4})?\.parquet)")
# A reader of a few days decodes little more than those.
_ROWS_PER_GROUP = 131_072


@dataclass(frozen=True, slots=True)
class Layout:
    """How the tables of a version lie in files.

    Attributes:
        compression_level: Of zstd, 1 (quick) to 22 (small).
        by_month: Tables with a file per month of their `timestamp` (UTC), by which they are sorted.

    Raises:
        ConfigError: The level is out of range.
    """

    compression_level: int = 3
    by_month: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        level: object = self.compression_level
        if not (isinstance(level, int) and level in range(1, 23)):
            raise ConfigError(f"compression_level must be a whole number from 1 to 22, got {self.compression_level!r}")


PLAIN = Layout()


class VersionFiles:
    """Writes the files of one version into a folder.

    Attributes:
        listed: File name -> rows (null for attachments) and sha256 of the bytes.
        table_hashes: Table name -> its hash.
    """

    def __init__(self, folder: Path, layout: Layout) -> None:
        self.listed: dict[str, dict[str, Any]] = {}
        self.table_hashes: dict[str, str] = {}
        self._folder, self._layout = folder, layout

    def write(self, tables: Mapping[str, Table], attachments: Mapping[str, Attachment]) -> None:
        """Write tables, then attachments.

        Raises:
            DataValidationError: A column is of a type that is not stored.
        """
        for name, given in tables.items():
            table = given() if callable(given) else given
            digest = TableHash()
            for file, rows in self._parted(name, table):
                digest.add(rows)
                self._write_rows(file, rows)
            self.table_hashes[name] = digest.hexdigest()
        for file, content in attachments.items():
            self._write_bytes(file, content if isinstance(content, bytes) else content())

    def _parted(self, name: str, table: pl.DataFrame | Iterable[pl.DataFrame]) -> Iterator[tuple[str, pl.DataFrame]]:
        """Yield file and rows, in the order of the rows; a table without rows is one file."""
        parts = [table] if isinstance(table, pl.DataFrame) else table
        if name not in self._layout.by_month or (isinstance(table, pl.DataFrame) and table.is_empty()):
            (whole,) = parts
            yield f"{name}.parquet", whole
            return
        parts_of: Counter[str] = Counter()
        for part in parts:
            refuse_foreign_types({name: part})
            for month, rows in _months(part):
                parts_of[month] += 1
                ending = "" if parts_of[month] == 1 else f"_{parts_of[month]:04d}"
                yield f"{name}/{month}/part{ending}.parquet", rows

    def _write_rows(self, file: str, rows: pl.DataFrame) -> None:
        path = self._new(file)
        rows.write_parquet(
            path,
            compression="zstd",
            compression_level=self._layout.compression_level,
            statistics=True,
            row_group_size=_ROWS_PER_GROUP,
        )
        self._list(file, path, rows.height)

    def _write_bytes(self, file: str, content: bytes) -> None:
        path = self._new(file)
        path.write_bytes(content)
        self._list(file, path, None)

    def _new(self, file: str) -> Path:
        path = path_of(self._folder, file)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _list(self, file: str, path: Path, rows: int | None) -> None:
        sync(path)
        sync(path.parent)
        self.listed[file] = {"rows": rows, "sha256": sha256_of(path)}


def path_of(version: str | Path, file: str) -> Path:
    """Return where a file of a version lies; only parts by month lie in folders.

    Raises:
        UnsafePathError: The name is no safe path.
    """
    by_month = _PART.fullmatch(file)
    if by_month is None:
        return safe_path(version, file)
    return safe_path(version, by_month["table"]) / by_month["part"]


def sync(path: Path) -> None:
    """Wait until a file, or the entries of a folder, have reached the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _months(part: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield the rows of each month with its folder, named as hive does."""
    stamp = pl.col("timestamp")
    months = part.group_by(stamp.dt.year().alias("year"), stamp.dt.month().alias("month"), maintain_order=True)
    for (year, month), rows in months:
        yield f"year={year:04d}/month={month:02d}", rows
