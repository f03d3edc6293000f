"""Running sweeps: what is known is not run again, and who does the work does not show in the figures."""

from __future__ import annotations

import itertools
import math
import os
import subprocess
import sys
import time
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ml4t_backtest import run_backtest
from ml4t_backtest.errors import BacktestError, ConfigError
from ml4t_backtest.sweep.run import run_sweep
from ml4t_backtest.sweep.shared_data import SharedData
from ml4t_backtest.sweep.trial import Trial
from ml4t_backtest.sweep.trial_ledger import COLUMNS, TrialLedger
from ml4t_backtest.sweep.trial_task import Task
from ml4t_backtest.sweep.workers import run_in_executors
from ml4t_backtest_tests.sweep.projects import levels, project, sweep

# What may differ between two runs of the same trials.
_OCCASION = ("attempt", "finished", "duration_seconds", "sweep")


def _figures(trials: pl.DataFrame) -> pl.DataFrame:
    return trials.drop(_OCCASION)


def test_a_trial_has_the_figures_of_the_backtest_run_alone(tmp_path: Path) -> None:
    found = sweep(project(tmp_path), levels(0.2, 0.8, 1.4))
    trials = run_sweep(found, output_root=tmp_path / "out").trials
    for variant, row in zip(found.variants, trials.iter_rows(named=True), strict=True):
        alone = run_backtest(variant.config)
        assert row["daily_returns"] == alone.daily_returns["daily_return"].to_list()
        assert row["sessions"] == alone.daily_returns["session"].to_list()
        assert {name: row[name] for name in alone.metrics} == alone.metrics
    assert trials["num_fills"].min() > 0


def test_the_same_trials_are_not_run_again_whichever_sweep_asks(tmp_path: Path) -> None:
    configs, out = project(tmp_path), tmp_path / "out"
    first = run_sweep(sweep(configs, levels(0.2, 0.8)), output_root=out)
    wider = run_sweep(sweep(configs, levels(0.2, 0.5, 0.8), sweep={"base": "above", "name": "wider"}), output_root=out)
    assert (first.rerun, wider.rerun) == (2, 1)
    known = wider.trials.filter(pl.col("variant").is_in([0, 2]))
    assert _figures(known).drop("variant").equals(_figures(first.trials).drop("variant"))


def test_changed_code_or_data_makes_another_trial(tmp_path: Path) -> None:
    configs, out = project(tmp_path), tmp_path / "out"
    assert run_sweep(sweep(configs, levels(0.2)), output_root=out).rerun == 1
    strategy = configs / "above.py"
    strategy.write_text(strategy.read_text(encoding="utf-8").replace("0.2)", "0.3)"), encoding="utf-8")
    assert run_sweep(sweep(configs, levels(0.2)), output_root=out).rerun == 1
    bars = pl.read_parquet(configs / "bars.parquet")
    bars.with_columns(pl.col("volume") + 1.0).write_parquet(configs / "bars.parquet")
    assert run_sweep(sweep(configs, levels(0.2)), output_root=out).rerun == 1
    assert TrialLedger(out / "sweeps" / "ledger").read().height == 3


def test_a_trial_that_fails_is_on_record_and_does_not_stop_the_others(tmp_path: Path) -> None:
    found = sweep(project(tmp_path), levels(0.2, -1.0, 0.8))
    trials = run_sweep(found, output_root=tmp_path / "out").trials
    assert trials["status"].to_list() == ["completed", "failed", "completed"]
    assert "a level below zero" in trials["error"][1]
    again = run_sweep(found, output_root=tmp_path / "out")
    assert (again.rerun, again.trials.height) == (1, 3)


