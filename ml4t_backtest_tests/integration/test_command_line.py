"""The command line as a user types it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from ml4t_backtest.cli import main

HOLD = "import ml4t_backtest\n\nclass Hold(ml4t_backtest.Strategy):\n    def on_market_data(self, event): pass\n"


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.chdir(tmp_path)
    return CliRunner()


def test_run_prints_a_summary_and_the_place_of_the_report(runner: CliRunner, tmp_path: Path) -> None:
    ran = runner.invoke(main, ["run", "simple_ml_strategy"])
    assert ran.exit_code == 0, ran.output
    for label in ("Total return", "Sharpe", "Max drawdown", "Trades"):
        assert label.lower() in ran.output.lower()
    page = Path(ran.output.split("report ")[-1].strip().replace("\n", ""))
    assert page.is_file()
    assert tmp_path / ".runs" in page.parents


def test_report_shows_a_run_again(runner: CliRunner) -> None:
    first = runner.invoke(main, ["run", "multi_asset_strategy"])
    again = runner.invoke(main, ["report", "multi_asset_strategy"])
    assert again.exit_code == 0
    assert again.output.split("report ")[0] == first.output.split("result ")[0]


def test_a_run_is_named_by_the_file_of_its_configuration_too(runner: CliRunner, tmp_path: Path) -> None:
    text = "data: {dataset: us_tech_daily}\nbacktest: {start: 2012-06-01, end: 2012-06-29}\n"
    strategy = "strategy: {path: ml4t_backtest.strategy.library.PredictionThreshold, params: {position_percent: 20}}\n"
    (tmp_path / "mine.yaml").write_text(text + strategy, encoding="utf-8")
    ran = runner.invoke(main, ["run", "mine"])
    assert ran.exit_code == 0, ran.output
    # 20 times the equity, where 20 % was meant.
    assert "rejected      insufficient_cash: " in ran.output
    assert "20 of equity in a cash account" in ran.output
    again = runner.invoke(main, ["report", "mine.yaml"])
    assert again.output.split("report ")[0] == ran.output.split("result ")[0]


def test_validate_runs_nothing_and_writes_nothing(runner: CliRunner, tmp_path: Path) -> None:
    ran = runner.invoke(main, ["validate", "regime_switching"])
    assert ran.exit_code == 0
    assert "12,154 bars of 5 symbols" in ran.output
    assert list(tmp_path.iterdir()) == []


def test_a_users_error_ends_with_code_two_and_no_traceback(runner: CliRunner) -> None:
    ran = runner.invoke(main, ["run", "simple_ml_strategi"])
    assert ran.exit_code == 2
    assert "simple_ml_strategy" in ran.output
    assert "Traceback" not in ran.output


def test_debug_shows_the_traceback(runner: CliRunner) -> None:
    ran = runner.invoke(main, ["--debug", "run", "no_such_config"])
    assert ran.exception is not None
    assert type(ran.exception).__name__ == "ConfigError"


def test_a_run_without_a_result_says_what_to_do(runner: CliRunner) -> None:
    ran = runner.invoke(main, ["report", "never_run"])
    assert ran.exit_code == 2
    assert "run it first" in ran.output


@pytest.mark.parametrize("name", ["../../etc", "a/b", ".."])
def test_a_run_name_cannot_leave_its_folder(runner: CliRunner, name: str) -> None:
    ran = runner.invoke(main, ["report", name])
    assert ran.exit_code == 2
    assert "Traceback" not in ran.output


def test_files_under_the_folder_one_stands_in_are_named_from_there(runner: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "hold.py").write_text(HOLD, encoding="utf-8")
    text = "data: {source: {adjustment: none, prices: {path: data/absent.parquet}}}\n"
    strategy = "strategy: {path: hold.py:Hold}\n"
    (tmp_path / "mine.yaml").write_text(text + strategy, encoding="utf-8")
    ran = runner.invoke(main, ["run", "mine"])
    assert ran.exit_code == 2
    assert "first: file data/absent.parquet\n" in ran.output
    elsewhere = f"/elsewhere{tmp_path}/absent.parquet"  # holds the folder's path, and does not lie under it
    (tmp_path / "mine.yaml").write_text(text.replace("data/absent.parquet", elsewhere) + strategy, encoding="utf-8")
    assert f"first: file {elsewhere}\n" in runner.invoke(main, ["run", "mine"]).output


def test_a_run_that_is_not_there_is_told_with_those_that_are(runner: CliRunner, tmp_path: Path) -> None:
    text = "data: {dataset: us_tech_daily}\nbacktest: {start: 2012-06-01, end: 2012-06-29}\n"
    strategy = "strategy: {path: ml4t_backtest.strategy.library.PredictionThreshold}\n"
    (tmp_path / "mine.yaml").write_text(text + strategy, encoding="utf-8")
    assert runner.invoke(main, ["run", "mine"]).exit_code == 0
    for command in ("report", "reproduce"):
        ran = runner.invoke(main, [command, "mien"])
        assert ran.exit_code == 2
        assert "There are: mine" in ran.output


def test_validate_tells_that_times_without_a_zone_were_read_as_utc(runner: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "hold.py").write_text(HOLD, encoding="utf-8")
    days = [datetime(2024, 1, day, 16) for day in (2, 3, 4)]
    prices = {name: [10.0] * 3 for name in ("open", "high", "low", "close")}
    frame = pl.DataFrame({"timestamp": days, "symbol": "A", **prices, "volume": 100})
    frame.write_parquet(tmp_path / "p.parquet")
    text = "data: {source: {adjustment: none, timezone: ZONE, prices: {path: p.parquet}}}\n"
    strategy = "strategy: {path: hold.py:Hold}\n"
    for zone, told in (("UTC", True), ("America/New_York", False)):
        (tmp_path / "mine.yaml").write_text(text.replace("ZONE", zone) + strategy, encoding="utf-8")
        ran = runner.invoke(main, ["validate", "mine"])
        assert ran.exit_code == 0, ran.output
        assert ("carry no zone and were read as UTC" in ran.output) == told
