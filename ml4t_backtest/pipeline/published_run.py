"""A run as assets: its tables, what it was made from, and whether it is still that of today's inputs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandera.polars as pa
import polars as pl

from ml4t_backtest.config.schema import BacktestConfig
from ml4t_backtest.core.schemas import result_schemas
from ml4t_backtest.data.content_hash import joint_hash
from ml4t_backtest.data.prepared import PREPARED_TABLES, PreparedData
from ml4t_backtest.data.provenance import code_hash
from ml4t_backtest.errors import CorruptDatasetError
from ml4t_backtest.pipeline.asset_shelf import AssetShelf
from ml4t_backtest.pipeline.partition_names import config_of, dataset_key
from ml4t_backtest.pipeline.run_row import run_summary, run_summary_schema
from ml4t_backtest.pipeline.stage_tables import prepared_from
from ml4t_backtest.reporting.parquet import write_result
from ml4t_backtest.reporting.result import RECORDED, TABLES, BacktestResult
from ml4t_backtest.run_provenance import input_hashes, run_provenance
from ml4t_backtest.runner import RUNS, run_inputs

RUN_TABLES = ("backtest_run", *TABLES)


def made_from(config: BacktestConfig, data: str) -> dict[str, str]:
    """Return the hashes of everything a run is made from: configuration, prepared data, code of ours and of the user.

    Args:
        config: What is run.
        data: Content hash of the prepared tables.
    """
    return {**input_hashes(config, data), "code": code_hash(".")}


def what_runs(shelf: AssetShelf, key: str) -> tuple[BacktestConfig, PreparedData, dict[str, str]]:
    """Return what a partition runs, the prepared data it runs on, and the hashes of what its run is made from.

    Raises:
        ConfigError: The configuration cannot be read.
        CorruptDatasetError: Its data set is not prepared.
    """
    config = config_of(key)
    prepared = prepared_from(config.dataset, shelf.read_together(PREPARED_TABLES, dataset_key(config, key)))
    return config, prepared, made_from(config, prepared.content_hash)


def is_current(shelf: AssetShelf, config: BacktestConfig, key: str, dataset: str) -> bool:
    """Return whether the published run of a configuration is what a rerun would come to.

    Args:
        shelf: Where assets are published.
        config: What would be run.
        key: Its partition.
        dataset: Partition of its prepared data.
    """
    try:
        inputs = made_from(config, shelf.joint_hash(PREPARED_TABLES, dataset))
    except CorruptDatasetError:
        return False
    return all(shelf.inputs_of(table, key) == inputs for table in RUN_TABLES)


def table_version(table: str, inputs: Mapping[str, str]) -> str:
    """Return the version of a table of a run, which follows from the inputs alone: one input, one answer."""
    return joint_hash({"table": table, **inputs})


def run_tables(
    key: str, config: BacktestConfig, result: BacktestResult, inputs: Mapping[str, str]
) -> dict[str, pl.DataFrame]:
    """Return the tables of a run by asset."""
    return {"backtest_run": run_summary(key, config, result, inputs), **result.tables()}


def run_schemas() -> dict[str, pa.DataFrameSchema]:
    """Return the schemas of those tables."""
    return {"backtest_run": run_summary_schema(), **result_schemas()}


def result_of(tables: Mapping[str, pl.DataFrame]) -> BacktestResult:
    """Return the result that tables of a run were written from."""
    run = tables["backtest_run"].row(0, named=True)
    facts = {name: run[name] for name in ("rows_checked", "slices", "symbols")}
    return BacktestResult(
        **{name: tables[name] for name in RECORDED},
        initial_capital=run["initial_capital"],
        facts={**facts, "notes": run["notes"].splitlines()},
    )


def rows_of_run(
    shelf: AssetShelf, key: str, tables: Mapping[str, pl.DataFrame]
) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Return the row of the run that is published, None where none is whole, and that of the one to take its place."""
    before, now = shelf.frame_before("backtest_run", key), tables["backtest_run"]
    return None if before is None else before.row(0, named=True), now.row(0, named=True)


def record_run(root: Path, config: BacktestConfig, result: BacktestResult, prepared: PreparedData) -> None:
    """Publish a run beside its assets, so that it is listed with all others and can be made again; its page is one."""
    write_result(
        result,
        root / RUNS,
        config.name,
        inputs=run_inputs(config, prepared),
        config=config.model_dump_json(indent=1),
        provenance=run_provenance(config, prepared),
    )


def published_run(shelf: AssetShelf, key: str) -> tuple[BacktestResult, dict[str, str]]:
    """Return a run as it was published, and the hashes of what it was made from.

    Raises:
        CorruptDatasetError: It is incomplete, or its tables are of different runs.
    """
    return result_of(shelf.read_together(RUN_TABLES, key)), shelf.inputs_of("backtest_run", key)


def bars_of(shelf: AssetShelf, dataset: str, inputs: Mapping[str, str]) -> pl.DataFrame | None:
    """Return the bars that a run was over; None where the data set has been prepared anew since, or is gone.

    Args:
        shelf: Where assets are published.
        dataset: Partition of its prepared data.
        inputs: What the run was made from.
    """
    try:
        if shelf.joint_hash(PREPARED_TABLES, dataset) != inputs.get("data"):
            return None
        bars = shelf.read("asset_data", dataset)
    except CorruptDatasetError:
        return None
    return bars if isinstance(bars, pl.DataFrame) else None
