"""Sources read part by part: every part is loaded, checked and kept, and all that is wrong is raised at the end.

What a part cannot know of the whole is asked afterwards, of whole symbols: whether keys repeat, and whether rows come
more often than declared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from ml4t_backtest.core import schemas
from ml4t_backtest.data.bar_time import BarClock
from ml4t_backtest.data.calendar import TradingCalendar
from ml4t_backtest.data.checked_bars import merged_slices
from ml4t_backtest.data.content_hash import TableHash
from ml4t_backtest.data.loading import (
    Columns,
    Part,
    ValueSource,
    check_names,
    find_too_frequent,
    labels_of,
    load_prices,
    load_values,
)
from ml4t_backtest.data.price_form import IN_CURRENCY, PriceForm
from ml4t_backtest.data.quick_check import QuickCheck
from ml4t_backtest.data.row_index import slices_of
from ml4t_backtest.data.scratch import ROW, RowsBySymbol, Workplace
from ml4t_backtest.data.source_parts import SourceParts
from ml4t_backtest.data.sources import Source, describe
from ml4t_backtest.data.validation import find_repeats, find_violations, merge_violations, raise_violations, validate
from ml4t_backtest.errors import DataValidationError, Violation

if TYPE_CHECKING:
    import pandera.polars as pa

# A part of a source, and what it has to know of the whole (None where it is the whole) -> its loaded rows.
Load = Callable[[pl.DataFrame, Part | None], pl.DataFrame]


@dataclass(frozen=True)
class LoadedRows:
    """Rows of a source under this package's names and instants, every one checked.

    Attributes:
        rows: The rows.
        table_hash: Their hash, in the order of the source.
    """

    rows: RowsBySymbol
    table_hash: str

    @classmethod
    def of(cls, rows: pl.DataFrame) -> LoadedRows:
        """Return rows in memory that were checked already."""
        kept = _Kept(None)
        kept.add(rows, 0)
        return kept.as_rows()


@dataclass(frozen=True)
class LoadedPrices(LoadedRows):
    """Bars, every one checked, and what is known of their slices.

    Attributes:
        slices: `timestamp`, `decision_instant` (the latest of the slice), `rows`, ascending.
    """

    slices: pl.DataFrame

    @classmethod
    def of(cls, rows: pl.DataFrame) -> LoadedPrices:
        """Return bars in memory that were checked already."""
        kept = _Kept(None)
        kept.add(rows, 0)
        return kept.as_prices()


def read_prices(
    source: Source,
    clock: BarClock,
    workplace: Workplace,
    *,
    columns: Columns | None = None,
    indicators: Sequence[str] = (),
    extra: Sequence[str] = (),
    file: str | None = None,
    form: PriceForm = IN_CURRENCY,
) -> LoadedPrices:
    """Read and check bars; the other arguments are those of `load_prices`.

    Raises:
        DataValidationError: A column is absent or of a wrong type, or a row breaks a rule; everything at once.
    """
    wanted = [*schemas.BAR_COLUMNS, *indicators, *extra]
    check_names("prices", [*wanted, "open_instant", "decision_instant"])
    schema = schemas.prices_schema(allow_nonpositive=form.allow_nonpositive)
    parts = SourceParts(source, wanted, schema, columns=columns, file=file, rows_at_once=workplace.rows_at_once)
    # They are read, then looked at by symbol, then by time.
    workplace.expect(3 * parts.height)

    def load(rows: pl.DataFrame, part: Part | None) -> pl.DataFrame:
        return load_prices(rows, clock, indicators=indicators, extra=extra, file=parts.file, form=form, part=part)

    return _read(parts, load, schema, clock, workplace).as_prices()


def read_signals(spec: ValueSource, clock: BarClock, workplace: Workplace, *, file: str | None = None) -> LoadedRows:
    """Read and check one source of signals; the other arguments are those of `load_values`.

    Raises:
        DataValidationError: As for `read_prices`, or nothing says when the rows became known.
    """
    wanted = ["timestamp", "symbol", *spec.names]
    check_names("signals", [*wanted, "available_at"])
    schema = spec.schema(by_symbol=True)
    parts = SourceParts(
        spec.source,
        wanted,
        schema,
        columns=spec.columns,
        optional=["available_at"] if spec.available_at is None else [],
        file=file,
        rows_at_once=workplace.rows_at_once,
    )
    workplace.expect(parts.height)

    def load(rows: pl.DataFrame, part: Part | None) -> pl.DataFrame:
        own = replace(spec, source=rows, columns={})
        return load_values(own, clock, by_symbol=True, file=parts.file, part=part)

    allow_empty, frequency = spec.allow_empty, spec.frequency
    return _read(parts, load, schema, clock, workplace, frequency=frequency, allow_empty=allow_empty).as_rows()


def read_context(spec: ValueSource, clock: BarClock, *, file: str | None = None) -> pl.DataFrame:
    """Read and check one source of context, which has one row per moment: in memory.

    Raises:
        DataValidationError: As for `read_signals`.
    """
    file = file or describe(spec.source)
    rows = load_values(spec, clock, by_symbol=False, file=file)
    validate(rows, spec.schema(by_symbol=False), file=file, allow_empty=spec.allow_empty)
    return rows


def _read(
    parts: SourceParts,
    load: Load,
    schema: pa.DataFrameSchema,
    clock: BarClock,
    workplace: Workplace,
    *,
    frequency: str | None = None,
    allow_empty: bool = False,
) -> _Kept:
    kept = _Kept(workplace if parts.are_many else None)
    check = _Check(schema, parts.file, is_whole=not parts.are_many, allow_empty=allow_empty)
    calendar = _calendar_around(parts, clock, frequency) if parts.are_many else None
    for first_row, rows in parts.read():
        try:
            loaded = load(rows, Part(first_row, calendar) if calendar else None)
        except DataValidationError as error:
            check.found.append(error.violations)
        else:
            check.see(loaded, first_row)
            kept.add(loaded, first_row)
        workplace.done(rows.height)
    if parts.are_many:
        check.see_symbols(kept.rows, frequency)
    raise_violations(merge_violations(check.found))
    return kept


def _calendar_around(parts: SourceParts, clock: BarClock, frequency: str | None) -> TradingCalendar:
    """Return the sessions around all rows: what a part says of its edges must not depend on where it was cut."""
    ends: list[object] = []
    for _, rows in parts.read("timestamp"):
        about = labels_of(rows["timestamp"], frequency, clock)
        ends += [about.min(), about.max()]
    return clock.sessions_around(pl.Series(ends))


class _Kept:
    """Rows that were loaded so far."""

    def __init__(self, aside: Workplace | None) -> None:
        """Begin without rows; `aside` is where they are put, None keeps them in memory."""
        self.rows = RowsBySymbol(aside)
        self._hash = TableHash()
        self._slices: pl.DataFrame | None = None

    def add(self, rows: pl.DataFrame, first_row: int) -> None:
        self.rows.add(rows, first_row)
        self._hash.add(rows)
        if "decision_instant" in rows.columns:
            before = [] if self._slices is None else [self._slices]
            self._slices = merged_slices([*before, slices_of(rows)])

    def as_rows(self) -> LoadedRows:
        return LoadedRows(self.rows, self._hash.hexdigest())

    def as_prices(self) -> LoadedPrices:
        assert self._slices is not None
        return LoadedPrices(self.rows, self._hash.hexdigest(), self._slices)


class _Check:
    """What is wrong with the rows of a source that were seen so far."""

    def __init__(
        self, schema: pa.DataFrameSchema, file: str | None, *, is_whole: bool, allow_empty: bool = False
    ) -> None:
        """Begin.

        Args:
            schema: Of the rows.
            file: Where they come from.
            is_whole: Whether all rows are seen at once; otherwise keys are asked about by symbol, at the end.
            allow_empty: Whether there may be no rows.
        """
        self.found: list[Sequence[Violation]] = []
        self._schema, self._quick, self._file, self._is_whole = schema, QuickCheck(schema), file, is_whole
        self._allow_empty = allow_empty
        self._order = _KeyOrder()

    def see(self, rows: pl.DataFrame, first_row: int) -> None:
        """Check a part of the rows, or all of them."""
        self._order.see(rows)
        sound = self._quick.holds(rows) and self._quick.symbols_hold(rows["symbol"].unique())
        if not sound or (self._is_whole and not self._order.is_strict):
            self.found.append(
                find_violations(
                    rows,
                    self._schema,
                    file=self._file,
                    allow_empty=self._allow_empty,
                    first_row=first_row,
                    keys=self._is_whole,
                )
            )

    def see_symbols(self, rows: RowsBySymbol, frequency: str | None) -> None:
        """Check what only whole symbols tell."""
        if self._order.is_strict and frequency in (None, "1d"):
            return
        for group in rows.groups():
            self.found.append(find_repeats(group, self._schema, group[ROW], file=self._file))
            self.found.append(find_too_frequent(group, frequency, group[ROW], file=self._file))


class _KeyOrder:
    """Whether rows ascend strictly by time and symbol, or by symbol and time, so far: then no key repeats."""

    def __init__(self) -> None:
        self._orders = {("timestamp", "symbol"): True, ("symbol", "timestamp"): True}
        self._last: pl.DataFrame | None = None

    @property
    def is_strict(self) -> bool:
        return any(self._orders.values())

    def see(self, rows: pl.DataFrame) -> None:
        """Take in the next rows."""
        keys = rows.select("timestamp", "symbol")
        keys = keys if self._last is None else pl.concat([self._last, keys])
        for (first, second), holds in self._orders.items():
            if holds:
                above = pl.col(first) > pl.col(first).shift(1)
                level = (pl.col(first) == pl.col(first).shift(1)) & (pl.col(second) > pl.col(second).shift(1))
                # Of a null nobody knows.
                ascends = (above | level).slice(1).all(ignore_nulls=False)
                self._orders[first, second] = bool(keys.select(ascends).item())
        self._last = keys.tail(1)
