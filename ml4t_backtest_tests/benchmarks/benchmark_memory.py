"""What a month of minute bars takes in memory: symbols as text against Enum, all columns against those that are needed.

Each way is a process of its own. Its figure is what its process tree held at most, less what it held before it read.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.engines import HERE, ROOT, TESTS
from benchmarks.measured import Measured
from benchmarks.works import SIZES, Work, made
from ml4t_backtest.core.schemas import asset_data_schema

SIZE = os.environ.get("ML4T_BENCHMARK_SIZE", "quick")
WORK = SIZES[SIZE]["W3"]
# Beside what the engine needs: the features a model was trained on, which often stand in the same file.
FEATURES = 8
COLUMNS = {
    "full": [],
    "needed": list(asset_data_schema(("p",), ()).columns),
    "prices": ["timestamp", "symbol", "open", "high", "low", "close", "volume"],
}


@pytest.fixture(scope="module")
def month() -> Path:
    """A month of bars with features."""
    return with_features(WORK)


def with_features(work: Work) -> Path:
    """Return the first month of a work with columns that no backtest needs."""
    made(work)
    file = work.folder / "with_features.parquet"
    bars = pl.read_parquet(min(work.bars.glob("*.parquet")))
    rng = np.random.default_rng(0)
    bars.with_columns(
        pl.Series(f"feature_{number}", rng.standard_normal(bars.height)) for number in range(FEATURES)
    ).write_parquet(file)
    return file


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("symbols", ["string", "enum"])
@pytest.mark.benchmark(group="memory of a month")
def test_memory(benchmark: BenchmarkFixture, month: Path, symbols: str, columns: str) -> None:
    asked = {"file": str(month), "symbols": symbols, "columns": COLUMNS[columns]}
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(TESTS)))}
    with Measured([sys.executable, str(HERE / "runners" / "run_frame.py")], variables) as process:
        idle = process.peak_mb
        process.ask("load", **asked)
        found = benchmark.pedantic(process.ask, args=("run",), rounds=1)
        figures = {"held_mb": process.peak_mb - idle, "frame_mb": found["frame_mb"]}
    benchmark.extra_info |= {"symbols": symbols, "columns": columns, **figures}
