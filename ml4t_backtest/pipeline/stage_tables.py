"""Schemas of the tables of a data set's stages: as they lie in their sources, and as they are loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandera.polars as pa
import polars as pl

from ml4t_backtest import __version__
from ml4t_backtest.config.dataset_schema import DatasetConfig
from ml4t_backtest.config.loader import config_hash
from ml4t_backtest.core import schemas
from ml4t_backtest.data.content_hash import content_hash
from ml4t_backtest.data.prepared import PreparedData
from ml4t_backtest.data.provenance import code_hash, source_hash
from ml4t_backtest.data.validation import find_violations
from ml4t_backtest.dataset_stages import RawKind, Tables, source_paths
from ml4t_backtest.errors import Violation

Hashes = dict[str, str]


def raw_inputs(dataset: DatasetConfig, kind: RawKind) -> Hashes | None:
    """Return the hashes of what raw tables are read from; None where a source is remote.

    Raises:
        DataValidationError: A source does not exist.
    """
    hashes = {name: source_hash(path, name) for name, path in source_paths(dataset, kind).items()}
    at_hand = {name: known for name, known in hashes.items() if known is not None}
    return {**_made_by(dataset), **at_hand} if len(at_hand) == len(hashes) else None


def stage_inputs(dataset: DatasetConfig, tables: Mapping[RawKind, Tables]) -> Hashes:
    """Return the hashes of what a stage is made from: the tables of the stage before, configuration, code."""
    return {**_made_by(dataset), **{kind: content_hash(found) for kind, found in tables.items()}}


def prepared_from(dataset: DatasetConfig, tables: Mapping[str, pl.DataFrame]) -> PreparedData:
    """Return prepared data from its tables; what its columns are says the data set."""
    return PreparedData(
        asset_data=tables["asset_data"],
        context_data=tables["context_data"],
        corporate_actions=tables["corporate_actions"],
        source_quality=tables["source_quality"],
        signals=dataset.signal_names,
        indicators=dataset.indicator_names,
        context=dataset.context_names,
    )


def prepared_schemas(dataset: DatasetConfig) -> dict[str, pa.DataFrameSchema]:
    """Return the schemas of the prepared tables of a data set."""
    return {
        "asset_data": schemas.asset_data_schema(
            dataset.signal_names,
            dataset.indicator_names,
            allow_nonpositive=dataset.prices.allow_nonpositive_prices,
        ),
        "context_data": schemas.context_data_schema(dataset.context_names),
        "corporate_actions": schemas.corporate_actions_schema(),
        "source_quality": schemas.data_quality_schema(),
    }


def raw_schema(loaded: pa.DataFrameSchema, columns: Sequence[str]) -> pa.DataFrameSchema:
    """Return what can be asked of a source before it is loaded: the rules of values and keys, whatever the types."""
    found = {name: column for name, column in loaded.columns.items() if name in columns}
    return pa.DataFrameSchema(
        {
            name: pa.Column(
                None,
                nullable=column.nullable,
                checks=column.checks,
                description=column.description,
                metadata=column.metadata,
            )
            for name, column in found.items()
        },
        checks=loaded.checks,
        name=loaded.name,
        metadata={"key": tuple(name for name in loaded.metadata["key"] if name in found)},
    )


def raw_schemas(dataset: DatasetConfig, kind: RawKind, tables: Tables) -> dict[str, pa.DataFrameSchema]:
    """Return what can be asked of the sources of a kind before they are loaded, by table."""
    loaded = loaded_schemas(dataset, kind)
    return {name: raw_schema(loaded[name], frame.columns) for name, frame in tables.items()}


def raw_violations(dataset: DatasetConfig, kind: RawKind, tables: Tables) -> list[Violation]:
    """Return which of those rules the sources of a kind break; a kind without any source breaks none."""
    asked = raw_schemas(dataset, kind, tables)
    may_be_empty = kind == "corporate_actions"
    found = (
        find_violations(tables[name], asked[name], allow_empty=may_be_empty) for name in source_paths(dataset, kind)
    )
    return [violation for violations in found for violation in violations]


def loaded_schemas(dataset: DatasetConfig, kind: RawKind) -> dict[str, pa.DataFrameSchema]:
    """Return the schema of each loaded table of a data set; one without values where it has no such source."""
    plain: dict[RawKind, Callable[[], pa.DataFrameSchema]] = {
        "prices": lambda: schemas.prices_schema(allow_nonpositive=dataset.prices.allow_nonpositive_prices),
        "corporate_actions": schemas.corporate_actions_schema,
        "universe": schemas.universe_schema,
    }
    if kind in plain:
        return {kind: plain[kind]()}
    sources = dataset.signals if kind == "signals" else dataset.context
    of = schemas.signals_schema if kind == "signals" else schemas.context_schema
    return {f"{kind}_{number}": of(source.names) for number, source in enumerate(sources)} or {kind: of(())}


def or_empty(tables: Tables, asked: Mapping[str, pa.DataFrameSchema]) -> dict[str, pl.DataFrame]:
    """Return the tables that are asked for, or empty frames of the right columns where a data set has no such source.

    A folder that an older version published may hold more: what is not asked for is an asset of its own today.
    """
    if not tables:
        return {name: schemas.empty_frame(schema) for name, schema in asked.items()}
    return {name: tables[name] for name in asked}


def total_rows(tables: Tables) -> int:
    """Return the number of rows of several tables together."""
    return sum(frame.height for frame in tables.values())


def _made_by(dataset: DatasetConfig) -> Hashes:
    return {"dataset": config_hash(dataset), "ml4t_backtest": __version__, "code": code_hash()}
