"""From raw prices, signals and context to one prepared data set.

Stages, each usable alone: load a source under this package's names and instants, check it, compute indicators, join
what was known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import polars as pl

from ml4t_backtest.core import schemas
from ml4t_backtest.data.bar_time import BarClock, BarLabel, DecideAt
from ml4t_backtest.data.content_hash import content_hash
from ml4t_backtest.data.indicator_columns import add_indicators
from ml4t_backtest.data.indicators import IndicatorRequest, parse_indicator
from ml4t_backtest.data.loading import (
    Columns,
    ValueSource,
    check_names,
    load_corporate_actions,
    load_prices,
    load_universe,
    load_values,
    value_names,
)
from ml4t_backtest.data.prepared import PreparedData, publish_prepared
from ml4t_backtest.data.signal_timing import AvailabilityRule, join_known
from ml4t_backtest.data.sources import Source, describe
from ml4t_backtest.data.universe import IN_UNIVERSE, add_membership
from ml4t_backtest.data.validation import validate
from ml4t_backtest.errors import ConfigError

LoadedSource = tuple[ValueSource, pl.DataFrame]


@dataclass(frozen=True)
class Recipe:
    """What is derived from the bars of a data set, and what has to be known of them for it.

    Attributes:
        clock: How the bars tell time.
        given: Indicator columns that the price source has already.
        computed: Indicators to compute.
        adjustment: What the prices contain already: `none`, `split` or `total_return`.
    """

    clock: BarClock
    given: tuple[str, ...] = ()
    computed: tuple[IndicatorRequest, ...] = ()
    adjustment: str = "none"

    def columns(self, *, has_universe: bool) -> tuple[str, ...]:
        """Return the names of all indicator columns."""
        computed = (column for request in self.computed for column in request.columns)
        return (*self.given, *computed, *((IN_UNIVERSE,) if has_universe else ()))


@dataclass(frozen=True)
class LoadedTables:
    """Tables under this package's names and instants, every row checked.

    Attributes:
        prices: What `load_prices` returned.
        signals: Signal sources with what `load_values` returned for each.
        context: Context sources likewise.
        corporate_actions: What `load_corporate_actions` returned.
        universe: What `load_universe` returned, or None: all symbols belong, and nothing says so.
    """

    prices: pl.DataFrame
    signals: Sequence[LoadedSource] = ()
    context: Sequence[LoadedSource] = ()
    corporate_actions: pl.DataFrame = field(default_factory=lambda: load_corporate_actions(None))
    universe: pl.DataFrame | None = None

    def by_name(self) -> dict[str, pl.DataFrame]:
        """Return the tables by name; each source of values is one (`signals_0`, ...)."""
        kinds = {"signals": self.signals, "context": self.context}
        values = {f"{kind}_{number}": rows for kind, all_ in kinds.items() for number, (_, rows) in enumerate(all_)}
        universe = {} if self.universe is None else {"universe": self.universe}
        return {"prices": self.prices, **values, "corporate_actions": self.corporate_actions, **universe}


class DataPreparer:
    """Builds a prepared data set step by step; the order of the steps does not matter.

    >>> from datetime import date
    >>> bars = pl.DataFrame({"timestamp": [date(2024, 1, 2)], "symbol": ["A"], "open": [1.0], "high": [1.0],
    ...                      "low": [1.0], "close": [1.0], "volume": [10.0]})
    >>> prepared = DataPreparer().add_prices(bars, bar_label="session").add_indicators(["obv"]).prepare()
    >>> prepared.asset_data.select("timestamp", "obv").row(0)[0].isoformat()
    '2024-01-02T21:00:00+00:00'
    """

    def __init__(self, *, calendar: str = "XNYS", timezone: str = "UTC", decide_at: DecideAt = "close") -> None:
        """Start an empty data set.

        Args:
            calendar: Exchange whose sessions the bars belong to.
            timezone: Zone of timestamps that carry none.
            decide_at: When a strategy decides on a slice: at the bar's close, or at the next session's open.
        """
        self._recipe = Recipe(BarClock(calendar, timezone, decide_at=decide_at))
        self._prices: pl.DataFrame | None = None
        self._signals: list[LoadedSource] = []
        self._context: list[LoadedSource] = []
        self._actions = load_corporate_actions(None)
        self._universe: pl.DataFrame | None = None

    def add_prices(
        self,
        source: Source,
        *,
        freq: str = "1d",
        bar_label: BarLabel = "close",
        columns: Columns | None = None,
        indicators: Sequence[str] = (),
        extra: Sequence[str] = (),
    ) -> Self:
        """Add the bars.

        Args:
            source: Where they are.
            freq: Length of a bar: `5m`, `1h`, ...; `1d` is one bar per session.
            bar_label: What a bar's timestamp names: the moment it closes or opens, or its session.
            columns: This package's name -> the source's name.
            indicators: Columns of the source that were computed from prices up to each bar.
            extra: Columns of the source with moments, to be taken along.
        """
        clock = replace(self._recipe.clock, frequency=freq, label=bar_label)
        self._prices = load_prices(source, clock, columns=columns, indicators=indicators, extra=extra)
        validate(self._prices, schemas.prices_schema(), file=describe(source))
        self._recipe = replace(self._recipe, clock=clock, given=tuple(indicators))
        return self

    def add_signals(
        self,
        source: Source,
        *,
        names: Sequence[str] | None = None,
        freq: str | None = None,
        valid_from: AvailabilityRule | None = None,
        latency: str = "0m",
        max_age: str | None = None,
        columns: Columns | None = None,
    ) -> Self:
        """Add one source of model predictions: `timestamp`, `symbol`, and the predictions.

        Args:
            source: Where they are.
            names: Columns to use; None for all number columns.
            freq: How often a symbol has one. `1d`: a row is about a session, named by its date or its midnight.
            valid_from: When a row becomes known: `market_open` or `market_close` of its session, `next_day` (the open
                of the session after); None: the source says it row by row, in its column `available_at`.
            latency: Time from that moment until a row can be used, such as `15m`.
            max_age: Rows older than this at a decision are not used.
            columns: This package's name -> the source's name.
        """
        wanted = _names_of(source, names, columns, "signals")
        spec = ValueSource(source, wanted, columns or {}, valid_from, latency, max_age, freq)
        rows = load_values(spec, self._recipe.clock, by_symbol=True)
        validate(rows, schemas.signals_schema(spec.names), file=describe(source))
        self._signals.append((spec, rows))
        return self

    def add_context(
        self,
        source: Source,
        *,
        names: Sequence[str] | None = None,
        freq: str | None = None,
        available_at: AvailabilityRule | None = None,
        latency: str = "0m",
        max_age: str | None = None,
        columns: Columns | None = None,
    ) -> Self:
        """Add one source of market context: `timestamp` and the values; see `add_signals` for the arguments."""
        wanted = _names_of(source, names, columns, "context")
        spec = ValueSource(source, wanted, columns or {}, available_at, latency, max_age, freq)
        rows = load_values(spec, self._recipe.clock, by_symbol=False)
        validate(rows, schemas.context_schema(spec.names), file=describe(source))
        self._context.append((spec, rows))
        return self

    def add_indicators(self, indicators: Sequence[str]) -> Self:
        """Compute indicators such as `rsi:14` or `macd`, known at each bar's close; see docs/concepts/indicators.md.

        Raises:
            ConfigError: One is unknown, or a parameter is out of its range.
        """
        if isinstance(indicators, str):
            raise ConfigError(f"indicators must be a list of texts, got the text {indicators!r}")
        requests = tuple(parse_indicator(text) for text in indicators)
        self._recipe = replace(self._recipe, computed=(*self._recipe.computed, *requests))
        return self

    def add_corporate_actions(
        self, source: Source | None, *, adjustment: str = "none", columns: Columns | None = None
    ) -> Self:
        """Add splits and dividends.

        Args:
            source: `symbol`, `ex_date`, `kind` (split or dividend), `value`; None for none.
            adjustment: What the prices contain already: `none`, `split` or `total_return`.
            columns: This package's name -> the source's name.
        """
        self._actions = load_corporate_actions(source, columns=columns)
        schema = schemas.corporate_actions_schema()
        validate(self._actions, schema, file=None if source is None else describe(source), allow_empty=True)
        self._recipe = replace(self._recipe, adjustment=adjustment)
        return self

    def add_universe(self, source: Source, *, columns: Columns | None = None) -> Self:
        """Say who belonged to the universe when; every bar gets the column `in_universe`, 1.0 or 0.0.

        Args:
            source: `symbol`, `start` and `end` (first and last session, null until further notice); a symbol may come
                and go.
            columns: This package's name -> the source's name.
        """
        self._universe = load_universe(source, columns=columns)
        validate(self._universe, schemas.universe_schema(), file=describe(source))
        return self

    def prepare(self) -> PreparedData:
        """Join what was known at each bar's decision and check the outcome.

        Raises:
            ConfigError: There are no prices.
            DataValidationError: A rule of the prepared schemas is broken.
            SignalTimingError: A value would be seen before it was known.
        """
        return prepare_tables(self._tables(), self._recipe)

    def validate_and_save(
        self,
        asset_output: str | Path,
        context_output: str | Path | None = None,
        *,
        compression_level: int = 3,
    ) -> PreparedData:
        """Prepare, check and publish; nothing is published when a check fails.

        Args:
            asset_output: Folder of the bars, one file per month below it, with a report of what was checked.
            context_output: Folder of the context; needed where there is any.
            compression_level: Of zstd, 1 (quick) to 22 (small).
        """
        prepared, tables = self.prepare(), self._tables().by_name()
        inputs: dict[str, str] = {name: content_hash({name: table}) for name, table in tables.items()}
        facts: dict[str, Any] = {"adjustment": self._recipe.adjustment, "calendar": self._recipe.clock.calendar}
        publish_prepared(
            prepared, asset_output, context_output, inputs=inputs, facts=facts, compression_level=compression_level
        )
        return prepared

    def _tables(self) -> LoadedTables:
        if self._prices is None:
            raise ConfigError("a data set needs prices: call add_prices first")
        return LoadedTables(self._prices, self._signals, self._context, self._actions, self._universe)


def prepare_tables(tables: LoadedTables, recipe: Recipe) -> PreparedData:
    """Compute indicators, join what was known at each decision, and check the outcome.

    Raises:
        DataValidationError: Two sources give the same column, or a rule of the prepared schemas is broken.
    """
    signal_names, context_names = _names(tables.signals), _names(tables.context)
    indicators = recipe.columns(has_universe=tables.universe is not None)
    check_names("asset_data", column_names(signal_names, indicators, context_names))
    asset_data = join_signals(_with_derived(tables, recipe), tables.signals)
    validate(asset_data, schemas.asset_data_schema(signal_names, indicators))
    context_data = join_context(asset_data, tables.context)
    validate(context_data, schemas.context_data_schema(context_names))
    actions = tables.corporate_actions.sort("ex_date", "symbol", "kind")
    return PreparedData(asset_data, context_data, actions, signal_names, indicators, context_names)


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


def _with_derived(tables: LoadedTables, recipe: Recipe) -> pl.DataFrame:
    bars = tables.prices
    calendar = recipe.clock.sessions_around(bars["timestamp"])
    bars = add_indicators(bars, recipe.computed, tables.corporate_actions, calendar, adjustment=recipe.adjustment)
    return bars if tables.universe is None else add_membership(bars, tables.universe, calendar)


def _names_of(source: Source, names: Sequence[str] | None, columns: Columns | None, dataset: str) -> tuple[str, ...]:
    if isinstance(names, str):
        raise ConfigError(f"names must be a list of names, got the text {names!r}")
    found = value_names(source, columns or {}, dataset) if names is None else tuple(names)
    if not found:
        raise ConfigError(f"the source of {dataset} has no column to show: name one with `names`")
    return found


def _names(sources: Sequence[LoadedSource]) -> tuple[str, ...]:
    return tuple(name for spec, _ in sources for name in spec.names)
