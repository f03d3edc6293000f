"""The code location: `dagster_project.definitions`, for `dg`, the webserver, the daemon and `workspace.yaml` alike.

Everything is named here, so that it loads from an installed wheel as well as from a checkout.
"""

from __future__ import annotations

import dagster as dg

from dagster_project.defs import backtest, benchmarks, jobs, prepared, reports, schedules, sources, sweeps
from dagster_project.defs.resources import output_root, resources
from dagster_project.executor import executor

defs = dg.Definitions(
    assets=dg.load_assets_from_modules([sources, prepared, backtest, reports, sweeps, benchmarks]),
    jobs=[jobs.prepare_data, jobs.run_backtests, jobs.run_sweeps, jobs.run_benchmarks],
    schedules=[schedules.daily_refresh, schedules.monthly_revalidation],
    sensors=[
        schedules.backtests_after_data,
        schedules.changed_configs,
        schedules.dead_runs,
        schedules.failed_runs,
    ],
    resources=resources(output_root()),
    executor=executor(),
)
