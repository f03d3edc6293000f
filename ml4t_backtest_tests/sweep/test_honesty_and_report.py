"""What is said of the best of many trials, and the page that says it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ml4t_backtest.reporting.sharpe_statistics import deflated_sharpe_ratio, sharpe_estimate
from ml4t_backtest.sweep.honesty import honesty_of
from ml4t_backtest.sweep.landscape import heat_maps, neighbourhood
from ml4t_backtest.sweep.report import render_sweep_report, write_sweep_report
from ml4t_backtest.sweep.run import SweepResult, run_sweep
from ml4t_backtest.sweep.selection import total_return
from ml4t_backtest_tests.sweep.projects import levels, project, sweep

WALK = {"model": "walk_forward", "train_bars": 60, "test_bars": 30}


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project(tmp_path_factory.mktemp("project"), sessions=240)


@pytest.fixture(scope="module")
def walked(configs: Path, tmp_path_factory: pytest.TempPathFactory) -> SweepResult:
    return run_sweep(sweep(configs, levels(0.2, 0.8, 1.4), splits=WALK), output_root=tmp_path_factory.mktemp("out"))


def test_earlier_sweeps_on_the_same_data_make_the_same_result_worth_less(configs: Path, tmp_path: Path) -> None:
    found = sweep(configs, levels(0.2, 0.8))
    first = honesty_of(run_sweep(found, output_root=tmp_path))
    run_sweep(sweep(configs, levels(0.1, 0.3, 0.4, 0.5, 0.6, 0.7, 0.9, 1.0, 1.1, 1.2)), output_root=tmp_path)
    later = honesty_of(run_sweep(found, output_root=tmp_path))
    assert first is not None
    assert later is not None
    assert (first.tried, later.tried) == (2, 12)
    assert first.deflated is not None
    assert later.deflated is not None
    assert later.deflated < first.deflated
    assert later.probability_of_skill == first.probability_of_skill


def test_a_single_variant_is_deflated_by_what_was_tried_before_it(configs: Path, tmp_path: Path) -> None:
    """Alone it shows no spread, and two twins show none worth the name: that of all is the ledger's."""
    every = run_sweep(sweep(configs, levels(*(number / 20 for number in range(20)))), output_root=tmp_path)
    sharpes = {variant: sharpe_estimate(values) for variant, (_, values) in every.tested.items()}
    chosen = sharpes[4]
    assert chosen is not None
    spread = [each.sharpe for each in sharpes.values() if each is not None]
    honesty = honesty_of(run_sweep(sweep(configs, levels(0.2)), output_root=tmp_path))
    assert honesty is not None
    assert honesty.tried == 20
    assert honesty.deflated == deflated_sharpe_ratio(chosen, spread, 20.0)
    assert honesty.probability_of_skill is not None
    assert honesty.deflated < honesty.probability_of_skill
    twins = honesty_of(run_sweep(sweep(configs, levels(0.2, 0.2 + 1e-9)), output_root=tmp_path))
    assert twins is not None
    assert twins.tried == 21
    assert twins.deflated == pytest.approx(honesty.deflated, rel=0.05)


def test_the_same_values_drawn_again_are_not_tried_again(configs: Path, tmp_path: Path) -> None:
    space = {"model": "random", "trials": 12, "parameters": {"strategy.params.level": [0.3, 0.9]}}
    drawn = run_sweep(sweep(configs, space), output_root=tmp_path)
    listed = run_sweep(sweep(configs, levels(0.3, 0.9)), output_root=tmp_path)
    assert (len(drawn.tested), len(drawn.distinct), drawn.rerun) == (12, 2, 2)
    one, other = honesty_of(drawn), honesty_of(listed)
    assert one is not None
    assert other is not None
    assert (one.tried, one.deflated) == (2, other.deflated)


def test_a_variant_that_is_ruined_is_compared_all_the_same(configs: Path, tmp_path: Path) -> None:
    """60,000 an order: 100,000 pay for one purchase, and what its sale brings does not pay for the sale."""
    costs = [{"model": "per_order", "amount": amount} for amount in (1.0, 2.0, 60_000.0)]
    space = {"model": "grid", "parameters": {"execution.commission": costs, "backtest.initial_capital": [100_000.0]}}
    result = run_sweep(sweep(configs, space), output_root=tmp_path)
    sessions, returns = result.tested[2]
    ruin = next(place for place, value in enumerate(returns) if value <= -1.0)
    assert len(result.trials["daily_returns"][2]) == ruin + 1 < 240
    assert sessions == result.tested[0][0]
    assert returns[ruin + 1 :] == [0.0] * (240 - ruin - 1)
    assert total_return(returns) < -1.0
    honesty = honesty_of(result)
    assert honesty is not None
    assert honesty.overfitting is not None


