"""The command line as a user types it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from ml4t_backtest.cli import main


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
