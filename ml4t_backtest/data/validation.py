"""Every row of every table against its schema; every violation found before anything is raised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from ml4t_backtest.errors import DataValidationError, SignalTimingError, Violation

if TYPE_CHECKING:
    import pandera.polars as pa

# Every level checks every row. So far all of them run the same rules.
ValidationLevel = Literal["fast", "standard", "paranoid"]
_SAMPLES = 5
_ROW = "physical_row"


def validate(
    frame: pl.DataFrame, schema: pa.DataFrameSchema, *, file: str | None = None, allow_empty: bool = False
) -> None:
    """Check a table and raise everything that is wrong with it at once.

    Args:
        frame: The table, rows in the order of their source.
        schema: One of `core.schemas`; its `key` is checked for repeats too.
        file: Where the table came from, for the message.
        allow_empty: Whether a table without rows is fine.

    Raises:
        SignalTimingError: Only availability rules are broken.
        DataValidationError: Anything else.
    """
    violations = find_violations(frame, schema, file=file, allow_empty=allow_empty)
    if violations:
        only_timing = all(violation.code.startswith("E-SG-TIMING") for violation in violations)
        raise SignalTimingError(violations) if only_timing else DataValidationError(violations)


def find_violations(
    frame: pl.DataFrame, schema: pa.DataFrameSchema, *, file: str | None = None, allow_empty: bool = False
) -> list[Violation]:
    """Return every violation of `schema` and of its key, in the order of the columns."""
    place = _Place(frame, str(schema.name), file)
    if frame.is_empty() and not allow_empty:
        return [place.table_violation("E-DS-EMPTY", "the table has no rows", hint="check path and filters")]
    broken = _schema_violations(frame, schema, place)
    key = [name for name in schema.metadata["key"] if name in frame.columns] if schema.metadata else []
    return broken + (_repeated_keys(frame, key, place) if key else [])


def _schema_violations(frame: pl.DataFrame, schema: pa.DataFrameSchema, place: _Place) -> list[Violation]:
    import pandera.errors

    try:
        schema.validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as error:
        found = [_violation(schema_error, place) for schema_error in error.schema_errors]
        return [violation for violation in found if violation is not None]
    return []


def _violation(error: Any, place: _Place) -> Violation | None:
    """Return the violation behind one pandera error, or None for the echo of another one.

    A check that could not run on a column of the wrong type says nothing that the type's own error does not say.
    """
    reason, column = error.reason_code.name, error.schema.name
    if reason == "COLUMN_NOT_IN_DATAFRAME":
        found = ", ".join(place.frame.columns)
        return place.table_violation(
            "E-SC-MISSING", f"column {error.failure_cases!r} is absent", hint=f"map it from one of: {found}"
        )
    if reason == "WRONG_DATATYPE":
        dtype = str(place.frame.schema[column])
        return place.table_violation(
            "E-SC-DTYPE",
            f"{column} must be {error.check.removeprefix('dtype(').rstrip(')')}, found {dtype}",
            column=column,
            hint="cast the column in the source",
        )
    if reason == "SERIES_CONTAINS_NULLS":
        offenders = place.frame[column].is_null()
        if not offenders.any():
            return None
        return place.row_violation(_null_code(column, place.dataset), f"{column} is null", offenders, column)
    if reason == "DATAFRAME_CHECK":
        offenders = ~error.check_output.to_series().fill_null(True)
        is_column = column in place.frame.columns
        text = f"{column} {error.check.error}" if is_column else error.check.error
        return place.row_violation(
            error.check.name, text, offenders, column if is_column else None, hint=error.check.description
        )
    return None


def _null_code(column: str, dataset: str) -> str:
    if column == "symbol":
        return "E-KEY-NULL"
    if column in ("timestamp", "available_at", "open_instant"):
        return "E-TS-NULL"
    return "E-PX-NULL" if dataset in ("prices", "asset_data") else "E-NULL"


def _repeated_keys(frame: pl.DataFrame, key: Sequence[str], place: _Place) -> list[Violation]:
    """Compare neighbours after sorting by the key: one pass, no hash table."""
    ordered = frame.select(*key).with_row_index(_ROW).sort(*key, maintain_order=True)
    same = ordered.select(pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in key)).to_series()
    repeated = ordered.filter(same.fill_null(False))[_ROW]
    if repeated.is_empty():
        return []
    offenders = pl.Series(values=[False]).new_from_index(0, frame.height)
    offenders = offenders.scatter(repeated, True)
    return [place.row_violation("E-KEY-DUP", f"key {tuple(key)} repeats", offenders, None, "keep one row per key")]


class _Place:
    """Where a violation is: the table, its name and its file."""

    def __init__(self, frame: pl.DataFrame, dataset: str, file: str | None) -> None:
        self.frame = frame
        self.dataset = dataset
        self.file = file

    def table_violation(self, code: str, message: str, column: str | None = None, hint: str = "") -> Violation:
        return Violation(code, self.dataset, message, file=self.file, column=column, hint=hint)

    def row_violation(
        self,
        code: str,
        message: str,
        offenders: pl.Series,
        column: str | None,
        hint: str = "repair the source",
    ) -> Violation:
        rows = offenders.arg_true()
        shown = [int(row) for row in rows.head(_SAMPLES)]
        samples = tuple(f"row {row} {self._key(row)} {self._value(row, column)}" for row in shown)
        return Violation(
            code,
            self.dataset,
            message,
            file=self.file,
            row=shown[0],
            key=self._key(shown[0]),
            column=column,
            value=self._value(shown[0], column),
            count=rows.len(),
            samples=samples,
            hint=hint,
        )

    def _key(self, row: int) -> str:
        parts = [self.frame[name][row] for name in ("symbol", "timestamp") if name in self.frame.columns]
        return " ".join(part.isoformat() if hasattr(part, "isoformat") else str(part) for part in parts)

    def _value(self, row: int, column: str | None) -> str:
        if column is not None:
            return repr(self.frame[column][row])[:80]
        prices = [name for name in ("open", "high", "low", "close") if name in self.frame.columns]
        return ", ".join(f"{name}={self.frame[name][row]!r}" for name in prices)[:80]
