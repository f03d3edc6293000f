"""Raw tables under this package's names, types and instants, rows in the order of their source.

Whatever is wrong with a table is said at once: with its columns first, then with its times and its values together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from ml4t_backtest.core import schemas
from ml4t_backtest.core.choices import is_number, require_choice
from ml4t_backtest.core.instants import UTC_MICROSECONDS, span_microseconds
from ml4t_backtest.data.all_at_once import require_all, with_the_rest
from ml4t_backtest.data.bar_time import BarClock, add_instants, as_utc
from ml4t_backtest.data.calendar import TradingCalendar
from ml4t_backtest.data.price_form import IN_CURRENCY, PriceForm
from ml4t_backtest.data.scratch import ROW
from ml4t_backtest.data.signal_timing import availability
from ml4t_backtest.data.sources import Source, collect, describe, scan, schema_of
from ml4t_backtest.data.stamps import Stamps
from ml4t_backtest.errors import ConfigError, DataValidationError, Violation

if TYPE_CHECKING:
    import pandera.polars as pa

Columns = Mapping[str, str]
_NUMERIC_PRICES = (*schemas.PRICE_COLUMNS, "volume")
_TIMES = ("timestamp", "available_at", "open_instant")
_TEXTS = (pl.String, pl.Categorical, pl.Enum, pl.Null)
# What the rule is called in Python where it is not `available_at`.
_DECLARED_BY = {
    "signals": "in Python valid_from= of add_signals, signal_available_at= of a feed",
    "context": "in Python available_at= of add_context, context_available_at= of a feed",
}


@dataclass(frozen=True)
class Part:
    """What a part of a source has to know of the whole.

    Attributes:
        first_row: Number of its first row in the source.
        calendar: Sessions around all rows of the source.
    """

    first_row: int
    calendar: TradingCalendar


@dataclass(frozen=True)
class ValueSource:
    """Rows that carry values for a bar to see: one file of signals or of context.

    Attributes:
        source: Path or frame.
        names: Value columns.
        columns: This package's name -> the source's name.
        available_at: Rule that derives when a row became known; None when the source has the column `available_at`.
        latency: Time that passes until a row can be used.
        max_age: Longest time from a row's timestamp to the decision it is shown at.
        frequency: How often a symbol has a row: `1d` (a row is about a session, named by its date or its midnight),
            or a span that is never shorter between two rows; None where nothing is known.
        ranges: Value column -> its smallest and its greatest value.
        allow_empty: Whether there may be no rows.
    """

    source: Source
    names: tuple[str, ...]
    columns: Columns = field(default_factory=dict)
    available_at: str | None = None
    latency: str = "0m"
    max_age: str | None = None
    frequency: str | None = None
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    allow_empty: bool = False

    def schema(self, *, by_symbol: bool) -> pa.DataFrameSchema:
        """Return the schema of the loaded rows: of signals (by symbol) or of context."""
        of = schemas.signals_schema if by_symbol else schemas.context_schema
        return of(self.names, tuple((name, low, high) for name, (low, high) in self.ranges.items()))


def checked_ranges(
    ranges: Mapping[str, tuple[float, float]] | None, names: Sequence[str]
) -> dict[str, tuple[float, float]]:
    """Return declared ranges by column.

    Raises:
        ConfigError: One is of no column that is used, or is no two numbers of which the first is not the greater.
    """
    for name, ends in (ranges or {}).items():
        require_choice("ranges", name, names)
        pair = tuple(ends) if isinstance(ends, (list, tuple)) else ()
        if len(pair) != 2 or not all(map(is_number, pair)) or pair[0] > pair[1]:
            raise ConfigError(f"ranges: {name} must have its smallest and its greatest value, got {ends!r}")
    return {name: (float(low), float(high)) for name, (low, high) in (ranges or {}).items()}


def load_prices(
    source: Source,
    clock: BarClock,
    *,
    columns: Columns | None = None,
    indicators: Sequence[str] = (),
    extra: Sequence[str] = (),
    file: str | None = None,
    form: PriceForm = IN_CURRENCY,
    part: Part | None = None,
) -> pl.DataFrame:
    """Read bars and put them on the clock: `timestamp` is the close, `open_instant` and `decision_instant` beside it.

    Number columns named by `indicators` and moments named by `extra` come along. Rows keep the order of their
    source, so that a violation found in them names the physical row of `file`. `form` says how the prices are to be
    read. Where `source` is a part of a larger one, `part` says what it has to know of the whole.

    Raises:
        DataValidationError: A column is absent or of a wrong type, or a timestamp cannot be placed; in that case with
            everything else that is wrong with the rows.
    """
    file = file or describe(source)
    wanted = [*schemas.BAR_COLUMNS, *indicators, *extra]
    check_names("prices", [*wanted, "open_instant", "decision_instant"])
    schema = schemas.prices_schema(allow_nonpositive=form.allow_nonpositive)
    bars = _read(source, columns, wanted, schema, file)
    first_row, calendar = (part.first_row, part.calendar) if part else (0, None)
    try:
        bars = form.in_currency(bars, file, first_row)
        bars = typed(bars, [*_NUMERIC_PRICES, *indicators], ["symbol"], "prices", file, first_row)
        bars = form.within_range(bars)
        moments = [_moments(bars, name, clock, "prices", file, first_row, nullable=True) for name in extra]
        return add_instants(bars.with_columns(moments), clock, file=file, first_row=first_row, calendar=calendar)
    except DataValidationError as error:
        raise with_the_rest(error, bars, schema, file=file, timezone=clock.timezone, **_within(part)) from error


def load_values(
    spec: ValueSource, clock: BarClock, *, by_symbol: bool, file: str | None = None, part: Part | None = None
) -> pl.DataFrame:
    """Read one source of signals (by symbol) or context and add when each row became known.

    Rows keep the order of their source. A date stands for the start of its day as `timestamp`: it only orders rows
    and measures their age; what may be seen is decided by `available_at` alone. Whether rows of a symbol come more
    often than declared is not asked of a part (`part`): the row before may be elsewhere; see `find_too_frequent`.

    Raises:
        DataValidationError: As for `load_prices`, or nothing says when the rows became known.
    """
    dataset, file = "signals" if by_symbol else "context", file or describe(spec.source)
    keys = ["timestamp", *(["symbol"] if by_symbol else [])]
    check_names(dataset, [*keys, "available_at", *spec.names])
    stated = ["available_at"] if spec.available_at is None else []
    schema = spec.schema(by_symbol=by_symbol)
    rows = _read(spec.source, spec.columns, [*keys, *spec.names], schema, file, optional=stated)
    first_row = part.first_row if part else 0
    try:
        if stated and "available_at" not in rows.columns:
            raise DataValidationError([_no_availability("available_at", dataset, file)])
        rows = typed(rows, spec.names, keys[1:], dataset, file, first_row)
        stamps = _labels(rows["timestamp"], spec.frequency, clock, dataset, file, first_row)
        known = _known_at(rows, stamps, spec, clock, file, part)
        loaded = rows.with_columns(stamps.cast(UTC_MICROSECONDS), known)
        if part is None and (violations := find_too_frequent(loaded, spec.frequency, file=file)):
            raise DataValidationError(violations)
    except DataValidationError as error:
        raise with_the_rest(error, rows, schema, file=file, timezone=clock.timezone, **_within(part)) from error
    return loaded.select(*keys, "available_at", *spec.names)


def find_too_frequent(
    rows: pl.DataFrame, frequency: str | None, numbers: pl.Series | None = None, *, file: str | None = None
) -> list[Violation]:
    """Return the violation of rows that come more often than declared, where there are any.

    Args:
        rows: Loaded rows: `timestamp`, and `symbol` where they have one; all of each symbol.
        frequency: As declared; a day is no span of time here.
        numbers: Number of each row in its source; None where they are in its order.
        file: Where they came from.
    """
    if frequency in (None, "1d"):
        return []
    length = timedelta(microseconds=span_microseconds(str(frequency)))
    keyed = rows.select(
        "timestamp",
        pl.col("symbol") if "symbol" in rows.columns else pl.lit("").alias("symbol"),
        number=pl.int_range(pl.len()) if numbers is None else numbers,
    )
    after = pl.col("timestamp") - pl.col("timestamp").shift(1).over("symbol", order_by="timestamp")
    closer = keyed.filter((after > timedelta(0)) & (after < length)).sort("number")
    return [_too_frequent(closer, rows, str(frequency), file)] if closer.height else []


def value_names(source: Source, columns: Columns, dataset: str) -> tuple[str, ...]:
    """Return the number columns of a source that are no keys, in its order: what it has to show."""
    lazy = scan(source, columns=columns, dataset=dataset)
    taken = {*_TIMES, "symbol", *(theirs for ours, theirs in columns.items() if ours != theirs)}
    found = schema_of(lazy, file=describe(source))
    return tuple(name for name, dtype in found.items() if dtype.is_numeric() and name not in taken)


def labels_of(stamps: pl.Series, frequency: str | None, clock: BarClock) -> pl.Series:
    """Return what rows are about, dates or instants, null where a stamp is none; what is wrong is not said here."""
    try:
        return _about(Stamps(stamps, clock.timezone, dataset=""), frequency, clock)
    except DataValidationError:
        return pl.Series("timestamp", [None] * stamps.len(), dtype=pl.Date)


def load_universe(source: Source, *, columns: Columns | None = None) -> pl.DataFrame:
    """Read the spans of sessions in which symbols belonged to a universe, in the order of their source.

    Raises:
        DataValidationError: A column is absent or of a wrong type.
    """
    schema = schemas.universe_schema()
    file = describe(source)
    spans = typed(_read(source, columns, list(schema.columns), schema, file), [], ["symbol"], "universe", file)
    return spans.with_columns(pl.col(name).cast(pl.Date) for name in ("start", "end") if spans[name].is_null().all())


def load_corporate_actions(source: Source | None, *, columns: Columns | None = None) -> pl.DataFrame:
    """Read splits and dividends in the order of their source; an empty frame of the right columns without a source.

    Raises:
        DataValidationError: A column is absent or of a wrong type.
    """
    schema = schemas.corporate_actions_schema()
    if source is None:
        return schemas.empty_frame(schema)
    file, dataset = describe(source), "corporate_actions"
    actions = _read(source, columns, list(schema.columns), schema, file)
    return typed(actions, ["value"], ["symbol", "kind"], dataset, file)


def load_delistings(source: Source, *, columns: Columns | None = None) -> pl.DataFrame:
    """Read the declared ends of symbols in the order of their source.

    Raises:
        DataValidationError: A column is absent or of a wrong type.
    """
    file, dataset, schema = describe(source), "delistings", schemas.delistings_schema()
    ends = _read(source, columns, list(schema.columns), schema, file)
    return typed(ends, ["price"], ["symbol"], dataset, file)


def check_names(dataset: str, names: Sequence[str]) -> None:
    """Refuse a table in which two columns would have the same name, or one has none that Polars takes as it is.

    Raises:
        DataValidationError: It would.
    """
    hint = "rename it in its source, or map it with `columns`"
    collide = "column {!r} is given twice, or has a name that this package gives"
    found = [
        Violation("E-SC-COLLIDE", dataset, collide.format(name), column=name, hint=hint)
        for name in dict.fromkeys(names)
        if list(names).count(name) > 1 or name == ROW
    ]
    found += [
        Violation("E-SC-NAME", dataset, f"{name!r} is a pattern, not the name of a column", column=name, hint=hint)
        for name in dict.fromkeys(names)
        if name in ("", "*") or (name.startswith("^") and name.endswith("$"))
    ]
    if found:
        raise DataValidationError(found)


def typed(
    frame: pl.DataFrame,
    numbers: Sequence[str],
    texts: Sequence[str],
    dataset: str,
    file: str | None,
    first_row: int = 0,
) -> pl.DataFrame:
    """Cast numbers to Float64 and text to String; text and booleans are no numbers, however they look.

    Raises:
        DataValidationError: A column is of another type.
    """
    types = frame.schema
    wrong = [(name, "a number") for name in numbers if not types[name].is_numeric() and types[name] != pl.Null]
    wrong += [(name, "text") for name in texts if types[name] not in _TEXTS and not types[name].is_integer()]
    if wrong:
        found = [_wrong_type(frame, name, needed, dataset, file) for name, needed in wrong]
        raise DataValidationError([replace(each, row=first_row + (each.row or 0)) for each in found])
    return frame.with_columns(pl.col(list(numbers)).cast(pl.Float64), pl.col(list(texts)).cast(pl.String))


def _read(
    source: Source,
    columns: Columns | None,
    wanted: Sequence[str],
    schema: pa.DataFrameSchema,
    file: str | None,
    *,
    optional: Sequence[str] = (),
) -> pl.DataFrame:
    lazy = scan(source, columns=columns, dataset=str(schema.name))
    require_all(lazy, wanted, schema, file=file)
    found = schema_of(lazy, file=file).names()
    return collect(lazy.select(*wanted, *(name for name in optional if name in found)), file=file)


def _wrong_type(frame: pl.DataFrame, name: str, needed: str, dataset: str, file: str | None) -> Violation:
    row = _first_unreadable(frame[name]) if needed == "a number" else 0
    return Violation(
        "E-SC-DTYPE",
        dataset,
        f"{name} must be {needed}, found {frame.schema[name]}",
        file=file,
        row=row,
        column=name,
        value=" ".join(repr(frame[name][row] if frame.height else None).split())[:80],
        count=frame.height,
        hint="cast the column in the source",
    )


def _first_unreadable(values: pl.Series) -> int:
    """Return the first row whose text is no number; the first of all where every one would be."""
    if values.dtype not in _TEXTS:
        return 0
    unreadable = values.cast(pl.String).cast(pl.Float64, strict=False).is_null() & values.is_not_null()
    return int(unreadable.arg_max() or 0) if unreadable.any() else 0


def _labels(
    stamps: pl.Series, frequency: str | None, clock: BarClock, dataset: str, file: str | None, first_row: int
) -> pl.Series:
    """Return what rows are about: dates, or instants; rows that come daily are about a session, however stamped."""
    read = Stamps(stamps, clock.timezone, dataset=dataset, file=file, first_row=first_row)
    read.raise_refused()
    return _about(read, frequency, clock)


def _about(stamps: Stamps, frequency: str | None, clock: BarClock) -> pl.Series:
    if frequency != "1d":
        return stamps.utc
    return stamps.days(clock.timezone, clock.sessions_around(stamps.utc).timezone).alias("timestamp")


def _too_frequent(closer: pl.DataFrame, rows: pl.DataFrame, frequency: str, file: str | None) -> Violation:
    samples = tuple(f"row {row} {stamp}" for row, stamp in closer.head(5).select("number", "timestamp").iter_rows())
    return Violation(
        "E-SG-FREQ",
        "signals" if "symbol" in rows.columns else "context",
        f"rows come more often than every {frequency}",
        file=file,
        row=closer["number"][0],
        column="timestamp",
        value=str(closer["timestamp"][0]),
        count=closer.height,
        samples=samples,
        hint="declare how often rows come, or leave it out",
    )


def _known_at(
    rows: pl.DataFrame, stamps: pl.Series, spec: ValueSource, clock: BarClock, file: str | None, part: Part | None
) -> pl.Series:
    if spec.available_at is not None:
        calendar = part.calendar if part else clock.sessions_around(stamps)
        return availability(stamps, spec.available_at, calendar, spec.latency)
    dataset = "signals" if "symbol" in rows.columns else "context"
    known = _moments(rows, "available_at", clock, dataset, file, part.first_row if part else 0)
    return known + timedelta(microseconds=span_microseconds(spec.latency))


def _moments(
    rows: pl.DataFrame,
    name: str,
    clock: BarClock,
    dataset: str,
    file: str | None,
    first_row: int,
    *,
    nullable: bool = False,
) -> pl.Series:
    """Return a column that says when something became known; a date does not say that."""
    place = {"file": file, "column": name, "nullable": nullable, "first_row": first_row}
    known = as_utc(rows[name], clock.timezone, dataset=dataset, **place)
    if known.dtype == pl.Date:
        raise DataValidationError([_no_availability(name, dataset, file)])
    return known


def _no_availability(name: str, dataset: str, file: str | None) -> Violation:
    return Violation(
        "E-SG-AVAILABILITY",
        dataset,
        "nothing says when the rows became known",
        file=file,
        column=name,
        hint="declare available_at: market_open, market_close or next_day, or add a datetime column `available_at` "
        f"({_DECLARED_BY[dataset]})",
    )


def _within(part: Part | None) -> dict[str, Any]:
    """Return what has to be known to look through a part: its place, and that its keys may repeat elsewhere."""
    return {} if part is None else {"first_row": part.first_row, "keys": False}
