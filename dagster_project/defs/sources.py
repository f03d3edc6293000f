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
from ml4t_backtest.data.storage import content_hash
from ml4t_backtest.pipeline.asset_shelf import Tables
from ml4t_backtest.pipeline.checks import rule_outcomes
from ml4t_backtest.pipeline.column_lineage import validated_lineage
from ml4t_backtest.pipeline.output_checks import freshness_outcome
from ml4t_backtest.pipeline.partition_names import dataset_of
from ml4t_backtest.pipeline.stage_tables import (
    loaded_schemas,
    or_empty,
    raw_inputs,
    raw_schemas,
    raw_violations,
    stage_inputs,
)
from ml4t_backtest.runner import RawKind, raw_tables, validated_tables

_RAW: dict[RawKind, str] = {
    "prices": "Price bars as the source has them.",
    "signals": "Predictions as the sources have them; empty without any.",
    "context": "Market-wide values as the sources have them; empty without any.",
    "corporate_actions": "Splits and dividends as the source has them; empty without any.",
    "universe": "Who belonged to the universe when, as the source has it; empty without any.",
}
_VALIDATED: dict[RawKind, str] = {
    "prices": "Bars whose timestamp is the moment they are complete, with the moment they open.",
    "signals": "Predictions with the moment each could first be used.",
    "context": "Market context with the moment each row could first be used.",
    "corporate_actions": "Splits and cash dividends by ex-date.",
    "universe": "Who belonged to the universe from which session to which.",
}


def _raw(kind: RawKind, meaning: str) -> dg.AssetsDefinition:
    name = f"raw_{kind}"

    @asset(
        "raw", name=name, description=meaning, partitions_def=DATASETS, check_specs=check_specs(name, blocking=False)
    )
    def read(context: dg.AssetExecutionContext, store: Store) -> Events:
        dataset = dataset_of(context.partition_key)
        inputs = yield from guarded(lambda: raw_inputs(dataset, kind), {kind: name})
        found = unchanged(context, store, [name], inputs)
        tables = found[name] if found else (yield from guarded(lambda: raw_tables(dataset, kind), {kind: name}))
        tables = or_empty(tables, loaded_schemas(dataset, kind))
        violations = raw_violations(dataset, kind, tables)
        yield from recorded(rule_outcomes(name, violations, sum(frame.height for frame in tables.values()), warn=True))
        tag_run(context, {"dataset": context.partition_key})
        yield dg.MaterializeResult(
            value=tables,
            metadata={**tables_metadata(tables, raw_schemas(dataset, kind, tables)), INPUTS: inputs or {}},
            data_version=dg.DataVersion(content_hash(tables)),
        )

    return read


def _validated(kind: RawKind, meaning: str) -> dg.AssetsDefinition:
    name, kinds = f"validated_{kind}", ("polars", "parquet", "pandera")

    @asset(
        "validated",
        *kinds,
        name=name,
        description=meaning,
        ins={"raw": dg.AssetIn(f"raw_{kind}")},
        partitions_def=DATASETS,
        check_specs=check_specs(name),
    )
    def check(context: dg.AssetExecutionContext, store: Store, raw: Tables) -> Events:
        dataset = dataset_of(context.partition_key)
        inputs, schemas = stage_inputs(dataset, {kind: raw}), loaded_schemas(dataset, kind)
        found = unchanged(context, store, [name], inputs)
        made = (
            found[name] if found else (yield from guarded(lambda: validated_tables(dataset, kind, raw), {kind: name}))
        )
        tables = or_empty(made, schemas)
        yield from recorded(rule_outcomes(name, [], sum(frame.height for frame in tables.values())))
        if kind == "prices":
            yield from recorded([freshness_outcome(dataset, tables["prices"], datetime.now(UTC))])
        yield dg.MaterializeResult(
            value=tables,
            metadata={**tables_metadata(tables, schemas, validated_lineage(kind, raw, tables)), INPUTS: inputs},
            data_version=dg.DataVersion(content_hash(tables)),
        )

    return check


raw = [_raw(kind, meaning) for kind, meaning in _RAW.items()]
validated = [_validated(kind, meaning) for kind, meaning in _VALIDATED.items()]
