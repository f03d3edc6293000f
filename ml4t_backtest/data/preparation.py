"""From checked tables to prepared data: indicators, what was known at each decision, checks of the outcome.

What needs a symbol's history is computed for some symbols at a time, over their whole history, never from the edge of
a part on. What comes out is put in the order of time and checked batch by batch. Tables that fit into memory are one
group of symbols and one batch: the same way, without files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import polars as pl

from ml4t_backtest.core import schemas
from ml4t_backtest.data.bar_time import BarClock
from ml4t_backtest.data.content_hash import table_hash
from ml4t_backtest.data.indicator_columns import add_indicators
from ml4t_backtest.data.indicators import IndicatorRequest
from ml4t_backtest.data.loading import ValueSource, check_names, load_corporate_actions
from ml4t_backtest.data.prepared import PreparedData
from ml4t_backtest.data.quality.data_quality import Finding, findings_frame
from ml4t_backtest.data.quality.inspector import Inspector
from ml4t_backtest.data.quality.source_watch import BarsSeen, Beside, SourceWatch
from ml4t_backtest.data.quick_check import QuickCheck
from ml4t_backtest.data.row_index import RowIndex, SymbolCodes
from ml4t_backtest.data.scratch import ROW, RowsByTime, Workplace, symbol_groups, time_spans
from ml4t_backtest.data.signal_timing import join_known
from ml4t_backtest.data.source_rows import LoadedPrices, LoadedRows
from ml4t_backtest.data.universe import IN_UNIVERSE, add_membership
from ml4t_backtest.data.validation import find_violations, merge_violations, raise_violations, validate
from ml4t_backtest.errors import Violation

if TYPE_CHECKING:
    import pandera.polars as pa

LoadedSignals = tuple[ValueSource, LoadedRows]
LoadedContext = tuple[ValueSource, pl.DataFrame]


@dataclass(frozen=True)
class Recipe:
    """What is derived from the bars of a data set, and what has to be known of them for it.

    Attributes:
        clock: How the bars tell time.
        given: Indicator columns that the price source has already.
        computed: Indicators to compute.
        adjustment: What the prices contain already: `none`, `split` or `total_return`.
        allow_nonpositive: Whether prices may be zero or negative.
    """

    clock: BarClock
    given: tuple[str, ...] = ()
    computed: tuple[IndicatorRequest, ...] = ()
    adjustment: str = "none"
    allow_nonpositive: bool = False

    def columns(self, *, has_universe: bool) -> tuple[str, ...]:
        """Return the names of all indicator columns."""
        computed = (column for request in self.computed for column in request.columns)
        return (*self.given, *computed, *((IN_UNIVERSE,) if has_universe else ()))


@dataclass(frozen=True)
class LoadedTables:
    """Tables under this package's names and instants, every row checked.

    Attributes:
        prices: What `read_prices` returned.
        signals: Signal sources with what `read_signals` returned for each.
        context: Context sources with what `read_context` returned for each.
        corporate_actions: What `load_corporate_actions` returned.
        universe: What `load_universe` returned, or None: all symbols belong, and nothing says so.
        files: Where tables came from, by their names, for messages.
        findings: What the files and the types of the sources show.
    """

    prices: LoadedPrices
    signals: Sequence[LoadedSignals] = ()
    context: Sequence[LoadedContext] = ()
    corporate_actions: pl.DataFrame = field(default_factory=lambda: load_corporate_actions(None))
    universe: pl.DataFrame | None = None
    files: Mapping[str, str | None] = field(default_factory=dict)
    findings: Sequence[Finding] = ()

    def beside(self) -> Beside:
        """Return what lies beside the bars."""
        specs = [spec for spec, _ in self.signals]
        return Beside(specs, self.context, self.corporate_actions, self.universe, self.files, self.findings)

    def hashes(self) -> dict[str, str]:
        """Return the hash of each table by its name; each source of values is one (`signals_0`, ...)."""
        signals = {f"signals_{number}": rows.table_hash for number, (_, rows) in enumerate(self.signals)}
        frames = {f"context_{number}": rows for number, (_, rows) in enumerate(self.context)}
        frames["corporate_actions"] = self.corporate_actions
        frames |= {} if self.universe is None else {"universe": self.universe}
        return {
            "prices": self.prices.table_hash,
            **signals,
            **{name: table_hash(rows) for name, rows in frames.items()},
        }


class Preparation:
    """One pass from checked tables to prepared data; nothing is computed before it is asked for.

    Attributes:
        signals: Names of the signal columns.
        indicators: Names of the indicator columns.
        context: Names of the context columns.
        corporate_actions: The table of that schema, ordered.
    """

    def __init__(
        self, tables: LoadedTables, recipe: Recipe, workplace: Workplace, *, inspector: Inspector | None = None
    ) -> None:
        """Take the tables.

        Args:
            tables: What to prepare.
            recipe: What to derive.
            workplace: Where it is done.
            inspector: Looks for what is no error but may fool somebody; it is closed with the last batch.

        Raises:
            DataValidationError: Two sources give the same column.
        """
        self.signals, self.context = _names(tables.signals), _names(tables.context)
        self.indicators = recipe.columns(has_universe=tables.universe is not None)
        check_names("asset_data", column_names(self.signals, self.indicators, self.context))
        self.corporate_actions = tables.corporate_actions.sort("ex_date", "symbol", "kind")
        self._tables, self._recipe, self._workplace, self._inspector = tables, recipe, workplace, inspector
        self._calendar = recipe.clock.sessions_around(tables.prices.slices["timestamp"])
        self._found: list[Finding] = []

    def batches(self) -> Iterator[pl.DataFrame]:
        """Yield the prepared bars in (timestamp, symbol) order, batch by batch, every row checked.

        Raises:
            DataValidationError: A rule of the prepared schema is broken; everything at once, after the last batch.
            SignalTimingError: A value would be seen before it was known.
        """
        allow = self._recipe.allow_nonpositive
        schema = schemas.asset_data_schema(self.signals, self.indicators, allow_nonpositive=allow)
        check = _BatchCheck(schema, self._inspector)
        for batch in self._by_time().batches():
            bars = batch.drop(ROW)
            check.see(bars, batch[ROW])
            yield bars
            self._workplace.done(bars.height)
        check.conclude()

    @property
    def height(self) -> int:
        """Number of bars."""
        return int(self._tables.prices.slices["rows"].sum())

    @cached_property
    def context_data(self) -> pl.DataFrame:
        """One row per slice with the context known at its decision; no value columns without sources.

        Raises:
            DataValidationError: A rule of the prepared schema is broken.
            SignalTimingError: A value would be seen before it was known.
        """
        slices = self._tables.prices.slices.select("timestamp", "decision_instant")
        context = join_context(slices, self._tables.context)
        validate(context, schemas.context_data_schema(self.context))
        return context

    @property
    def data_quality(self) -> pl.DataFrame:
        """What the inspector found, as a table of schema `data_quality`; complete after the last batch."""
        return findings_frame(()) if self._inspector is None else self._inspector.data_quality

    @property
    def source_quality(self) -> pl.DataFrame:
        """What the sources show beside the bars, as a table of schema `data_quality`; complete after the last batch."""
        return findings_frame(self._found)

    def data(self) -> PreparedData:
        """Return the prepared data, in memory."""
        batches = list(self.batches())
        return PreparedData(
            batches[0] if len(batches) == 1 else pl.concat(batches),
            self.context_data,
            self.corporate_actions,
            self.source_quality,
            self.signals,
            self.indicators,
            self.context,
        )

    def _by_time(self) -> RowsByTime:
        """Derive what needs a symbol's history, some symbols at a time."""
        prices, signals = self._tables.prices, [(spec, rows.rows) for spec, rows in self._tables.signals]
        sources = [prices.rows, *(rows for _, rows in signals)]
        groups = symbol_groups(sources, self._workplace.rows_at_once)
        spans = time_spans(prices.slices, self._workplace.rows_at_once)
        ordered = RowsByTime(spans, self._workplace if len(groups) > 1 else None)
        watch = SourceWatch(
            BarsSeen(prices.rows.symbols, prices.slices, self._calendar, self._recipe.adjustment), self._tables.beside()
        )
        for first, last in groups:
            rows = [(spec, own.between(first, last)) for spec, own in signals]
            bars = join_signals(self._with_derived(prices.rows.between(first, last)), rows)
            watch.see(bars, [own for _, own in rows])
            ordered.add(bars)
            self._workplace.done(bars.height)
        self._found = watch.conclude()
        if self._inspector is not None:
            self._inspector.note(self._found)
        return ordered

    def _with_derived(self, bars: pl.DataFrame) -> pl.DataFrame:
        tables, recipe = self._tables, self._recipe
        bars = add_indicators(
            bars, recipe.computed, tables.corporate_actions, self._calendar, adjustment=recipe.adjustment
        )
        return bars if tables.universe is None else add_membership(bars, tables.universe, self._calendar)


