"""Configurations as a whole: sources, preparation, strategy, records."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lookahead.projects import HONEST, bars, project
from ml4t_backtest import ConfigError, Strategy, check_lookahead
from ml4t_backtest.data import preparation

CUTS = 4
# A strategy that buys whatever rises on the next bar, as a file of its own says: where that is, `{place}` tells.
READS_A_FILE = """
from datetime import timedelta
from pathlib import Path
import polars as pl
from ml4t_backtest import Strategy

class Mine(Strategy):
    def __init__(self, file: str = "") -> None:
        close = pl.col("close")
        bars = pl.read_parquet({place}).sort("symbol", "timestamp")
        rising = bars.with_columns(up=(close.shift(-1) > close).over("symbol")).filter("up")
        self.rising = set(rising.select("timestamp", "symbol").rows())

    def on_market_data(self, event):
        rises, held = (event.timestamp.date(), event.symbol) in self.rising, self.get_position(event.symbol)
        if rises and not held:
            self.buy(event.symbol, percent=0.2)
        elif held and not rises:
            self.close_position(event.symbol)
"""


class Peeks(Strategy):
    """Holds the whole frame, and buys what rises on the next bar."""

    def __init__(self, asset_data: pl.DataFrame) -> None:
        close = pl.col("close")
        rising = asset_data.with_columns(up=(close.shift(-1) > close).over("symbol", order_by="timestamp"))
        self.rising = set(rising.filter("up").select("timestamp", "symbol").rows())

    def on_market_data(self, event) -> None:  # type: ignore[no-untyped-def]
        rises, held = (event.timestamp, event.symbol) in self.rising, self.get_position(event.symbol)
        if rises and not held:
            self.buy(event.symbol, quantity=10)
        elif held and not rises:
            self.close_position(event.symbol)


def test_an_honest_project_is_clean(tmp_path: Path) -> None:
    report = check_lookahead(project(tmp_path), cuts=CUTS)
    assert report.leaks == ()
    assert report.notes == ()
    assert report.verdict() == "nothing looked ahead"
    assert report.to_frame().is_empty()
    assert "run of mine" in report.checked[0]
    assert "signals.prediction, orders.side" in report.checked[1]


@pytest.mark.parametrize(
    "more",
    [
        "execution: {end_of_data: close}",
        "reporting: {state_frequency: month}",
        "execution: {fill_at: next_open, account: {model: margin}}\nrisk: {position: {take_profit_percent: 0.04}}",
        "execution: {max_volume_share: 0.00001}",
    ],
)
def test_what_ends_or_thins_a_run_is_no_leak(tmp_path: Path, more: str) -> None:
    path = project(tmp_path)
    path.write_text(path.read_text() + more + "\n")
    assert check_lookahead(path, cuts=3).leaks == ()


def test_a_data_set_with_everything_is_clean(tmp_path: Path) -> None:
    """Indicators, splits and dividends, a universe, context, a decision at the next open, a warm-up, an end."""
    path = project(tmp_path)
    days = bars()["timestamp"].unique().sort()
    pl.DataFrame(
        {
            "symbol": ["S0000", "S0001", "S0001"],
            "ex_date": [days[60], days[80], days[81]],
            "kind": ["split", "split", "dividend"],
            "value": [2.0, 0.5, 0.1],
        }
    ).write_parquet(tmp_path / "actions.parquet")
    members = {"symbol": ["S0000", "S0001", "S0001"], "start": [days[0], days[0], days[90]]}
    ends = {"end": [None, days[50], days[120]]}
    pl.DataFrame({**members, **ends}, schema_overrides={"end": pl.Date}).write_parquet(tmp_path / "members.parquet")
    fear = pl.DataFrame({"timestamp": days, "fear": [20.0 + i % 7 for i in range(days.len())]})
    fear.write_parquet(tmp_path / "fear.parquet")
    text = path.read_text().replace(
        "backtest: {", f"backtest: {{start: {days[30]}, end: {days[130]}, warm_up_days: 9, "
    )
    more = """    decide_at: next_open
    indicators: [rsi:14, macd, "atr:14", obv, "bollinger:20"]
    corporate_actions: {path: actions.parquet}
    universe: {path: members.parquet}
    context:
      - {path: fear.parquet, names: [fear], available_at: market_close}
