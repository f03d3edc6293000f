"""Other futures: the same past up to a cut, and after it nothing, or something else."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Literal, get_args

import numpy as np
import polars as pl

from ml4t_backtest.lookahead.timed import TimedTable, value_columns

Future = Literal["cut off", "raised", "lowered", "shuffled", "noise"]
FUTURES: tuple[Future, ...] = get_args(Future)
_FACTORS = {"raised": 1.9, "lowered": 0.53}
_SHIFTS = {"raised": 1.0, "lowered": -1.0}
_OHLC = ("open", "high", "low", "close")
_JITTER = 0.25


class OtherTables(Mapping[str, pl.DataFrame]):
    """Tables that are the same up to a moment and different after it; each is made when it is asked for."""

    def __init__(self, tables: Mapping[str, TimedTable], cut: int, future: Future) -> None:
        """Part from the tables as they are.

        Args:
            tables: Name -> table.
            cut: Last moment that stays as it is, microseconds since 1970 UTC.
            future: `cut off`: nothing comes after it. `raised`, `lowered`: what comes is nearly twice or half as
                large, so that every return across the cut is up, or down. `shuffled`: the rows of each symbol come in
                another order. `noise`: they come from a generator. Keys and times stay as they are; bars stay bars.

        The same arguments give the same tables.
        """
        self._tables, self._cut, self._future = tables, cut, future

    def __getitem__(self, name: str) -> pl.DataFrame:
        """Return a table."""
        return _changed(self._tables[name], self._cut, self._future, name)

    def __contains__(self, name: object) -> bool:
        """Return whether there is a table, without making it."""
        return name in self._tables

    def __iter__(self) -> Iterator[str]:
        """Yield the names."""
        return iter(self._tables)

    def __len__(self) -> int:
        """Return the number of tables."""
        return len(self._tables)


def _changed(table: TimedTable, cut: int, future: Future, name: str) -> pl.DataFrame:
    # Of memberships only the times carry anything, and those that are not known yet cannot be others.
    if future == "cut off" or table.known is None or "start" in table.frame.columns:
        return table.cut_off(cut)
    unknown = table.known > cut
    rng = np.random.default_rng([cut % 2**32, zlib.crc32(f"{name} {future}".encode())])
    columns = [each for each in value_columns(table.frame) if not _is_nested(table.frame[each])]
    other = _other_values(table.frame, columns, unknown, future, rng)
    hidden = {each: table.later[each] > cut if each in table.later else unknown for each in columns}
    changed = table.frame.with_columns(
        table.frame[each].zip_with(~hidden[each], other[each]).alias(each) for each in columns
    )
    return _as_bars(changed, hidden["close"]) if table.is_bars else changed


def _other_values(
    frame: pl.DataFrame, columns: list[str], unknown: pl.Series, future: Future, rng: np.random.Generator
) -> dict[str, pl.Series]:
    """Return other values for all rows; which of them are used is the caller's to say."""
    if future == "shuffled":
        row = _other_rows(frame, unknown, rng)
        return {each: frame[each].gather(row) for each in columns}
    together = np.exp(_JITTER * rng.standard_normal(frame.height))
    return {each: _other(frame[each], future, rng, together if each in _OHLC else None) for each in columns}


def _other_rows(frame: pl.DataFrame, unknown: pl.Series, rng: np.random.Generator) -> pl.Series:
    """Return for each row the number of the row that takes its place: unknown rows of a symbol change places."""
    by = frame["symbol"].cast(pl.String) if "symbol" in frame.columns else pl.repeat("", frame.height, eager=True)
    places = pl.DataFrame({"row": np.arange(frame.height), "by": by, "draw": rng.random(frame.height)})
    places = places.with_columns(unknown.alias("unknown"))
    swapped = pl.col("row").sort_by("draw").over("by", "unknown")
    return places.select(pl.when("unknown").then(swapped).otherwise("row")).to_series()


def _other(column: pl.Series, future: Future, rng: np.random.Generator, together: np.ndarray | None) -> pl.Series:
    """Return a column of other values; prices of one bar move together."""
    if column.dtype == pl.Boolean:
        flipped = ~column if future != "noise" else pl.Series(rng.random(column.len()) < 0.5)
        return flipped.alias(column.name)
    if not column.dtype.is_numeric():
        return column.gather(pl.Series(rng.permutation(column.len()))) if future == "noise" else column
    values = column.cast(pl.Float64)
    numbers = values.fill_nan(None).drop_nulls().to_numpy()
    spread = float(numbers.std()) if len(numbers) else 0.0
    positive = not (numbers < 0.0).any()
    if future == "noise" and positive:
        other = values * (np.exp(2 * _JITTER * rng.standard_normal(column.len())) if together is None else together)
    elif future == "noise":
        other = pl.Series((spread or 1.0) * rng.standard_normal(column.len()))
    else:
        other = values * _FACTORS[future] + (0.0 if positive else _SHIFTS[future] * (spread or 1.0))
    return _in_type_of(column, other)


def _in_type_of(column: pl.Series, values: pl.Series) -> pl.Series:
    if column.dtype.is_integer():
        return values.round().cast(pl.Int64).alias(column.name)
    return values.cast(column.dtype).alias(column.name)


def _as_bars(frame: pl.DataFrame, changed: pl.Series) -> pl.DataFrame:
    """Return the changed rows with highs and lows that hold their opens and closes."""
    edges = {"high": pl.max_horizontal(_OHLC), "low": pl.min_horizontal(_OHLC)}
    return frame.with_columns(pl.when(changed).then(edge).otherwise(name).alias(name) for name, edge in edges.items())


def _is_nested(column: pl.Series) -> bool:
    return column.dtype.is_nested()
