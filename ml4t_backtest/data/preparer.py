"""From raw prices, signals and context to one prepared data set.

Stages, each usable alone: load a source under this package's names and instants, check it, join what was known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ml4t_backtest.core import schemas
from ml4t_backtest.data.bar_time import BarClock
from ml4t_backtest.data.loading import (
    Columns,
    ValueSource,
    check_names,
    load_corporate_actions,
    load_prices,
    load_values,
)
from ml4t_backtest.data.signal_timing import join_known
from ml4t_backtest.data.sources import Source, describe
from ml4t_backtest.data.storage import Manifest, current_version, publish, read_manifest, read_table
from ml4t_backtest.data.validation import validate
from ml4t_backtest.errors import ConfigError, CorruptDatasetError

KIND = "prepared"
PREPARED_TABLES = ("asset_data", "context_data", "corporate_actions")
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
    check_names("asset_data", column_names(signal_names, indicators, context_names))
    asset_data = join_signals(prices, signals)
    validate(asset_data, schemas.asset_data_schema(signal_names, tuple(indicators)))
    context_data = join_context(asset_data, context)
    validate(context_data, schemas.context_data_schema(context_names))
    actions = corporate_actions.sort("ex_date", "symbol", "kind")
    return PreparedData(asset_data, context_data, actions, signal_names, tuple(indicators), context_names)


def column_names(signals: Sequence[str], indicators: Sequence[str], context: Sequence[str]) -> list[str]:
    """Return the names that the columns of a slice and of its context take, a name given twice included twice."""
    timed = [f"{name}{ending}" for name in (*signals, *context) for ending in ("", "_available_at", "_is_new")]
    return [*schemas.BAR_COLUMNS, "open_instant", "decision_instant", *timed, *indicators]


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
    return publish(root, name, prepared.tables(), kind=KIND, inputs=inputs, facts=facts)


def read_prepared(root: str | Path, name: str) -> PreparedData:
    """Read the current version of a prepared data set, every file checked against the manifest.

    Raises:
        CorruptDatasetError: Nothing is published under this name, it is damaged, or of another kind.
    """
    version = current_version(root, name)
    manifest = read_manifest(version)
    if manifest.kind != KIND:
        raise CorruptDatasetError(f"{version} holds a data set of kind {manifest.kind!r}, not a prepared one")
    asset_data, context_data, actions = (read_table(version, manifest, table) for table in PREPARED_TABLES)
    signals, indicators, context = (tuple(manifest.facts[group]) for group in ("signals", "indicators", "context"))
    return PreparedData(asset_data, context_data, actions, signals, indicators, context)


def _names(sources: Sequence[LoadedSource]) -> tuple[str, ...]:
    return tuple(name for spec, _ in sources for name in spec.names)
