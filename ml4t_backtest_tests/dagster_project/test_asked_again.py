"""A run that was killed is asked for again by the daemon, a few times; one that failed by itself, or was ended, is not.

The sensors and schedules remember what they asked for, not what came of it: this is what makes up for a kill.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from backfill import Desk, desk

dg = pytest.importorskip("dagster")
pytestmark = [
    pytest.mark.dagster,
    # Dagster's own, of the first time its daemon looks.
    pytest.mark.filterwarnings("ignore:The 'warn' method is deprecated:DeprecationWarning"),
]
JOB, DATASET, CONFIG = "prepare_data", "us_tech_daily", "simple_ml_strategy"


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    from dagster_project.ui import prepare_home

    root = tmp_path_factory.mktemp("asked_again")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("ML4T_OUTPUT_ROOT", str(root))
        with desk(prepare_home(root)) as opened:
            yield opened


@pytest.fixture(autouse=True)
def looked_before(at: Desk) -> None:
    # What failed before the daemon looked for the first time is not its business.
    assert at.asked_again() == []


def test_a_killed_run_is_asked_for_three_times_in_all(at: Desk) -> None:
    from dagster_project.caretaker import fail_dead_runs

    first = at.killed(JOB, DATASET)
    assert fail_dead_runs(at.instance) == [first.run_id]
    (second,) = at.asked_again()
    assert (second.job_name, second.tags["dagster/partition"]) == (JOB, DATASET)
    assert (second.parent_run_id, second.status) == (first.run_id, dg.DagsterRunStatus.QUEUED)
    # Not from where the first one was: every step is looked at, because the files may be others by now.
    assert second.step_keys_to_execute is None
    assert at.asked_again() == []
    at.began_and_gone(second)
    assert fail_dead_runs(at.instance) == [second.run_id]
    (third,) = at.asked_again()
    at.began_and_gone(third)
    assert fail_dead_runs(at.instance) == [third.run_id]
    assert at.asked_again() == []


def test_a_run_that_was_to_be_ended_is_not_asked_for_again(at: Desk) -> None:
    from dagster_project.caretaker import fail_dead_runs

    run = at.killed(JOB, DATASET)
    at.instance.report_run_canceling(run)
    assert fail_dead_runs(at.instance) == [run.run_id]
    assert at.instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.CANCELED
    assert at.asked_again() == []


def test_a_run_that_failed_by_itself_is_not_asked_for_again(at: Desk) -> None:
    # Nothing is prepared: the run says so, and would say so again.
    (run,) = at.backfill("run_backtests", [CONFIG])
    assert run.is_failure
    assert "CorruptDatasetError" in at.failures(run)
    assert at.asked_again() == []
    told = [entry.message for entry in at.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)]
    assert any("Not retrying run since it failed due to an asset or op failure" in each for each in told)
