"""The whole graph, materialized in process on the embedded sample, against what the package says directly."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from polars.testing import assert_frame_equal

from ml4t_backtest import benchmarks, load_config, run_backtest
from ml4t_backtest.data import scratch
from ml4t_backtest.data.store.storage import content_hash
from ml4t_backtest.reporting.result import TABLES
from ml4t_backtest.runner import RAW_KINDS, prepare_dataset, prepared_dataset, run_inputs

dg = pytest.importorskip("dagster")
pytestmark = pytest.mark.dagster

GROUPS = {
    "raw": {f"raw_{kind}" for kind in RAW_KINDS},
    "validated": {f"validated_{kind}" for kind in RAW_KINDS},
    "prepared": {"asset_data", "context_data", "corporate_actions", "source_quality"},
    "backtest": {"backtest_run", *TABLES},
    "reports": {"run_report", "comparison_report"},
    "sweeps": {"sweep_report"},
    "benchmarks": {"event_loop_benchmark", "strategy_benchmark", "scalability_benchmark", "benchmark_report"},
}
PAGES = {"run_report", "benchmark_report", "sweep_report"}
CONFIGS = ("simple_ml_strategy", "regime_switching")


@pytest.fixture(scope="module")
def defs() -> Any:
    from dagster_project.definitions import defs

    return defs


def test_definitions_are_loadable(defs: Any) -> None:
    dg.Definitions.validate_loadable(defs)


def test_every_asset_of_the_design_exists_in_its_group(defs: Any) -> None:
    found: dict[str, set[str]] = {}
    for spec in defs.resolve_all_asset_specs():
        found.setdefault(spec.group_name, set()).add(spec.key.to_user_string())
    assert found == GROUPS


def test_every_asset_says_what_it_is(defs: Any) -> None:
    for spec in defs.resolve_all_asset_specs():
        assert spec.description, spec.key
        assert spec.kinds, spec.key
        assert spec.code_version == "0.1.0", spec.key


def test_every_table_has_grouped_checks(defs: Any) -> None:
    checks: dict[str, set[str]] = {}
    for key in defs.resolve_asset_graph().asset_check_keys:
        checks.setdefault(key.asset_key.to_user_string(), set()).add(key.name)
    tables = set().union(*GROUPS.values()) - PAGES
    assert set(checks) == tables
    assert all({"schema", "values", "keys"} <= names for names in checks.values())
    assert "signal_timing" in checks["asset_data"]
    assert "reconciles" in checks["backtest_run"]
    assert {"standard", "paranoid", "drift"} <= checks["asset_data"]
    assert {"no_look_ahead", "drift"} <= checks["backtest_run"]
    assert "fresh" in checks["validated_prices"]
    # Each costs about 45 ms in the event log.
    assert max(map(len, checks.values())) <= 7


def test_all_checks_pass(sample: Any) -> None:
    # 10 raw and validated tables with 3 checks, the bars with fresh; 4 prepared ones with 3, two of them with
    # signal_timing, the bars with standard, paranoid and drift, the sources with findings; per run 9 tables with 3, and
    # reconciles, no_look_ahead, drift and traded, and the comparison with 4.
    assert sample.summary.checks_passed == 10 * 3 + 1 + 4 * 3 + 2 + 3 + 1 + 2 * (9 * 3 + 4 + 4)
    assert sample.summary.warnings == 0


@pytest.mark.parametrize("config", CONFIGS)
def test_a_run_in_dagster_equals_a_direct_run_bit_for_bit(sample: Any, config: str) -> None:
    direct = run_backtest(config)
    published = sample.store.read_together(["backtest_run", *TABLES], config)
    for name, frame in direct.tables().items():
        assert_frame_equal(published[name], frame, check_exact=True)
        assert content_hash({name: published[name]}) == content_hash({name: frame})


@pytest.mark.parametrize("at_once", [None, 1_000])
def test_data_prepared_through_files_is_that_of_the_assets(
    at_once: int | None, sample: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if at_once:
        monkeypatch.setattr(scratch, "ROWS_AT_ONCE", at_once)
    files = prepared_dataset(load_config("simple_ml_strategy").dataset, tmp_path)
    assert files.content_hash == sample.store.read("backtest_run", "simple_ml_strategy")["data_hash"].item()


def test_the_run_row_tells_what_the_run_was_made_from(sample: Any) -> None:
    config = load_config("simple_ml_strategy")
    inputs = run_inputs(config, prepare_dataset(config.dataset))
    run = sample.store.read("backtest_run", config.name).row(0, named=True)
    recorded = (run["config_hash"], run["data_hash"], run["engine_version"])
    assert recorded == (inputs["config"], inputs["data"], inputs["ml4t_backtest"])
    assert run["sharpe_ratio"] == run_backtest(config).metrics["sharpe_ratio"]


def test_summary_leads_to_the_report(sample: Any) -> None:
    assert dict(sample.summary.figures["simple_ml_strategy"])["Trades"] == "168"
    page = sample.summary.reports["simple_ml_strategy"]
    assert page.is_relative_to(sample.root)
    assert "simple_ml_strategy" in page.read_text(encoding="utf-8")


def test_comparison_has_one_row_per_run_and_lies_beside_its_asset(sample: Any) -> None:
    table = sample.store.read("comparison_report")
    assert table["config"].to_list() == sorted(CONFIGS)
    assert table["is_comparable"].all()
    assert (sample.root / "assets" / "comparison_report" / "CURRENT").is_file()


@pytest.mark.parametrize("config", CONFIGS)
def test_the_report_draws_closes_beneath_the_fills(sample: Any, config: str) -> None:
    page = sample.store.read("run_report", config).text
    figures = json.loads(page.split('id="figures">')[1].split("</script>")[0])
    names = {line["name"] for line in figures["price:AAPL"]["data"]}
    assert names == {"Close", "Bought", "Sold"}


def test_only_parquet_json_and_html_are_written(sample: Any) -> None:
    files = {file.suffix or file.name for file in sample.root.rglob("*") if file.is_file()}
    assert files == {".parquet", ".json", ".html", "CURRENT"}


_WATCHED = """
import sys
from dagster_project.demo import materialize_all