def test_a_strategy_whose_code_was_changed_is_tried_again(tmp_path: Path) -> None:
    configs, out = project(tmp_path), tmp_path / "out"
    assert run_sweep(sweep(configs, levels(0.2, 0.8)), output_root=out).tried == 2
    strategy = configs / "above.py"
    strategy.write_text(strategy.read_text(encoding="utf-8").replace("0.2)", "0.3)"), encoding="utf-8")
    assert run_sweep(sweep(configs, levels(0.2, 0.8)), output_root=out).tried == 4


def test_trials_over_parts_of_time_are_one_variant(walked: SweepResult) -> None:
    # 240 sessions: six tests of 30, each with its training: 12 windows of 3 variants each.
    assert (walked.trials.height, walked.tried) == (36, 3)


def test_the_tests_in_a_row_are_what_is_judged(walked: SweepResult) -> None:
    honesty = honesty_of(walked)
    assert honesty is not None
    assert honesty.returns == walked.judgement.stitched["daily_return"].to_list()
    assert len(honesty.returns) == 180
    estimate = sharpe_estimate(honesty.returns)
    spread = [sharpe_estimate(values) for _, values in walked.tested.values()]
    assert estimate is not None
    assert honesty.deflated == deflated_sharpe_ratio(estimate, [each.sharpe for each in spread if each], 3.0)


def test_combinatorial_tests_make_whole_histories(configs: Path, tmp_path: Path) -> None:
    split = {"model": "combinatorial", "groups": 4, "test_groups": 2, "purge": 1, "embargo": 1}
    result = run_sweep(sweep(configs, levels(0.2, 0.8), splits=split), output_root=tmp_path)
    # C(4, 2) = 6 folds with two tests each: 12 tests of 60 sessions, three whole histories of 240.
    stitched = result.judgement.stitched
    assert len(result.folds) == 6
    assert stitched.group_by("path").len().sort("path").rows() == [(1, 240), (2, 240), (3, 240)]
    for path in stitched.partition_by("path"):
        assert path["session"].n_unique() == 240


def test_the_neighbours_of_the_best_are_one_step_away(configs: Path, tmp_path: Path) -> None:
    result = run_sweep(sweep(configs, levels(0.2, 0.5, 0.8, seed=[1, 2])), output_root=tmp_path)
    near = neighbourhood(result)
    assert near is not None
    best = result.sweep.variants[near.best].parameters
    order = {"strategy.params.level": [0.2, 0.5, 0.8], "strategy.params.seed": [1, 2]}
    for variant, _ in near.neighbours:
        other = result.sweep.variants[variant].parameters
        assert sum(abs(values.index(best[key]) - values.index(other[key])) for key, values in order.items()) == 1
    # A corner has 2 neighbours, the middle of an edge of length 3 has 3.
    assert len(near.neighbours) == (3 if best["strategy.params.level"] == 0.5 else 2)
    (found,) = heat_maps(result)
    assert [len(found.cells), len(found.cells[0])] == [2, 3]
    assert found.cells[0][0] == dict(result.ranking)[0]


def test_whole_numbers_and_fractions_of_one_size_are_two_places(configs: Path, tmp_path: Path) -> None:
    """1 and 1.0 are two values, one step apart, and 2 is two steps from 1: whichever is best has a neighbour."""
    result = run_sweep(sweep(configs, levels(1, 1.0, 2)), output_root=tmp_path)
    near = neighbourhood(result)
    assert near is not None
    expected = {0: {1}, 1: {0, 2}, 2: {1}}[near.best]
    assert {variant for variant, _ in near.neighbours} == expected & set(dict(result.ranking))


def test_the_report_says_what_it_is_worth_first_and_is_the_same_again(walked: SweepResult, tmp_path: Path) -> None:
    page = render_sweep_report(walked)
    assert page == render_sweep_report(walked)
    labels = re.findall(r'<div class="card"><span>([^<]*)</span>', page)
    assert labels[:2] == ["Variants tried", "Deflated Sharpe ratio"]
    for title in ("Tests in a row", "In sample against out of sample", "Around the best", "What each fold chose"):
        assert title in page
    file = write_sweep_report(walked, tmp_path)
    assert file.read_text(encoding="utf-8") == page
    assert [each.name for each in file.parent.iterdir()] == ["levels.html"]


def test_a_sweep_without_a_completed_trial_has_a_report_too(configs: Path, tmp_path: Path) -> None:
    result = run_sweep(sweep(configs, levels(-1.0)), output_root=tmp_path)
    assert honesty_of(result) is None
    page = render_sweep_report(result)
    assert "none completed" in page
    assert "a level below zero" in page