"""
    path.write_text(text.replace("    prices:", more + "    prices:"))
    report = check_lookahead(path, cuts=CUTS)
    assert report.leaks == ()
    # RSI, MACD with its signal and histogram, ATR, OBV and three bands, among others, were compared to the bit.
    assert "asset_data.in_universe" in report.checked[1]


def test_a_strategy_that_reads_the_whole_file_is_found(tmp_path: Path) -> None:
    strategy = READS_A_FILE.format(place='Path(__file__).with_name("prices.parquet")')
    report = check_lookahead(project(tmp_path, strategy=strategy), cuts=CUTS)
    found = report.leaks[0]
    assert (found.stage, found.table) == ("engine", "orders")
    # The first bar is followed by a rise of one of the three, so that the very first decision knows too much.
    assert found.timestamp == datetime(2020, 1, 2, 21, tzinfo=UTC)


def test_a_strategy_that_is_told_where_a_file_lies_is_given_another_one(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    place = tmp_path / "prices.parquet"
    config = project(tmp_path, strategy=READS_A_FILE.format(place="file"), params=f'{{file: "{place}"}}')
    assert [leak.table for leak in check_lookahead(config, cuts=CUTS).leaks][:1] == ["orders"]


def test_a_strategy_that_reads_a_file_nobody_knows_of_gives_itself_away_by_its_timing(tmp_path: Path) -> None:
    """No other future reaches a file at an absolute path of its own; but nobody buys before every rise."""
    home = tmp_path / "project"
    home.mkdir()
    bars().write_parquet(tmp_path / "hidden.parquet")
    strategy = READS_A_FILE.format(place=repr(str(tmp_path / "hidden.parquet")))
    report = check_lookahead(project(home, strategy=strategy), cuts=CUTS)
    assert [(leak.table, leak.column, leak.cut) for leak in report.leaks] == [("orders", "side", None)]
    assert "the return over the next bar" in report.leaks[0].how
    assert "exchanged for noise" in report.notes[0]


def test_a_strategy_that_holds_the_whole_frame_is_found(tmp_path: Path) -> None:
    report = check_lookahead(project(tmp_path), strategy=Peeks, cuts=CUTS)
    assert ("engine", "orders") in {(leak.stage, leak.table) for leak in report.leaks if leak.cut}


def test_a_strategy_that_goes_by_the_calendar_is_noted_and_not_accused(tmp_path: Path) -> None:
    strategy = HONEST.replace('event.signals["prediction"]', "(event.timestamp.day % 5) - 2").replace(
        "percent=0.2", "quantity=5"
    )
    report = check_lookahead(project(tmp_path, strategy=strategy.replace(", stop_loss_percent=0.05", "")), cuts=3)
    assert report.leaks == ()
    assert len(report.notes) == 1
    assert "orders came out the same" in report.notes[0]


def test_a_join_that_looks_forward_is_found_in_the_preparation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The defect is planted into the package itself: signals are those of the bar after."""
    honest = preparation.join_signals

    def forward(prices: pl.DataFrame, sources: list[Any]) -> pl.DataFrame:
        joined, known = honest(prices, sources), pl.col("prediction_available_at").is_not_null()
        after = pl.col("prediction").shift(-1).over("symbol", order_by="timestamp")
        return joined.with_columns(pl.when(known).then(after).alias("prediction"))

    monkeypatch.setattr(preparation, "join_signals", forward)
    report = check_lookahead(project(tmp_path), cuts=CUTS)
    assert {(leak.stage, leak.table, leak.column) for leak in report.leaks if leak.stage == "preparation"} == {
        ("preparation", "asset_data", "prediction")
    }
    assert any(leak.stage == "engine" for leak in report.leaks)


def test_a_pipeline_is_computed_from_the_tables_of_the_configuration(tmp_path: Path) -> None:
    def whole_history(prices: pl.DataFrame) -> pl.DataFrame:
        close = pl.col("close")
        return prices.select("timestamp", "symbol", prediction=(close - close.mean()).over("symbol"))

    report = check_lookahead(project(tmp_path), pipeline=whole_history, cuts=CUTS)
    assert report.leaked_columns == ("prediction",)
    assert report.leaks[0].stage == "pipeline"
    assert report.leaks[0].timestamp == datetime(2020, 1, 2, 21, tzinfo=UTC)


@pytest.mark.long
@pytest.mark.parametrize("name", ["simple_ml_strategy", "multi_asset_strategy", "regime_switching"])
def test_the_configurations_that_come_with_the_package_are_clean(name: str) -> None:
    report = check_lookahead(name)
    assert report.leaks == ()
    assert report.notes == ()


def test_progress_counts_every_world(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    check_lookahead(project(tmp_path), cuts=2, on_progress=lambda done, of: seen.append((done, of)))
    assert [done for done, _ in seen] == list(range(1, seen[0][1] + 1))
    assert len({of for _, of in seen}) == 1


@pytest.mark.parametrize("cuts", [0, -1, 1.5, True, "3"])
def test_cuts_are_a_whole_number(cuts: object) -> None:
    with pytest.raises(ConfigError, match="cuts must be a whole number from 1, got"):
        check_lookahead("simple_ml_strategy", cuts=cuts)  # type: ignore[arg-type]


def test_a_check_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="nothing to check"):
        check_lookahead()
    with pytest.raises(ConfigError, match="no signals among prices"):
        check_lookahead(inputs={"prices": bars()})
    with pytest.raises(ConfigError, match="inputs are for a check without a configuration"):
        check_lookahead("simple_ml_strategy", inputs={"prices": bars()})
