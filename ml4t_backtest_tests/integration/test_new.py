"""`ml4t-backtest new`: what it writes for a user's files runs, and what it cannot know it does not guess."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import click
import polars as pl
import pytest
from click.testing import CliRunner, Result

from ml4t_backtest import cli, list_datasets, run_backtest
from ml4t_backtest.scaffold import look_at

SAMPLE = list_datasets()[0].path
YEAR = pl.col("timestamp").is_between(date(2012, 1, 3), date(2012, 12, 31))
BARS = ("timestamp", "symbol", "open", "high", "low", "close", "volume")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A vendor's file with other names, naive New York midnights, and predictions with dates only."""
    prices = pl.read_parquet(SAMPLE / "prices.parquet").filter(YEAR).cast({"timestamp": pl.Datetime("ms")})
    names = {"timestamp": "Date", "symbol": "Ticker", "open": "Open", "close": "px_close", "volume": "Vol"}
    prices.rename(names).write_parquet(tmp_path / "my prices.parquet")
    predictions = pl.read_parquet(SAMPLE / "predictions.parquet").filter(YEAR)
    predictions.select(day="timestamp", asset="symbol", score="prediction").write_parquet(tmp_path / "scores.parquet")
    return tmp_path


def new(folder: Path, *more: str) -> Result:
    prices = ["--prices", str(folder / "my prices.parquet"), "--to", str(folder / "out")]
    return CliRunner().invoke(cli.main, ["new", "first", *prices, *more])


def test_what_is_written_runs_as_it_is(files: Path) -> None:
    told = ("--bar-label", "session", "--adjustment", "none", "--signal-available-at", "market_close")
    ran = new(files, "--signals", str(files / "scores.parquet"), *told, "--timezone", "America/New_York")
    assert ran.exit_code == 0, ran.output
    result = run_backtest(files / "out/first.yaml")
    assert result.daily_returns.height == 250  # sessions of 2012
    assert result.fills.height > 50
    assert "decision_score" in result.trades.columns


def test_prices_alone_are_enough(files: Path) -> None:
    assert new(files, "--bar-label", "session", "--adjustment", "none").exit_code == 0
    assert run_backtest(files / "out/first.yaml").trades["symbol"].n_unique() == 5


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ((), "--bar-label"),
        (("--bar-label", "session"), "--adjustment"),
        (("--bar-label", "session", "--adjustment", "none"), "--signal-available-at"),
    ],
)
def test_what_the_files_do_not_say_is_asked_for_and_never_guessed(
    files: Path, given: tuple[str, ...], asked: str
) -> None:
    ran = new(files, "--signals", str(files / "scores.parquet"), *given)
    assert ran.exit_code == cli.USER_ERROR
    assert f"give {asked}" in ran.output
    assert not (files / "out").exists()


def test_a_person_is_asked(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["session", "total_return"])
    monkeypatch.setattr(click, "prompt", lambda question, type: next(answers))
    monkeypatch.setattr(cli, "_is_a_person", lambda: True)
    assert new(files).exit_code == 0
    assert "adjustment: total_return" in (files / "out/first.yaml").read_text(encoding="utf-8")


def test_files_that_are_there_are_left_alone(files: Path) -> None:
    told = ("--bar-label", "session", "--adjustment", "none")
    assert new(files, *told).exit_code == 0
    (files / "out/first.yaml").write_text("mine", encoding="utf-8")
    ran = new(files, *told)
    assert (ran.exit_code, "is there already" in ran.output) == (cli.USER_ERROR, True)
    assert (files / "out/first.yaml").read_text(encoding="utf-8") == "mine"


def test_a_column_without_a_known_name_is_said(files: Path) -> None:
    path = files / "my prices.parquet"
    pl.read_parquet(path).rename({"Ticker": "what"}).write_parquet(path)
    ran = new(files)
    assert ran.exit_code == cli.USER_ERROR
    assert "no column for symbol; it has Date, what, Open" in ran.output


def test_the_length_of_a_bar_is_the_least_span_between_two(tmp_path: Path) -> None:
    stamps = pl.datetime_range(pl.datetime(2024, 1, 2, 9, 35), pl.datetime(2024, 1, 2, 16), "5m", eager=True)
    frame = pl.DataFrame({"time": stamps, "symbol": "A"}).with_columns(**{name: pl.lit(1.0) for name in BARS[2:]})
    frame.write_parquet(tmp_path / "minutes.parquet")
    found = look_at(tmp_path / "minutes.parquet", BARS)
    assert (found.frequency, found.by_session, found.columns) == ("5m", False, {"timestamp": "time"})
