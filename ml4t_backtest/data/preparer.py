"""From raw prices, signals and context to one prepared data set.

Stages, each usable alone: load a source under this package's names and instants, check it, join what was known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import polars as pl

from ml4t_backtest.core import schemas
from ml4t_backtest.core.instants import UTC_MICROSECONDS, span_microseconds
from ml4t_backtest.data.bar_time import BarClock, add_instants, as_utc
from ml4t_backtest.data.signal_timing import availability, join_known
from ml4t_backtest.data.sources import Source, collect, describe, require_columns, scan, schema_of
from ml4t_backtest.data.storage import Manifest, current_version, publish, read_manifest, read_table
from ml4t_backtest.data.validation import validate
from ml4t_backtest.errors import ConfigError, DataValidationError, Violation

Columns = Mapping[str, str]
PREPARED_TABLES = ("asset_data", "context_data", "corporate_actions")
_NUMERIC_PRICES = (*schemas.PRICE_COLUMNS, "volume")


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
    """

    source: Source
    names: tuple[str, ...]
    columns: Columns = field(default_factory=dict)
    available_at: str | None = None
    latency: str = "0m"
    max_age: str | None = None


LoadedSource = tuple[ValueSource, pl.DataFrame]


@dataclass(frozen=True)
class PreparedData:
    """What a feed delivers, ready to be walked through.

    Attributes:
        asset_data: Bars with signals and indicators, schema `asset_data`, sorted by (timestamp, symbol).
        context_data: One row per slice, schema `context_data`; without context only its time columns.
        corporate_actions: Splits and dividends, schema `corporate_actions`; empty without any.
        signals: Names of the signal columns.
        indicators: Names of the indicator columns.
        context: Names of the context columns.
    """

    asset_data: pl.DataFrame
    context_data: pl.DataFrame
    corporate_actions: pl.DataFrame
    signals: tuple[str, ...] = ()
    indicators: tuple[str, ...] = ()
    context: tuple[str, ...] = ()

    def tables(self) -> dict[str, pl.DataFrame]:
        """Return the frames by name."""
        return {table: getattr(self, table) for table in PREPARED_TABLES}


def load_prices(
    source: Source,
    clock: BarClock,
    *,
    columns: Columns | None = None,
    indicators: Sequence[str] = (),
    extra: Sequence[str] = (),
    file: str | None = None,
) -> pl.DataFrame:
    """Read bars and put them on the clock: `timestamp` is the close, `open_instant` and `decision_instant` beside it.

    Number columns named by `indicators` and other columns named by `extra` come along. Rows keep the order of their
    source, so that a violation found in them names the physical row of `file`.
    """
    file = file or describe(source)
    lazy = scan(source, columns=columns, dataset="prices")
    wanted = [*schemas.BAR_COLUMNS, *indicators, *extra]
    require_columns(lazy, wanted, dataset="prices", file=file)
    numbers = [*_NUMERIC_PRICES, *indicators]
    bars = collect(lazy.select(wanted), file=file)
    bars = _as_numbers(bars, numbers, "prices", file).with_columns(pl.col("symbol").cast(pl.String))
    return add_instants(bars, clock, file=file)


def load_values(spec: ValueSource, clock: BarClock, *, by_symbol: bool, file: str | None = None) -> pl.DataFrame:
    """Read one source of signals (by symbol) or context and add when each row became known.

    Rows keep the order of their source. A date stands for the start of its day as `timestamp`: it only orders rows
    and measures their age; what may be seen is decided by `available_at` alone.
    """
    dataset, file = "signals" if by_symbol else "context", file or describe(spec.source)
    lazy = scan(spec.source, columns=spec.columns, dataset=dataset)
    keys = ["timestamp", *(["symbol"] if by_symbol else [])]
    explicit = spec.available_at is None
    require_columns(lazy, [*keys, *spec.names], dataset=dataset, file=file)
    if explicit and "available_at" not in schema_of(lazy, file=file).names():
        raise DataValidationError([_no_availability(dataset, file)])
    wanted = [*keys, *(["available_at"] if explicit else []), *spec.names]
    rows = _as_numbers(collect(lazy.select(wanted), file=file), list(spec.names), dataset, file)
    stamps = as_utc(rows["timestamp"], clock.timezone, dataset=dataset, file=file)
    known = _known_at(rows, stamps, spec, clock, file)
    rows = rows.with_columns(stamps.cast(UTC_MICROSECONDS), known)
    return rows.with_columns(pl.col("symbol").cast(pl.String)) if by_symbol else rows


