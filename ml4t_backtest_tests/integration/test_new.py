"""`ml4t-backtest new`: what it writes for a user's files runs, and what it cannot know it does not guess."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import click
import polars as pl
import pytest
from click.testing import CliRunner, Result

from ml4t_backtest import cli, list_datasets, run_backtest
from ml4t_backtest.cli import setting_up
from ml4t_backtest.scaffold.found import look_at

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


def test_all_that_is_not_known_is_asked_for_at_once(files: Path) -> None:
    path = files / "my prices.parquet"
    pl.read_parquet(path).with_columns(pl.col("Date").dt.offset_by("16h")).write_parquet(path)
    ran = new(files, "--signals", str(files / "scores.parquet"))
    asked = ["--bar-label", "--adjustment", "--signal-available-at", "--timezone"]
    assert [line.split("give ")[1].split(",")[0] for line in ran.output.splitlines()] == asked


def test_the_folder_one_stands_in_is_where_to_without_being_said(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files)
    told = ["--bar-label", "session", "--adjustment", "none"]
    ran = CliRunner().invoke(cli.main, ["new", "here", "--prices", "my prices.parquet", *told])
    assert ran.exit_code == 0, ran.output
    assert {"here.yaml", "here_strategy.py"} <= {path.name for path in files.iterdir()}
    assert "path: 'my prices.parquet'" in (files / "here.yaml").read_text(encoding="utf-8")


VENDOR = {"timestamp": "ts_event", "symbol": "RIC", "open": "px_open", "high": "px_high", "low": "px_low"}
VENDOR |= {"close": "px_close", "volume": "vol"}


def vendor_days(closes: list[tuple[str, int]]) -> pl.DataFrame:
    """Bars of two symbols named by their close: (day, hour) in New York, without a zone."""
    stamps = pl.Series([f"{day} {hour}:00" for day, hour in closes]).str.to_datetime("%Y-%m-%d %H:%M")
    bars = [pl.DataFrame({"ts_event": stamps, "RIC": symbol}) for symbol in ("^GSPC", ".INX")]
    prices = {name: pl.lit(value) for name, value in [("px_open", 9.0), ("px_high", 11.0), ("px_low", 8.0)]}
    return pl.concat(bars).with_columns(**prices, px_close=pl.lit(10.0), vol=pl.lit(100))


# The day after Thanksgiving closes at 13:00: 21 hours after the close before it.
HALF_DAY = [("2024-11-26", 16), ("2024-11-27", 16), ("2024-11-29", 13), ("2024-12-02", 16)]


def test_names_of_vendors_are_known_and_daily_bars_are_daily_around_a_half_day(tmp_path: Path) -> None:
    vendor_days(HALF_DAY).write_parquet(tmp_path / "p.parquet")
    found = look_at(tmp_path / "p.parquet", BARS)
    assert (found.columns, found.frequency, found.by_session, found.is_naive) == (VENDOR, "1d", False, True)


def test_of_two_columns_that_may_be_meant_none_is_taken_until_it_is_said(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    vendor_days(HALF_DAY).with_columns(price_close=pl.lit(99.0)).write_parquet(path)
    told = told_of_new_york(tmp_path / "o")
    asked = ["new", "mine", "--prices", str(path), *told]
    ran = CliRunner().invoke(cli.main, asked)
    assert "no column for close; it has ts_event, RIC" in ran.output
    assert "--columns close=COLUMN" in ran.output
    ran = CliRunner().invoke(cli.main, [*asked, "--columns", "close=px_close"])
    assert ran.exit_code == 0, ran.output
    assert "close: 'px_close'" in (tmp_path / "o/mine.yaml").read_text(encoding="utf-8")
    ran = CliRunner().invoke(cli.main, [*asked, "--columns", "close=px_closing"])
    assert "--columns names the columns px_closing; it has ts_event" in ran.output


def told_of_new_york(folder: Path) -> list[str]:
    """Return what is said of bars of a vendor's, and where to."""
    return ["--bar-label", "close", "--adjustment", "none", "--timezone", "America/New_York", "--to", str(folder)]


def test_a_file_of_context_gets_names_that_a_configuration_can_give(tmp_path: Path) -> None:
    vendor_days(HALF_DAY).write_parquet(tmp_path / "p.parquet")
    days = [day for day, _ in HALF_DAY]
    vix = pl.DataFrame({"Date": days, "VIX Close": [14.0, 14.1, 13.5, 13.3], "close": [1.0, 2.0, 3.0, 4.0]})
    vix.write_csv(tmp_path / "vix.csv")
    told = told_of_new_york(tmp_path / "o")
    context = ["--context", str(tmp_path / "vix.csv"), "--context-available-at", "next_day"]
    ran = CliRunner().invoke(cli.main, ["new", "mine", "--prices", str(tmp_path / "p.parquet"), *told, *context])
    assert ran.exit_code == 0, ran.output
    states = run_backtest(tmp_path / "o/mine.yaml").portfolio_states
    assert states["vix_close"].to_list() == [None, 14.0, 14.1, 13.5]  # known at the open of the session after
    assert states.columns[-2:] == ["vix_close", "vix_close_2"]


