"""Prepared data: bars and context with what was known at each decision. All parts are made, and published, together."""

import dagster as dg

from dagster_project.contracts import check_specs, guarded, recorded
from dagster_project.defs.common import Events, Store, about, unchanged
from dagster_project.metadata import published
from dagster_project.partitions import DATASETS
from ml4t_backtest.data.prepared import PREPARED_TABLES
from ml4t_backtest.data.store.storage import content_hash
from ml4t_backtest.pipeline.asset_meanings import MEANING
from ml4t_backtest.pipeline.asset_shelf import Tables
from ml4t_backtest.pipeline.column_lineage import prepared_lineage
from ml4t_backtest.pipeline.output_checks import prepared_outcomes
from ml4t_backtest.pipeline.partition_names import dataset_of
from ml4t_backtest.pipeline.stage_tables import prepared_from, prepared_schemas, stage_inputs, total_rows
from ml4t_backtest.runner import RAW_KINDS, prepare_validated


@dg.multi_asset(
    outs={name: dg.AssetOut(description=MEANING[name], **about("prepared")) for name in PREPARED_TABLES},
    ins={f"validated_{kind}": dg.AssetIn() for kind in RAW_KINDS},
    check_specs=check_specs(*PREPARED_TABLES),
    partitions_def=DATASETS,
)
def prepared_data(context: dg.AssetExecutionContext, store: Store, **tables_of: Tables) -> Events:
    """Join validated tables on when each row became known."""
    dataset = dataset_of(context.partition_key)
    validated = {kind: tables_of[f"validated_{kind}"] for kind in RAW_KINDS}
    inputs = stage_inputs(dataset, validated)
    found = unchanged(context, store, PREPARED_TABLES, inputs)
    prepared = prepared_from(dataset, found) if found else None
    if prepared is None:
        prepared = yield from guarded(lambda: prepare_validated(dataset, validated), {n: n for n in PREPARED_TABLES})
    tables, schemas, lineage = prepared.tables(), prepared_schemas(dataset), prepared_lineage(dataset)
    before = store.shelf.frame_before("asset_data", context.partition_key)
    source_rows = sum(map(total_rows, validated.values()))
    yield from recorded(prepared_outcomes(dataset, prepared, before, source_rows))
    versions = {name: content_hash({name: frame}) for name, frame in tables.items()}
    yield from published(tables, schemas, lineage, inputs, versions)
