"""From raw prices, signals and context to one prepared data set, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import polars as pl

from ml4t_backtest.core import schemas
from ml4t_backtest.core.argument_types import checked_arguments
from ml4t_backtest.data.bar_time import BarClock, BarLabel, DecideAt
from ml4t_backtest.data.content_hash import joint_hash
from ml4t_backtest.data.files.file_places import naming_files
from ml4t_backtest.data.indicators import parse_indicator
from ml4t_backtest.data.loading import (
    Columns,
    ValueSource,
    checked_ranges,
    load_corporate_actions,
    load_universe,
    value_names,
)
from ml4t_backtest.data.preparation import LoadedContext, LoadedSignals, LoadedTables, Preparation, Recipe
from ml4t_backtest.data.prepared import PreparedData, PreparedFiles, open_prepared, publish_prepared
from ml4t_backtest.data.price_form import PriceForm
from ml4t_backtest.data.quality.data_quality import Finding
from ml4t_backtest.data.quality.inspector import Inspector
from ml4t_backtest.data.quality.scan_findings import scan_findings
from ml4t_backtest.data.safe_path import output_folder, require_apart
from ml4t_backtest.data.scratch import Workplace
from ml4t_backtest.data.signal_timing import AvailabilityRule
from ml4t_backtest.data.source_rows import LoadedPrices, read_context, read_prices, read_signals
from ml4t_backtest.data.sources import Source, describe
from ml4t_backtest.data.validation import validate
from ml4t_backtest.data.zones import ZoneWatch
from ml4t_backtest.errors import ConfigError

Ranges = Mapping[str, tuple[float, float]]


class DataPreparer:
    """Builds a prepared data set step by step; the order of the steps does not matter.

    >>> from datetime import date
    >>> bars = pl.DataFrame({"timestamp": [date(2024, 1, 2)], "symbol": ["A"], "open": [1.0], "high": [1.0],
    ...                      "low": [1.0], "close": [1.0], "volume": [10.0]})
    >>> prepared = DataPreparer().add_prices(bars, bar_label="session").add_indicators(["obv"]).prepare()
    >>> prepared.asset_data.select("timestamp", "obv").row(0)[0].isoformat()
    '2024-01-02T21:00:00+00:00'
    """

    @checked_arguments
    def __init__(
        self,
        *,
        calendar: str = "XNYS",
        timezone: str | None = None,
        decide_at: DecideAt = "close",
        enforce_sessions: bool = False,
    ) -> None:
        """Start an empty data set.

        Args:
            calendar: Exchange whose sessions the bars belong to.
            timezone: Zone of timestamps that carry none; None is UTC, and then sources of several zones, or with and
                without one, are refused.
            decide_at: When a strategy decides on a slice: at the bar's close, or at the next session's open.
            enforce_sessions: Whether bars outside the sessions of the calendar are refused.
        """
        clock = BarClock(calendar, timezone or "UTC", decide_at=decide_at, enforce_sessions=enforce_sessions)
        self._recipe = Recipe(clock)
        self._zones = ZoneWatch(declared=timezone is not None)
        self._paths: list[str] = []
        self._files: dict[str, str | None] = {}
        self._found: list[Finding] = []
        self._workplace = Workplace()
        self._prices: LoadedPrices | None = None
        self._signals: list[LoadedSignals] = []
        self._context: list[LoadedContext] = []
        self._actions = load_corporate_actions(None)
        self._universe: pl.DataFrame | None = None

    @naming_files
    @checked_arguments
    def add_prices(
        self,
        source: Source,
        *,
        freq: str = "1d",
        bar_label: BarLabel = "close",
        columns: Columns | None = None,
        indicators: Sequence[str] = (),
        extra: Sequence[str] = (),
        price_scale: float | None = None,
        price_tolerance: float = 0.0,
        allow_nonpositive_prices: bool = False,
    ) -> Self:
        """Add the bars.

        Args:
            source: Where they are.
            freq: Length of a bar: `5m`, `1h`, ...; `1d` is one bar per session.
            bar_label: What a bar's timestamp names: the moment it closes or opens, or its session.
            columns: This package's name -> the source's name.
            indicators: Columns of the source that were computed from prices up to each bar.
            extra: Columns of the source with moments, to be taken along.
            price_scale: How many units of the source make one of account currency; see `PriceForm`.
            price_tolerance: Fraction by which open and close may lie outside low to high by rounding.
            allow_nonpositive_prices: Whether prices may be zero or negative, as those of futures can be.
        """
        form = PriceForm(price_scale, price_tolerance, allow_nonpositive_prices)
        clock = replace(self._recipe.clock, frequency=freq, label=bar_label)
        self._note_source(source, columns, "prices", by_day=bar_label == "session")
        self._files["prices"] = describe(source)
        given: dict[str, Any] = {"columns": columns, "indicators": indicators, "extra": extra, "form": form}
        self._prices = read_prices(source, clock, self._workplace, **given)
        allow = allow_nonpositive_prices
        self._recipe = replace(self._recipe, clock=clock, given=tuple(indicators), allow_nonpositive=allow)
        return self

    @naming_files
    @checked_arguments
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
        ranges: Ranges | None = None,
        allow_empty: bool = False,
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
            ranges: Column -> its smallest and its greatest value; a value outside is refused.
            allow_empty: Whether there may be no rows.
        """
        wanted = _names_of(source, names, columns, "signals")
        given = (latency, max_age, freq, checked_ranges(ranges, wanted), allow_empty)
        spec = ValueSource(source, wanted, columns or {}, valid_from, *given)
        self._note_source(source, columns, "signals", by_day=freq == "1d")
        self._signals.append((spec, read_signals(spec, self._recipe.clock, self._workplace)))
        return self

    @naming_files
    @checked_arguments
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
        ranges: Ranges | None = None,
        allow_empty: bool = False,
    ) -> Self:
        """Add one source of market context: `timestamp` and the values; see `add_signals` for the arguments."""
        wanted = _names_of(source, names, columns, "context")
        given = (latency, max_age, freq, checked_ranges(ranges, wanted), allow_empty)
        spec = ValueSource(source, wanted, columns or {}, available_at, *given)
        self._note_source(source, columns, "context", by_day=freq == "1d")
        self._context.append((spec, read_context(spec, self._recipe.clock)))
        return self

    @checked_arguments
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

    @checked_arguments
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
        self._files["corporate_actions"] = None if source is None else describe(source)
        validate(self._actions, schema, file=self._files["corporate_actions"], allow_empty=True)
        self._recipe = replace(self._recipe, adjustment=adjustment)
        return self

    @checked_arguments
    def add_universe(self, source: Source, *, columns: Columns | None = None) -> Self:
        """Say who belonged to the universe when; every bar gets the column `in_universe`, 1.0 or 0.0.

        Args:
            source: `symbol`, `start` and `end` (first and last session, null until further notice); a symbol may come
                and go.
            columns: This package's name -> the source's name.
        """
        self._universe = load_universe(source, columns=columns)
        self._files["universe"] = describe(source)
        validate(self._universe, schemas.universe_schema(), file=self._files["universe"])
        return self

    @naming_files
    def prepare(self) -> PreparedData:
        """Join what was known at each bar's decision, check the outcome and return it in memory.

        Raises:
            ConfigError: There are no prices.
            DataValidationError: A rule of the prepared schemas is broken.
            SignalTimingError: A value would be seen before it was known.
        """
        return Preparation(self._tables(), self._recipe, self._workplace).data()

    @naming_files
    @checked_arguments
    def validate_and_save(
        self,
        asset_output: str | Path,
        context_output: str | Path | None = None,
        *,
        compression_level: int = 3,
    ) -> PreparedFiles:
        """Prepare, check and publish; nothing is published when a check fails.

        No more than a part of the data is in memory at a time, and of what comes back only what is asked for.

        Args:
            asset_output: Folder of the bars, by month below it, with a report of what was checked and found.
            context_output: Folder of the context; needed where there is any.
            compression_level: Of zstd, 1 (quick) to 22 (small).
        """
        for output in (asset_output, context_output):
            if output is not None and "://" not in str(output):
                require_apart(output_folder(output), self._paths)
        tables, clock = self._tables(), self._recipe.clock
        unapplied = self._actions if self._recipe.adjustment == "none" else None
        inspector = Inspector.at_level("standard", clock.calendar, corporate_actions=unapplied)
        prepared = Preparation(tables, self._recipe, self._workplace, inspector=inspector)
        inputs = {name: joint_hash({name: each}) for name, each in tables.hashes().items()}
        facts: dict[str, Any] = {"adjustment": self._recipe.adjustment, "calendar": clock.calendar}
        publish_prepared(
            prepared, asset_output, context_output, inputs=inputs, facts=facts, compression_level=compression_level
        )
        return open_prepared(asset_output, context_output)

    def _note_source(self, source: Source, columns: Columns | None, dataset: str, *, by_day: bool) -> None:
        """Keep in mind where a source lies, and refuse it where its zone is another than that of one before."""
        self._paths += [str(source)] if isinstance(source, (str, Path)) else []
        self._zones.add(source, columns, dataset, by_day=by_day)
        self._found += scan_findings(source, columns, dataset)

    def _tables(self) -> LoadedTables:
        if self._prices is None:
            raise ConfigError("a data set needs prices: call add_prices first")
        return LoadedTables(
            self._prices, self._signals, self._context, self._actions, self._universe, self._files, self._found
        )


def _names_of(source: Source, names: Sequence[str] | None, columns: Columns | None, dataset: str) -> tuple[str, ...]:
    if isinstance(names, str):
        raise ConfigError(f"names must be a list of names, got the text {names!r}")
    found = value_names(source, columns or {}, dataset) if names is None else tuple(names)
    if not found:
        raise ConfigError(f"the source of {dataset} has no column to show: name one with `names`")
    return found
