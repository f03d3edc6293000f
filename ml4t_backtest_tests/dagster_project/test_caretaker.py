"""The history of runs: those whose process is gone are failed, old ones are forgotten, the last good ones stay."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

dg = pytest.importorskip("dagster")
pytestmark = pytest.mark.dagster
DAY = 86_400.0


def history(home: Path) -> Any:
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    return dg.DagsterInstance.from_config(str(home))


def started(instance: Any, process: int) -> str:
    """Put a run into the history that a process of this number began."""

    @dg.job
    def nothing() -> None: ...

    run = instance.create_run_for_job(nothing)
    event = dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, nothing.name, pid=process, message="began")
    instance.report_dagster_event(event, run.run_id)
    return str(run.run_id)


def test_a_run_whose_process_is_gone_is_failed_and_one_that_works_is_not(tmp_path: Path) -> None:
    from dagster_project.caretaker import fail_dead_runs

    gone = subprocess.Popen([sys.executable, "-c", "pass"])
    gone.wait()
    with history(tmp_path / "home") as instance:
        dead, alive = started(instance, gone.pid), started(instance, os.getpid())
        assert fail_dead_runs(instance) == [dead]
        assert instance.get_run_by_id(dead).status == dg.DagsterRunStatus.FAILURE
        assert instance.get_run_by_id(alive).status == dg.DagsterRunStatus.STARTED
        assert fail_dead_runs(instance) == []


def test_a_run_killed_between_saying_that_it_began_and_being_counted_as_begun_is_failed(tmp_path: Path) -> None:
    from dagster_project.caretaker import fail_dead_runs

    @dg.job
    def nothing() -> None: ...

    gone = subprocess.Popen([sys.executable, "-c", "pass"])
    gone.wait()
    with history(tmp_path / "home") as instance:
        run = instance.create_run_for_job(nothing).run_id
        event = dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, nothing.name, pid=gone.pid, message="began")
        instance.event_log_storage.store_event(
            dg.EventLogEntry(None, 10, "", run, time.time(), None, nothing.name, event)
        )
        assert instance.get_run_by_id(run).status == dg.DagsterRunStatus.NOT_STARTED
        assert fail_dead_runs(instance) == [run]
        assert instance.get_run_by_id(run).status == dg.DagsterRunStatus.FAILURE


def test_a_run_that_was_only_just_made_is_let_be(tmp_path: Path) -> None:
    from dagster_project.caretaker import fail_dead_runs

    @dg.job
    def nothing() -> None: ...

    with history(tmp_path / "home") as instance:
        instance.create_run_for_job(nothing)
        assert fail_dead_runs(instance) == []


def test_old_runs_are_forgotten_but_never_the_last_good_one(tmp_path: Path) -> None:
    from dagster_project.caretaker import forget_old_runs

    @dg.op
    def fail() -> None:
        raise ValueError

    @dg.job
    def nothing() -> None: ...

    @dg.job
    def failing() -> None:
        fail()

    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with history(tmp_path / "home") as instance:
        first, second = (nothing.execute_in_process(instance=instance).run_id for _ in range(2))
        failed = failing.execute_in_process(instance=instance, raise_on_error=False, run_config=quiet).run_id
        now = instance.get_run_record_by_id(failed).end_time
        assert forget_old_runs(instance, 90, now + 89 * DAY) == []
        assert sorted(forget_old_runs(instance, 90, now + 91 * DAY)) == sorted([first, failed])
        assert [run.run_id for run in instance.get_runs()] == [second]
