"""The settings that are shipped let one run per partition work at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

dg = pytest.importorskip("dagster")
pytestmark = pytest.mark.dagster


def test_a_second_run_of_a_partition_waits_and_one_of_another_does_not(
    own_data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dagster._core.test_utils import create_run_for_test
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import ModuleTarget
    from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

    from dagster_project.ui import prepare_home

    module = "dagster_project.definitions"
    monkeypatch.setenv("ML4T_CONFIGS", str(own_data.configs))
    monkeypatch.setenv("ML4T_OUTPUT_ROOT", str(tmp_path / "out"))
    with dg.DagsterInstance.from_config(str(prepare_home(tmp_path))) as instance:
        target = ModuleTarget(module, attribute=None, working_directory=None, location_name=module)
        with WorkspaceProcessContext(instance, target) as workspace:
            location = workspace.create_request_context().get_code_location(module)
            job = next(iter(location.get_repositories().values())).get_full_job("prepare_data")
            first, second, other = (
                create_run_for_test(
                    instance,
                    job_name="prepare_data",
                    status=dg.DagsterRunStatus.QUEUED,
                    remote_job_origin=job.get_remote_origin(),
                    job_code_origin=job.get_python_origin(),
                    tags={"dagster/partition": partition},
                ).run_id
                for partition in ("mine", "mine", "another")
            )
            list(QueuedRunCoordinatorDaemon(interval_seconds=1).run_iteration(workspace))
            waiting = [run.run_id for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED]))]
            assert waiting == [second]
            for run_id in (first, other):
                instance.run_launcher.terminate(run_id)