def load_corporate_actions(source: Source | None, *, columns: Columns | None = None) -> pl.DataFrame:
    """Read splits and dividends; an empty frame of the right columns without a source."""
    schema = schemas.corporate_actions_schema()
    if source is None:
        return schemas.empty_frame(schema)
    file = describe(source)
    lazy = scan(source, columns=columns, dataset="corporate_actions")
    names = list(schema.columns)
    require_columns(lazy, names, dataset="corporate_actions", file=file)
    actions = collect(lazy.select(names), file=file)
    return actions.with_columns(pl.col("value").cast(pl.Float64), pl.col("symbol", "kind").cast(pl.String)).sort(
        "ex_date", "symbol", "kind"
    )


class DataPreparer:
    """Builds a prepared data set step by step.

    >>> from datetime import date
    >>> bars = pl.DataFrame({"timestamp": [date(2024, 1, 2)], "symbol": ["A"], "open": [1.0], "high": [1.0],
    ...                      "low": [1.0], "close": [1.0], "volume": [10.0]})
    >>> DataPreparer(BarClock(label="session")).add_prices(bars).prepare().asset_data["timestamp"][0].isoformat()
    '2024-01-02T21:00:00+00:00'
    """

    def __init__(self, clock: BarClock | None = None) -> None:
        """Start an empty data set.

        Args:
            clock: How the sources tell time.
        """
        self._clock = clock or BarClock()
        self._prices: pl.DataFrame | None = None
        self._indicators: tuple[str, ...] = ()
        self._signals: list[tuple[ValueSource, pl.DataFrame]] = []
        self._context: list[tuple[ValueSource, pl.DataFrame]] = []
        self._actions = load_corporate_actions(None)

    def add_prices(
        self,
        source: Source,
        *,
        columns: Columns | None = None,
        indicators: Sequence[str] = (),
        extra: Sequence[str] = (),
    ) -> DataPreparer:
        """Add the bars; `indicators` names columns of the source that were computed from prices up to each bar."""
        self._prices = load_prices(source, self._clock, columns=columns, indicators=indicators, extra=extra)
        self._indicators = tuple(indicators)
        validate(self._prices, schemas.prices_schema(), file=describe(source))
        return self

    def add_signals(self, spec: ValueSource) -> DataPreparer:
        """Add one source of model predictions."""
        rows = load_values(spec, self._clock, by_symbol=True)
        validate(rows, schemas.signals_schema(spec.names), file=describe(spec.source))
        self._signals.append((spec, rows))
        return self

    def add_context(self, spec: ValueSource) -> DataPreparer:
        """Add one source of market context."""
        rows = load_values(spec, self._clock, by_symbol=False)
        validate(rows, schemas.context_schema(spec.names), file=describe(spec.source))
        self._context.append((spec, rows))
        return self

    def add_corporate_actions(self, source: Source | None, *, columns: Columns | None = None) -> DataPreparer:
        """Add splits and dividends."""
        self._actions = load_corporate_actions(source, columns=columns)
        schema = schemas.corporate_actions_schema()
        validate(self._actions, schema, file=None if source is None else describe(source), allow_empty=True)
        return self

    def prepare(self) -> PreparedData:
        """Join what was known at each bar's decision and check the outcome.

        Raises:
            DataValidationError: A rule of the prepared schemas is broken.
            SignalTimingError: A value would be seen before it was known.
        """
        if self._prices is None:
            raise ConfigError("a data set needs prices: call add_prices first")
        return prepare_tables(self._prices, self._signals, self._context, self._actions, indicators=self._indicators)

    def validate_and_save(self, root: str | Path, name: str) -> PreparedData:
        """Prepare, check and publish as data set `name` under `root`; nothing is published when a check fails."""
        prepared = self.prepare()
        publish_prepared(prepared, root, name, inputs={})
        return prepared


def prepare_tables(
    prices: pl.DataFrame,
    signals: Sequence[LoadedSource],
    context: Sequence[LoadedSource],
    corporate_actions: pl.DataFrame,
    *,
    indicators: Sequence[str] = (),
) -> PreparedData:
    """Join loaded and checked tables and check the outcome.

    Args:
        prices: What `load_prices` returned.
        signals: Signal sources with what `load_values` returned for each.
        context: Context sources likewise.
        corporate_actions: What `load_corporate_actions` returned.
        indicators: Indicator columns of `prices`.

    Raises:
        DataValidationError: Two sources give the same column, or a rule of the prepared schemas is broken.
    """
    signal_names, context_names = _names(signals), _names(context)
    _refuse_collisions(list(schemas.BAR_COLUMNS), indicators, signal_names, context_names)
    asset_data = join_signals(prices, signals)
    validate(asset_data, schemas.asset_data_schema(signal_names, tuple(indicators)))
    context_data = join_context(asset_data, context)
    validate(context_data, schemas.context_data_schema(context_names))
    return PreparedData(asset_data, context_data, corporate_actions, signal_names, tuple(indicators), context_names)


