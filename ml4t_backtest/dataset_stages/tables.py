"""In memory, stage by stage: raw tables, validated tables, prepared data, each a function of the one before.

So each can be kept and looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from ml4t_backtest.config.dataset_schema import (
    DatasetConfig,
    SignalSource,
)
from ml4t_backtest.core import schemas
from ml4t_backtest.data.all_at_once import require_all
from ml4t_backtest.data.files.file_places import naming_files
from ml4t_backtest.data.loading import (
    ValueSource,
    load_corporate_actions,
    load_prices,
    load_universe,
    load_values,
)
from ml4t_backtest.data.preparation import LoadedTables, prepare_tables
from ml4t_backtest.data.prepared import (
    PreparedData,
)
from ml4t_backtest.data.source_rows import LoadedPrices, LoadedRows
from ml4t_backtest.data.sources import collect, scan, schema_of
from ml4t_backtest.data.validation import validate
from ml4t_backtest.dataset_stages.declared import (
    RawKind,
    ValueSection,
    all_source_paths,
    clock_of,
    findings_of,
    recipe_of,
    refuse_zones_that_differ,
    sources_of,
    value_source,
)

if TYPE_CHECKING:
    import pandera.polars as pa

Tables = Mapping[str, pl.DataFrame]


def raw_tables(dataset: DatasetConfig, kind: RawKind) -> dict[str, pl.DataFrame]:
    """Return the source's rows in the source's order under this package's column names.

    Args:
        dataset: The data set.
        kind: Which of its sources.

    Returns:
        Table name -> rows. Signals and context have one table per source (`signals_0`, ...); a data set without any
        has none.
    """
    refuse_zones_that_differ(dataset, (kind,))
    if kind == "prices":
        wanted = [*schemas.BAR_COLUMNS, *dataset.prices.indicators]
        return {kind: _read(dataset, dataset.prices.path, dataset.prices.columns, wanted, kind)}
    if kind in ("corporate_actions", "universe"):
        source = dataset.universe if kind == "universe" else dataset.corporate_actions
        if source is None:
            return {}
        return {kind: _read(dataset, source.path, source.columns, list(_schema_of(kind).columns), kind)}
    return {
        f"{kind}_{number}": _read(dataset, source.path, source.columns, _value_columns(source), kind, _known_at(source))
        for number, source in enumerate(sources_of(dataset, kind))
    }


@naming_files
def validated_tables(dataset: DatasetConfig, kind: RawKind, raw: Tables) -> dict[str, pl.DataFrame]:
    """Put raw tables on this package's clock and check every row.

    Args:
        dataset: The data set.
        kind: Which of its sources.
        raw: What `raw_tables` returned.

    Returns:
        The tables under the same names; an empty table of the right columns where the data set has no such source.

    Raises:
        DataValidationError: A row breaks a rule; file and physical row are named.
    """
    clock = clock_of(dataset)
    if kind == "prices":
        file = dataset.resolve(dataset.prices.path)
        form = dataset.prices.form
        prices = load_prices(raw["prices"], clock, indicators=dataset.prices.indicators, file=file, form=form)
        validate(prices, schemas.prices_schema(allow_nonpositive=form.allow_nonpositive), file=file)
        return {kind: prices}
    if kind == "corporate_actions":
        source = dataset.corporate_actions
        actions = load_corporate_actions(raw.get(kind))
        file_of_actions = None if source is None else dataset.resolve(source.path)
        validate(actions, schemas.corporate_actions_schema(), file=file_of_actions, allow_empty=True)
        return {kind: actions}
    if kind == "universe":
        return _validated_universe(dataset, raw)
    return {
        f"{kind}_{number}": _validated_values(dataset, kind, source, raw[f"{kind}_{number}"])
        for number, source in enumerate(sources_of(dataset, kind))
    }


def prepare_validated(dataset: DatasetConfig, validated: Mapping[RawKind, Tables]) -> PreparedData:
    """Join validated tables into one prepared data set, in memory."""
    prices = validated["prices"]
    signals = _loaded(dataset, "signals", validated["signals"])
    tables = LoadedTables(
        LoadedPrices.of(prices["prices"]),
        [(spec, LoadedRows.of(rows)) for spec, rows in signals],
        _loaded(dataset, "context", validated["context"]),
        validated["corporate_actions"]["corporate_actions"],
        validated["universe"]["universe"] if dataset.universe else None,
        all_source_paths(dataset),
        findings_of(dataset),
    )
    return prepare_tables(tables, recipe_of(dataset))


def _value_columns(source: ValueSection) -> list[str]:
    keys = ["timestamp", "symbol"] if isinstance(source, SignalSource) else ["timestamp"]
    return [*keys, *source.names]


def _known_at(source: ValueSection) -> list[str]:
    """Return the column that says when a row became known, where no rule does; whether it is there is asked later."""
    return ["available_at"] if source.available_at is None else []


def _read(
    dataset: DatasetConfig,
    path: str,
    columns: Mapping[Any, str],
    wanted: list[str],
    kind: str,
    optional: Sequence[str] = (),
) -> pl.DataFrame:
    file = dataset.resolve(path)
    lazy = scan(file, columns=columns, dataset=kind)
    require_all(lazy, wanted, _schema_of(kind), file=file)
    found = schema_of(lazy, file=file).names() if optional else []
    return collect(lazy.select(*wanted, *(name for name in optional if name in found)), file=file)


def _schema_of(kind: str) -> pa.DataFrameSchema:
    """Return the schema of a source's loaded rows, without its value columns."""
    valued = {"signals": schemas.signals_schema, "context": schemas.context_schema}
    plain = {
        "prices": schemas.prices_schema,
        "corporate_actions": schemas.corporate_actions_schema,
        "universe": schemas.universe_schema,
    }
    return valued[kind](()) if kind in valued else plain[kind]()


def _validated_universe(dataset: DatasetConfig, raw: Tables) -> dict[str, pl.DataFrame]:
    if dataset.universe is None:
        return {}
    universe = load_universe(raw["universe"])
    validate(universe, schemas.universe_schema(), file=dataset.resolve(dataset.universe.path))
    return {"universe": universe}


def _validated_values(dataset: DatasetConfig, kind: RawKind, source: ValueSection, raw: pl.DataFrame) -> pl.DataFrame:
    file, by_symbol = dataset.resolve(source.path), kind == "signals"
    spec = value_source(source, raw)
    rows = load_values(spec, clock_of(dataset), by_symbol=by_symbol, file=file)
    validate(rows, spec.schema(by_symbol=by_symbol), file=file, allow_empty=spec.allow_empty)
    return rows


def _loaded(dataset: DatasetConfig, kind: RawKind, tables: Tables) -> list[tuple[ValueSource, pl.DataFrame]]:
    named = ((source, tables[f"{kind}_{number}"]) for number, source in enumerate(sources_of(dataset, kind)))
    return [(value_source(source, rows), rows) for source, rows in named]
