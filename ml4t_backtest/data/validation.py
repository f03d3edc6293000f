"""Every row of every table against its schema; every violation found before anything is raised."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from ml4t_backtest.core.columns import every_rule_holds, has_types
from ml4t_backtest.data.sources import unflagged
from ml4t_backtest.errors import DataValidationError, SignalTimingError, Violation

if TYPE_CHECKING:
    import pandera.polars as pa

# Every level checks every row against every rule; what else each looks for: docs/concepts/validation_levels.md.
ValidationLevel = Literal["fast", "standard", "paranoid"]
_SAMPLES = 5
_SHOWN = 80
_SHOWN_SPELLINGS = 3
_ABOUT_TIMING = ("E-SG-TIMING", "E-SG-AVAILABILITY")


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
    raise_violations(find_violations(frame, schema, file=file, allow_empty=allow_empty))


def raise_violations(violations: Sequence[Violation]) -> None:
    """Raise violations as the error that fits them, if there are any.

    Raises:
        SignalTimingError: Only availability rules are broken.
        DataValidationError: Anything else.
    """
    if violations:
        raise error_of(violations)


def error_of(violations: Sequence[Violation]) -> DataValidationError:
    """Return the error that fits violations: one about timing where nothing else is broken."""
    only_timing = all(violation.code.startswith(_ABOUT_TIMING) for violation in violations)
    return SignalTimingError(violations) if only_timing else DataValidationError(violations)


def find_violations(
    frame: pl.DataFrame,
    schema: pa.DataFrameSchema,
    *,
    file: str | None = None,
    allow_empty: bool = False,
    first_row: int = 0,
    keys: bool = True,
) -> list[Violation]:
    """Return every violation of `schema` and of its key, in the order of the columns.

    Args:
        frame: The table or a part of it, rows in the order of their source.
        schema: One of `core.schemas`.
        file: Where the table came from.
        allow_empty: Whether a table without rows is fine.
        first_row: Number of the part's first row in its source.
        keys: Whether to look for keys that repeat.
    """
    place = _Place(frame, schema, file, lambda row: first_row + row)
    if frame.is_empty() and not allow_empty:
        return [place.table_violation("E-DS-EMPTY", "the table has no rows", hint="check path and filters")]
    broken = _schema_violations(frame, schema, place)
    untyped = {violation.column for violation in broken if violation.code == "E-SC-DTYPE"}
    return broken if not keys or untyped.intersection(place.key) else broken + _repeated_keys(place)


def find_repeats(
    frame: pl.DataFrame, schema: pa.DataFrameSchema, numbers: pl.Series, *, file: str | None = None
) -> list[Violation]:
    """Return the violation of keys that repeat, where there are any.

    Args:
        frame: Rows of one source, not necessarily all and in any order, but all of each key.
        schema: One of `core.schemas`.
        numbers: Number of each row in its source.
        file: Where the rows came from.
    """
    order = numbers.arg_sort()
    ordered = numbers[order]
    return _repeated_keys(_Place(frame[order], schema, file, lambda row: int(ordered[row])))


def merge_violations(parts: Iterable[Sequence[Violation]]) -> list[Violation]:
    """Return the violations of rows in parts of one table as those of the table: counted together, first row first."""
    merged: dict[tuple[str, str | None, str], Violation] = {}
    for violation in (each for part in parts for each in part):
        kind = (violation.code, violation.column, violation.message)
        known = merged.get(kind)
        merged[kind] = violation if known is None else _joined(known, violation)
    return list(merged.values())


def _joined(one: Violation, other: Violation) -> Violation:
    first, second = sorted((one, other), key=lambda violation: violation.row or 0)
    samples = (first.samples + second.samples)[:_SAMPLES]
    return replace(first, count=first.count + second.count, samples=samples)


def _schema_violations(frame: pl.DataFrame, schema: pa.DataFrameSchema, place: _Place) -> list[Violation]:
    # Which rule is broken is asked only where one is: pandera asks one rule at a time, which takes ten times as long on
    # a small table.
    if has_types(frame, schema) and frame.select(every_rule_holds(schema)).item():
        return []
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
    return _rule_violation(error.check, error.check_output, column, place) if reason == "DATAFRAME_CHECK" else None


def _rule_violation(check: Any, output: Any, column: str, place: _Place) -> Violation:
    offenders = ~output.to_series()
    if column in place.frame.columns:
        hint = check.description
        if check.name == "E-KEY-WS":
            hint += _spellings(place.frame[column].filter(offenders))
        return place.row_violation(check.name, f"{column} {check.error}", offenders, column, hint=hint)
    blamed, shown = check.statistics["column"], check.statistics["shown"]
    return place.row_violation(check.name, check.error, offenders, blamed, shown, hint=check.description)


def _spellings(symbols: pl.Series) -> str:
    """Return how symbols with blanks are written, and what they probably stand for."""
    written = symbols.unique(maintain_order=True).head(_SHOWN_SPELLINGS)
    return ": " + ", ".join(f"{symbol!r} for {symbol.strip()!r}" for symbol in written)


def _null_code(column: str, dataset: str) -> str:
    if column == "symbol":
        return "E-KEY-NULL"
    if column in ("timestamp", "available_at", "open_instant", "decision_instant"):
        return "E-TS-NULL"
    return "E-PX-NULL" if dataset in ("prices", "asset_data") else "E-NULL"


def _repeated_keys(place: _Place) -> list[Violation]:
    """Compare neighbours after sorting by the key: one pass, no hash table."""
    if not place.key:
        return []
    ordered = unflagged(place.frame.select(place.key)).with_row_index("").sort(*place.key, maintain_order=True)
    same = pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in place.key)
    repeats = ordered.select(again=pl.col(""), before=pl.col("").shift(1), same=same).filter("same").sort("again")
    return [place.repeat_violation(repeats.rows())] if repeats.height else []


class _Place:
    """Where a violation is: the table, its name, its file, its key, and which row of its source each row is."""

    def __init__(
        self, frame: pl.DataFrame, schema: pa.DataFrameSchema, file: str | None, number: Callable[[int], int]
    ) -> None:
        self.frame = frame
        self.dataset = str(schema.name)
        self.key = tuple(name for name in (schema.metadata or {}).get("key", ()) if name in frame.columns)
        self._file = file
        self._number = number

    def table_violation(self, code: str, message: str, column: str | None = None, hint: str = "") -> Violation:
        return Violation(code, self.dataset, message, file=self._file, column=column, hint=hint)

    def row_violation(
        self,
        code: str,
        message: str,
        offenders: pl.Series,
        column: str | None,
        shown: Sequence[str] = (),
        hint: str = "repair the source",
    ) -> Violation:
        rows = offenders.arg_true()
        first = [int(row) for row in rows.head(_SAMPLES)]
        values = tuple(shown) or (() if column is None else (column,))
        return self._at(Violation(code, self.dataset, message, column=column, hint=hint), first, rows.len(), values)

    def repeat_violation(self, repeats: list[tuple[int, int, bool]]) -> Violation:
        """Return the violation of rows that repeat the key of an earlier one; its samples name both."""
        rows = [row for again, before, _ in repeats[:_SAMPLES] for row in (again, before)][:_SAMPLES]
        others = tuple(name for name in self.frame.columns if name not in self.key)
        prices = tuple(name for name in ("open", "high", "low", "close") if name in others)
        found = Violation("E-KEY-DUP", self.dataset, f"key {self.key} repeats", hint="keep one row per key")
        return self._at(found, rows, len(repeats), prices or others)

    def _at(self, violation: Violation, rows: list[int], count: int, values: Sequence[str]) -> Violation:
        return replace(
            violation,
            file=self._file,
            row=self._number(rows[0]),
            key=self._key_of(rows[0]),
            value=self._values_of(rows[0], values, violation.column),
            count=count,
            samples=tuple(
                f"row {self._number(row)} {self._key_of(row)} {self._values_of(row, values, violation.column)}"
                for row in rows
            ),
        )

    def _key_of(self, row: int) -> str:
        parts = [self.frame[name][row] for name in ("symbol", "timestamp") if name in self.frame.columns]
        return " ".join(part.isoformat() if hasattr(part, "isoformat") else str(part) for part in parts)

    def _values_of(self, row: int, names: Sequence[str], column: str | None) -> str:
        """Return the values of a row; that of the column to blame without its name, which is told already."""
        if len(names) == 1:
            return _shown(self.frame[names[0]][row])
        told = {name: "" if name == column else f"{name}=" for name in names}
        return ", ".join(f"{told[name]}{_shown(self.frame[name][row])}" for name in names)[:_SHOWN]


def _shown(value: Any) -> str:
    """Return a value as a reader knows it; an instant short enough that two of them fit."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return " ".join(repr(value).split())[:_SHOWN]
