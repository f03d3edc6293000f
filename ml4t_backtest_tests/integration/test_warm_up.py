"""The warm-up end to end: slices before `start` are shown, and nothing of them reaches the records."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from worlds import DAYS, actions, bars, closes, quantities, run, run_on, script

from ml4t_backtest import ConfigError, PolarsDataFeed, Strategy, run_backtest
from ml4t_backtest.execution.accounts import MarginAccount
from ml4t_backtest.execution.guard import PortfolioLimits

WORLD = {"A": [10, 20, 30, 40, 50, 60]}


class Watches(Strategy):
    """Writes down what it is shown, where."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, datetime, float]] = []

    def on_warm_up(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Any) -> None:
        self.seen.append(("warm up", timestamp, asset_batch["close"][0]))

    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Any) -> None:
        self.seen.append(("decide", timestamp, asset_batch["close"][0]))


def watch(**feed: Any) -> list[tuple[str, datetime, float]]:
    strategy = Watches()
    run_on(PolarsDataFeed(bars(WORLD), bar_label="session", **feed), strategy)
    return strategy.seen


@pytest.mark.parametrize("chunk", [1, 2, "1mo"])
def test_the_first_decision_is_on_the_first_slice_at_or_after_the_start(chunk: Any) -> None:
    # The 6th is a Saturday: the first session from then on is Monday the 8th. Three calendar days before is the 3rd.
    seen = watch(start=date(2024, 1, 6), warm_up_days=3, chunk=chunk)
    assert seen == [
        ("warm up", closes(1), 20.0),
        ("warm up", closes(2), 30.0),
        ("warm up", closes(3), 40.0),
        ("decide", closes(4), 50.0),
        ("decide", closes(5), 60.0),
    ]


def test_days_are_calendar_days() -> None:
    # Four days before Monday the 8th is Thursday the 4th; sessions are the 4th and the 5th.
    assert [where for where, *_ in watch(start=DAYS[4], warm_up_days=4)] == ["warm up", "warm up", "decide", "decide"]
    assert [where for where, *_ in watch(start=DAYS[4], warm_up_days=2)] == ["decide", "decide"]
    assert [where for where, *_ in watch(start=DAYS[4])] == ["decide", "decide"]


def test_no_slice_of_the_warm_up_reaches_the_records() -> None:
    plan = {0: lambda s: s.buy("A", 5)}
    result = run(WORLD, plan, feed={"start": DAYS[3], "warm_up_days": 10, "chunk": 2})
    assert result.portfolio_states["timestamp"].to_list() == [closes(3), closes(4), closes(5)]
    assert result.portfolio_states["equity"].to_list() == [1_000.0, 1_000.0, 1_050.0]
    assert result.daily_returns["session"].to_list() == [DAYS[3], DAYS[4], DAYS[5]]
    assert result.orders["decision_timestamp"].to_list() == [closes(3)]
    assert result.fills["timestamp"].to_list() == [closes(4)]


def test_a_run_with_a_warm_up_trades_as_one_that_starts_there() -> None:
    plan = {0: lambda s: s.buy("A", 5), 1: lambda s: s.close_position("A")}
    warm = run(WORLD, plan, feed={"start": DAYS[2], "warm_up_days": 10})
    cold = run(WORLD, plan, feed={"start": DAYS[2]})
    assert warm.trades.equals(cold.trades)
    assert warm.portfolio_states.equals(cold.portfolio_states)


def test_no_interest_is_paid_for_the_warm_up() -> None:
    # From the 5th to the 8th are three days, to the 9th one more: 1,000 x 0.365 / 365 = 1 a day.
    feed = {"start": DAYS[3], "warm_up_days": 10}
    result = run(WORLD, {}, feed=feed, interest_rate=0.365)
    assert result.cash_flows["timestamp"].to_list() == [closes(4), closes(5)]
    assert result.cash_flows["amount"].to_list() == [pytest.approx(3.0), pytest.approx(1.003)]
    assert result.portfolio_states["equity"][0] == 1_000.0


@pytest.mark.parametrize("chunk", [1, "1mo"])
def test_interest_runs_from_the_first_traded_slice_in_the_middle_of_its_session(chunk: Any) -> None:
    # Traded from 17:00 on: one night at 0.365 a year on 1,000 is 1,000 x 0.365 / 365 = 1.
    hours = [datetime(2024, 1, day, hour, tzinfo=UTC) for day, hour in ((2, 16), (2, 17), (3, 16))]
    prices = dict.fromkeys(("open", "high", "low", "close"), 10.0)
    frame = pl.DataFrame([{"timestamp": hour, "symbol": "A", **prices, "volume": 1.0} for hour in hours])
    feed = PolarsDataFeed(frame, frequency="1h", start=hours[1], warm_up_days=1, chunk=chunk)
    result = run_on(feed, script({}), interest_rate=0.365)
    assert result.cash_flows.select("timestamp", "kind", "amount").rows() == [(hours[2], "interest", 1.0)]


