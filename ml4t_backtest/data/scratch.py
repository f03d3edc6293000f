"""Rows on their way from files to prepared data, kept aside where they are too many for memory.

They come in parts of the source and are wanted by symbol (an indicator needs a symbol's whole history), then by time.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

import polars as pl

from ml4t_backtest.data.sources import collect
from ml4t_backtest.data.store.upkeep import hold

# So many rows take about a hundred megabytes with what is computed of them.
ROWS_AT_ONCE = 500_000
# Physical row in the source. Nothing else is called so: the name is refused in sources.
ROW = "row in source"
_ROWS_PER_GROUP = 32_768

# Rows that are done and rows that there are to do.
Progress = Callable[[int, int], None]
Span = tuple[datetime, datetime]


class Workplace:
    """How much is held in memory at once, where the rest lies meanwhile, and who is told how far the work is.

    Attributes:
        rows_at_once: Rows in memory; a table of no more is never put aside.
    """

    def __init__(
        self,
        parent: Path | None = None,
        *,
        rows_at_once: int | None = None,
        on_progress: Progress | None = None,
    ) -> None:
        """Begin without any file.

        Args:
            parent: Folder for the folder of files, made when it is needed; None for the system's temporary one.
            rows_at_once: Rows in memory; None for `ROWS_AT_ONCE`.
            on_progress: Called with rows done and rows to do.
        """
        self.rows_at_once = rows_at_once or ROWS_AT_ONCE
        self._parent, self._on_progress = parent, on_progress
        self._folder: Path | None = None
        self._made: list[Path] = []
        self._files = self._done = self._to_do = 0

    def new_file(self) -> Path:
        """Return the path of a file to be written; it goes when nobody needs this workplace any more."""
        if self._folder is None:
            if self._parent is not None:
                self._made = [each for each in (self._parent, *self._parent.parents) if not each.exists()]
                self._parent.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix=".staging-", dir=self._parent))
            self._clear = weakref.finalize(self, _give_up, self._folder, hold(self._folder))
        self._files += 1
        return self._folder / f"{self._files}.parquet"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Remove all files, and the folders that were made for them and are empty."""
        if self._folder is None:
            return
        self._clear()
        self._folder = None
        with suppress(OSError):
            for made in self._made:
                made.rmdir()

    def expect(self, rows: int) -> None:
        """Take in that so many more rows are to do."""
        self._to_do += rows

    def done(self, rows: int) -> None:
        """Tell that so many more rows are done."""
        self._done += rows
        if self._on_progress is not None:
            self._on_progress(self._done, self._to_do)


def _give_up(folder: Path, lock: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)


@dataclass(frozen=True)
class _Shelf:
    """Ordered rows, in memory or in a file."""

    place: pl.DataFrame | Path

    @classmethod
    def of(cls, rows: pl.DataFrame, workplace: Workplace | None) -> _Shelf:
        if workplace is None:
            return cls(rows)
        path = workplace.new_file()
        rows.write_parquet(path, compression="lz4", statistics=False, row_group_size=_ROWS_PER_GROUP)
        return cls(path)

    def rows(self, first: int, count: int) -> pl.DataFrame:
        if isinstance(self.place, pl.DataFrame):
            return self.place.slice(first, count)
        lazy = pl.scan_parquet(self.place, glob=False, hive_partitioning=False)
        return collect(lazy.slice(first, count), file=str(self.place))


