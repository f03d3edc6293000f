"""What the schemas are built of: columns with type, unit and meaning, and the rules their values keep.

A check's `name` is the stable code of the violation it finds, its `error` the sentence and its `description` what to
do. A rule stays silent about a value that another rule names already: a NaN is no price that is "too large".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandera.polars as pa
import polars as pl

from ml4t_backtest.core.instants import UTC_MICROSECONDS

MONEY = "account currency"
PER_SHARE = "account currency per share"
FRACTION = "fraction (0.02 is 2 %)"
INSTANT = "UTC microseconds"
MAX_PRICE = 1e15
MAX_VOLUME = 1e15

_REPAIR = "drop the bar or repair the source"
_REPAIR_OR_ALLOW = f"{_REPAIR}; where prices may be negative, declare allow_nonpositive_prices: true"
# Control characters, and those that show nothing: a zero-width space, a mark of direction.
_UNSEEN = r"[\p{Cc}\p{Cf}]"


def column(
    dtype: Any,
    meaning: str,
    unit: str = "",
    *,
    nullable: bool = False,
    null_when: str = "",
    checks: Sequence[pa.Check] = (),
) -> pa.Column:
    """Return a column; numbers in it are finite.

    Args:
        dtype: Polars type.
        meaning: What a value says, in words.
        unit: What it is measured in; empty for names, counts and flags.
        nullable: Whether a value may be missing.
        null_when: When it is missing, in words; says that it may be.
        checks: Further rules.
    """
    finite = rule(
        "E-INF",
        lambda c: c.is_finite(),
        "is infinite or not a number",
        "write null where a value is missing",
        between=True,
    )
    own = [finite] if dtype == pl.Float64 else []
    return pa.Column(
        dtype,
        nullable=nullable or bool(null_when),
        description=meaning,
        metadata={"unit": unit, "null_when": null_when},
        checks=[*own, *checks],
    )


def table(
    name: str,
    columns: dict[str, pa.Column],
    checks: Sequence[pa.Check] = (),
    *,
    key: tuple[str, ...],
    meaning: str,
) -> pa.DataFrameSchema:
    """Return a table's schema.

    Args:
        name: Name of the table.
        columns: Its columns; others may follow them.
        checks: Rules across columns.
        key: Columns that together name a row.
        meaning: What a row is.
    """
    return pa.DataFrameSchema(
        columns, checks=list(checks), name=name, description=meaning, metadata={"key": key}, strict=False
    )


def rule(code: str, holds: Callable[[pl.Expr], pl.Expr], error: str, hint: str, *, between: bool = False) -> pa.Check:
    """Return a check on one column.

    Args:
        code: Code of the violation.
        holds: Maps the column to a boolean expression, null where the rule does not apply.
        error: What is wrong, in words.
        hint: What to do.
        between: Whether the rule holds for every number of a column when the rules of the column hold for the
            smallest and the greatest (NaN counting as both), so that two values tell about all.
    """
    return pa.Check(
        lambda data: data.lazyframe.select(holds(pl.col(data.key)).fill_null(True)),
        name=code,
        error=error,
        description=hint,
        n_failure_cases=5,
        statistics={"holds": holds, "between": between},
    )


def row_rule(
    code: str,
    holds: pl.Expr,
    error: str,
    hint: str,
    *,
    shown: Sequence[str],
    column: str | None = None,
    unless: pl.Expr | None = None,
    enclosed: Sequence[str] = (),
) -> pa.Check:
    """Return a check across the columns of a row.

    Args:
        code: Code of the violation.
        holds: Boolean expression, null where the rule does not apply.
        error: What is wrong, in words.
        hint: What to do.
        shown: Columns whose values a violation shows.
        column: Column to blame, where it is one.
        unless: Where the rule is silent, because another one speaks. Kept apart, so that nobody asks this of data
            in which `holds` is true of every row.
        enclosed: Columns without nulls that `holds` orders: the first is nowhere greater, the last nowhere smaller
            than the others, NaN being the greatest. Where it is true of every row, these two have the extremes of all.
    """
    spoken = holds if unless is None else holds | unless
    return pa.Check(
        lambda data: data.lazyframe.select(spoken.fill_null(True)),
        name=code,
        error=error,
        description=hint,
        n_failure_cases=5,
        statistics={
            "holds": spoken,
            "strictly": holds,
            "shown": tuple(shown),
            "column": column,
            "enclosed": tuple(enclosed),
        },
    )


def has_types(frame: pl.DataFrame, schema: pa.DataFrameSchema) -> bool:
    """Return whether a table has every column that a schema or a rule of it names, and of the type it names, if any."""
    found = frame.schema
    names = {name for check in schema.checks for name in check.statistics["holds"].meta.root_names()}
    types = {name: each.dtype.type for name, each in schema.columns.items() if each.dtype is not None}
    return names.union(schema.columns).issubset(found) and all(found[name] == types[name] for name in types)


def every_rule_holds(schema: pa.DataFrameSchema) -> pl.Expr:
    """Return the rules of a schema as one expression: true when no row breaks any.

    It says nothing about types, and not which rule is broken; but it takes Polars one pass.
    """
    rules = [pl.col(name).is_not_null() for name, each in schema.columns.items() if not each.nullable]
    rules += [check.statistics["holds"](pl.col(name)) for name, each in schema.columns.items() for check in each.checks]
    rules += [check.statistics["holds"] for check in schema.checks]
    return pl.all_horizontal(pl.lit(True), *(holds.fill_null(True) for holds in rules)).all()


def finite_rules(family: str, hint: str) -> list[pa.Check]:
    """Return the rules that refuse NaN and infinities, with codes FAMILY-NAN and FAMILY-INF."""
    return [
        rule(f"{family}-NAN", lambda c: c.is_not_nan(), "is NaN", hint, between=True),
        rule(f"{family}-INF", lambda c: ~c.is_infinite(), "is infinite", hint, between=True),
    ]


def price_column(meaning: str, *, allow_nonpositive: bool = False) -> pa.Column:
    """Return a price: finite, positive unless it is allowed not to be, of a believable size."""
    positive = rule(
        "E-PX-NONPOS", lambda c: (c > 0) | ~c.is_finite(), "is not positive", _REPAIR_OR_ALLOW, between=True
    )
    return pa.Column(
        pl.Float64,
        description=meaning,
        metadata={"unit": PER_SHARE},
        checks=[
            *finite_rules("E-PX", _REPAIR),
            *([] if allow_nonpositive else [positive]),
            rule(
                "E-PX-RANGE",
                lambda c: (c.abs() < MAX_PRICE) | ~c.is_finite(),
                "is too large",
                "check the unit of the prices",
                between=True,
            ),
        ],
    )


def volume_column(meaning: str) -> pa.Column:
    """Return a volume: finite, not negative, of a believable size."""
    return pa.Column(
        pl.Float64,
        description=meaning,
        metadata={"unit": "shares"},
        checks=[
            *finite_rules("E-PX", "write 0 where nothing was traded"),
            rule("E-PX-NEGVOL", lambda c: (c >= 0) | ~c.is_finite(), "is negative", "repair the source", between=True),
            rule(
                "E-PX-VOLMAX",
                lambda c: (c < MAX_VOLUME) | ~c.is_finite(),
                "is a sentinel, not a volume",
                "write 0 where nothing was traded",
                between=True,
            ),
        ],
    )


def symbol_column() -> pa.Column:
    """Return the name of an instrument."""
    return column(
        pl.String,
        "instrument",
        checks=[
            rule("E-KEY-EMPTY", lambda c: c.str.len_chars() > 0, "is empty", "name the instrument"),
            rule(
                "E-KEY-WS",
                lambda c: c == c.str.strip_chars(),
                "has blanks around it",
                "strip the blanks in the source",
            ),
            rule(
                "E-KEY-CHAR",
                lambda c: ~c.str.contains(_UNSEEN),
                "holds a control character or one that cannot be seen",
                "remove it in the source",
            ),
            rule("E-KEY-LEN", lambda c: c.str.len_chars() <= 64, "is longer than 64", "shorten it"),
        ],
    )


def value_column(meaning: str, within: tuple[float, float] | None = None) -> pa.Column:
    """Return a signal, indicator or context value: a finite number, inside its range if it has one, or null."""
    checks = finite_rules("E-SG", "write null for 'no value'")
    return pa.Column(
        pl.Float64,
        nullable=True,
        description=meaning,
        checks=checks if within is None else [*checks, _range_rule(*within)],
    )


def _range_rule(low: float, high: float) -> pa.Check:
    return rule(
        "E-SG-RANGE",
        lambda c: c.is_between(low, high) | ~c.is_finite(),
        f"is outside the declared range {low:g} to {high:g}",
        "repair the source, or declare the range it has",
        between=True,
    )


def instant_column(meaning: str, *, nullable: bool = False, null_when: str = "") -> pa.Column:
    """Return a moment in time."""
    return column(UTC_MICROSECONDS, meaning, INSTANT, nullable=nullable, null_when=null_when)


def positive() -> pa.Check:
    """Return the rule of records that a value is above zero."""
    return rule("E-RC-NONPOS", lambda c: c > 0, "is not positive", "report this as a defect of the engine")


def not_negative() -> pa.Check:
    """Return the rule of records that a value is not below zero."""
    return rule("E-RC-NEG", lambda c: c >= 0, "is negative", "report this as a defect of the engine")


def coded(codes: npt.NDArray[np.int64], names: Sequence[str]) -> pl.Series:
    """Return an Enum column of `names` from their indices."""
    return pl.Series(names, dtype=pl.Enum(names)).gather(codes)
