"""Sources, raw and validated, an asset per kind of source and stage.

Raw tables are the source's rows in the source's order, under this package's names; they may be dirty. Validated tables
are on this package's clock, every row checked: the gate, behind which nothing bad is published.
"""

from datetime import UTC, datetime

import dagster as dg

from dagster_project.contracts import check_specs, guarded, recorded
from dagster_project.defs.common import Events, Store, asset, tag_run, unchanged
from dagster_project.io_manager import INPUTS
from dagster_project.metadata import tables_metadata
from dagster_project.partitions import DATASETS
from ml4t_backtest.data.store.storage import content_hash
from ml4t_backtest.pipeline.asset_meanings import MEANING
from ml4t_backtest.pipeline.asset_shelf import Tables
from ml4t_backtest.pipeline.column_lineage import validated_lineage
from ml4t_backtest.pipeline.output_checks import raw_outcomes, validated_outcomes
from ml4t_backtest.pipeline.partition_names import dataset_of
from ml4t_backtest.pipeline.stage_tables import loaded_schemas, or_empty, raw_inputs, raw_schemas, stage_inputs
from ml4t_backtest.runner import RAW_KINDS, RawKind, raw_tables, validated_tables


def _raw(kind: RawKind) -> dg.AssetsDefinition:
    name = f"raw_{kind}"
    about = {"name": name, "description": MEANING[name], "partitions_def": DATASETS}

    @asset("raw", **about, check_specs=check_specs(name, blocking=False))
    def read(context: dg.AssetExecutionContext, store: Store) -> Events:
        dataset = dataset_of(context.partition_key)
        inputs = yield from guarded(lambda: raw_inputs(dataset, kind), {kind: name})
        found = unchanged(context, store, [name], inputs)
        tables = found[name] if found else (yield from guarded(lambda: raw_tables(dataset, kind), {kind: name}))
        tables = or_empty(tables, loaded_schemas(dataset, kind))
        yield from recorded(raw_outcomes(dataset, kind, tables))
        tag_run(context, {"dataset": context.partition_key})
        yield dg.MaterializeResult(
            value=tables,
            metadata={**tables_metadata(tables, raw_schemas(dataset, kind, tables)), INPUTS: inputs or {}},
            data_version=dg.DataVersion(content_hash(tables)),
        )

    return read


def _validated(kind: RawKind) -> dg.AssetsDefinition:
    name, kinds = f"validated_{kind}", ("polars", "parquet", "pandera")
    about = {"name": name, "description": MEANING[name], "partitions_def": DATASETS}

    @asset("validated", *kinds, **about, ins={"raw": dg.AssetIn(f"raw_{kind}")}, check_specs=check_specs(name))
    def check(context: dg.AssetExecutionContext, store: Store, raw: Tables) -> Events:
        dataset = dataset_of(context.partition_key)
        inputs, schemas = stage_inputs(dataset, {kind: raw}), loaded_schemas(dataset, kind)
        found = unchanged(context, store, [name], inputs)
        tables = found[name] if found else None
        if tables is None:
            tables = yield from guarded(lambda: validated_tables(dataset, kind, raw), {kind: name})
        tables = or_empty(tables, schemas)
        yield from recorded(validated_outcomes(dataset, kind, tables, datetime.now(UTC)))
        yield dg.MaterializeResult(
            value=tables,
            metadata={**tables_metadata(tables, schemas, validated_lineage(kind, raw, tables)), INPUTS: inputs},
            data_version=dg.DataVersion(content_hash(tables)),
        )

    return check


raw = [_raw(kind) for kind in RAW_KINDS]
validated = [_validated(kind) for kind in RAW_KINDS]
