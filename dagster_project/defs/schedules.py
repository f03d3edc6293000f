"""Reruns, shipped stopped: data sets after the close, then the backtests of each data set that was prepared.

Switch both on in the UI (Automation), or with `dagster schedule start daily_refresh` and
`dagster sensor start backtests_after_data`.
"""

from collections.abc import Iterator

import dagster as dg

from dagster_project.defs.jobs import prepare_data, run_backtests
from dagster_project.partitions import DATASETS, configs_on

PARTITION_TAG = "dagster/partition"


@dg.schedule(
    job=prepare_data,
    cron_schedule="30 17 * * 1-5",
    execution_timezone="America/New_York",
    default_status=dg.DefaultScheduleStatus.STOPPED,
)
def daily_refresh(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    """Prepare every data set, an hour and a half after New York closes."""
    day = f"{context.scheduled_execution_time:%Y-%m-%d}"
    for dataset in DATASETS.get_partition_keys():
        yield dg.RunRequest(run_key=f"{dataset}-{day}", partition_key=dataset, tags={"ml4t/dataset": dataset})


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[prepare_data],
    request_job=run_backtests,
    default_status=dg.DefaultSensorStatus.STOPPED,
)
def backtests_after_data(context: dg.RunStatusSensorContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Run every configuration on a data set that was just prepared."""
    dataset = context.dagster_run.tags[PARTITION_TAG]
    configs = configs_on(dataset)
    if not configs:
        yield dg.SkipReason(f"no configuration runs on {dataset}")
    for config in configs:
        run_key = f"{config}-{context.dagster_run.run_id}"
        yield dg.RunRequest(run_key=run_key, partition_key=config, tags={"ml4t/config": config})
