"""A sweep as a partition of the graph: its trials inside, on the ledger of the command line, with its progress."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ml4t_backtest.sweep.honesty import honesty_of
from ml4t_backtest.sweep.report import render_sweep_report
from ml4t_backtest.sweep.run import run_sweep
from ml4t_backtest.sweep.trial_ledger import TrialLedger
from ml4t_backtest_tests.sweep.projects import project

dg = pytest.importorskip("dagster")
pytestmark = pytest.mark.dagster

SWEEP = """
sweep: {{base: above}}
space:
  model: grid
  parameters: {{strategy.params.level: [{levels}]}}
splits: {{model: walk_forward, train_bars: 20, test_bars: 10}}
"""


def write(configs: Path, levels: str) -> Path:
    file = configs / "sweeps" / "levels.yaml"
    file.write_text(SWEEP.format(levels=levels), encoding="utf-8")
    return file


def materialize(demo: Any, root: Path, instance: Any, **run_config: Any) -> Any:
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    return demo.defs.resolve_job_def("run_sweeps").execute_in_process(
        run_config={**quiet, **run_config},
        partition_key="levels",
        resources=demo.resources(root),
        instance=instance,
        raise_on_error=False,
    )


def observed(done: Any) -> list[tuple[int, int]]:
    events = [each.event_specific_data.asset_observation for each in done.all_events if each.is_asset_observation]
    assert {each.partition for each in events} <= {"levels"}
    return [(each.metadata["trials_done"].value, each.metadata["trials"].value) for each in events]


def shown(done: Any) -> dict[str, Any]:
    (made,) = done.get_asset_materialization_events()
    assert made.partition == "levels"
    return made.step_materialization_data.materialization.metadata


def version(done: Any) -> str:
    (made,) = done.get_asset_materialization_events()
    found: str = made.step_materialization_data.materialization.tags["dagster/data_version"]
    return found


def test_a_sweep_shows_its_progress_its_report_and_what_it_is_worth(load_graph: Any, tmp_path: Path) -> None:
    configs, out = project(tmp_path), tmp_path / "out"
    file = write(configs, "0.2, 0.8, 1.4")
    demo, instance = load_graph(configs), dg.DagsterInstance.ephemeral()

    done = materialize(demo, out, instance)

    # 60 sessions: 4 windows to train on (0-19 to 30-49) and 4 to test on (20-29 to 50-59), all different; with 3
    # variants that is 24 trials, and the 3 of a window ride together.
    assert observed(done) == [(3 * windows, 24) for windows in range(9)]
    same = run_sweep(file, output_root=out)
    assert same.rerun == 0, "the command line runs none of them again"
    assert demo.resources(out)["store"].shelf.read("sweep_report", "levels").text == render_sweep_report(same)
    honesty, metadata = honesty_of(same), shown(done)
    assert honesty is not None
    assert metadata["deflated_sharpe_ratio"].value == honesty.deflated
    assert metadata["variants_tried"].value == honesty.tried == 3
    assert (metadata["trials"].value, metadata["failed"].value, metadata["run_now"].value) == (24, 0, 24)
    assert "Deflated Sharpe ratio" in metadata["what it is worth"].md_str
    assert "walk_04" in metadata["chosen"].md_str


def test_a_trial_that_is_on_record_is_not_run_again(load_graph: Any, tmp_path: Path) -> None:
    configs, out = project(tmp_path), tmp_path / "out"
    assert run_sweep(write(configs, "0.2, 0.8"), output_root=out).rerun == 16
    write(configs, "0.2, 0.8, 1.4")
    demo, instance = load_graph(configs), dg.DagsterInstance.ephemeral()

    first = materialize(demo, out, instance, ops={"sweep_report": {"config": {"workers": 2}}})
    second = materialize(demo, out, instance)

    # The 16 of the command line count as done before anything is run.
    assert observed(first)[0] == (16, 24)
    assert observed(first)[-1] == (24, 24)
    assert shown(first)["run_now"].value == 8
    assert observed(second) == [(24, 24)]
    assert shown(second)["run_now"].value == 0
    assert TrialLedger(out / "sweeps" / "ledger").read().height == 24
    assert version(first) == version(second), "the same trials are the same report"


def test_a_sweep_that_is_wrong_fails_with_the_packages_text(load_graph: Any, tmp_path: Path) -> None:
    configs = project(tmp_path)
    file = write(configs, "0.2")
    file.write_text(file.read_text(encoding="utf-8").replace("params.level", "params.levle"), encoding="utf-8")
    done = materialize(load_graph(configs), tmp_path / "out", dg.DagsterInstance.ephemeral())
    assert not done.success
    failure = done.get_step_failure_events()[0].event_specific_data.user_failure_data
    assert "levle" in failure.description
    assert not (tmp_path / "out" / "assets").exists()
