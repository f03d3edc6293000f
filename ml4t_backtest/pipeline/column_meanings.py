"""What the columns of a table mean, and what holds for their values: for people who look at it."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

_MOMENTS = {
    "decision": "as known at the decision",
    "entry": "on the bar of the entry",
    "exit": "on the bar of the exit",
}


def meaning(name: str, column: pa.Column | None) -> str | None:
    """Return what a column means, with its unit.

    Args:
        name: Its name.
        column: What the schema says of it; None where it comes from a data set: `decision_NAME`, `exit_NAME`.

    >>> meaning("entry_momentum", None)
    'momentum on the bar of the entry'
    """
    if column is None:
        moment, _, value = name.partition("_")
        return f"{value} {_MOMENTS[moment]}" if moment in _MOMENTS else None
    unit = (column.metadata or {}).get("unit")
    return f"{column.description} [{unit}]" if unit else column.description


def rules(column: pa.Column) -> list[str]:
    """Return the rules of a column's values as sentences."""
    return [f"{check.name}: never {check.error}" for check in column.checks]


def short_type(dtype: pl.DataType) -> str:
    """Return a type in a word or two: a longer one pushes the meanings of all columns out of the page.

    >>> short_type(pl.Datetime("us", "UTC")), short_type(pl.Enum(["buy", "sell"])), short_type(pl.Float64())
    ('Datetime UTC', 'Enum', 'Float64')
    """
    if isinstance(dtype, pl.Enum):
        return "Enum"
    return f"Datetime {dtype.time_zone or ''}".rstrip() if isinstance(dtype, pl.Datetime) else str(dtype)
