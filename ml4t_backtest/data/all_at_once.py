"""Everything that is wrong with a table, said at once: a column that is absent or unreadable hides nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from ml4t_backtest.data.sources import collect, require_columns, schema_of
from ml4t_backtest.data.stamps import Stamps
from ml4t_backtest.data.validation import error_of, find_violations
from ml4t_backtest.errors import DataValidationError, Violation

if TYPE_CHECKING:
    import pandera.polars as pa

_TIMES = ("timestamp", "available_at", "open_instant")


def require_all(
    lazy: pl.LazyFrame, wanted: Sequence[str], schema: pa.DataFrameSchema, *, file: str | None = None
) -> None:
    """Raise what is absent, together with what is wrong with the columns that are there.

    Args:
        lazy: The rows.
        wanted: Columns that are needed.
        schema: Of the loaded table.
        file: Where the rows came from.

    Raises:
        DataValidationError: A column is absent.
    """
    try:
        require_columns(lazy, wanted, dataset=str(schema.name), file=file)
    except DataValidationError as error:
        found = schema_of(lazy, file=file).names()
        rows = collect(lazy.select(name for name in wanted if name in found), file=file)
        raise with_the_rest(error, rows, schema, file=file) from error


def with_the_rest(
    error: DataValidationError,
    rows: pl.DataFrame,
    schema: pa.DataFrameSchema,
    *,
    file: str | None = None,
    timezone: str = "UTC",
    first_row: int = 0,
    keys: bool = True,
) -> DataValidationError:
    """Return an error about some columns with everything that is wrong with the others too.

    Args:
        error: What was found first.
        rows: The table as far as it was read, types as they are in the source.
        schema: Of the loaded table; columns that are not in `rows` yet are left out of account.
        file: Where the rows came from.
        timezone: Zone of stamps that carry none.
        first_row: Number of the first row in its source.
        keys: Whether to look for keys that repeat.
    """
    blamed = {violation.column for violation in error.violations}
    unasked = [name for name in schema.columns if name in (*_TIMES, *blamed) or name not in rows.columns]
    found = list(error.violations)
    if not blamed.intersection(_TIMES) and "timestamp" in rows.columns:
        place = {"dataset": str(schema.name), "file": file, "first_row": first_row}
        found += _of_stamps(rows["timestamp"], timezone, place)
    if rows.width:
        key = set(schema.metadata["key"]) - {"available_at"}
        keys = keys and blamed.isdisjoint(key) and key <= set(rows.columns)
        values = schema.remove_columns(unasked)
        found += find_violations(_as_loaded(rows), values, file=file, first_row=first_row, keys=keys)
    return error_of(found)


def _of_stamps(stamps: pl.Series, timezone: str, place: Mapping[str, Any]) -> Sequence[Violation]:
    try:
        return Stamps(stamps, timezone, **place).violations
    except DataValidationError as error:
        return error.violations


def _as_loaded(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows with the types that loading gives them, where it can."""
    texts = [name for name, dtype in rows.schema.items() if dtype in (pl.Categorical, pl.Enum)]
    texts += [name for name in ("symbol",) if name in rows.columns and rows.schema[name].is_integer()]
    numbers = [name for name, dtype in rows.schema.items() if dtype.is_numeric() and name not in texts]
    return rows.with_columns(pl.col(numbers).cast(pl.Float64), pl.col(texts).cast(pl.String))
