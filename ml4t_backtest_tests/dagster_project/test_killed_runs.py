"""Killed at any moment, a run, a step of it or the daemon leaves what was whole before; the next run gets there."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from dagster_project_killed import Daemon, GraphRuns, GraphSteps

from ml4t_backtest.data.prepared import PREPARED_TABLES
from ml4t_backtest.errors import CorruptDatasetError
from ml4t_backtest.pipeline.asset_shelf import AssetShelf
from ml4t_backtest.pipeline.published_run import published_run

dg = pytest.importorskip("dagster")
pytestmark = [pytest.mark.dagster, pytest.mark.skipif(os.name == "nt", reason="forks")]
# In all 25 here, and 250 in a long run.
KILLS, LONG_RUN = 23, 200
STEP_KILLS, LONG_STEPS = 1, 40
DAEMON_KILLS, LONG_DAEMONS = 1, 10
PATIENCE = 600.0
Moment = Callable[[Any, list[Any]], bool]


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


def change(own_data: Any, bars: pl.DataFrame, number: int) -> None:
    """Have the data and the configuration of a run tell which one it was."""
    own_data.write_bars(bars.with_columns(volume=pl.col("close") + number))
    (own_data.configs / "hold.yaml").write_text(
        f"backtest: {{initial_capital: {10_000 + number}}}\ndata: {{dataset: mine}}\n"
        "strategy: {path: 'hold.py:Hold'}\n"
    )


def looked_at(root: Path, before: tuple[int | None, int | None], number: int) -> tuple[int | None, int | None]:
    """Return whose bars and whose run were whole last: of the kill before, or of this one."""
    after = whose(root)
    # Several tables are one data set each: between two of them they do not go together, and a reader is told so.
    assert after[0] in (before[0], number, None)
    assert after[1] in (before[1], 10_000 + number, None)
    return (after[0] or before[0], after[1] or before[1])


def kill_runs(own_data: Any, nursery: GraphRuns, tmp_path: Path, kills: int, seed: int) -> None:
    """Start runs on data and a configuration that change each time, until so many were killed on their way."""
    from dagster_project.caretaker import fail_dead_runs

    chance, bars = random.Random(seed), pl.read_parquet(own_data.configs / "bars.parquet")
    usual = seconds_of_a_run(lambda: nursery.run(tmp_path / "first"))
    root, before, failed, killed, number = tmp_path / "killed", (None, None), 0, 0, 0
    while killed < kills:
        number += 1
        change(own_data, bars, number)
        begun, moment = time.monotonic(), chance.uniform(0.0, usual)
        if nursery.run(root, moment):
            # It was quicker than a kill at its moment: the machine has become faster.
            usual = time.monotonic() - begun
        else:
            killed += 1
        before = looked_at(root, before, number)
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


def seconds_of_a_run(run: Callable[[], bool]) -> float:
    begun = time.monotonic()
    assert run()
    return time.monotonic() - begun


def _just_made(history: Any, run_id: str) -> bool:
    """Whether a run was killed before it said who it is: after two minutes it counts as dead."""
    return not history.all_logs(run_id, of_type=dg.DagsterEventType.RUN_START)


def test_runs_killed_at_random_moments(own_data: Any, nursery: GraphRuns, tmp_path: Path) -> None:
    kill_runs(own_data, nursery, tmp_path, KILLS, seed=20260106)


@pytest.mark.long
def test_runs_killed_at_random_moments_for_long(own_data: Any, nursery: GraphRuns, tmp_path: Path) -> None:
    kill_runs(own_data, nursery, tmp_path, LONG_RUN, seed=6)


def kill_steps(own_data: Any, demo: Any, tmp_path: Path, kills: int, seed: int) -> None:
    chance, bars = random.Random(seed), pl.read_parquet(own_data.configs / "bars.parquet")
    root, killed, number = tmp_path / "killed", 0, 0
    runs = GraphSteps(own_data.configs, root)
    try:
        usual, before = seconds_of_a_run(runs.run), whose(root)
        while killed < kills:
            number += 1
            change(own_data, bars, number)
            begun, moment = time.monotonic(), chance.uniform(0.0, usual)
            if runs.run(moment):
                usual = time.monotonic() - begun
            else:
                killed += 1
            before = looked_at(root, before, number)
        with dg.DagsterInstance.from_config(str(root / "dagster")) as history:
            # The process of a run outlives its steps: it ends the run itself, and says of which step.
            assert all(run.is_finished for run in history.get_runs())
            failed = history.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
            assert len(failed) == kills
            for run in failed:
                ends = history.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
                crash, *beside = sorted(each.dagster_event.step_failure_data.error.cls_name for each in ends)
                assert crash == "ChildProcessCrashException"
                # What works at the same time may be ended with it; there are two places.
                assert beside in ([], ["DagsterExecutionInterruptedError"])
        assert runs.run()
    finally:
        runs.close()
    demo.materialize_all(["hold"], tmp_path / "clean")
    assert hashes(root) == hashes(tmp_path / "clean")
    assert whose(root) == (number, 10_000 + number)


def test_steps_killed_at_random_moments(own_data: Any, load_graph: Any, tmp_path: Path) -> None:
    kill_steps(own_data, load_graph(own_data.configs), tmp_path, STEP_KILLS, seed=61)


@pytest.mark.long
def test_steps_killed_at_random_moments_for_long(own_data: Any, load_graph: Any, tmp_path: Path) -> None:
    kill_steps(own_data, load_graph(own_data.configs), tmp_path, LONG_STEPS, seed=62)


def kill_daemons(own_data: Any, demo: Any, tmp_path: Path, kills: int, seed: int) -> None:
    chance, bars = random.Random(seed), pl.read_parquet(own_data.configs / "bars.parquet")
    root, before, daemons = tmp_path / "killed", (None, None), []
    home, dataset = demo.prepare_home(root), own_data.configs / "datasets" / "mine.yaml"
    described = dataset.read_text()
    try:
        with dg.DagsterInstance.from_config(str(home)) as history:
            for number in range(1, kills + 1):
                change(own_data, bars, number)
                # What is described otherwise is prepared anew.
                dataset.write_text(f"{described}description: number {number}\n")
                earlier = {run.run_id for run in history.get_runs()}
                daemons.append(Daemon(own_data.configs, root, home))
                wait_for(chance.choice(MOMENTS), history, earlier)
                time.sleep(chance.uniform(0.0, 1.0))
                daemons[-1].kill()
                looked_at(root, before, number)
                daemons.append(Daemon(own_data.configs, root, home))
                # Nobody is at the keys: a run went on, or is failed because its process is gone and asked for again.
                before = (number, 10_000 + number)
                wait_for(has_published(root, before), history, earlier)
                # None is left started.
                wait_for(all_ended, history, earlier)
                daemons[-1].close()
            assert all(history.all_logs(run.run_id) for run in history.get_runs())
    finally:
        for daemon in daemons:
            daemon.close()
    demo.materialize_all(["hold"], tmp_path / "clean")
    assert hashes(root) == hashes(tmp_path / "clean")


def wait_for(has_come: Moment, history: Any, earlier: set[str]) -> None:
    """Wait until something has come of the runs that were not there earlier."""
    until = time.monotonic() + PATIENCE
    while not has_come(history, [run for run in history.get_runs() if run.run_id not in earlier]):
        assert time.monotonic() < until, has_come
        time.sleep(0.05)


def has_published(root: Path, wanted: tuple[int, int]) -> Moment:
    return lambda *_: whose(root) == wanted


def all_ended(_: Any, runs: list[Any]) -> bool:
    return bool(runs) and all(run.is_finished and not run.is_complete_and_waiting_to_retry for run in runs)


def is_asked_for(_: Any, runs: list[Any]) -> bool:
    return bool(runs)


def works(_: Any, runs: list[Any]) -> bool:
    return any(run.status in (dg.DagsterRunStatus.STARTED, *ENDED) for run in runs)


def publishes(history: Any, runs: list[Any]) -> bool:
    made = dg.DagsterEventType.ASSET_MATERIALIZATION
    return works(history, runs) and any(history.all_logs(run.run_id, of_type=made) for run in runs)


ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE)
MOMENTS = (is_asked_for, works, publishes)


def test_a_daemon_killed_at_a_random_moment(own_data: Any, load_graph: Any, tmp_path: Path) -> None:
    kill_daemons(own_data, load_graph(own_data.configs), tmp_path, DAEMON_KILLS, seed=63)


@pytest.mark.long
def test_daemons_killed_at_random_moments_for_long(own_data: Any, load_graph: Any, tmp_path: Path) -> None:
    kill_daemons(own_data, load_graph(own_data.configs), tmp_path, LONG_DAEMONS, seed=64)
