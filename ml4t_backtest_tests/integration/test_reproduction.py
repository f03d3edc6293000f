"""A past run, made again from its manifest alone."""

from __future__ import annotations

import json
import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result

from ml4t_backtest import reproduction
from ml4t_backtest.cli import main
from ml4t_backtest.data.store.storage import current_version, publish, read_manifest, read_table
from ml4t_backtest.errors import CorruptDatasetError, InputsChangedError
from ml4t_backtest.reporting.result import TABLES

STRATEGY = """
from ml4t_backtest import Strategy


class Follow(Strategy):
    def on_market_data(self, event):
        if not self.get_position(event.symbol) and event.signals["p"] > 0.5:
            self.buy(event.symbol, quantity=10)
"""
CONFIG = """
backtest: {initial_capital: 100000}
data:
  source:
    bar_label: session
    adjustment: none
    prices: {path: prices.parquet}
    signals: [{path: signals.parquet, names: [p], available_at: market_close}]
strategy: {path: "own.py:Follow"}
"""
DAYS = [day for n in range(60) if (day := date(2024, 1, 2) + timedelta(n)).weekday() < 5 and day.day not in (15, 19)]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a configuration, a strategy and data of its own, run once."""
    closes = [100.0 + n for n in range(len(DAYS))]
    bars = pl.DataFrame({"timestamp": DAYS, "symbol": ["A"] * len(DAYS), "close": closes}).with_columns(
        open=pl.col("close"), high=pl.col("close") + 1, low=pl.col("close") - 1, volume=1000.0
    )
    bars.write_parquet(tmp_path / "prices.parquet")
    bars.select("timestamp", "symbol", p=pl.lit(0.9)).write_parquet(tmp_path / "signals.parquet")
    (tmp_path / "mine.yaml").write_text(CONFIG)
    (tmp_path / "own.py").write_text(STRATEGY)
    monkeypatch.chdir(tmp_path)
    ran = call("run", "mine.yaml")
    assert ran.exit_code == 0, ran.output
    return tmp_path


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def version(project: Path) -> Path:
    return current_version(project / ".runs" / "runs", "mine")


def test_a_run_comes_to_the_same_though_its_configuration_and_prepared_data_are_gone(project: Path) -> None:
    (project / "mine.yaml").unlink()
    shutil.rmtree(project / ".runs" / "prepared")
    again = call("reproduce", "mine")
    assert again.exit_code == 0, again.output
    assert "identical" in again.output
    assert not (project / ".runs" / "prepared").exists()


def test_the_embedded_sample_is_reproduced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("run", "simple_ml_strategy").exit_code == 0
    again = call("reproduce", "simple_ml_strategy")
    assert (again.exit_code, again.output.split()[0]) == (0, "identical")


def test_every_changed_input_is_named_at_once(project: Path) -> None:
    prices = pl.read_parquet(project / "prices.parquet")
    prices.with_columns(volume=pl.lit(2000.0)).write_parquet(project / "prices.parquet")
    (project / "own.py").write_text(STRATEGY.replace("quantity=10", "quantity=11"))
    again = call("reproduce", "mine")
    assert again.exit_code == 2
    assert "InputsChangedError: source 'prices' changed" in again.output
    assert "own.py changed" in again.output
    assert "signals" not in again.output


@pytest.mark.parametrize("name", ["prices.parquet", "own.py"])
def test_an_input_that_is_gone_is_named(project: Path, name: str) -> None:
    (project / name).unlink()
    with pytest.raises((InputsChangedError, CorruptDatasetError), match=name):
        reproduction.reproduce(version(project))


def test_a_damaged_table_is_named_and_what_it_held_is_reproduced(project: Path) -> None:
    with (version(project) / "trades.parquet").open("ab") as file:
        file.write(b"x")
    again = call("reproduce", "mine")
    assert again.exit_code == 3
    assert "differs    trades:" in again.output
    assert "what it should hold was reproduced" in again.output


def test_a_table_that_was_forged_with_all_its_hashes_differs_at_its_first_cell(project: Path) -> None:
    whole = version(project)
    manifest = read_manifest(whole)
    tables = {name: read_table(whole, manifest, name) for name in TABLES}
    # Bought at the second day's open of 101 (raw); the forger makes it 1.
    tables["fills"] = tables["fills"].with_columns(raw_price=pl.lit(1.0))
    attached = {name: (whole / name).read_bytes() for name, it in manifest.files.items() if it["rows"] is None}
    facts = {name: value for name, value in manifest.facts.items() if name != "table_hashes"}
    publish(
        project / ".runs" / "runs",
        "mine",
        tables,
        kind=manifest.kind,
        inputs=manifest.inputs,
        facts=facts,
        attachments=attached,
        provenance=manifest.provenance,
    )
    assert version(project) != whole
    again = call("reproduce", "mine")
    assert again.exit_code == 3
    assert "fills: row 0, column 'raw_price' is stored as 1.0, came out as 101.0" in again.output.replace("\n", "")
    assert call("reproduce", f"mine@{whole.name[:12]}").exit_code == 0


def test_a_configuration_that_was_changed_in_the_manifest_is_refused(project: Path) -> None:
    file = version(project) / "manifest.json"
    told = json.loads(file.read_text())
    told["provenance"]["config"]["backtest"]["initial_capital"] = 5.0
    file.write_text(json.dumps(told))
    again = call("reproduce", "mine")
    assert again.exit_code == 2
    assert "its configuration is not the one its hash is of" in again.output


def test_other_code_is_said_and_the_run_is_still_compared(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now: dict[str, Any] = {**reproduction.environment(), "code": "f" * 64}
    monkeypatch.setattr(reproduction, "environment", lambda: now)
    again = call("reproduce", "mine")
    assert again.exit_code == 0
    assert "code was" in again.output
    assert "ffffffffffff" in again.output


def test_the_place_of_a_project_is_no_part_of_its_result(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other") / "deeper"
    shutil.copytree(project, other, ignore=shutil.ignore_patterns(".runs"))
    assert call("run", str(other / "mine.yaml"), "--output-root", str(other / ".runs")).exit_code == 0
    assert version(other).name == version(project).name


def test_another_strategy_file_is_another_result_of_other_inputs(project: Path) -> None:
    before = read_manifest(version(project)).inputs
    (project / "own.py").write_text(STRATEGY + "\n# the same trades\n")
    assert call("run", "mine.yaml").exit_code == 0
    after = read_manifest(version(project)).inputs
    assert {name for name in after if after[name] != before[name]} == {"own_code"}


def test_runs_lists_what_was_run(project: Path) -> None:
    listed = json.loads(call("runs", "--json").output)
    assert [(run["run"], run["dataset"], run["is_current"]) for run in listed] == [("mine", "mine", True)]
    assert listed[0]["version"] == version(project).name
    # Ten shares, bought and never sold, while the price rises each day.
    assert listed[0]["metrics"]["num_trades"] == 0
    assert listed[0]["metrics"]["total_return"] > 0
    shown = call("runs").output
    assert f"{version(project).name[:12]}*" in shown


def test_runs_on_an_empty_output_root_says_how_to_make_one(tmp_path: Path) -> None:
    assert "no runs" in call("runs", "--output-root", str(tmp_path / "none")).output
    assert json.loads(call("runs", "--json", "--output-root", str(tmp_path)).output) == []


def test_runs_passes_over_what_is_no_run_and_says_so(project: Path) -> None:
    (version(project) / "manifest.json").write_text("{}")
    (project / ".runs" / "runs" / "stray.txt").write_text("x")
    listed = call("runs")
    assert listed.exit_code == 0
    assert "passed over  mine" in listed.output
    assert "no runs" in listed.output


@pytest.mark.parametrize("run", ["never", "mine@", "mine@zz", "../mine", "a@b@c"])
def test_a_run_that_does_not_exist_is_a_users_error(project: Path, run: str) -> None:
    again = call("reproduce", run)
    assert again.exit_code == 2
    assert "Traceback" not in again.output