def test_a_trial_that_fails_again_says_why_it_failed_now(tmp_path: Path) -> None:
    configs, out = project(tmp_path), tmp_path / "out"
    found = sweep(configs, levels(-1.0))
    row = run_sweep(found, output_root=out).trials.drop("variant").row(0, named=True)
    ledger = TrialLedger(out / "sweeps" / "ledger")
    earlier = {**row, "error": "the network was away", "finished": row["finished"] - timedelta(days=1)}
    ledger.add([{name: value for name, value in earlier.items() if name in COLUMNS}])
    assert "a level below zero" in run_sweep(found, output_root=out).trials["error"][0]


def test_processes_and_foreign_executors_come_to_the_same_figures(tmp_path: Path) -> None:
    found = sweep(project(tmp_path), levels(0.2, 0.5, 0.8, 1.1))
    here = run_sweep(found, output_root=tmp_path / "here").trials
    processes = run_sweep(found, output_root=tmp_path / "processes", workers=2).trials
    with ThreadPoolExecutor(2) as executor:
        foreign = run_sweep(found, output_root=tmp_path / "foreign", executor=executor).trials
    assert _figures(processes).equals(_figures(here))
    assert _figures(foreign).equals(_figures(here))


def test_a_worker_that_is_killed_loses_no_trial(tmp_path: Path) -> None:
    configs, died = project(tmp_path), tmp_path / "died"
    space = levels(0.2, 0.5, 0.8, 1.1, dies_once=["", str(died)])
    found = sweep(configs, space)
    trials = run_sweep(found, output_root=tmp_path / "out", workers=2).trials
    assert died.exists()  # SIGKILL struck in the middle of a task
    here = run_sweep(found, output_root=tmp_path / "here").trials
    assert _figures(trials).equals(_figures(here))
    # Nothing that was finished before the loss was run twice.
    ledger = TrialLedger(tmp_path / "out" / "sweeps" / "ledger").read()
    assert ledger["trial"].n_unique() == ledger.height == 8


def test_a_trial_that_always_kills_its_worker_fails_alone(tmp_path: Path) -> None:
    """Five trials for two workers ride in pairs: the one that dies takes its neighbour with it only at first."""
    found = sweep(project(tmp_path), levels(0.2, 0.5, 13.0, 0.8, 1.1))
    trials = run_sweep(found, output_root=tmp_path / "out", workers=2).trials
    assert trials.filter(pl.col("status") == "failed")["variant"].to_list() == [2]
    assert "the process it ran in died" in trials["error"][2]
    assert trials.filter(pl.col("status") == "completed").height == 4


def test_where_every_process_dies_it_is_said_after_twenty_trials(tmp_path: Path) -> None:
    class Dying(Executor):
        def submit(self, *_: Any, **__: Any) -> Future[Any]:
            future: Future[Any] = Future()
            future.set_exception(BrokenExecutor())
            return future

    (variant,) = sweep(project(tmp_path), levels(0.2)).variants
    trials = tuple(Trial(number, variant.parameters, None, None, variant.config, "data") for number in range(25))
    lost = run_in_executors([Task("levels", SharedData(tmp_path, "data"), trials)], Dying)
    statuses = [row["status"] for rows in itertools.islice(lost, 20) for row in rows]
    assert statuses == ["failed"] * 20
    with pytest.raises(BacktestError, match=r"20 trials in a row .* and 5 are left"):
        next(lost)


def test_a_sweep_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    configs, out = project(tmp_path), tmp_path / "out"
    (configs / "sweeps" / "mine.yaml").write_text(
        "sweep: {base: above}\nspace:\n  model: grid\n  parameters:\n    strategy.params.level: [0.2, 0.5, 0.8, 1.1]\n"
        "    backtest.initial_capital: [100000, 200000]\n    backtest.warm_up_days: [0]\n"
        "    backtest.start: ['2020-01-10', '2020-01-13', '2020-01-14']\n    strategy.params.pause: [0.3]\n",
        encoding="utf-8",
    )
    code = (
        "import sys; from pathlib import Path; from ml4t_backtest.sweep.run import run_sweep\n"
        "run_sweep(Path(sys.argv[1]), output_root=sys.argv[2])"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(configs / "sweeps" / "mine.yaml"), str(out)])
    ledger = TrialLedger(out / "sweeps" / "ledger")
    while ledger.read().height < 8:
        assert child.poll() is None, "it ended before it was killed"
    child.kill()
    child.wait()
    done = ledger.read().height
    assert 8 <= done < 24
    result = run_sweep(configs / "sweeps" / "mine.yaml", output_root=out)
    assert (result.rerun, result.trials.height) == (24 - done, 24)


