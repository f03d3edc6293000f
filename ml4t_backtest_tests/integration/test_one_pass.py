"""Several strategies in one pass: each result is that of a run alone, to the bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from typing import Any

import polars as pl
import pytest

from ml4t_backtest import BacktestEngine, MarginAccount, PolarsDataFeed, Strategy
from ml4t_backtest.core.event import MarketEvent
from ml4t_backtest.core.views import FillView
from ml4t_backtest.data.synthetic import random_bars
from ml4t_backtest.errors import ConfigError, StrategyError
from ml4t_backtest.one_pass import run_many, run_together
from ml4t_backtest.reporting.result import BacktestResult

BARS = random_bars(4, 120, seed=5)


class Slices(Strategy):
    """Trades slice by slice, with protection, and remembers."""

    def __init__(self, level: float) -> None:
        self.level = level

    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Mapping[str, Any]) -> None:
        seen = self.history("S0000", 5)
        for symbol, prediction in asset_batch.select("symbol", "prediction").iter_rows():
            if prediction > self.level and not self.get_position(symbol):
                self.buy(symbol, percent=0.2, stop_loss_percent=0.02, take_profit_percent=0.03)
            elif prediction < -self.level and seen.height == 5:
                self.close_position(symbol)


class Events(Strategy):
    """Trades bar by bar and listens."""

    def __init__(self, level: float) -> None:
        self.level, self.heard = level, 0

    def on_market_data(self, event: MarketEvent) -> None:
        if event.signals["prediction"] > self.level + self.heard % 3 * 0.1:
            self.buy(event.symbol, 10)

    def on_fill(self, fill: FillView) -> None:
        self.heard += 1


class Vandal(Strategy):
    """Changes what it is shown in place."""

    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Mapping[str, Any]) -> None:
        asset_batch.replace_column(3, pl.Series("high", [1e9] * asset_batch.height))
        asset_batch.drop_in_place("prediction")
        if isinstance(context, dict):
            context["prediction"] = 1.0


class Reckless(Strategy):
    """Is ruined: short on credit in everything."""

    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Mapping[str, Any]) -> None:
        if not self.get_position("S0001"):
            self.order_target_percent("S0001", -1.9)


class Raising(Strategy):
    """Raises in the middle."""

    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Mapping[str, Any]) -> None:
        if timestamp.date() > date(2020, 3, 2):
            raise ValueError("enough")


MAKERS: list[Callable[[], Strategy]] = [
    lambda: Slices(0.5),
    Vandal,
    lambda: Slices(1.5),
    lambda: Events(1.0),
    lambda: Events(2.0),
    Reckless,
]


def _prepared(**options: Any) -> PolarsDataFeed:
    return PolarsDataFeed(BARS, signal_columns=["prediction"], **options)


def _slices() -> Iterator[tuple[datetime, pl.DataFrame, dict[str, Any]]]:
    """Yield slices of a feed that announces nothing; one symbol comes late."""
    for (stamp,), rows in BARS.group_by("timestamp", maintain_order=True):
        shown = rows if stamp.date() > date(2020, 2, 3) else rows.filter(pl.col("symbol") != "S0000")
        yield stamp, shown.drop("prediction_available_at", "decision_instant", "timestamp"), {}


class Slow(Strategy):
    """Buys by price, for a feed without signals."""

    def __init__(self, rest: int) -> None:
        self.rest = rest

    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Mapping[str, Any]) -> None:
        for symbol, close in asset_batch.select("symbol", "close").iter_rows():
            if int(close * 100) % 7 == self.rest:
                self.order_target_percent(symbol, 0.1)
            if int(close * 100) % 5 == self.rest:
                self.close_position(symbol)


@pytest.mark.parametrize(
    "options",
    [
        {"chunk": "auto"},
        {"chunk": 7},
        {"chunk": "1mo", "start": date(2020, 2, 10), "warm_up_days": 20},
    ],
)
def test_results_are_those_of_single_runs(options: dict[str, Any]) -> None:
    engine: dict[str, Any] = {"account": MarginAccount()}
    together = run_many(_prepared(**options), [make() for make in MAKERS], **engine)
    for make, result in zip(MAKERS, together, strict=True):
        alone = BacktestEngine(_prepared(**options), make(), **engine).run()
        assert result.differences(alone) == []
        assert result.facts == alone.facts
        assert result.metrics == alone.metrics
    assert [bool(result.fills.height) for result in together] == [True, False, True, True, True, True]


def test_a_feed_that_can_be_read_once_serves_all_of_them() -> None:
    together = run_many(_slices(), [Slow(rest) for rest in range(3)])
    for rest, result in enumerate(together):
        assert result.differences(BacktestEngine(list(_slices()), Slow(rest)).run()) == []
        assert result.fills.height > 10


def test_the_order_of_the_strategies_does_not_matter() -> None:
    forth = run_many(_prepared(), [make() for make in MAKERS])
    back = run_many(_prepared(), [make() for make in reversed(MAKERS)])
    assert [one.differences(other) for one, other in zip(forth, reversed(back), strict=True)] == [[]] * len(MAKERS)


def test_one_that_raises_ends_and_the_others_go_on() -> None:
    feed = _prepared(chunk=5)
    first, raised, last = run_together([BacktestEngine(feed, make()) for make in (MAKERS[0], Raising, MAKERS[2])])
    assert isinstance(raised, StrategyError)
    assert "2020-03-03" in str(raised)
    for make, result in ((MAKERS[0], first), (MAKERS[2], last)):
        assert isinstance(result, BacktestResult)
        assert result.differences(BacktestEngine(_prepared(), make()).run()) == []


def test_run_many_tells_the_first_error() -> None:
    with pytest.raises(StrategyError, match="Raising raised at 2020-03-03"):
        run_many(_prepared(), [Slices(1.0), Raising()])


def test_no_strategies_are_no_results() -> None:
    assert run_many(_prepared(), []) == []


def test_a_strategy_object_runs_once() -> None:
    strategy = Slices(1.0)
    with pytest.raises(ConfigError, match="twice"):
        run_many(_prepared(), [strategy, strategy])


def test_engines_of_two_feeds_cannot_ride_together() -> None:
    with pytest.raises(ConfigError, match="one and the same feed"):
        run_together([BacktestEngine(_prepared(), Slices(1.0)), BacktestEngine(_prepared(), Slices(1.0))])
