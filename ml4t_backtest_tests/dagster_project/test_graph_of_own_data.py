"""Graphs over configurations of the test's own: bad rows, data sets without signals, mixtures, broken files."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ml4t_backtest.core import schemas
from ml4t_backtest.data.prepared import PREPARED_TABLES
from ml4t_backtest.data.store.storage import current_version
from ml4t_backtest.errors import AccountingError, ConfigError, CorruptDatasetError, InputsChangedError
from ml4t_backtest.pipeline.asset_shelf import AssetShelf
from ml4t_backtest.reproduction import past_runs, reproduce

dg = pytest.importorskip("dagster")
pytestmark = pytest.mark.dagster
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def run(demo: Any, job: str, key: str, root: Path, instance: Any = None) -> Any:
    return demo.defs.resolve_job_def(job).execute_in_process(
        run_config=QUIET, partition_key=key, resources=demo.resources(root), raise_on_error=False, instance=instance
    )


def with_broken_row(bars: pl.DataFrame) -> pl.DataFrame:
    return bars.with_columns(high=pl.when(pl.int_range(pl.len()) == 3).then(90.0).otherwise("high"))


def test_data_without_signals_and_context_runs_on_empty_tables(own_data: Any, load_graph: Any, tmp_path: Path) -> None:
    summary = load_graph(own_data.configs).materialize_all(["hold"], tmp_path)
    assert summary.warnings == 0
    store = load_graph(own_data.configs).resources(tmp_path)["store"].shelf
    signals = store.read("validated_signals", "mine")["signals"]
    assert signals.schema == schemas.empty_frame(schemas.signals_schema(())).schema
    assert signals.is_empty()
    assert store.read("raw_context", "mine")["context"].is_empty()
    assert store.read("corporate_actions", "mine").is_empty()
    assert store.read("trades", "hold").height == 2


def test_a_run_of_the_graph_is_listed_once_and_can_be_made_again(
    own_data: Any, load_graph: Any, tmp_path: Path
) -> None:
    demo = load_graph(own_data.configs)
    for job, key in (("prepare_data", "mine"), ("run_backtests", "hold"), ("run_backtests", "hold")):
        assert run(demo, job, key, tmp_path).success
    runs, broken = past_runs(tmp_path)
    assert broken == []
    assert [(each.name, each.is_current) for each in runs] == [("hold", True)]
    assert reproduce(runs[0].version).is_identical
    (own_data.configs / "beside.py").write_text("x = 1\n")
    assert reproduce(runs[0].version).is_identical

    own_data.write_bars(pl.read_parquet(own_data.configs / "bars.parquet").with_columns(volume=pl.lit(7.0)))
    with pytest.raises(InputsChangedError, match="prepared data changed"):
        reproduce(runs[0].version)


def test_a_broken_row_fails_the_check_with_the_packages_text_and_publishes_nothing(
    own_data: Any, load_graph: Any, tmp_path: Path, bars: pl.DataFrame
) -> None:
    demo, instance = load_graph(own_data.configs), dg.DagsterInstance.ephemeral()
    assert run(demo, "prepare_data", "mine", tmp_path).success
    good = current_version(tmp_path / "assets", "validated_prices/mine")
    own_data.write_bars(with_broken_row(bars))

    failed = run(demo, "prepare_data", "mine", tmp_path, instance)

    assert not failed.success
    checks = {check.check_name: check for check in evaluations(instance, failed.run_id, "validated_prices")}
    assert not checks["values"].passed
    # Row 3 of the file: symbol A on 2024-01-11, which became that session's close.
    assert "E-PX-HILO prices: high is below low (1 found)" in checks["values"].description
    assert "row 3, key A 2024-01-11T21:00:00+00:00" in checks["values"].description
    assert str(own_data.configs) in checks["values"].description
    assert "schema" not in checks
    materialized = {event.asset_key.to_user_string() for event in failed.get_asset_materialization_events()}
    assert "raw_prices" in materialized
    assert not materialized & {"validated_prices", "asset_data", "context_data"}
    assert current_version(tmp_path / "assets", "validated_prices/mine") == good
    assert run(demo, "run_backtests", "hold", tmp_path).success


def test_a_broken_row_is_a_warning_on_the_raw_table(
    own_data: Any, load_graph: Any, tmp_path: Path, bars: pl.DataFrame
) -> None:
    own_data.write_bars(with_broken_row(bars))
    instance = dg.DagsterInstance.ephemeral()
    failed = run(load_graph(own_data.configs), "prepare_data", "mine", tmp_path, instance)
    checks = {check.check_name: check for check in evaluations(instance, failed.run_id, "raw_prices")}
    assert {name: check.passed for name, check in checks.items()} == {"schema": True, "values": False, "keys": True}
    assert checks["values"].severity == dg.AssetCheckSeverity.WARN


def test_bars_that_are_late_are_a_warning_with_the_sessions_they_are_behind(
    own_data: Any, load_graph: Any, tmp_path: Path
) -> None:
    dataset = own_data.configs / "datasets" / "mine.yaml"
    dataset.write_text(dataset.read_text() + "max_sessions_behind: 3\n")
    instance = dg.DagsterInstance.ephemeral()
    done = run(load_graph(own_data.configs), "prepare_data", "mine", tmp_path, instance)
    assert done.success
    checks = {check.check_name: check for check in evaluations(instance, done.run_id, "validated_prices")}
    assert (checks["fresh"].passed, checks["fresh"].severity) == (False, dg.AssetCheckSeverity.WARN)
    assert (
        "closed after the newest bar, 2024-01-12T21:00:00+00:00; max_sessions_behind is 3"
        in checks["fresh"].description
    )


def hold_that_does(own_data: Any, body: str) -> None:
    """Write a strategy that does one thing at each bar."""
    head = "from ml4t_backtest import Strategy\n\n\nclass Hold(Strategy):\n    def on_market_data(self, event):\n"
    (own_data.configs / "hold.py").write_text(f"{head}        {body}\n")


def test_a_run_without_trades_warns_unless_the_configuration_allows_for_it(
    own_data: Any, load_graph: Any, tmp_path: Path
) -> None:
    hold_that_does(own_data, "pass")
    demo = load_graph(own_data.configs)
    assert demo.materialize_all(["hold"], tmp_path).warnings == 1
    config = own_data.configs / "hold.yaml"
    config.write_text(config.read_text() + "reporting: {allow_no_trades: true}\n")
    assert demo.materialize_all(["hold"], tmp_path).warnings == 0


def test_a_missing_column_fails_the_schema_check_of_the_raw_table(
    own_data: Any, load_graph: Any, tmp_path: Path, bars: pl.DataFrame
) -> None:
    own_data.write_bars(bars.drop("close"))
    instance = dg.DagsterInstance.ephemeral()
    failed = run(load_graph(own_data.configs), "prepare_data", "mine", tmp_path, instance)
    (check,) = evaluations(instance, failed.run_id, "raw_prices")
    assert (check.check_name, check.passed) == ("schema", False)
    assert "E-SC-MISSING prices: column 'close' is absent" in check.description
    assert not (tmp_path / "assets" / "raw_prices").exists()


def test_a_failing_strategy_fails_its_run_with_the_packages_text(
    own_data: Any, load_graph: Any, tmp_path: Path
) -> None:
    hold_that_does(own_data, "raise ValueError('no idea')")
    demo = load_graph(own_data.configs)
    assert run(demo, "prepare_data", "mine", tmp_path).success
    with pytest.raises(dg.Failure) as failure:
        demo.materialize_all(["hold"], tmp_path)
    assert "StrategyError: run 'hold': Hold raised at 2024-01-08 21:00 UTC on A" in failure.value.description
    assert failure.value.allow_retries is False
    assert not (tmp_path / "assets" / "trades").exists()


def test_books_that_do_not_balance_fail_the_reconciles_check(
    own_data: Any, load_graph: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ml4t_backtest.engine import BacktestEngine

    def cook_the_books(_: BacktestEngine) -> None:
        raise AccountingError("the records contradict each other: a cent is missing")

    demo, instance = load_graph(own_data.configs), dg.DagsterInstance.ephemeral()
    assert run(demo, "prepare_data", "mine", tmp_path).success
    monkeypatch.setattr(BacktestEngine, "run", cook_the_books)
    failed = run(demo, "run_backtests", "hold", tmp_path, instance)
    (check,) = evaluations(instance, failed.run_id, "backtest_run")
    assert (check.check_name, check.passed) == ("reconciles", False)
    assert "a cent is missing" in check.description
    assert not (tmp_path / "assets" / "backtest_run").exists()


def test_parts_of_different_preparations_are_refused(
    own_data: Any, load_graph: Any, tmp_path: Path, bars: pl.DataFrame
) -> None:
    demo = load_graph(own_data.configs)
    assert run(demo, "prepare_data", "mine", tmp_path).success
    pointer = tmp_path / "assets" / "context_data" / "mine" / "CURRENT"
    old = pointer.read_text()
    own_data.write_bars(bars.with_columns(volume=pl.col("volume") + 1.0))
    assert run(demo, "prepare_data", "mine", tmp_path).success
    # As if the process had been killed between publishing the bars and publishing the context.
    pointer.write_text(old)
    shelf = demo.resources(tmp_path)["store"].shelf
    with pytest.raises(CorruptDatasetError, match="asset_data, context_data, corporate_actions of 'mine' were made"):
        shelf.read_together(["asset_data", "context_data", "corporate_actions"], "mine")
    with pytest.raises(dg.Failure, match="were made from different inputs"):
        demo.defs.resolve_job_def("run_backtests").execute_in_process(
            run_config=QUIET, partition_key="hold", resources=demo.resources(tmp_path)
        )


def test_runs_on_different_versions_of_a_data_set_are_marked_and_warned_about(
    own_data: Any, load_graph: Any, tmp_path: Path, bars: pl.DataFrame
) -> None:
    (own_data.configs / "again.yaml").write_text((own_data.configs / "hold.yaml").read_text())
    demo = load_graph(own_data.configs)
    demo.materialize_all(["hold"], tmp_path)
    own_data.write_bars(bars.with_columns(volume=pl.col("volume") + 1.0))
    summary = demo.materialize_all(["again"], tmp_path)
    table = demo.resources(tmp_path)["store"].shelf.read("comparison_report")
    assert table.select("config", "is_comparable").rows() == [("again", False), ("hold", False)]
    assert summary.warnings == 1


def test_comparison_works_with_a_single_configuration(own_data: Any, load_graph: Any, tmp_path: Path) -> None:
    demo = load_graph(own_data.configs)
    demo.materialize_all(["hold"], tmp_path)
    assert demo.resources(tmp_path)["store"].shelf.read("comparison_report")["config"].to_list() == ["hold"]


def test_a_broken_configuration_does_not_hide_the_others(own_data: Any, load_graph: Any, tmp_path: Path) -> None:
    (own_data.configs / "broken.yaml").write_text("backtest: {initial_capital: -1}\ndata: {dataset: mine}\n")
    demo = load_graph(own_data.configs)
    assert demo.materialize_all(["hold"], tmp_path).reports["hold"].is_file()
    with pytest.raises(ConfigError, match="initial_capital"):
        demo.materialize_all(["broken"], tmp_path)


def test_a_configuration_with_its_own_sources_gets_a_data_set_of_its_name(
    own_data: Any, load_graph: Any, tmp_path: Path
) -> None:
    (own_data.configs / "alone.yaml").write_text(
        "backtest: {initial_capital: 10000}\n"
        "data: {source: {bar_label: session, adjustment: total_return, prices: {path: bars.parquet}}}\n"
        "strategy: {path: 'hold.py:Hold'}\n"
    )
    demo = load_graph(own_data.configs)
    assert demo.defs.resolve_job_def("prepare_data").partitions_def.get_partition_keys() == ["alone", "mine"]
    demo.materialize_all(["alone"], tmp_path)
    assert (tmp_path / "assets" / "asset_data" / "alone" / "CURRENT").is_file()


def test_assets_are_functions(own_data: Any, load_graph: Any, bars: pl.DataFrame, tmp_path: Path) -> None:
    store = load_graph(own_data.configs).resources(tmp_path)["store"]
    from dagster_project.defs.sources import validated

    (prices,) = (each for each in validated if each.key == dg.AssetKey("validated_prices"))
    context = dg.build_asset_context(partition_key="mine")
    *checks, published = prices(context, store, {"prices": bars})
    assert [(check.check_name, check.passed) for check in checks] == [
        ("schema", True),
        ("values", True),
        ("keys", True),
        ("fresh", True),
    ]
    assert published.value["prices"]["timestamp"].dt.date().unique().sort()[0] == date(2024, 1, 8)
    assert published.metadata["dagster/row_count"] == 10


@pytest.mark.parametrize("key", ["../mine", "a/b", "x" * 300, "mine\n", "mine.yaml/"])
def test_an_asset_refuses_a_partition_key_that_is_no_name(
    own_data: Any, load_graph: Any, key: str, tmp_path: Path
) -> None:
    store = load_graph(own_data.configs).resources(tmp_path)["store"]
    from dagster_project.defs.sources import raw

    for asset in raw:
        with pytest.raises(ConfigError):
            list(asset(dg.build_asset_context(partition_key=key), store))


def evaluations(instance: Any, run_id: str, asset: str) -> list[Any]:
    events = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    found = [event.dagster_event.event_specific_data for event in events]
    return [check for check in found if check.asset_key == dg.AssetKey(asset)]


@pytest.fixture
def bars(own_data: Any) -> pl.DataFrame:
    return pl.read_parquet(own_data.configs / "bars.parquet")


def with_indicators_and_universe(own_data: Any, universe: str) -> None:
    (own_data.configs / "members.csv").write_text(universe)
    (own_data.configs / "datasets" / "mine.yaml").write_text(
        "bar_label: session\nadjustment: total_return\nprices: {path: ../bars.parquet}\n"
        "indicators: ['sma:2', macd]\nuniverse: {path: ../members.csv}\n"
    )


def test_indicators_and_universe_of_the_configuration_reach_the_trades(
    own_data: Any, load_graph: Any, tmp_path: Path
) -> None:
    with_indicators_and_universe(own_data, "symbol,start,end\nA,2024-01-09,2024-01-10\n")
    # That B never belonged to the universe is told.
    assert load_graph(own_data.configs).materialize_all(["hold"], tmp_path).warnings == 1
    store = load_graph(own_data.configs).resources(tmp_path)["store"].shelf
    assert store.read("source_quality", "mine")["what"].to_list() == ["DQ-UNIVERSE"]
    assert store.read("validated_universe", "mine")["universe"].rows() == [("A", date(2024, 1, 9), date(2024, 1, 10))]
    of_a = store.read("asset_data", "mine").filter(pl.col("symbol") == "A")
    assert of_a.select("sma_2", "macd_signal", "in_universe").rows() == [
        (None, None, 0.0),
        (100.5, None, 1.0),
        (101.5, None, 1.0),
        (102.5, None, 0.0),
        (103.5, None, 0.0),
    ]
    # Decided on the first bar, filled on the second.
    trades = store.read("trades", "hold").sort("symbol")
    assert trades.select("decision_sma_2", "entry_sma_2", "entry_in_universe").row(0) == (None, 100.5, 1.0)


def test_a_broken_universe_fails_its_check(own_data: Any, load_graph: Any, tmp_path: Path) -> None:
    with_indicators_and_universe(own_data, "symbol,start,end\nA,2024-01-09,2024-01-08\n")
    instance = dg.DagsterInstance.ephemeral()
    failed = run(load_graph(own_data.configs), "prepare_data", "mine", tmp_path, instance)
    assert not failed.success
    checks = {check.check_name: check for check in evaluations(instance, failed.run_id, "validated_universe")}
    assert "E-UNI-RANGE universe: it ends before it starts" in checks["values"].description


@pytest.mark.parametrize("made_from", ["the inputs of today", "other inputs"])
def test_folders_of_a_version_that_kept_the_universe_with_the_prices_are_gone_over(
    made_from: str, own_data: Any, load_graph: Any, tmp_path: Path
) -> None:
    """They held a table more, and there was none of the universe's own."""
    with_indicators_and_universe(own_data, "symbol,start,end\nA,2024-01-09,2024-01-10\n")
    demo = load_graph(own_data.configs)
    assert run(demo, "prepare_data", "mine", tmp_path / "clean").success
    clean, shelf = AssetShelf(tmp_path / "clean"), AssetShelf(tmp_path / "old")
    for stage in ("raw", "validated"):
        both = {**clean.read(f"{stage}_prices", "mine"), **clean.read(f"{stage}_universe", "mine")}
        inputs = clean.inputs_of(f"{stage}_prices", "mine")
        shelf.put(
            f"{stage}_prices", "mine", both, inputs if made_from == "the inputs of today" else {"code": "of then"}
        )
    assert run(demo, "prepare_data", "mine", tmp_path / "old").success
    assert [*shelf.read("validated_prices", "mine")] == ["prices"]
    assert shelf.joint_hash(PREPARED_TABLES, "mine") == clean.joint_hash(PREPARED_TABLES, "mine")
