"""Jobs. Assets of two partitionings cannot share a run, so data sets, backtests and sweeps have a job each."""

from __future__ import annotations

import dagster as dg

# Asked for again, a job looks at every step: what is published and unchanged costs little, and the files may be others.
_TAGS = {"dagster/retry_strategy": "ALL_STEPS"}

prepare_data = dg.define_asset_job(
    "prepare_data",
    dg.AssetSelection.groups("raw", "validated", "prepared"),
    description="Read, check and join the sources of one data set.",
    tags=_TAGS,
)
run_backtests = dg.define_asset_job(
    "run_backtests",
    dg.AssetSelection.groups("backtest", "reports"),
    description="Run one configuration on its prepared data, write its report, and compare all runs.",
    tags=_TAGS,
)
run_sweeps = dg.define_asset_job(
    "run_sweeps",
    dg.AssetSelection.groups("sweeps"),
    description="Run the trials of one sweep that are not on record yet, and report on all of them.",
    tags=_TAGS,
)
run_benchmarks = dg.define_asset_job(
    "run_benchmarks",
    dg.AssetSelection.groups("benchmarks"),
    description="Measure the engine on this machine, in a size that takes seconds.",
    tags=_TAGS,
)
