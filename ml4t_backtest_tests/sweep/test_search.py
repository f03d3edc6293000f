"""Sweeps whose trials Optuna proposes: on the ledger like all others, the same again, and blind to the tests."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ml4t_backtest.errors import ConfigError
from ml4t_backtest.sweep.run import SweepResult, run_sweep
from ml4t_backtest.sweep.search import propose
from ml4t_backtest.sweep.spaces import Optuna, Point
from ml4t_backtest.sweep.trial_ledger import TrialLedger
from ml4t_backtest_tests.sweep.projects import project, sweep

needs_optuna = pytest.mark.skipif(find_spec("optuna") is None, reason="needs optuna")
_OCCASION = ("attempt", "finished", "duration_seconds", "sweep")


def search(trials: int, low: float = 0.0, **others: Any) -> dict[str, Any]:
    level = {"low": low, "high": 2.0}
    return {"model": "optuna", "parameters": {"strategy.params.level": level}, "trials": trials, "seed": 5, **others}


def proposals(result: SweepResult) -> list[Point]:
    return [variant.parameters for variant in result.sweep.variants]


def ledger_of(out: Path) -> pl.DataFrame:
    return TrialLedger(out / "sweeps" / "ledger").read()


@pytest.mark.skipif(find_spec("optuna") is not None, reason="optuna is installed")
def test_without_optuna_the_error_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs Optuna: pip install"):
        run_sweep(sweep(project(tmp_path), search(2)), output_root=tmp_path / "out")


@needs_optuna
def test_proposals_gather_where_the_figure_is_best() -> None:
    asked: list[float] = []

    def scored(points: list[Point]) -> list[float | None]:
        asked.extend(point["x"] for point in points)
        return [-abs(point["x"] - 0.7) for point in points]

    propose(Optuna({"x": {"low": 0.0, "high": 1.0}}, trials=60, at_once=4), scored)
    assert len(asked) == 60
    # By chance 20 % would lie so near: 8 of the last 40, standard deviation sqrt(40 * 0.2 * 0.8) = 2.5.
    assert sum(abs(x - 0.7) < 0.1 for x in asked[-40:]) > 8 + 4 * 2.5


@needs_optuna
def test_what_is_proposed_lies_in_the_space_and_has_its_kind() -> None:
    asked: list[Point] = []

    def scored(points: list[Point]) -> list[float | None]:
        asked.extend(points)
        return [None if point["c"] == "none" else point["n"] * point["x"] for point in points]

    rate = {"low": 0.01, "high": 1.0, "scale": "log"}
    whole = {"low": 1, "high": 16, "whole": True, "scale": "log"}
    propose(Optuna({"x": rate, "n": whole, "c": [["a"], {"b": 1}, "none"]}, trials=30), scored)
    assert all(type(point["x"]) is float and 0.01 <= point["x"] <= 1.0 for point in asked)
    assert all(type(point["n"]) is int and 1 <= point["n"] <= 16 for point in asked)
    assert {str(point["c"]) for point in asked} == {"['a']", "{'b': 1}", "none"}


@needs_optuna
def test_every_proposal_is_a_row_of_the_ledger_and_counts(tmp_path: Path) -> None:
    result = run_sweep(sweep(project(tmp_path), search(12)), output_root=tmp_path / "out")
    points = proposals(result)
    assert len({point["strategy.params.level"] for point in points}) == len(points) == 12
    ledger = ledger_of(tmp_path / "out")
    assert ledger["status"].to_list() == ["completed"] * 12
    assert [(result.rerun, result.tried)] == [(12, 12)]
    written = [str(point["strategy.params.level"]) for point in points]
    assert ledger["parameters"].list.first().struct.field("value").to_list() == written
    # The best that is shown is the best of what is on record.
    assert result.ranking[0][1] == ledger["sharpe_ratio"].max()


@needs_optuna
def test_who_does_the_work_does_not_show_in_what_is_proposed(tmp_path: Path) -> None:
    found = sweep(project(tmp_path), search(12, at_once=4))
    here = run_sweep(found, output_root=tmp_path / "here")
    processes = run_sweep(found, output_root=tmp_path / "processes", workers=2)
    assert proposals(here) == proposals(processes)
    assert here.trials.drop(_OCCASION).equals(processes.trials.drop(_OCCASION))


@needs_optuna
def test_a_search_that_is_interrupted_goes_on_where_it_was(tmp_path: Path) -> None:
    found, out = sweep(project(tmp_path), search(14)), tmp_path / "out"
    whole = run_sweep(found, output_root=tmp_path / "whole")

    def interrupt(done: int, total: int) -> None:
        assert total == 14
        if done == 11:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(found, output_root=out, on_progress=interrupt)
    assert ledger_of(out).height == 11
    result = run_sweep(found, output_root=out)
    assert (result.rerun, proposals(result)) == (3, proposals(whole))
    assert ledger_of(out)["trial"].n_unique() == ledger_of(out).height == 14


@needs_optuna
def test_what_is_proposed_twice_is_one_trial_and_what_fails_is_on_record(tmp_path: Path) -> None:
    space = {"model": "optuna", "parameters": {"strategy.params.level": [0.2, 0.8, -1.0]}, "trials": 20, "at_once": 3}
    result = run_sweep(sweep(project(tmp_path), space), output_root=tmp_path / "out")
    assert sorted(point["strategy.params.level"] for point in proposals(result)) == [-1.0, 0.2, 0.8]
    assert sorted(result.trials["status"].to_list()) == ["completed", "completed", "failed"]
    assert result.tried == 2


@needs_optuna
def test_what_is_tested_changes_no_proposal(tmp_path: Path) -> None:
    split = {"model": "walk_forward", "train_bars": 20, "test_bars": 10, "purge": 1}
    configs = project(tmp_path)
    found = sweep(configs, search(16, at_once=2), splits=split)
    before = run_sweep(found, output_root=tmp_path / "out")
    # 60 sessions: the first test begins with session 20.
    bars = pl.read_parquet(configs / "bars.parquet")
    cut = sorted(set(bars["timestamp"]))[20]
    prices = ["open", "high", "low", "close"]

    def from_on(moment: Any) -> None:
        # Up and down by turns, so that another level would be the best.
        turned = pl.col(prices) * pl.when(pl.col("timestamp").dt.day() % 2 == 0).then(1.5).otherwise(0.7)
        other = pl.when(pl.col("timestamp") >= moment).then(turned).otherwise(pl.col(prices))
        bars.with_columns(other).write_parquet(configs / "bars.parquet")

    from_on(cut)
    after = run_sweep(found, output_root=tmp_path / "out")
    assert after.rerun > 0
    assert proposals(after) == proposals(before)
    assert not after.judgement.scores.equals(before.judgement.scores)
    # What lies before the first test does change them: the comparison above could fail.
    from_on(bars["timestamp"].min())
    assert proposals(run_sweep(found, output_root=tmp_path / "out")) != proposals(before)


def test_a_search_takes_no_seeds_and_no_tests_before_its_training(tmp_path: Path) -> None:
    configs = project(tmp_path)
    with pytest.raises(ConfigError, match=r"seeds: .*must be left out where space.model is optuna"):
        sweep(configs, search(2), seeds=[1], seed_key="strategy.params.seed")
    with pytest.raises(ConfigError, match=r"splits: .*must be walk_forward where space.model is optuna"):
        sweep(configs, search(2), splits={"model": "combinatorial", "groups": 4, "test_groups": 2})


def test_a_value_that_the_backtest_does_not_take_is_said_before_anything_is_proposed(tmp_path: Path) -> None:
    space = search(2)
    space["parameters"] = {"execution.slippage.rate": {"low": 0.0, "high": 3.0}, "strategy.params.levle": [1.0]}
    with pytest.raises(ConfigError, match=r"rate is a fraction in \[0, 1\), got 3\.0"):
        sweep(project(tmp_path), space)
