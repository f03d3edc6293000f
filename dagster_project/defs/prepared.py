"""Prepared data: bars and context with what was known at each decision. All parts are made, and published, together."""

import dagster as dg

from dagster_project.contracts import check_specs, guarded, recorded
from dagster_project.defs.common import Events, Store, about, unchanged
from dagster_project.io_manager import INPUTS
from dagster_project.metadata import table_metadata
from dagster_project.partitions import DATASETS
from ml4t_backtest.data.prepared import PREPARED_TABLES, PreparedData
from ml4t_backtest.data.storage import content_hash
from ml4t_backtest.pipeline.asset_shelf import Tables
from ml4t_backtest.pipeline.checks import rule_outcomes
from ml4t_backtest.pipeline.column_lineage import prepared_lineage
from ml4t_backtest.pipeline.output_checks import bars_drift, findings_outcome, level_outcomes
from ml4t_backtest.pipeline.partition_names import dataset_of
from ml4t_backtest.pipeline.stage_tables import prepared_from, prepared_schemas, stage_inputs
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
    store: Store,
    validated_prices: Tables,
    validated_signals: Tables,
    validated_context: Tables,
    validated_corporate_actions: Tables,
    validated_universe: Tables,
) -> Events:
    """Join validated tables on when each row became known."""
    dataset = dataset_of(context.partition_key)
    validated: dict[RawKind, Tables] = {
        "prices": validated_prices,
        "signals": validated_signals,
        "context": validated_context,
        "corporate_actions": validated_corporate_actions,
        "universe": validated_universe,
    }
    inputs = stage_inputs(dataset, validated)
    found = unchanged(context, store, PREPARED_TABLES, inputs)
    prepared: PreparedData
    if found is None:
        asset_of = {name: name for name in PREPARED_TABLES}
        prepared = yield from guarded(lambda: prepare_validated(dataset, validated), asset_of)
    else:
        prepared = prepared_from(dataset, found)
    tables, schemas, lineage = prepared.tables(), prepared_schemas(dataset), prepared_lineage(dataset)
    for name, frame in tables.items():
        yield from recorded(rule_outcomes(name, [], frame.height))
    source_rows = sum(frame.height for each in validated.values() for frame in each.values())
    yield from recorded(level_outcomes(dataset, prepared))
    yield from recorded([findings_outcome("source_quality", "findings", prepared.source_quality, source_rows)])
    before = store.shelf.frame_before("asset_data", context.partition_key)
    yield from recorded([bars_drift(before, prepared.asset_data)])
    for name, frame in tables.items():
        yield dg.MaterializeResult(
            asset_key=name,
            value=frame,
            metadata={**table_metadata(frame, schemas[name], lineage[name]), INPUTS: inputs},
            data_version=dg.DataVersion(content_hash({name: frame})),
        )