def test_the_first_session_is_measured_against_the_initial_capital() -> None:
    limits = PortfolioLimits(max_daily_loss=0.5, max_drawdown=0.5)
    feed = {"start": DAYS[3], "warm_up_days": 10}
    result = run({"A": [1_000, 1, 1, 1, 1]}, {}, feed=feed, limits=limits, account=MarginAccount())
    assert result.portfolio_states["daily_return"].to_list() == [0.0, 0.0]


def test_a_split_of_the_warm_up_is_in_the_price_that_sizes_the_first_order() -> None:
    # A has no bar at the first decision. Its last close of 40 was before a split of 4 to 1: 50 % of 1,000 / 10 = 50.
    world = {"A": [40, None, None, 10, 10], "B": [10, 10, 10, 10, 10]}
    feed = {"start": DAYS[2], "warm_up_days": 10}
    events = actions(("A", DAYS[1], "split", 4.0), ("A", DAYS[1], "dividend", 1.0))
    result = run(world, {0: lambda s: s.buy("A", percent=0.5)}, feed=feed, corporate_actions=events)
    assert quantities(result.fills) == [("A", 50.0)]
    assert result.cash_flows.is_empty()


def test_a_symbol_that_ended_in_the_warm_up_is_no_position_to_settle() -> None:
    world = {"A": [40, 40, None, None, None, None], "B": [10, 10, 10, 10, 10, 10]}
    feed = {"start": DAYS[3], "warm_up_days": 10}
    result = run(world, {0: lambda s: s.buy("B", 5)}, feed=feed, delisting_after=1)
    assert quantities(result.fills) == [("B", 5.0)]


def test_signals_from_before_the_start_are_joined_with_their_age() -> None:
    signals = pl.DataFrame({"timestamp": [DAYS[0], DAYS[4]], "symbol": ["A", "A"], "score": [0.25, 0.75]})
    known = {"signals_data": signals, "signal_columns": ["score"], "signal_available_at": "market_close"}
    seen: list[Any] = []

    class Look(Strategy):
        def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Any) -> None:
            seen.append(asset_batch.select("score", "score_is_new").row(0))

    for warm_up_days in (0, 10):
        seen.clear()
        feed = PolarsDataFeed(bars(WORLD), bar_label="session", start=DAYS[3], warm_up_days=warm_up_days, **known)
        run_on(feed, Look())
        assert seen == [(0.25, False), (0.75, True), (0.75, False)]


def test_warm_up_without_a_start_is_refused() -> None:
    with pytest.raises(ConfigError, match="warm_up_days are days before start, but there is no start"):
        PolarsDataFeed(bars(WORLD), bar_label="session", warm_up_days=5)


def test_a_start_after_the_data_is_no_run_of_warm_up_only() -> None:
    with pytest.raises(ConfigError, match="no data between 2024-02-01 and its end: it spans 2024-01-02 to 2024-01-09"):
        PolarsDataFeed(bars(WORLD), bar_label="session", start=date(2024, 2, 1), warm_up_days=60)


def test_a_warm_up_that_the_data_cuts_short_is_said() -> None:
    short = PolarsDataFeed(bars(WORLD), bar_label="session", start=DAYS[3], warm_up_days=60)
    assert run_on(short, script({})).facts["notes"] == [
        "warm-up is shorter than asked for: 60 days before start begin on 2023-11-06, the data on 2024-01-02"
    ]
    enough = PolarsDataFeed(bars(WORLD), bar_label="session", start=DAYS[3], warm_up_days=3)
    assert run_on(enough, script({})).facts["notes"] == []


STRATEGY = """
from ml4t_backtest import Strategy

class Watches(Strategy):
    def on_start(self):
        self.warm_ups = 0

    def on_warm_up(self, timestamp, asset_batch, context):
        self.warm_ups += 1

    def on_timestamp_batch(self, timestamp, asset_batch, context):
        self.buy("A", self.warm_ups)
"""
CONFIG = """\
backtest: {start: 2024-01-05, warm_up_days: 2}
data: {source: {adjustment: none, bar_label: session, prices: {path: prices.parquet}}}
strategy: {path: watches.py:Watches}
"""


def test_a_configuration_says_how_long_the_warm_up_is(tmp_path: Path) -> None:
    bars(WORLD).write_parquet(tmp_path / "prices.parquet")
    (tmp_path / "watches.py").write_text(STRATEGY)
    (tmp_path / "mine.yaml").write_text(CONFIG)
    result = run_backtest(tmp_path / "mine.yaml")
    # The 3rd and the 4th were shown.
    assert result.orders["quantity"].to_list() == [2.0, 2.0, 2.0]
    (tmp_path / "mine.yaml").write_text(CONFIG.replace("start: 2024-01-05, ", ""))
    with pytest.raises(ConfigError, match=r"backtest\.warm_up_days: found 2; must be 0 without backtest\.start"):
        run_backtest(tmp_path / "mine.yaml")
