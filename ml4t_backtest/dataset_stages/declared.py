"""What the configuration of a data set says of its sources: where they lie, how they tell time, what they hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from ml4t_backtest.config.dataset_schema import (
    ContextSource,
    DatasetConfig,
    DelistingSource,
    PriceSource,
    SignalSource,
)
from ml4t_backtest.core import schemas
from ml4t_backtest.data.bar_time import BarClock
from ml4t_backtest.data.loading import (
    Columns,
    ValueSource,
    load_delistings,
)
from ml4t_backtest.data.preparation import Recipe
from ml4t_backtest.data.quality.data_quality import Finding
from ml4t_backtest.data.quality.scan_findings import scan_findings
from ml4t_backtest.data.sources import scan, schema_of
from ml4t_backtest.data.validation import validate
from ml4t_backtest.data.zones import WrittenZone, refuse_mixed_zones, zones_of
from ml4t_backtest.errors import BacktestError

if TYPE_CHECKING:
    pass

RawKind = Literal["prices", "signals", "context", "corporate_actions", "universe"]
RAW_KINDS: tuple[RawKind, ...] = ("prices", "signals", "context", "corporate_actions", "universe")
ValueSection = SignalSource | ContextSource


def clock_of(dataset: DatasetConfig) -> BarClock:
    """Return how a data set tells time."""
    return BarClock(
        dataset.calendar,
        dataset.timezone,
        dataset.bar_label,
        dataset.frequency,
        dataset.decide_at,
        dataset.enforce_sessions,
    )


def recipe_of(dataset: DatasetConfig) -> Recipe:
    """Return what is derived from the bars of a data set."""
    return Recipe(
        clock_of(dataset),
        dataset.prices.indicators,
        dataset.indicator_requests,
        dataset.adjustment,
        dataset.prices.allow_nonpositive_prices,
    )


def all_source_paths(dataset: DatasetConfig) -> dict[str, str]:
    """Return where the sources of a data set lie, by the names that their tables have."""
    named = {"prices": dataset.prices.path}
    for kind in ("signals", "context"):
        sources = sources_of(dataset, kind)
        named |= {f"{kind}_{number}": source.path for number, source in enumerate(sources)}
    others = {"corporate_actions": dataset.corporate_actions, "universe": dataset.universe}
    named |= {name: source.path for name, source in others.items() if source is not None}
    return {name: dataset.resolve(path) for name, path in named.items()}


def source_paths(dataset: DatasetConfig, kind: RawKind) -> dict[str, str]:
    """Return where the sources of a kind lie, by the names that their tables have."""
    return {name: path for name, path in all_source_paths(dataset).items() if name.startswith(kind)}


def sources_of(dataset: DatasetConfig, kind: RawKind) -> Sequence[ValueSection]:
    """Return the declared sources of signals or of context."""
    signals: Sequence[ValueSection] = dataset.signals
    return signals if kind == "signals" else dataset.context


def value_sources(dataset: DatasetConfig, kind: RawKind) -> list[ValueSource]:
    """Return the sources of signals or of context where they lie."""
    return [
        value_source(source, dataset.resolve(source.path), columns_of(source.columns))
        for source in sources_of(dataset, kind)
    ]


def value_source(source: ValueSection, rows: pl.DataFrame | str, columns: Columns | None = None) -> ValueSource:
    """Return a declared source of values with its rows, or with the place where they lie."""
    return ValueSource(
        rows,
        source.names,
        columns or {},
        available_at=source.available_at,
        latency=source.latency,
        max_age=source.max_age,
        frequency=source.frequency,
        ranges=source.ranges,
        allow_empty=source.allow_empty,
    )


def columns_of(columns: Mapping[Any, str]) -> dict[str, str]:
    """Return a declared mapping of columns, ours to the source's, as plain text."""
    return {str(ours): theirs for ours, theirs in columns.items()}


def refuse_zones_that_differ(dataset: DatasetConfig, kinds: Sequence[RawKind]) -> None:
    """Refuse prices and sources of some kinds that are written in several zones, unless one was declared.

    Raises:
        DataValidationError: They are.
    """
    refuse_mixed_zones(_zones(dataset, kinds), declared="timezone" in dataset.model_fields_set)


def _zones(dataset: DatasetConfig, kinds: Sequence[RawKind]) -> Iterator[WrittenZone]:
    """Yield the zones that the prices and the sources of some kinds are written in."""
    prices, by_day = dataset.prices, dataset.bar_label == "session"
    yield from zones_of(dataset.resolve(prices.path), columns_of(prices.columns), "prices", by_day=by_day)
    for kind in kinds:
        for source in sources_of(dataset, kind) if kind in ("signals", "context") else ():
            columns = columns_of(getattr(source, "columns", {}))
            yield from zones_of(dataset.resolve(source.path), columns, kind, by_day=source.frequency == "1d")


def zone_notes(dataset: DatasetConfig) -> list[str]:
    """Return that times of the price bars carry no zone and were read as UTC, where that is so.

    Nobody may have meant it: bars of New York are a day late then, or outside of their sessions.
    """
    path = dataset.resolve(dataset.prices.path)
    if dataset.timezone != "UTC" or dataset.bar_label == "session" or "://" in path:
        return []
    with suppress(BacktestError):
        schema = schema_of(scan(path, columns=columns_of(dataset.prices.columns), dataset="prices"), file=path)
        if schema.get("timestamp") in (pl.Datetime("ms"), pl.Datetime("us"), pl.Datetime("ns")):
            return [
                "times of the prices carry no zone and were read as UTC: if they are those of a place, say so "
                "(timezone: America/New_York)"
            ]
    return []


def declared_ends(dataset: DatasetConfig) -> pl.DataFrame | None:
    """Return the declared ends of a data set's symbols, checked; None where it declares none.

    Raises:
        DataValidationError: A row breaks a rule; file and physical row are named.
    """
    declared = dataset.delistings
    if declared is None:
        return None
    schema = schemas.delistings_schema()
    if isinstance(declared, DelistingSource):
        file = dataset.resolve(declared.path)
        ends = load_delistings(file, columns=columns_of(declared.columns))
        validate(ends, schema, file=file, allow_empty=True)
        return ends
    rows = [each.model_dump() for each in declared]
    ends = pl.DataFrame(rows, schema=schemas.empty_frame(schema).schema)
    validate(ends, schema, allow_empty=True)
    return ends


def findings_of(dataset: DatasetConfig) -> list[Finding]:
    """Return what the files and the types of a data set's sources show."""
    sources: list[tuple[RawKind, PriceSource | ValueSection]] = [("prices", dataset.prices)]
    sources += [(kind, source) for kind in ("signals", "context") for source in sources_of(dataset, kind)]
    return [
        finding
        for kind, source in sources
        for finding in scan_findings(dataset.resolve(source.path), columns_of(source.columns), kind)
    ]