def prepare_tables(tables: LoadedTables, recipe: Recipe) -> PreparedData:
    """Compute indicators, join what was known at each decision, and check the outcome, in memory.

    Raises:
        DataValidationError: Two sources give the same column, or a rule of the prepared schemas is broken.
    """
    with Workplace() as workplace:
        return Preparation(tables, recipe, workplace).data()


def column_names(signals: Sequence[str], indicators: Sequence[str], context: Sequence[str]) -> list[str]:
    """Return the names that the columns of a slice and of its context take, a name given twice included twice."""
    timed = [f"{name}{ending}" for name in (*signals, *context) for ending in ("", "_available_at", "_is_new")]
    return [*schemas.BAR_COLUMNS, "open_instant", "decision_instant", *timed, *indicators]


def join_signals(prices: pl.DataFrame, sources: Sequence[tuple[ValueSource, pl.DataFrame]]) -> pl.DataFrame:
    """Return the bars in (timestamp, symbol) order with the signals known at each decision."""
    bars = prices.sort("timestamp", "symbol")
    for spec, rows in sources:
        bars = join_known(bars, rows, spec.names, by_symbol=True, max_age=spec.max_age)
    return bars


def join_context(slices: pl.DataFrame, sources: Sequence[LoadedContext]) -> pl.DataFrame:
    """Return slices (`timestamp`, `decision_instant`) with the context known at the decision of each."""
    for spec, rows in sources:
        slices = join_known(slices, rows, spec.names, by_symbol=False, max_age=spec.max_age)
    return slices


class _BatchCheck:
    """Checks prepared bars that come in batches, in the order of time."""

    def __init__(self, schema: pa.DataFrameSchema, inspector: Inspector | None) -> None:
        self._schema, self._quick, self._inspector = schema, QuickCheck(schema), inspector
        self._codes = SymbolCodes()
        self._found: list[Sequence[Violation]] = []
        self._height = 0

    def see(self, bars: pl.DataFrame, numbers: pl.Series) -> None:
        """Check a batch; `numbers` are the rows of the price source."""
        if not self._quick.holds(bars):
            self._found.append(find_violations(bars, self._schema, first_row=self._height))
        elif self._inspector is not None and not self._found:
            codes = RowIndex.of(bars, self._codes).codes
            self._inspector.see(bars, codes, numbers.cast(pl.Int64).to_numpy())
        self._height += bars.height

    def conclude(self) -> None:
        """Raise what was found."""
        raise_violations(merge_violations(self._found))
        if self._inspector is not None:
            self._inspector.close(self._codes.names, None)


def _names(sources: Sequence[tuple[ValueSource, object]]) -> tuple[str, ...]:
    return tuple(name for spec, _ in sources for name in spec.names)