def join_signals(prices: pl.DataFrame, sources: Sequence[LoadedSource]) -> pl.DataFrame:
    """Return the bars in (timestamp, symbol) order with the signals known at each decision."""
    bars = prices.sort("timestamp", "symbol")
    for spec, rows in sources:
        bars = join_known(bars, rows, spec.names, by_symbol=True, max_age=spec.max_age)
    return bars


def join_context(asset_data: pl.DataFrame, sources: Sequence[LoadedSource]) -> pl.DataFrame:
    """Return one row per slice with the context known at its decision; no value columns without sources."""
    slices = asset_data.group_by("timestamp", maintain_order=True).agg(pl.col("decision_instant").max())
    for spec, rows in sources:
        slices = join_known(slices, rows, spec.names, by_symbol=False, max_age=spec.max_age)
    return slices


def publish_prepared(prepared: PreparedData, root: str | Path, name: str, *, inputs: Mapping[str, str]) -> Manifest:
    """Publish the tables of a prepared data set as one version."""
    facts = {"signals": prepared.signals, "indicators": prepared.indicators, "context": prepared.context}
    return publish(root, name, prepared.tables(), kind="prepared", inputs=inputs, facts=facts)


def read_prepared(root: str | Path, name: str) -> PreparedData:
    """Read the current version of a prepared data set, every file checked against the manifest.

    Raises:
        CorruptDatasetError: Nothing is published under this name, or it is damaged.
    """
    version = current_version(root, name)
    manifest = read_manifest(version)
    asset_data, context_data, actions = (read_table(version, manifest, table) for table in PREPARED_TABLES)
    signals, indicators, context = (tuple(manifest.facts[group]) for group in ("signals", "indicators", "context"))
    return PreparedData(asset_data, context_data, actions, signals, indicators, context)


def _known_at(rows: pl.DataFrame, stamps: pl.Series, spec: ValueSource, clock: BarClock, file: str | None) -> pl.Series:
    if spec.available_at is not None:
        return availability(stamps, spec.available_at, clock.sessions_around(stamps), spec.latency)
    dataset = "signals" if "symbol" in rows.columns else "context"
    known = as_utc(rows["available_at"], clock.timezone, dataset=dataset, file=file)
    if known.dtype == pl.Date:
        raise DataValidationError([_no_availability(dataset, file)])
    return (known + timedelta(microseconds=span_microseconds(spec.latency))).alias("available_at")


def _no_availability(dataset: str, file: str | None) -> Violation:
    return Violation(
        "E-SG-AVAILABILITY",
        dataset,
        "nothing says when the rows became known",
        file=file,
        column="available_at",
        hint="declare available_at: market_open, market_close or next_day, or add a datetime column `available_at`",
    )


def _as_numbers(frame: pl.DataFrame, names: Sequence[str], dataset: str, file: str | None) -> pl.DataFrame:
    """Cast number columns to Float64; text and booleans are no numbers, however they look."""
    wrong = [name for name in names if not frame.schema[name].is_numeric() and frame.schema[name] != pl.Null]
    if wrong:
        raise DataValidationError([_no_number(frame, name, dataset, file) for name in wrong])
    return frame.with_columns(pl.col(name).cast(pl.Float64) for name in names)


def _no_number(frame: pl.DataFrame, name: str, dataset: str, file: str | None) -> Violation:
    value = repr(frame[name].drop_nulls().first())[:80]
    return Violation(
        "E-SC-DTYPE",
        dataset,
        f"{name} must be a number, found {frame.schema[name]}",
        file=file,
        row=0,
        column=name,
        value=value,
        count=frame.height,
        hint="cast the column in the source",
    )


def _names(sources: Sequence[LoadedSource]) -> tuple[str, ...]:
    return tuple(name for spec, _ in sources for name in spec.names)


def _refuse_collisions(*groups: Sequence[str]) -> None:
    names = [name for group in groups for name in group]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataValidationError(
            [
                Violation(
                    "E-SC-COLLIDE",
                    "asset_data",
                    f"column {name!r} comes from two sources",
                    column=name,
                    hint="rename it in one of them with `columns`",
                )
                for name in twice
            ]
        )