def test_daily_predictions_on_minute_bars_are_traded_once_a_day(tmp_path: Path) -> None:
    days = [date(2024, 1, 2), date(2024, 1, 3), date(2024, 1, 4)]
    stamps = [
        pl.datetime_range(
            pl.datetime(*day.timetuple()[:3], 9, 31), pl.datetime(*day.timetuple()[:3], 16), "1m", eager=True
        )
        for day in days
    ]
    bars = [pl.DataFrame({"ts": pl.concat(stamps), "ticker": symbol}) for symbol in "ABCD"]
    flat = {name: pl.lit(10.0) for name in ("open", "high", "low", "close", "volume")}
    pl.concat(bars).with_columns(**flat).write_parquet(tmp_path / "p.parquet")
    best = [(day, symbol, float(symbol == "ABC"[index])) for index, day in enumerate(days) for symbol in "ABCD"]
    pl.DataFrame(best, schema=["day", "ticker", "score"], orient="row").write_parquet(tmp_path / "s.parquet")
    told = told_of_new_york(tmp_path / "o")
    known = ["--signals", str(tmp_path / "s.parquet"), "--signal-available-at", "market_open"]
    ran = CliRunner().invoke(cli.main, ["new", "mine", "--prices", str(tmp_path / "p.parquet"), *told, *known])
    assert ran.exit_code == 0, ran.output
    fills = run_backtest(tmp_path / "o/mine.yaml").fills
    # Bought A, sold it for B, sold that for C: one decision per day.
    assert fills["symbol"].to_list() == ["A", "A", "B", "B", "C"]


def test_predictions_without_a_number_are_said(files: Path) -> None:
    path = files / "scores.parquet"
    pl.read_parquet(path).select("day", "asset", label=pl.lit("up")).write_parquet(path)
    told = ("--bar-label", "session", "--adjustment", "none", "--signal-available-at", "market_close")
    ran = new(files, "--signals", str(path), *told)
    assert ran.exit_code == cli.USER_ERROR
    assert "no number column beside the keys, so no prediction" in ran.output
    assert not (files / "out").exists()


def test_a_person_is_asked(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["session", "total_return"])
    monkeypatch.setattr(click, "prompt", lambda question, **_: next(answers))
    monkeypatch.setattr(setting_up, "_is_a_person", lambda: True)
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


@pytest.mark.parametrize(("zone", "told"), [("UTC", 1), ("America/New_York", 0)])
def test_times_without_a_zone_that_are_read_as_utc_are_told(zone: str, told: int, tmp_path: Path) -> None:
    """16:00 in New York read as 16:00 UTC is a bar that closes before noon: every decision would be a session late."""
    vendor_days(HALF_DAY).write_parquet(tmp_path / "p.parquet")
    given = ["--bar-label", "close", "--adjustment", "none", "--timezone", zone, "--to", str(tmp_path / "o")]
    ran = CliRunner().invoke(cli.main, ["new", "mine", "--prices", str(tmp_path / "p.parquet"), *given])
    assert ran.exit_code == 0, ran.output
    notes = run_backtest(tmp_path / "o/mine.yaml").facts["notes"]
    assert len([note for note in notes if "carry no zone and were read as UTC" in note]) == told


def test_times_that_have_a_zone_are_not_told(tmp_path: Path) -> None:
    zoned = vendor_days(HALF_DAY).with_columns(pl.col("ts_event").dt.replace_time_zone("America/New_York"))
    zoned.write_parquet(tmp_path / "p.parquet")
    given = ["--bar-label", "close", "--adjustment", "none", "--to", str(tmp_path / "o")]
    ran = CliRunner().invoke(cli.main, ["new", "mine", "--prices", str(tmp_path / "p.parquet"), *given])
    assert ran.exit_code == 0, ran.output  # and nobody is asked for a zone
    assert not any("carry no zone" in note for note in run_backtest(tmp_path / "o/mine.yaml").facts["notes"])


def test_a_zone_or_calendar_that_is_none_is_refused_before_anything_is_written(files: Path) -> None:
    told = ("--bar-label", "session", "--adjustment", "none")
    ran = new(files, *told, "--timezone", "New_York")
    assert (ran.exit_code, "must be UTC or an IANA zone of a place" in ran.output) == (cli.USER_ERROR, True)
    ran = new(files, *told, "--calendar", "XNYX")
    assert (ran.exit_code, "nearest: XNYS" in ran.output) == (cli.USER_ERROR, True)
    assert not (files / "out").exists()


def test_columns_that_are_not_known_are_told_of_all_files_at_once(files: Path) -> None:
    bars, scores = files / "my prices.parquet", files / "scores.parquet"
    pl.read_parquet(bars).rename({"Ticker": "what"}).write_parquet(bars)
    pl.read_parquet(scores).rename({"day": "when"}).write_parquet(scores)
    lines = new(files, "--signals", str(scores)).output.splitlines()
    assert [line.split("Say which it is: ")[1] for line in lines] == [
        "--columns symbol=COLUMN",
        "--signal-columns timestamp=COLUMN",
    ]


def test_what_was_written_is_followed_by_what_to_do_next(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files)
    told = ("--bar-label", "session", "--adjustment", "none")
    assert new(files, *told).output.splitlines()[-1] == "next     ml4t-backtest validate out/first.yaml"


def test_a_question_shows_a_stamp_and_what_each_answer_means(files: Path) -> None:
    first, *_ = new(files).output.splitlines()
    assert "What does the timestamp of a bar, such as 2012-01-03 00:00:00, name?" in first
    assert "close (the moment a bar is complete); open (the moment it begins); session (its day" in first
