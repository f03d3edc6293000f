"""Looks after the history of runs: fails those whose process is gone, and lets old ones go."""

from __future__ import annotations

import time

import dagster as dg
from dagster import DagsterEventType, DagsterRunStatus

from ml4t_backtest.pipeline.processes import is_gone

# A run writes into its log that it began before the history says so: killed between the two, it stays "not started".
_UNFINISHED = (
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
)
_FINISHED = (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)
_NEVER_STARTED = 120.0
_AT_ONCE = 50
_PARTITION = "dagster/partition"


def fail_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Fail every run that is not finished and whose process is gone, and return their ids.

    The daemon asks for such a run again, as `run_retries` in `dagster.yaml` says; not for one that was to be ended.
    Only the launcher that starts processes on this machine is looked after: others tell by themselves.
    """
    if not isinstance(instance.run_launcher, dg.DefaultRunLauncher):
        return []
    dead = [run for run in instance.get_runs(dg.RunsFilter(statuses=list(_UNFINISHED))) if _is_dead(instance, run)]
    for run in dead:
        was_ended = run.status == DagsterRunStatus.CANCELING
        report = instance.report_run_canceled if was_ended else instance.report_run_failed
        report(run, "The process of this run is gone: it was killed, or the machine went down.")
    return [run.run_id for run in dead]


def forget_old_runs(instance: dg.DagsterInstance, days: int, now: float) -> list[str]:
    """Delete finished runs older than some days and return their ids.

    The last good run of each job and partition stays, whatever its age: what is published was made by it.

    Args:
        instance: The history.
        days: How old a run must be.
        now: Seconds since 1970.
    """
    records = instance.get_run_records(dg.RunsFilter(statuses=list(_FINISHED)))
    kept: set[tuple[str, str, frozenset[str]]] = set()
    old: list[str] = []
    # The youngest come first.
    for record in records:
        run, ended = record.dagster_run, record.end_time or record.create_timestamp.timestamp()
        chosen = frozenset(key.to_user_string() for key in run.asset_selection or ())
        made = (run.job_name, run.tags.get(_PARTITION, ""), chosen)
        if run.status == DagsterRunStatus.SUCCESS and made not in kept:
            kept.add(made)
        elif now - ended > days * 86_400:
            old.append(run.run_id)
    for run_id in old[-_AT_ONCE:]:
        instance.delete_run(run_id)
    return old[-_AT_ONCE:]


def _is_dead(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    began = _process_of(instance, run.run_id)
    if began is None:
        record = instance.get_run_record_by_id(run.run_id)
        return record is not None and time.time() - record.update_timestamp.timestamp() > _NEVER_STARTED
    return is_gone(*began)


def _process_of(instance: dg.DagsterInstance, run_id: str) -> tuple[int, float] | None:
    """Return the number of a run's own process, and when it was written down; None where it never was."""
    for entry in instance.all_logs(run_id, of_type={DagsterEventType.RUN_START, DagsterEventType.ENGINE_EVENT}):
        event = entry.dagster_event
        if event is None:
            continue
        if event.event_type == DagsterEventType.RUN_START and event.pid is not None:
            return event.pid, entry.timestamp
        if (event.message or "").startswith("Started process for run (pid: "):
            return int(str(event.message).split("pid: ")[1].split(")")[0]), entry.timestamp
    return None
