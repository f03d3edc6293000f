"""What happens by itself: data sets after each close, backtests after their data, both after a changed file.

A sensor or schedule remembers what it asked for, not what came of it: the daemon asks again for a run that was killed,
as `run_retries` in `dagster.yaml` says. All that starts runs is shipped stopped; `ml4t-backtest ui --automate` (or
ML4T_AUTOMATION=on) switches it on. What only looks after runs, the sensors `dead_runs` and `failed_runs`, is always on.
"""

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC

import dagster as dg

from dagster_project.caretaker import fail_dead_runs, forget_old_runs
from dagster_project.defs.common import FULL_TAG
from dagster_project.defs.jobs import prepare_data, run_backtests
from dagster_project.defs.resources import shelf
from dagster_project.partitions import CONFIGS, DATASETS, SWEEPS, configs_on
from ml4t_backtest.errors import BacktestError
from ml4t_backtest.pipeline.changed_work import came_or_went, changed_work, is_up_to_date
from ml4t_backtest.pipeline.due import last_closed_session, sources_now
from ml4t_backtest.pipeline.notify import Notice, notifier
from ml4t_backtest.pipeline.partition_names import dataset_of
from ml4t_backtest.pipeline.serving import AUTOMATION_VARIABLE, reload_definitions

PARTITION_TAG = "dagster/partition"
SESSION_TAG = "ml4t/session"
SOURCES_TAG = "ml4t/sources"
_KEEP_RUNS_DAYS = int(os.environ.get("ML4T_KEEP_RUNS_DAYS", "90"))
_ON = os.environ.get(AUTOMATION_VARIABLE) == "on"
_SCHEDULE = dg.DefaultScheduleStatus.RUNNING if _ON else dg.DefaultScheduleStatus.STOPPED
_SENSOR = dg.DefaultSensorStatus.RUNNING if _ON else dg.DefaultSensorStatus.STOPPED
Requests = Iterator[dg.RunRequest | dg.SkipReason]


@dg.schedule(job=prepare_data, cron_schedule="*/15 * * * *", execution_timezone="UTC", default_status=_SCHEDULE)
def daily_refresh(context: dg.ScheduleEvaluationContext) -> Requests:
    """Prepare each data set half an hour after its exchange closed, and again where its files came late.

    A missed tick is made up for. What was asked for is in the tags: the session that closed, and what the files were.
    """
    waiting = []
    for name in DATASETS.get_partition_keys():
        try:
            dataset = dataset_of(name)
            session = last_closed_session(dataset.calendar, context.scheduled_execution_time.astimezone(UTC))
        except BacktestError as error:
            waiting.append(f"{name}: {error}")
            continue
        sources = sources_now(dataset)
        tags = {"ml4t/dataset": name, SESSION_TAG: str(session), SOURCES_TAG: sources}
        if session is None or context.instance.get_runs_count(dg.RunsFilter(tags=tags)):
            waiting.append(f"{name}: no session ended since {session}, and no file is another")
        else:
            yield dg.RunRequest(run_key=f"{name}-{session}-{sources}", partition_key=name, tags=tags)
    if len(waiting) == len(DATASETS.get_partition_keys()):
        yield dg.SkipReason("; ".join(waiting))


@dg.schedule(job=prepare_data, cron_schedule="0 6 1 * *", execution_timezone="UTC", default_status=_SCHEDULE)
def monthly_revalidation(context: dg.ScheduleEvaluationContext) -> Requests:
    """Compute everything anew, from the sources on, whatever is published; the backtests follow."""
    for name in DATASETS.get_partition_keys():
        tags = {"ml4t/dataset": name, FULL_TAG: "true"}
        yield dg.RunRequest(run_key=f"{name}-{context.scheduled_execution_time:%Y-%m}", partition_key=name, tags=tags)


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[prepare_data],
    request_job=run_backtests,
    default_status=_SENSOR,
)
def backtests_after_data(context: dg.RunStatusSensorContext) -> Requests:
    """Run every configuration on a data set that was just prepared, unless its run is that of these very inputs."""
    dataset, full = context.dagster_run.tags[PARTITION_TAG], context.dagster_run.tags.get(FULL_TAG)
    configs = configs_on(dataset)
    due = [config for config in configs if full or not is_up_to_date(shelf(), config)]
    if not due:
        yield dg.SkipReason(f"{len(configs)} configurations run on {dataset}, none has anything new")
    for config in due:
        tags = {"ml4t/config": config, **({FULL_TAG: full} if full else {})}
        yield dg.RunRequest(run_key=f"{config}-{context.dagster_run.run_id}", partition_key=config, tags=tags)


@dg.sensor(jobs=[prepare_data, run_backtests], minimum_interval_seconds=15, default_status=_SENSOR)
def changed_configs(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Run what was changed; for new and removed files, read the definitions again, or say so."""
    named = came_or_went(*(known.get_partition_keys() for known in (CONFIGS, DATASETS, SWEEPS)))
    if named:
        happens = "the definitions are read again" if reload_definitions() else "reload the definitions"
        return dg.SkipReason(f"files came or went ({', '.join(named)}): {happens}")
    work = changed_work(shelf(), CONFIGS.get_partition_keys(), json.loads(context.cursor or "{}"))
    requests = [_request(prepare_data.name, name, "ml4t/dataset") for name in work.datasets]
    requests += [_request(run_backtests.name, name, "ml4t/config") for name in work.configs]
    return dg.SensorResult(requests, cursor=json.dumps(work.seen))


@dg.sensor(minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
def dead_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Fail runs whose process is gone, and forget runs older than `$ML4T_KEEP_RUNS_DAYS` days (90)."""
    failed = fail_dead_runs(context.instance)
    forgotten = forget_old_runs(context.instance, _KEEP_RUNS_DAYS, time.time())
    return dg.SkipReason(f"{len(failed)} dead runs failed, {len(forgotten)} old ones forgotten")


@dg.run_failure_sensor(default_status=dg.DefaultSensorStatus.RUNNING)
def failed_runs(context: dg.RunFailureSensorContext) -> None:
    """Tell somebody: the log, or `$ML4T_NOTIFIER`."""
    run = context.dagster_run
    notifier()(Notice(run.job_name, run.tags.get(PARTITION_TAG), run.run_id, context.failure_event.message or ""))


def _request(job: str, key: str, tag: str) -> dg.RunRequest:
    return dg.RunRequest(job_name=job, partition_key=key, tags={tag: key})
