"""One hash for one content: names, types and values of tables, whatever file layout or memory layout they came from.

A table may come in parts, cut anywhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import polars as pl

from ml4t_backtest.errors import DataValidationError, Violation

_TEXTS = (pl.String, pl.Categorical, pl.Enum)


def content_hash(tables: Mapping[str, pl.DataFrame]) -> str:
    """Return a sha256 over names, types and values of the tables.

    Text columns count by value: String, Categorical and Enum hash alike.

    Raises:
        DataValidationError: A column is of a type that is not stored (lists, structs, decimals, bytes).
    """
    refuse_foreign_types(tables)
    return joint_hash({name: table_hash(table) for name, table in tables.items()})


def table_hash(table: pl.DataFrame) -> str:
    """Return the hash of one table without its name."""
    digest = TableHash()
    digest.add(table)
    return digest.hexdigest()


def joint_hash(hashes: Mapping[str, str]) -> str:
    """Return the `content_hash` of tables whose hashes are known, by their names."""
    digest = hashlib.sha256()
    for name in sorted(hashes):
        _frame(digest, name.encode())
        _frame(digest, hashes[name].encode())
    return digest.hexdigest()


class TableHash:
    """The hash of a table that comes in parts; where it was cut makes no difference.

    Attributes:
        height: Rows so far.
    """

    def __init__(self) -> None:
        self.height = 0
        self._columns: list[_ColumnHash] = []

    def add(self, part: pl.DataFrame) -> None:
        """Take in the next rows; every part has the columns of the first."""
        self._columns = self._columns or [_ColumnHash(column) for column in part.get_columns()]
        for digest, column in zip(self._columns, part.get_columns(), strict=True):
            digest.add(column, self.height)
        self.height += part.height

    def hexdigest(self) -> str:
        """Return the hash of all rows so far."""
        digest = hashlib.sha256(f"{self.height}:{len(self._columns)}".encode())
        for column in self._columns:
            _frame(digest, column.digest())
        return digest.hexdigest()


class _ColumnHash:
    """What a column says: its name and type, which rows are null, and its values with nulls zeroed.

    Arrow buffers themselves will not do: equal columns may differ in chunks, offsets and unused validity bits.
    """

    def __init__(self, column: pl.Series) -> None:
        self._is_text = column.dtype in _TEXTS
        self._name = f"{column.name}:{pl.String() if self._is_text else column.dtype}".encode()
        self._nulls, self._values, self._lengths = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()

    def add(self, column: pl.Series, first_row: int) -> None:
        if column.null_count():
            rows = np.flatnonzero(column.is_null().to_numpy()) + first_row
            self._nulls.update(rows.astype(np.int64).tobytes())
        if self._is_text:
            text = column.cast(pl.String).fill_null("")
            self._lengths.update(text.str.len_bytes().to_numpy().tobytes())
            self._values.update((text.str.join("").item() or "").encode())
        else:
            # A boolean would change its width where nulls are filled.
            values = column.cast(pl.UInt8) if column.dtype == pl.Boolean else column.to_physical()
            self._values.update((values.fill_null(0) if values.null_count() else values).to_numpy().tobytes())

    def digest(self) -> bytes:
        digest = hashlib.sha256()
        for part in (self._name, self._nulls.digest(), self._lengths.digest(), self._values.digest()):
            _frame(digest, part)
        return digest.digest()


def refuse_foreign_types(tables: Mapping[str, pl.DataFrame]) -> None:
    """Refuse tables with a column of a type that is not stored.

    Raises:
        DataValidationError: There is one (lists, structs, decimals, bytes).
    """
    foreign = [
        Violation(
            "E-SC-DTYPE",
            name,
            f"column {column!r} of type {dtype} cannot be stored",
            column=column,
            hint="store numbers, text, booleans, dates, times or durations",
        )
        for name, table in tables.items()
        for column, dtype in table.schema.items()
        if dtype.is_nested() or dtype in (pl.Binary, pl.Decimal, pl.Object, pl.Unknown)
    ]
    if foreign:
        raise DataValidationError(foreign)


def _frame(digest: hashlib._Hash, part: bytes) -> None:
    """Take in a part with its length, so that no part's end can pass for the beginning of the next."""
    digest.update(len(part).to_bytes(8, "little"))
    digest.update(part)
