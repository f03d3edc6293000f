"""Schedule and sensor: shipped stopped, and what a tick asks for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

dg = pytest.importorskip("dagster")
pytestmark = pytest.mark.dagster
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture(scope="module")
def defs() -> Any:
    from dagster_project.definitions import defs

    return defs


def test_what_starts_runs_is_stopped_until_somebody_starts_it(defs: Any) -> None:
    for name in ("daily_refresh", "monthly_revalidation"):
        assert defs.resolve_schedule_def(name).default_status == dg.DefaultScheduleStatus.STOPPED
    for name in ("backtests_after_data", "changed_configs"):
        assert defs.resolve_sensor_def(name).default_status == dg.DefaultSensorStatus.STOPPED
    for name in ("dead_runs", "failed_runs"):
        assert defs.resolve_sensor_def(name).default_status == dg.DefaultSensorStatus.RUNNING


def test_one_word_switches_it_on(own_data: Any, load_graph: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML4T_AUTOMATION", "on")
    loaded = load_graph(own_data.configs).defs
    assert loaded.resolve_schedule_def("daily_refresh").default_status == dg.DefaultScheduleStatus.RUNNING
    assert loaded.resolve_sensor_def("changed_configs").default_status == dg.DefaultSensorStatus.RUNNING


@pytest.fixture
def instance() -> Iterator[Any]:
    # A schedule opens its history by itself, so there must be one that can be opened.
    with dg.instance_for_test() as opened:
        yield opened


def tick(defs: Any, schedule: str, at: datetime, instance: Any) -> Any:
    context = dg.build_schedule_context(
        instance=instance, scheduled_execution_time=at, repository_def=defs.get_repository_def()
    )
    return defs.resolve_schedule_def(schedule).evaluate_tick(context)


@pytest.mark.parametrize(
    ("at", "session"),
    [
        # Thanksgiving was on Thursday the 26th, on Friday New York closed at 13:00, which is 18:00 UTC.
        ("2026-11-25T21:15", "2026-11-24"),
        ("2026-11-25T21:30", "2026-11-25"),
        ("2026-11-26T23:00", "2026-11-25"),
        ("2026-11-27T18:15", "2026-11-25"),
        ("2026-11-27T18:30", "2026-11-27"),
        ("2026-11-29T12:00", "2026-11-27"),
    ],
)
def test_a_tick_asks_for_the_last_session_that_ended(defs: Any, at: str, session: str, instance: Any) -> None:
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC)
    (request,) = tick(defs, "daily_refresh", moment, instance).run_requests
    assert request.run_key == f"us_tech_daily-{session}-{request.tags['ml4t/sources']}"
    assert request.partition_key == "us_tech_daily"
    assert request.tags["ml4t/session"] == session
    assert request.tags["dagster/partition"] == "us_tech_daily"


def test_a_session_is_asked_for_once(defs: Any, instance: Any) -> None:
    @dg.job
    def nothing() -> None: ...

    at = datetime(2026, 11, 27, 18, 30, tzinfo=UTC)
    (request,) = tick(defs, "daily_refresh", at, instance).run_requests
    nothing.execute_in_process(instance=instance, tags=request.tags)
    again = tick(defs, "daily_refresh", at, instance)
    assert not again.run_requests
    assert again.skip_message == "us_tech_daily: no session ended since 2026-11-27, and no file is another"


def test_files_that_come_late_are_asked_for_again(own_data: Any, load_graph: Any, instance: Any) -> None:
    @dg.job
    def nothing() -> None: ...

    loaded = load_graph(own_data.configs).defs
    bars = own_data.configs / "bars.parquet"
    whole = bars.read_bytes()
    bars.unlink()
    at, asked = datetime(2026, 11, 27, 22, tzinfo=UTC), []
    # Nothing is there at first, which a run is to tell; then half of a file, then all of it.
    for content in (None, whole[:100], whole):
        if content is not None:
            bars.write_bytes(content)
        (request,) = tick(loaded, "daily_refresh", at, instance).run_requests
        nothing.execute_in_process(instance=instance, tags=request.tags)
        assert not tick(loaded, "daily_refresh", at, instance).run_requests
        asked.append(request)
    assert {request.tags["ml4t/session"] for request in asked} == {"2026-11-27"}
    assert len({request.run_key for request in asked}) == 3


def test_once_a_month_everything_is_computed_anew(defs: Any) -> None:
    at = datetime(2026, 12, 1, 6, tzinfo=UTC)
    (request,) = tick(defs, "monthly_revalidation", at, dg.DagsterInstance.ephemeral()).run_requests
    assert (request.run_key, request.tags["ml4t/full"]) == ("us_tech_daily-2026-12", "true")


def asked_after(prepared: Any, instance: Any) -> list[Any]:
    from dagster_project.defs.schedules import backtests_after_data

    context = dg.build_run_status_sensor_context(
        sensor_name="backtests_after_data",
        dagster_instance=instance,
        dagster_run=prepared.dagster_run,
        dagster_event=prepared.get_run_success_event(),
    )
    return list(backtests_after_data(context))


def test_prepared_data_asks_for_the_backtests_on_it_and_no_others(defs: Any, monkeypatch: Any, tmp_path: Path) -> None:
    @dg.job
    def nothing() -> None: ...

    monkeypatch.setenv("ML4T_OUTPUT_ROOT", str(tmp_path))
    instance = dg.DagsterInstance.ephemeral()
    done = nothing.execute_in_process(instance=instance, tags={"dagster/partition": "us_tech_daily"})
    requests = asked_after(done, instance)
    assert [request.partition_key for request in requests] == [
        "multi_asset_strategy",
        "regime_switching",
        "simple_ml_strategy",
    ]
    assert requests[0].run_key == f"multi_asset_strategy-{done.run_id}"


def run(demo: Any, job: str, key: str, root: Path, instance: Any, tags: Any = None) -> Any:
    return demo.defs.resolve_job_def(job).execute_in_process(
        run_config=QUIET, partition_key=key, resources=demo.resources(root), instance=instance, tags=tags
    )


@pytest.fixture
def graph(own_data: Any, load_graph: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    monkeypatch.setenv("ML4T_OUTPUT_ROOT", str(tmp_path))
    return load_graph(own_data.configs), dg.DagsterInstance.ephemeral()


def test_an_unchanged_rerun_computes_nothing(graph: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ml4t_backtest.engine import BacktestEngine

    demo, instance = graph
    run(demo, "prepare_data", "mine", tmp_path, instance)
    run(demo, "run_backtests", "hold", tmp_path, instance)
    before = {path: path.read_text() for path in tmp_path.rglob("CURRENT")}

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("this was computed already")

    from dagster_project.defs import prepared, sources

    for module, name in ((sources, "raw_tables"), (sources, "validated_tables"), (prepared, "prepare_validated")):
        monkeypatch.setattr(module, name, refuse)
    monkeypatch.setattr(BacktestEngine, "run", refuse)
    again = run(demo, "prepare_data", "mine", tmp_path, instance)
    (skipped,) = asked_after(again, instance)
    assert skipped.skip_message == "1 configurations run on mine, none has anything new"
    assert run(demo, "run_backtests", "hold", tmp_path, instance).success
    assert {path: path.read_text() for path in tmp_path.rglob("CURRENT")} == before
    with pytest.raises(AssertionError, match="computed already"):
        run(demo, "prepare_data", "mine", tmp_path, instance, tags={"ml4t/full": "true"})


def test_a_changed_strategy_runs_again(own_data: Any, graph: Any, tmp_path: Path) -> None:
    demo, instance = graph
    run(demo, "prepare_data", "mine", tmp_path, instance)
    made = run(demo, "run_backtests", "hold", tmp_path, instance)
    tags = instance.get_run_by_id(made.run_id).tags
    assert (tags["ml4t/config"], tags["ml4t/dataset"], tags["ml4t/hash/ml4t_backtest"]) == ("hold", "mine", "0.1.0")
    strategy = own_data.configs / "hold.py"
    strategy.write_text(strategy.read_text().replace("quantity=1)", "quantity=2)"))
    again = run(demo, "prepare_data", "mine", tmp_path, instance)
    assert [request.partition_key for request in asked_after(again, instance)] == ["hold"]
    run(demo, "run_backtests", "hold", tmp_path, instance)
    trades = demo.resources(tmp_path)["store"].shelf.read("trades", "hold")
    assert trades["entry_quantity"].to_list() == [2.0, 2.0]


def look(cursor: str | None, instance: Any) -> Any:
    from dagster_project.defs.schedules import changed_configs

    return changed_configs(dg.build_sensor_context(instance=instance, cursor=cursor))


def test_a_changed_configuration_is_run_and_an_unchanged_one_is_not(own_data: Any, graph: Any, tmp_path: Path) -> None:
    demo, instance = graph
    first = look(None, instance)
    # Nothing is prepared yet: the backtest comes after its data.
    assert [(each.job_name, each.partition_key) for each in first.run_requests] == [("prepare_data", "mine")]
    run(demo, "prepare_data", "mine", tmp_path, instance)
    run(demo, "run_backtests", "hold", tmp_path, instance)
    assert look(first.cursor, instance).run_requests == []
    config = own_data.configs / "hold.yaml"
    config.write_text(config.read_text().replace("10000", "20000"))
    changed = look(first.cursor, instance)
    assert [(each.job_name, each.partition_key) for each in changed.run_requests] == [("run_backtests", "hold")]
    assert look(changed.cursor, instance).run_requests == []


def test_a_new_file_is_told_where_nobody_can_reload(own_data: Any, load_graph: Any) -> None:
    load_graph(own_data.configs)
    (own_data.configs / "second.yaml").write_text((own_data.configs / "hold.yaml").read_text())
    skipped = look(None, dg.DagsterInstance.ephemeral())
    assert skipped.skip_message == "files came or went (second): reload the definitions"


def test_a_notice_goes_to_the_function_that_is_named(own_data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from ml4t_backtest.pipeline.notify import Notice, notifier

    (own_data.configs / "tell.py").write_text(
        "from pathlib import Path\n\n\n"
        "def tell(notice):\n"
        "    text = f'{notice.job} {notice.partition} {notice.text}'\n"
        "    Path(__file__ + '.told').write_text(text)\n"
    )
    monkeypatch.setenv("ML4T_CONFIGS", str(own_data.configs))
    monkeypatch.setenv("ML4T_NOTIFIER", "tell.py:tell")
    notifier()(Notice("run_backtests", "hold", "1", "no idea"))
    assert (own_data.configs / "tell.py.told").read_text() == "run_backtests hold no idea"


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
