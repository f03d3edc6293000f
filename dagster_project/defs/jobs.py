"""Jobs. Assets of two partitionings cannot share a run, so data sets, backtests and sweeps have a job each."""

from __future__ import annotations

import dagster as dg

prepare_data = dg.define_asset_job(
    "prepare_data",
    dg.AssetSelection.groups("raw", "validated", "prepared"),
    description="Read, check and join the sources of one data set.",
)
run_backtests = dg.define_asset_job(
    "run_backtests",
    dg.AssetSelection.groups("backtest", "reports"),
    description="Run one configuration on its prepared data, write its report, and compare all runs.",
)
run_sweeps = dg.define_asset_job(
    "run_sweeps",
    dg.AssetSelection.groups("sweeps"),
    description="Run the trials of one sweep that are not on record yet, and report on all of them.",
)
run_benchmarks = dg.define_asset_job(
    "run_benchmarks",
    dg.AssetSelection.groups("benchmarks"),
    description="Measure the engine on this machine, in a size that takes seconds.",
)
