"""Jobs. Assets of two partitionings cannot share a run, so data sets and backtests have a job each."""

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
run_benchmarks = dg.define_asset_job(
    "run_benchmarks",
    dg.AssetSelection.groups("benchmarks"),
    description="Measure the engine on this machine, in a size that takes seconds.",
)
