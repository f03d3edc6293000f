"""Schemas of the tables of a data set's stages: as they lie in their sources, and as they are loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandera.polars as pa
import polars as pl

from ml4t_backtest import __version__
from ml4t_backtest.config.dataset_schema import DatasetConfig
from ml4t_backtest.config.loader import config_hash
from ml4t_backtest.core import schemas
from ml4t_backtest.data.content_hash import content_hash
from ml4t_backtest.data.prepared import PreparedData
from ml4t_backtest.data.provenance import code_hash, source_hash
from ml4t_backtest.dataset_stages import RawKind, Tables, source_paths

Hashes = dict[str, str]


def raw_inputs(dataset: DatasetConfig, kind: RawKind) -> Hashes | None:
    """Return the hashes of what raw tables are read from; None where a source is remote.

    Raises:
        DataValidationError: A source does not exist.
    """
    hashes = {name: source_hash(path) for name, path in source_paths(dataset, kind).items()}
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
        "asset_data": schemas.asset_data_schema(dataset.signal_names, dataset.indicator_names),
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


def loaded_schemas(dataset: DatasetConfig, kind: RawKind) -> dict[str, pa.DataFrameSchema]:
    """Return the schema of each loaded table of a data set; one without values where it has no such source."""
    if kind == "prices":
        universe = {"universe": schemas.universe_schema()} if dataset.universe else {}
        return {"prices": schemas.prices_schema(), **universe}
    if kind == "corporate_actions":
        return {kind: schemas.corporate_actions_schema()}
    sources = dataset.signals if kind == "signals" else dataset.context
    of = schemas.signals_schema if kind == "signals" else schemas.context_schema
    return {f"{kind}_{number}": of(source.names) for number, source in enumerate(sources)} or {kind: of(())}


def or_empty(tables: Mapping[str, pl.DataFrame], empty: Mapping[str, pa.DataFrameSchema]) -> dict[str, pl.DataFrame]:
    """Return the tables, or empty frames of the right columns where a data set has no such source."""
    return dict(tables) or {name: schemas.empty_frame(schema) for name, schema in empty.items()}


def _made_by(dataset: DatasetConfig) -> Hashes:
    return {"dataset": config_hash(dataset), "ml4t_backtest": __version__, "code": code_hash()}
