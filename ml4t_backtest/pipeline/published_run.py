"""A run as assets: its tables, what it was made from, and whether it is still that of today's inputs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from ml4t_backtest.config.schema import BacktestConfig
from ml4t_backtest.data.prepared import PREPARED_TABLES, PreparedData
from ml4t_backtest.data.provenance import code_hash
from ml4t_backtest.errors import CorruptDatasetError
from ml4t_backtest.pipeline.asset_shelf import AssetShelf
from ml4t_backtest.pipeline.run_row import run_summary
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


def run_tables(
    key: str, config: BacktestConfig, result: BacktestResult, inputs: Mapping[str, str]
) -> dict[str, pl.DataFrame]:
    """Return the tables of a run by asset."""
    return {"backtest_run": run_summary(key, config, result, inputs), **result.tables()}


def result_of(tables: Mapping[str, pl.DataFrame]) -> BacktestResult:
    """Return the result that tables of a run were written from."""
    run = tables["backtest_run"].row(0, named=True)
    facts = {name: run[name] for name in ("rows_checked", "slices", "symbols")}
    return BacktestResult(
        **{name: tables[name] for name in RECORDED},
        initial_capital=run["initial_capital"],
        facts={**facts, "notes": run["notes"].splitlines()},
    )


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
