"""Bars that were looked at, every row of them, before the first slice is delivered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from ml4t_backtest.core.instants import as_moments
from ml4t_backtest.data.files.batches import batches
from ml4t_backtest.data.quality.inspector import Inspector
from ml4t_backtest.data.quick_check import QuickCheck
from ml4t_backtest.data.read_ahead import read_ahead
from ml4t_backtest.data.row_index import RowIndex, Spans, SymbolCodes, slice_runs, slices_of
from ml4t_backtest.data.slice_counts import SliceCounts
from ml4t_backtest.data.sources import collect
from ml4t_backtest.data.validation import find_violations, merge_violations, raise_violations
from ml4t_backtest.errors import Violation

if TYPE_CHECKING:
    import pandera.polars as pa

_SAMPLES = 5
# Two columns or eight of so many times the rows of a part are no larger than that part.
_KEYS, _BARS = 16, 4


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
        stamp = pl.col("timestamp")
        symbols = frame.group_by("symbol").agg(first=stamp.min(), last=stamp.max())
        return cls(frame.lazy(), merged_slices([slices_of(frame)]), symbols.sort("symbol"))


def check_bars(
    rows: pl.LazyFrame,
    schema: pa.DataFrameSchema,
    *,
    file: str | None,
    at_once: int,
    inspector: Inspector | None = None,
) -> CheckedBars:
    """Check every row of prepared bars, so many physical rows at a time that memory stays small.

    Args:
        rows: Prepared bars.
        schema: Their schema.
        file: Where they lie; a violation names the row counted from its beginning.
        at_once: Most rows that are looked at together.
        inspector: Looks for what is no error but may fool somebody; None does not look.

    Raises:
        SignalTimingError: Only availability rules are broken.
        DataValidationError: Anything else, or something found that the inspector refuses.
    """
    walk = _Walk(QuickCheck(schema), schema, file)
    # One part is looked through while the rules are checked in the next.
    for part, first, index in read_ahead(walk.through(batches(rows, at_once, file=file))):
        if inspector is not None and index is not None and not walk.found:
            inspector.see(part, index.codes, np.arange(first, first + part.height))
    if not walk.height:
        raise_violations(find_violations(collect(rows, file=file), schema, file=file))
    raise_violations(merge_violations([*walk.found, *walk.repeats_across(rows, at_once)]))
    bars = CheckedBars(rows, walk.slices.frame().drop("is_torn"), walk.symbols())
    if inspector is not None:
        names = walk.codes.names
        inspector.look()
        if not inspector.in_order:
            names = _look_again(inspector, rows, bars.slices, file=file, at_once=at_once)
        inspector.close(names, file)
    return bars


def inspect_bars(bars: pl.DataFrame, inspector: Inspector | None, *, file: str | None) -> None:
    """Look through bars in memory that were checked already; `file` has their rows in the order they have here.

    Raises:
        DataValidationError: Something was found that the inspector refuses.
    """
    if inspector is None:
        return
    codes, ordered = SymbolCodes(), bars.with_row_index("").sort("timestamp", "symbol")
    inspector.see(ordered, RowIndex.of(ordered, codes).codes, ordered[""].cast(pl.Int64).to_numpy())
    inspector.close(codes.names, file)


class _Walk:
    """What is known after some parts: violations, slices, symbols, and whether the keys ascended so far."""

    def __init__(self, quick: QuickCheck, schema: pa.DataFrameSchema, file: str | None) -> None:
        self.codes = SymbolCodes()
        self.found: list[list[Violation]] = []
        self.slices = SliceCounts()
        self._spans = Spans()
        self._quick, self._schema, self._file = quick, schema, file
        self._starts: list[int] = []
        self._by_time = self._by_symbol = True
        self._last: tuple[int, str] | None = None
        self._known = 0
        self.height = 0

    def through(self, parts: Iterable[pl.DataFrame]) -> Iterator[tuple[pl.DataFrame, int, RowIndex | None]]:
        """Check part after part; yield each with the rows before it, and its numbers where its keys are sound."""
        for part in parts:
            first, self.height = self.height, self.height + part.height
            yield part, first, self.check(part, first)

    def check(self, part: pl.DataFrame, first: int) -> RowIndex | None:
        """Check a part; return its numbers, or None where its keys are broken.

        Raises:
            DataValidationError: The table itself is wrong, not some of its rows.
        """
        index = RowIndex.of(part, self.codes) if self._quick.holds(part) else None
        # Where the keys are in no order one may repeat, which is then said in full.
        sound = index is not None and (index.by_time or index.by_symbol or not _repeats_within(part, self._schema))
        if not sound or not self._new_symbols_hold():
            broken = find_violations(part, self._schema, file=self._file, first_row=first)
            if any(violation.row is None for violation in broken):
                raise_violations(broken)
            self.found += [broken] if broken else []
        for run in slice_runs(part) if index is None else index.slices:
            self.slices.add(*run, len(self._starts))
        self._starts.append(first)
        self._follow(index)
        return index

    def symbols(self) -> pl.DataFrame:
        """Return `symbol`, `first`, `last` (timestamps), ascending, where no key is broken."""
        symbols = pl.Series("symbol", self.codes.names, dtype=pl.String)
        spans = as_moments("first", self._spans.first), as_moments("last", self._spans.last)
        return pl.DataFrame([symbols, *spans]).sort("symbol")

    def _new_symbols_hold(self) -> bool:
        new, self._known = self.codes.names[self._known :], len(self.codes.names)
        return not new or self._quick.symbols_hold(pl.Series(new))

    def _follow(self, index: RowIndex | None) -> None:
        """Keep in mind whether the keys ascend over the parts too: then none of them repeats."""
        if index is None:
            self._by_time = self._by_symbol = False
            return
        self._spans.see(index.codes[index.outer], index.stamps[index.outer])
        (stamp, symbol), last = ((int(index.stamps[row]), self.codes.names[index.codes[row]]) for row in (0, -1))
        before, self._last = self._last, last
        # One row is in both orders.
        one = len(index.codes) == 1
        self._by_time &= (index.by_time or one) and (before is None or before < (stamp, symbol))
        self._by_symbol &= (index.by_symbol or one) and (before is None or before[::-1] < (symbol, stamp))

    def repeats_across(self, rows: pl.LazyFrame, at_once: int) -> Iterator[list[Violation]]:
        """Yield the keys that repeat in another part than the one they stood in first."""
        if self._by_time or self._by_symbol:
            return
        torn = self.slices.frame().filter("is_torn")
        yield from _repeats_across(rows, torn, pl.Series(self._starts), self._file, _KEYS * at_once)


def _repeats_within(part: pl.DataFrame, schema: pa.DataFrameSchema) -> bool:
    return bool(part.select((schema.metadata or {})["key"]).is_duplicated().any())


def _look_again(
    inspector: Inspector, rows: pl.LazyFrame, slices: pl.DataFrame, *, file: str | None, at_once: int
) -> list[str]:
    """Show the rows once more in the order of time, as they do not lie in it, and return the symbols by number."""
    inspector.begin_again()
    codes, numbered = SymbolCodes(), rows.with_row_index("")
    stamp, number = pl.col("timestamp"), pl.col("rows").cum_sum() // (_BARS * at_once)
    spans = slices.group_by(number, maintain_order=True).agg(first=stamp.min(), last=stamp.max())
    for first, last in spans.select("first", "last").iter_rows():
        part = collect(numbered.filter(stamp.is_between(first, last)), file=file)
        ordered = part.sort("timestamp", "symbol")
        index = RowIndex.of(ordered, codes)
        inspector.see(ordered, index.codes, ordered[""].cast(pl.Int64).to_numpy())
    return codes.names


def merged_slices(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return the slices of several parts of some bars, ascending: what two parts share is one slice."""
    together = pl.concat(parts).group_by("timestamp")
    return together.agg(pl.col("decision_instant").max(), pl.col("rows").sum()).sort("timestamp")


def _repeats_across(
    rows: pl.LazyFrame, torn: pl.DataFrame, starts: pl.Series, file: str | None, at_once: int
) -> Iterator[list[Violation]]:
    """Yield the keys that repeat in another part: where a slice is torn apart, its rows were not compared yet."""
    groups = torn.group_by(pl.col("rows").cum_sum() // at_once, maintain_order=True).agg("timestamp")
    numbered = rows.select("timestamp", "symbol").with_row_index("row")
    same = pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in ("timestamp", "symbol"))
    apart = pl.col("part") != pl.col("part").shift(1)
    for stamps in groups["timestamp"]:
        keys = collect(numbered.filter(pl.col("timestamp").is_in(stamps.implode())), file=file)
        parts = starts.search_sorted(keys["row"].cast(pl.Int64), side="right")
        ordered = keys.with_columns(part=parts).sort("timestamp", "symbol", "row")
        repeats = ordered.with_columns(before=pl.col("row").shift(1)).filter(same & apart).sort("row")
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
