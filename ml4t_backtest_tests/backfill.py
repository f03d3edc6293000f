"""Backfills of the graph through Dagster's own backfill, queue and launcher, as a desk's daemon works them off."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.test_utils import create_run_for_test
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

MODULE = "dagster_project.definitions"
_UNFINISHED = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


class Desk:
    """An instance, and a code location that is served by a process of its own."""

    def __init__(self, instance: dg.DagsterInstance, workspace: Any) -> None:
        self.instance, self._workspace = instance, workspace

    def backfill(self, job: str, partitions: Sequence[str], *, seconds: float = 240.0) -> list[dg.DagsterRun]:
        """Run a job for some partitions, and return the runs when all have ended."""
        from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
        from dagster._core.utils import make_new_backfill_id
        from dagster._daemon.backfill import execute_backfill_iteration

        repository = self._repository()
        asked = PartitionBackfill(
            backfill_id=make_new_backfill_id(),
            partition_set_origin=repository.get_partition_set(f"{job}_partition_set").get_remote_origin(),
            status=BulkActionStatus.REQUESTED,
            partition_names=list(partitions),
            from_failure=False,
            reexecution_steps=[],
            tags={},
            backfill_timestamp=time.time(),
        )
        self.instance.add_backfill(asked)
        list(execute_backfill_iteration(self._workspace, logging.getLogger("backfill")))
        until = time.monotonic() + seconds
        wanted = dg.RunsFilter(tags={"dagster/backfill": asked.backfill_id})
        while True:
            self.launch_what_may()
            runs = self.instance.get_runs(wanted)
            if len(runs) == len(partitions) and not any(run.status in _UNFINISHED for run in runs):
                return sorted(runs, key=lambda run: run.tags["dagster/partition"])
            assert time.monotonic() < until, [(run.tags["dagster/partition"], run.status) for run in runs]
            time.sleep(0.2)

    def queued(self, job: str, partition: str) -> dg.DagsterRun:
        """Put a run into the queue."""
        return self._made(job, partition, dg.DagsterRunStatus.QUEUED)

    def launch_what_may(self) -> None:
        """Have the daemon look at the queue once."""
        list(QueuedRunCoordinatorDaemon(interval_seconds=1).run_iteration(self._workspace))

    def killed(self, job: str, partition: str) -> dg.DagsterRun:
        """Put a run into the history whose process began and is gone."""
        run = self._made(job, partition, dg.DagsterRunStatus.NOT_STARTED)
        self.began_and_gone(run)
        return run

    def began_and_gone(self, run: dg.DagsterRun) -> None:
        """Have a run begun in a process that is gone."""
        gone = subprocess.Popen([sys.executable, "-c", "pass"])
        gone.wait()
        event = dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, run.job_name, pid=gone.pid, message="began")
        self.instance.report_dagster_event(event, run.run_id)

    def asked_again(self) -> list[dg.DagsterRun]:
        """Return the runs that the daemon asks for in the place of those that failed since it looked last."""
        from dagster._daemon.auto_run_reexecution.event_log_consumer import EventLogConsumerDaemon

        before = {run.run_id for run in self.instance.get_runs()}
        list(EventLogConsumerDaemon().run_iteration(self._workspace))
        return [run for run in self.instance.get_runs() if run.run_id not in before]

    def failures(self, run: dg.DagsterRun) -> str:
        """Return what a run's failed steps said."""
        events = [entry.dagster_event for entry in self.instance.all_logs(run.run_id)]
        return "\n".join(str(event.event_specific_data) for event in events if event is not None and event.is_failure)

    def _made(self, job: str, partition: str, status: dg.DagsterRunStatus) -> dg.DagsterRun:
        found = self._repository().get_full_job(job)
        return create_run_for_test(
            self.instance,
            job_name=job,
            status=status,
            remote_job_origin=found.get_remote_origin(),
            job_code_origin=found.get_python_origin(),
            tags={**found.tags, "dagster/partition": partition},
        )

    def _repository(self) -> Any:
        location = self._workspace.create_request_context().get_code_location(MODULE)
        return next(iter(location.get_repositories().values()))


@contextmanager
def desk(home: Path) -> Iterator[Desk]:
    """Open the instance whose settings lie in a folder, and serve the code location with today's environment."""
    from dagster._core.instance.ref import InstanceRef
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import ModuleTarget

    # Nothing that was started here outlives it.
    settings = {"code_servers": {"wait_for_local_processes_on_shutdown": True}}
    ref = InstanceRef.from_dir(str(home), overrides=settings)
    target = ModuleTarget(MODULE, attribute=None, working_directory=None, location_name=MODULE)
    with dg.DagsterInstance.from_ref(ref) as instance, WorkspaceProcessContext(instance, target) as workspace:
        yield Desk(instance, workspace)
