"""Prepared data: bars and context with what was known at each decision. All parts are made, and published, together."""

from collections.abc import Mapping

import dagster as dg
import pandera.polars as pa

from dagster_project.contracts import check_results, check_specs, guarded
from dagster_project.defs.common import Events, about
from dagster_project.io_manager import INPUTS, Tables
from dagster_project.metadata import table_metadata
from dagster_project.partitions import DATASETS, dataset_of
from ml4t_backtest import __version__
from ml4t_backtest.config import DatasetConfig, config_hash
from ml4t_backtest.core.schemas import (
    asset_data_schema,
    context_data_schema,
    corporate_actions_schema,
    data_quality_schema,
)
from ml4t_backtest.data.prepared import PREPARED_TABLES, PreparedData
from ml4t_backtest.data.storage import content_hash
from ml4t_backtest.runner import RawKind, prepare_validated

_MEANING = {
    "asset_data": "Bars with the signals and indicators known at each decision, sorted by (timestamp, symbol).",
    "context_data": "One row per timestamp with the market context known at its decision.",
    "corporate_actions": "The splits and dividends that belong to this version of the bars.",
    "source_quality": "What the sources show beside the bars that is no error: orphans, late context, stray files.",
}


@dg.multi_asset(
    outs={name: dg.AssetOut(description=_MEANING[name], **about("prepared")) for name in PREPARED_TABLES},
    check_specs=check_specs(*PREPARED_TABLES),
    partitions_def=DATASETS,
)
def prepared_data(
    context: dg.AssetExecutionContext,
    validated_prices: Tables,
    validated_signals: Tables,
    validated_context: Tables,
    validated_corporate_actions: Tables,
) -> Events:
    """Join validated tables on when each row became known."""
    dataset = dataset_of(context.partition_key)
    validated: dict[RawKind, Tables] = {
        "prices": validated_prices,
        "signals": validated_signals,
        "context": validated_context,
        "corporate_actions": validated_corporate_actions,
    }
    asset_of = {name: name for name in PREPARED_TABLES}
    prepared = yield from guarded(lambda: prepare_validated(dataset, validated), asset_of)
    inputs = _inputs(dataset, validated)
    schemas = _schemas(prepared)
    for name, frame in prepared.tables().items():
        yield from check_results(name, [], frame.height)
    for name, frame in prepared.tables().items():
        yield dg.MaterializeResult(
            asset_key=name,
            value=frame,
            metadata={**table_metadata(frame, schemas[name]), INPUTS: inputs},
            data_version=dg.DataVersion(content_hash({name: frame})),
        )


def _inputs(dataset: DatasetConfig, validated: Mapping[RawKind, Tables]) -> dict[str, str]:
    return {
        "dataset": config_hash(dataset),
        "ml4t_backtest": __version__,
        **{kind: content_hash(tables) for kind, tables in validated.items()},
    }


def _schemas(prepared: PreparedData) -> dict[str, pa.DataFrameSchema]:
    return {
        "asset_data": asset_data_schema(prepared.signals, prepared.indicators),
        "context_data": context_data_schema(prepared.context),
        "corporate_actions": corporate_actions_schema(),
        "source_quality": data_quality_schema(),
    }