class RowsBySymbol:
    """Rows of a source in the order of their symbols; those of a symbol in the order of the source.

    Every row has its number in the source as the column `ROW`.
    """

    def __init__(self, workplace: Workplace | None = None) -> None:
        """Begin without rows.

        Args:
            workplace: Where to put rows aside; None keeps them in memory.
        """
        self._workplace = workplace
        self._shelves: list[_Shelf] = []
        self._places: list[pl.DataFrame] = []

    def add(self, rows: pl.DataFrame, first_row: int) -> None:
        """Take in the next part of the source, which begins with row `first_row`."""
        ordered = rows.with_row_index(ROW, first_row).sort("symbol", maintain_order=True)
        self._shelves.append(_Shelf.of(ordered, self._workplace))
        runs = ordered.group_by("symbol", maintain_order=True).len("rows")
        starts = (pl.col("rows").cum_sum() - pl.col("rows")).alias("first")
        self._places.append(runs.with_columns(starts).drop_nulls("symbol"))

    @property
    def symbols(self) -> pl.DataFrame:
        """The symbols in order, and how many rows each has: `symbol`, `rows`."""
        if not self._places:
            return pl.DataFrame(schema={"symbol": pl.String, "rows": pl.get_index_type()})
        return pl.concat(self._places).group_by("symbol").agg(pl.col("rows").sum()).sort("symbol")

    def between(self, first: str, last: str) -> pl.DataFrame:
        """Return the rows of all symbols from one to another, both included."""
        parts: list[pl.DataFrame] = []
        for shelf, places in zip(self._shelves, self._places, strict=True):
            wanted = places.filter(pl.col("symbol").is_between(pl.lit(first), pl.lit(last)))
            if wanted.height or not parts:
                start = int(wanted["first"][0]) if wanted.height else 0
                parts.append(shelf.rows(start, int(wanted["rows"].sum())))
        return parts[0] if len(parts) == 1 else pl.concat(parts)

    def groups(self) -> Iterator[pl.DataFrame]:
        """Yield all rows, whole symbols at a time."""
        at_once = None if self._workplace is None else self._workplace.rows_at_once
        for first, last in symbol_groups([self], at_once):
            yield self.between(first, last)


def symbol_groups(sources: Sequence[RowsBySymbol], rows_at_once: int | None) -> list[tuple[str, str]]:
    """Return the first and the last symbol of groups that together hold every symbol of every source.

    A group has, in the mean over the sources, no more rows than are held at once, or it is one symbol.

    Args:
        sources: Rows by symbol.
        rows_at_once: Rows in memory; None makes all symbols one group.
    """
    symbols = pl.concat([source.symbols for source in sources]).group_by("symbol").agg(pl.col("rows").sum())
    limit = float("inf") if rows_at_once is None else rows_at_once * len(sources)
    groups: list[tuple[str, str]] = []
    size = 0
    for symbol, rows in symbols.sort("symbol").iter_rows():
        fits = bool(groups) and size + rows <= limit
        groups[-1:] = [(groups[-1][0], symbol)] if fits else [*groups[-1:], (symbol, symbol)]
        size = size + rows if fits else rows
    return groups


class RowsByTime:
    """Rows that come by symbol and are wanted by time, in (timestamp, symbol) order."""

    def __init__(self, spans: Sequence[Span], workplace: Workplace | None = None) -> None:
        """Begin without rows.

        Args:
            spans: First and last timestamp of each batch, ascending.
            workplace: Where to put rows aside; None keeps them in memory.
        """
        self._spans, self._workplace = spans, workplace
        self._shelves: list[_Shelf] = []
        self._starts: list[list[int]] = []

    def add(self, rows: pl.DataFrame) -> None:
        """Take in the rows of some symbols, in (timestamp, symbol) order."""
        firsts = pl.Series([first for first, _ in self._spans], dtype=rows["timestamp"].dtype)
        self._starts.append([*rows["timestamp"].search_sorted(firsts, side="left"), rows.height])
        self._shelves.append(_Shelf.of(rows, self._workplace))

    def batches(self) -> Iterator[pl.DataFrame]:
        """Yield the rows of each span."""
        for number in range(len(self._spans)):
            bounds = [starts[number : number + 2] for starts in self._starts]
            parts = [
                shelf.rows(first, end - first)
                for shelf, (first, end) in zip(self._shelves, bounds, strict=True)
                if end > first
            ]
            yield parts[0] if len(parts) == 1 else pl.concat(parts).sort("timestamp", "symbol")


def time_spans(slices: pl.DataFrame, rows_at_once: int) -> list[Span]:
    """Return the first and the last timestamp of batches of whole slices of about so many rows.

    Args:
        slices: `timestamp` ascending, and `rows`.
        rows_at_once: Rows of a batch, give or take a slice.
    """
    batches = slices.group_by((pl.col("rows").cum_sum() - 1) // rows_at_once, maintain_order=True)
    spans = batches.agg(first=pl.col("timestamp").first(), last=pl.col("timestamp").last())
    return list(spans.select("first", "last").iter_rows())