def test_folds_choose_by_training_alone(tmp_path: Path) -> None:
    split = {"model": "walk_forward", "train_bars": 20, "test_bars": 10}
    result = run_sweep(sweep(project(tmp_path), levels(0.2, 0.8, 1.4), splits=split), output_root=tmp_path / "out")
    scores = result.judgement.scores
    # 60 sessions: tests of sessions 20-29, 30-39, 40-49, 50-59.
    assert scores["fold"].n_unique() == 4
    for _, fold in scores.group_by("fold"):
        chosen = fold.filter("is_chosen")
        assert chosen.height == 1
        assert chosen["in_sample"][0] == max(each for each in fold["in_sample"] if each is not None)
    stitched = result.judgement.stitched
    assert stitched.height == 40
    assert stitched["session"].is_sorted()
    assert stitched["session"].n_unique() == 40


def test_another_future_changes_neither_earlier_choices_nor_earlier_tests(tmp_path: Path) -> None:
    split = {"model": "walk_forward", "window": "anchored", "train_bars": 20, "test_bars": 10, "purge": 1}
    configs = project(tmp_path)
    found = sweep(configs, levels(0.2, 0.8, 1.4), splits=split)
    before = run_sweep(found, output_root=tmp_path / "out").judgement
    bars = pl.read_parquet(configs / "bars.parquet")
    cut = sorted(set(bars["timestamp"]))[40]  # the first bar of the third test
    prices = ["open", "high", "low", "close"]
    other = pl.when(pl.col("timestamp") >= cut).then(pl.col(prices) * 0.5).otherwise(pl.col(prices))
    bars.with_columns(other).write_parquet(configs / "bars.parquet")
    after = run_sweep(found, output_root=tmp_path / "out").judgement
    known = pl.col("fold").is_in(["walk_01", "walk_02"])
    assert after.scores.filter(known).equals(before.scores.filter(known))
    assert after.stitched.filter(known).equals(before.stitched.filter(known))
    chosen_third = (pl.col("fold") == "walk_03") & pl.col("is_chosen")
    assert after.scores.filter(chosen_third)["variant"].equals(before.scores.filter(chosen_third)["variant"])
    assert not after.scores.equals(before.scores)  # the other future was seen where it may be


def test_shared_data_that_nobody_asked_for_in_a_week_is_removed(tmp_path: Path) -> None:
    configs, out = project(tmp_path), tmp_path / "out"
    run_sweep(sweep(configs, levels(0.2)), output_root=out)
    (mine,) = (out / "sweeps" / "shared").iterdir()
    unused, killed, recent = (mine.parent / name for name in ("0" * 32, "staging-dead", "f" * 32))
    for folder in (unused, killed, recent):
        folder.mkdir()
        (folder / "asset_data.arrow").write_bytes(b"x")
    for folder in (mine, unused, killed):
        os.utime(folder, (time.time() - 8 * 86_400,) * 2)
    run_sweep(sweep(configs, levels(0.5)), output_root=out)
    assert sorted(mine.parent.iterdir()) == sorted([mine, recent])


def test_workers_must_be_at_least_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="workers must be a whole number from 1, got 0"):
        run_sweep(sweep(project(tmp_path), levels(0.2)), output_root=tmp_path / "out", workers=0)


def test_returns_in_the_ledger_are_finite(tmp_path: Path) -> None:
    trials = run_sweep(sweep(project(tmp_path), levels(0.2)), output_root=tmp_path / "out").trials
    assert all(math.isfinite(value) for value in trials["daily_returns"][0])
