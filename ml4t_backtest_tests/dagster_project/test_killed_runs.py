"""A run killed at any moment leaves what was whole before, its history can be read, and the next run gets there."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from dagster_project_killed import GraphRuns

from ml4t_backtest.data.prepared import PREPARED_TABLES
from ml4t_backtest.errors import CorruptDatasetError
from ml4t_backtest.pipeline.asset_shelf import AssetShelf
from ml4t_backtest.pipeline.published_run import published_run

dg = pytest.importorskip("dagster")
pytestmark = [pytest.mark.dagster, pytest.mark.skipif(os.name == "nt", reason="forks")]
KILLS, LONG_RUN = 25, 200


@pytest.fixture
def nursery(own_data: Any) -> Iterator[GraphRuns]:
    started = GraphRuns(own_data.configs)
    yield started
    started.close()


def hashes(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("CURRENT")}


def whose(root: Path) -> tuple[int | None, int | None]:
    """Return whose bars and whose run can be read; rows that are not all there, or of several runs, fail."""
    shelf = AssetShelf(root)
    bars = run = None
    try:
        tables = shelf.read_together(PREPARED_TABLES, "mine")
    except CorruptDatasetError:
        tables = {}
    if tables:
        numbers = {*(tables["asset_data"]["volume"] - tables["asset_data"]["close"])}
        assert len(numbers) == 1
        assert (tables["asset_data"].height, tables["context_data"].height) == (10, 5)
        bars = round(numbers.pop())
    try:
        result, _ = published_run(shelf, "hold")
    except CorruptDatasetError:
        return bars, None
    assert (result.trades.height, result.portfolio_states.height) == (2, 5)
    run = shelf.read("backtest_run", "hold")
    assert isinstance(run, pl.DataFrame)
    return bars, int(run["initial_capital"].item())


def kill_runs(own_data: Any, nursery: GraphRuns, tmp_path: Path, kills: int, seed: int) -> None:
    """Start runs on data and a configuration that change each time, until so many were killed on their way."""
    from dagster_project.caretaker import fail_dead_runs

    chance, bars = random.Random(seed), pl.read_parquet(own_data.configs / "bars.parquet")
    usual = seconds_of_a_run(nursery, tmp_path / "first")
    root, before, failed, killed, number = tmp_path / "killed", (None, None), 0, 0, 0
    while killed < kills:
        number += 1
        own_data.write_bars(bars.with_columns(volume=pl.col("close") + number))
        (own_data.configs / "hold.yaml").write_text(
            f"backtest: {{initial_capital: {10_000 + number}}}\ndata: {{dataset: mine}}\n"
            "strategy: {path: 'hold.py:Hold'}\n"
        )
        begun, moment = time.monotonic(), chance.uniform(0.0, usual)
        if nursery.run(root, moment):
            # It was quicker than a kill at its moment: the machine has become faster.
            usual = time.monotonic() - begun
        else:
            killed += 1
        after = whose(root)
        # Several tables are one data set each: between two of them they do not go together, and a reader is told so.
        assert after[0] in (before[0], number, None)
        assert after[1] in (before[1], 10_000 + number, None)
        before = (after[0] or before[0], after[1] or before[1])
        if (root / "dagster").exists():
            with dg.DagsterInstance.from_config(str(root / "dagster")) as history:
                failed += len(fail_dead_runs(history))
                unfinished = [run for run in history.get_runs(limit=1) if not run.is_finished]
                assert [run for run in unfinished if not _just_made(history, run.run_id)] == []
    assert failed > 0
    with dg.DagsterInstance.from_config(str(root / "dagster")) as history:
        assert all(history.all_logs(run.run_id) for run in history.get_runs() if not _just_made(history, run.run_id))
    assert nursery.run(root)
    assert nursery.run(tmp_path / "clean")
    assert hashes(root) == hashes(tmp_path / "clean")
    assert whose(root) == (number, 10_000 + number)


def seconds_of_a_run(nursery: GraphRuns, root: Path) -> float:
    begun = time.monotonic()
    assert nursery.run(root)
    return time.monotonic() - begun


def _just_made(history: Any, run_id: str) -> bool:
    """Whether a run was killed before it said who it is: after two minutes it counts as dead."""
    return not history.all_logs(run_id, of_type=dg.DagsterEventType.RUN_START)


def test_runs_killed_at_random_moments(own_data: Any, nursery: GraphRuns, tmp_path: Path) -> None:
    kill_runs(own_data, nursery, tmp_path, KILLS, seed=20260106)


@pytest.mark.long
def test_runs_killed_at_random_moments_for_long(own_data: Any, nursery: GraphRuns, tmp_path: Path) -> None:
    kill_runs(own_data, nursery, tmp_path, LONG_RUN, seed=6)
