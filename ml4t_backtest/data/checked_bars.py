"""Bars that were looked at, every row of them, before the first slice is delivered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from ml4t_backtest.data.sources import collect
from ml4t_backtest.data.validation import find_violations, merge_violations, raise_violations
from ml4t_backtest.errors import Violation

if TYPE_CHECKING:
    import pandera.polars as pa

_SAMPLES = 5


@dataclass(frozen=True)
class CheckedBars:
    """Bars whose every row was checked, and what is known of them without reading them again.

    Attributes:
        rows: The bars where they lie, in any order.
        slices: `timestamp`, `decision_instant` (the latest of the slice), `rows` (how many), ascending.
        symbols: `symbol`, `first`, `last` (timestamps), ascending.
    """

    rows: pl.LazyFrame
    slices: pl.DataFrame
    symbols: pl.DataFrame

    @classmethod
    def of(cls, frame: pl.DataFrame) -> CheckedBars:
        """Return bars in memory that were checked already."""
        return cls(frame.lazy(), _slices_of(frame).sort("timestamp"), _symbols_of(frame).sort("symbol"))


def check_bars(rows: pl.LazyFrame, schema: pa.DataFrameSchema, *, file: str | None, at_once: int) -> CheckedBars:
    """Check every row of prepared bars, so many physical rows at a time that memory stays small.

    Args:
        rows: Prepared bars.
        schema: Their schema.
        file: Where they lie; a violation names the row counted from its beginning.
        at_once: Number of rows in memory.

    Raises:
        SignalTimingError: Only availability rules are broken.
        DataValidationError: Anything else.
    """
    height = collect(rows.select(pl.len()), file=file).item()
    found, slices, symbols = [], [], []
    # Without any row there is one part, which says so.
    for first in range(0, max(height, 1), at_once):
        part = collect(rows.slice(first, at_once), file=file)
        found.append(find_violations(part, schema, file=file, first_row=first))
        if any(violation.row is None for violation in found[-1]):
            raise_violations(found[-1])  # the table itself is wrong, not some of its rows
        slices.append(_slices_of(part))
        symbols.append(_symbols_of(part))
    torn = pl.concat(slices).filter(pl.col("timestamp").is_duplicated())
    raise_violations(merge_violations([*found, *_repeats_across(rows, torn, file, at_once)]))
    return CheckedBars(rows, _merged_slices(slices), _merged_symbols(symbols))


def _slices_of(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.group_by("timestamp").agg(pl.col("decision_instant").max(), rows=pl.len())


def _symbols_of(rows: pl.DataFrame) -> pl.DataFrame:
    stamp = pl.col("timestamp")
    return rows.group_by("symbol").agg(first=stamp.min(), last=stamp.max())


def _merged_slices(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    together = pl.concat(parts).group_by("timestamp")
    return together.agg(pl.col("decision_instant").max(), pl.col("rows").sum()).sort("timestamp")


def _merged_symbols(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    together = pl.concat(parts).group_by("symbol")
    return together.agg(pl.col("first").min(), pl.col("last").max()).sort("symbol")


def _repeats_across(
    rows: pl.LazyFrame, torn: pl.DataFrame, file: str | None, at_once: int
) -> Iterator[list[Violation]]:
    """Yield the keys that repeat in another part: where a slice is torn apart, its rows were not compared yet."""
    sizes = torn.group_by("timestamp").agg(pl.col("rows").sum()).sort("timestamp")
    batches = sizes.group_by(pl.col("rows").cum_sum() // at_once, maintain_order=True).agg("timestamp")
    numbered = rows.select("timestamp", "symbol").with_row_index("row")
    before = pl.col("row").shift(1)
    same = pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in ("timestamp", "symbol"))
    apart = pl.col("row") // at_once != before // at_once
    for stamps in batches["timestamp"]:
        keys = collect(numbered.filter(pl.col("timestamp").is_in(stamps.implode())), file=file)
        ordered = keys.sort("timestamp", "symbol", "row")
        repeats = ordered.with_columns(before=before).filter(same & apart).sort("row")
        yield [_repeat(repeats, file)] if repeats.height else []


def _repeat(repeats: pl.DataFrame, file: str | None) -> Violation:
    shown = [
        (row["row"], f"{row['symbol']} {row['timestamp'].isoformat()}", f"same key as row {row['before']}")
        for row in repeats.head(_SAMPLES).iter_rows(named=True)
    ]
    row, key, value = shown[0]
    return Violation(
        "E-KEY-DUP",
        "asset_data",
        "key ('timestamp', 'symbol') repeats",
        file=file,
        row=row,
        key=key,
        value=value,
        count=repeats.height,
        samples=tuple(f"row {row} {key} {value}" for row, key, value in shown),
        hint="keep one row per key",
    )