unpickled, written = [], []

def watch(event, arguments):
    if event == "pickle.find_class":
        unpickled.append(arguments)
    if event == "open" and str(arguments[0]).endswith((".pkl", ".pickle")):
        written.append(arguments)

sys.addaudithook(watch)
import pickle
for name in ("dump", "dumps", "Pickler"):
    setattr(pickle, name, lambda *_, **__: written.append("pickled"))
materialize_all(["simple_ml_strategy"], sys.argv[1])
print(unpickled, written)
"""


def test_a_second_run_gives_the_same_versions_without_a_pickle(sample: Any, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", _WATCHED, str(tmp_path)]
    watched = subprocess.run(command, capture_output=True, text=True, check=True)
    assert watched.stdout.strip() == "[] []"
    for pointer in tmp_path.rglob("CURRENT"):
        if "comparison_report" not in pointer.parts:
            assert pointer.read_text() == (sample.root / pointer.relative_to(tmp_path)).read_text(), pointer


def test_benchmarks_materialize_with_their_checks(defs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dagster_project.defs.resources import resources

    for name in ("event_loop_benchmark", "strategy_benchmark"):
        monkeypatch.setattr(benchmarks, name, partial(getattr(benchmarks, name), 3, 20, repeats=1))
    monkeypatch.setattr(
        benchmarks, "scalability_benchmark", partial(benchmarks.scalability_benchmark, [(2, 10), (3, 10)], repeats=1)
    )
    done = defs.resolve_job_def("run_benchmarks").execute_in_process(
        resources=resources(tmp_path), run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    )
    assert [check.passed for check in done.get_asset_check_evaluations()] == [True] * 9
    report = resources(tmp_path)["store"].shelf.read("benchmark_report")
    assert "## Scalability" in report.text


def test_metadata_shows_rows_columns_a_preview_and_the_equity_curve(defs: Any, tmp_path: Path) -> None:
    from dagster_project.defs.resources import resources
    from dagster_project.demo import materialize_all

    instance = dg.DagsterInstance.ephemeral()
    materialize_all(["simple_ml_strategy"], tmp_path, instance)
    shown = instance.get_latest_materialization_event(dg.AssetKey("backtest_run")).asset_materialization.metadata
    assert shown["dagster/row_count"].value == 1
    columns = {column.name: column for column in shown["dagster/column_schema"].schema.columns}
    assert columns["total_return"].description == "equity against initial capital [fraction (0.02 is 2 %)]"
    origins = shown["dagster/column_lineage"].value.deps_by_column
    assert [dep.asset_key.to_user_string() for dep in origins["sharpe_ratio"]] == ["daily_returns"]
    bars = instance.get_latest_materialization_event(dg.AssetKey("asset_data")).asset_materialization.metadata
    (dep,) = bars["dagster/column_lineage"].value.deps_by_column["close"]
    assert (dep.asset_key.to_user_string(), dep.column_name) == ("validated_prices", "close")
    # Below a thousand characters the UI shows Markdown in place.
    assert len(shown["preview"].md_str) < 1000
    assert len(shown["equity"].md_str) < 1000
    assert shown["equity and drawdown"].md_str.startswith("![equity and drawdown](data:image/svg+xml;base64,")
    assert shown["num_trades"].value == 168
    assert Path(shown["path"].path).is_relative_to(tmp_path)
    assert resources(tmp_path)["store"].shelf.holds("trades", "simple_ml_strategy")
