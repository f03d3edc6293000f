"""Schedule and sensor: shipped stopped, and what a tick asks for."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

dg = pytest.importorskip("dagster")
pytestmark = pytest.mark.dagster


@pytest.fixture(scope="module")
def defs() -> Any:
    from dagster_project.definitions import defs

    return defs


def test_schedule_and_sensor_are_stopped_until_somebody_starts_them(defs: Any) -> None:
    assert defs.resolve_schedule_def("daily_refresh").default_status == dg.DefaultScheduleStatus.STOPPED
    assert defs.resolve_sensor_def("backtests_after_data").default_status == dg.DefaultSensorStatus.STOPPED


def test_the_schedule_ticks_after_the_close_of_new_york(defs: Any) -> None:
    schedule = defs.resolve_schedule_def("daily_refresh")
    assert schedule.execution_timezone == "America/New_York"
    assert schedule.cron_schedule == "30 17 * * 1-5"


def test_a_tick_asks_for_every_data_set_once_a_day(defs: Any) -> None:
    at = datetime(2026, 11, 20, 17, 30, tzinfo=ZoneInfo("America/New_York"))
    context = dg.build_schedule_context(scheduled_execution_time=at, repository_def=defs.get_repository_def())
    (request,) = defs.resolve_schedule_def("daily_refresh").evaluate_tick(context).run_requests
    assert request.run_key == "us_tech_daily-2026-11-20"
    assert request.partition_key == "us_tech_daily"
    assert request.tags["dagster/partition"] == "us_tech_daily"


def test_prepared_data_asks_for_the_backtests_on_it_and_no_others(defs: Any) -> None:
    from dagster_project.defs.schedules import backtests_after_data

    @dg.job
    def nothing() -> None: ...

    instance = dg.DagsterInstance.ephemeral()
    done = nothing.execute_in_process(instance=instance, tags={"dagster/partition": "us_tech_daily"})
    context = dg.build_run_status_sensor_context(
        sensor_name="backtests_after_data",
        dagster_instance=instance,
        dagster_run=done.dagster_run,
        dagster_event=done.get_run_success_event(),
    )
    requests = list(backtests_after_data(context))
    assert [request.partition_key for request in requests] == [
        "multi_asset_strategy",
        "regime_switching",
        "simple_ml_strategy",
    ]
    assert requests[0].run_key == f"multi_asset_strategy-{done.run_id}"


def test_a_backtest_depends_on_its_own_data_set_only(own_data: Any, load_graph: Any) -> None:
    other = own_data.configs / "datasets" / "other.yaml"
    other.write_text((own_data.configs / "datasets" / "mine.yaml").read_text())
    (own_data.configs / "elsewhere.yaml").write_text(
        (own_data.configs / "hold.yaml").read_text().replace("dataset: mine", "dataset: other")
    )
    load_graph(own_data.configs)
    from dagster_project.partitions import CONFIG_TO_DATASET, configs_on

    mapping = CONFIG_TO_DATASET.downstream_partition_keys_by_upstream_partition_key
    assert {dataset: set(configs) for dataset, configs in mapping.items()} == {"mine": {"hold"}, "other": {"elsewhere"}}
    assert configs_on("other") == ["elsewhere"]
