"""One hash for one content: names, types and values of tables, whatever file layout or memory layout they came from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

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
    _refuse_foreign_types(tables)
    digest = hashlib.sha256()
    for name in sorted(tables):
        parts = [f"{name}:{tables[name].height}:{tables[name].width}".encode()]
        for column in tables[name].get_columns():
            parts += _column_bytes(column)
        for part in parts:
            # Framed by its length, so that no part can pass for the end of one and the beginning of the next.
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
    return digest.hexdigest()


def _column_bytes(column: pl.Series) -> Iterator[bytes]:
    """Yield what a column says: its name and type, where it is null, and its values with nulls zeroed.

    Arrow buffers themselves will not do: equal columns may differ in chunks, offsets and unused validity bits.
    """
    dtype = pl.String() if column.dtype in _TEXTS else column.dtype
    yield f"{column.name}:{dtype}".encode()
    yield np.packbits(column.is_null().to_numpy()).tobytes()
    if dtype == pl.String:
        text = column.cast(pl.String).fill_null("")
        yield text.str.len_bytes().to_numpy().tobytes()
        yield "".join(text).encode()
    else:
        yield column.to_physical().fill_null(0).to_numpy().tobytes()


def _refuse_foreign_types(tables: Mapping[str, pl.DataFrame]) -> None:
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
