"""From files and a configuration to tables: one answer however it is asked for, and none from the future."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ml4t_backtest import BacktestResult, list_datasets, load_config, read_result, run_backtest
from ml4t_backtest.reporting.benchmark import benchmark_metrics
from ml4t_backtest.runner import prepare_dataset, publish_run, run_inputs, run_prepared

SAMPLE = list_datasets()[0].path
CUT = date(2008, 10, 10)

CONFIG = """
backtest: {start: 2007-01-03, end: 2009-12-31, initial_capital: 250000}
data:
  source:
    bar_label: session
    adjustment: none
    prices: {path: prices.parquet}
    signals: [{path: predictions.parquet, names: [prediction]}]
    context: [{path: context.parquet, names: [spx_close, spx_volatility_21d], available_at: market_close}]
    corporate_actions: {path: corporate_actions.parquet}
strategy:
  path: ml4t_backtest.strategy.library.RegimeSwitching
reporting: {benchmark: spx_close}
"""


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Return the config of a world of files of its own, made from the embedded sample."""
    for file in SAMPLE.glob("*.parquet"):
        shutil.copy(file, tmp_path)
    (tmp_path / "world.yaml").write_text(CONFIG, encoding="utf-8")
    return tmp_path / "world.yaml"


def assert_same(left: BacktestResult, right: BacktestResult) -> None:
    for name, table in left.tables().items():
        assert_frame_equal(table, right.tables()[name], check_exact=True)


def test_import_and_command_line_give_identical_tables(world: Path) -> None:
    direct = run_backtest(world)
    command = [sys.executable, "-m", "ml4t_backtest.cli", "run", str(world), "--output-root", str(world.parent / "out")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert direct.fills.height > 100
    assert_same(direct, read_result(world.parent / "out" / "runs" / "world"))


def test_a_published_run_reads_back_as_it_was(world: Path) -> None:
    config = load_config(world)
    prepared = prepare_dataset(config.dataset)
    result = run_prepared(config, prepared)
    version = publish_run(config, result, run_inputs(config, prepared), world.parent / "out")
    back = read_result(version)
    assert_same(result, back)
    assert back.metrics == result.metrics
    assert back.facts == result.facts


def test_states_by_month_change_no_other_table_and_not_the_benchmark(world: Path) -> None:
    every = run_backtest(world)
    world.write_text(CONFIG.replace("spx_close}", "spx_close, state_frequency: month}"), encoding="utf-8")
    monthly = run_backtest(world)
    # January 2007 to December 2009: 36 months.
    assert monthly.portfolio_states.height == 36
    assert_same(replace(every, portfolio_states=monthly.portfolio_states), monthly)
    assert benchmark_metrics(monthly, "spx_close") == benchmark_metrics(every, "spx_close")


def test_the_order_of_the_rows_in_the_files_changes_nothing(world: Path) -> None:
    before = run_backtest(world)
    for file in world.parent.glob("*.parquet"):
        frame = pl.read_parquet(file)
        frame.sample(fraction=1.0, shuffle=True, seed=7).write_parquet(file, row_group_size=97)
    assert_same(before, run_backtest(world))


def test_splitting_a_file_by_year_changes_nothing(world: Path) -> None:
    before = run_backtest(world)
    prices = pl.read_parquet(world.parent / "prices.parquet")
    folder = world.parent / "prices"
    folder.mkdir()
    for year in prices["timestamp"].dt.year().unique().sort():
        part = prices.filter(pl.col("timestamp").dt.year() == year)
        part.write_parquet(folder / f"part-{year}.parquet")
    world.write_text(CONFIG.replace("prices.parquet", "prices"), encoding="utf-8")
    assert_same(before, run_backtest(world))


def _scramble(file: Path, columns: list[str], after: date) -> None:
    """Multiply everything after a date by random-looking factors: nothing of it may show in the past."""
    frame = pl.read_parquet(file)
    factor = 0.5 + (pl.int_range(pl.len()) * 0.6180339887498949) % 1.0
    changed = pl.col("timestamp") > after
    frame.with_columns(
        pl.when(changed).then(pl.col(name) * factor).otherwise(pl.col(name)).alias(name) for name in columns
    ).write_parquet(file)


def test_changing_the_future_leaves_the_past_as_it_was_to_the_bit(world: Path) -> None:
    before = run_backtest(world)
    bars = pl.read_parquet(world.parent / "prices.parquet")
    factor = 0.5 + (pl.int_range(pl.len()) * 0.7548776662466927) % 1.0
    future = pl.col("timestamp") > CUT
    bars.with_columns(
        (pl.when(future).then(pl.col(name) * factor).otherwise(pl.col(name))).alias(name)
        for name in ("open", "high", "low", "close")
    ).write_parquet(world.parent / "prices.parquet")
    _scramble(world.parent / "predictions.parquet", ["prediction"], CUT)
    _scramble(world.parent / "context.parquet", ["spx_close", "spx_volatility_21d"], CUT)
    after = run_backtest(world)

    def past(result: BacktestResult, table: str, column: str) -> pl.DataFrame:
        return result.tables()[table].filter(pl.col(column).dt.date() <= CUT)

    for table, column in (("fills", "timestamp"), ("portfolio_states", "timestamp"), ("cash_flows", "timestamp")):
        assert_frame_equal(past(before, table, column), past(after, table, column), check_exact=True)
    assert_frame_equal(past(before, "trades", "exit_timestamp"), past(after, "trades", "exit_timestamp"))
    assert before.portfolio_states["equity"][-1] != after.portfolio_states["equity"][-1]


def test_a_prediction_that_arrives_later_is_used_later(world: Path) -> None:
    before = run_backtest(world)
    file = world.parent / "predictions.parquet"
    late = pl.read_parquet(file).with_columns(pl.col("available_at") + pl.duration(hours=1))
    late.write_parquet(file)
    after = run_backtest(world)
    shown = after.trades.select("decision_prediction", "decision_timestamp", "symbol")
    own = late.with_columns(pl.col("available_at").alias("known")).sort("known")
    known = shown.sort("decision_timestamp").join_asof(
        own.select("symbol", "known", "prediction"),
        left_on="decision_timestamp",
        right_on="known",
        by="symbol",
        check_sortedness=False,
    )
    assert known["prediction"].to_list() == known["decision_prediction"].to_list()
    assert known.select((pl.col("decision_timestamp") - pl.col("known")).min()).item().total_seconds() > 3600
    assert before.fills.height != after.fills.height or not before.fills.equals(after.fills)


def test_three_mistakes_in_the_data_are_reported_at_once_with_their_rows(world: Path) -> None:
    file = world.parent / "prices.parquet"
    rows = pl.int_range(pl.len())
    pl.read_parquet(file).with_columns(
        close=pl.when(rows == 17).then(float("nan")).otherwise("close"),
        low=pl.when(rows == 40).then(-1.0).otherwise("low"),
        volume=pl.when(rows == 55).then(-5).otherwise("volume"),
    ).write_parquet(file)
    command = [sys.executable, "-m", "ml4t_backtest.cli", "run", str(world), "--output-root", str(world.parent / "out")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr
    for code, row in (("E-PX-NAN", 17), ("E-PX-NONPOS", 40), ("E-PX-NEGVOL", 55)):
        assert code in ran.stderr
        assert f"row {row}," in ran.stderr
    assert str(file) in ran.stderr
    assert not (world.parent / "out").exists()
