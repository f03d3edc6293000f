"""More of section H than the list has: strategies and orders that misuse the engine (the list: `strategies.py`)."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from worlds import bars, closes, quantities, run, run_on

from ml4t_backtest import (
    BacktestEngine,
    BacktestResult,
    ConfigError,
    MarketEvent,
    PolarsDataFeed,
    Strategy,
    StrategyError,
)
from ml4t_backtest.strategy.outbox import MAX_REQUESTS_PER_SLICE

WORLD = {"A": [100, 100, 100, 100], "B": [10, 10, 10, 10]}
RICH = {"initial_capital": 10_000.0}


def feed(prices: Any = None) -> PolarsDataFeed:
    return PolarsDataFeed(bars(prices or WORLD), bar_label="session")


class Batch(Strategy):
    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Any) -> None:
        pass


@pytest.mark.parametrize("strategy", [Batch, object(), None, "Batch", lambda: None])
def test_what_is_no_strategy_is_refused_when_the_engine_is_built(strategy: Any) -> None:
    with pytest.raises(StrategyError, match="instance of a class derived from Strategy, got"):
        BacktestEngine(feed(), strategy)


@pytest.mark.parametrize("found", [None, 5, object()])
def test_what_is_no_feed_is_refused_when_the_engine_is_built(found: Any) -> None:
    with pytest.raises(ConfigError, match="a feed yields"):
        BacktestEngine(found, Batch())


@pytest.mark.parametrize(
    ("argument", "value", "allowed"),
    [
        ("initial_capital", "1000", "positive finite number"),
        ("initial_capital", True, "positive finite number"),
        ("max_volume_share", 1.5, r"fraction in \(0, 1\]"),
        ("max_volume_share", math.nan, r"fraction in \(0, 1\]"),
        ("intrabar_path", "middle", "pessimistic, optimistic, ohlc, olhc"),
        ("end_of_data", "sell", "mark, close"),
        ("on_insufficient_cash", "shrink", "'clip', 'reject' or None"),
        ("delisting_after", 0, "whole number of sessions from 1"),
        ("interest_rate", math.inf, "finite fraction per year"),
        ("interest_rate", "5%", "finite fraction per year"),
        ("adjustment", "dividends", "none, split, total_return"),
    ],
)
def test_a_wrong_argument_is_refused_when_the_engine_is_built(argument: str, value: Any, allowed: str) -> None:
    with pytest.raises(ConfigError, match=rf"{argument} must be .*{allowed}") as caught:
        BacktestEngine(feed(), Batch(), **{argument: value})
    assert repr(value) in str(caught.value)


class OrdersTooEarly(Batch):
    def __init__(self) -> None:
        self.buy("A", 1)


class LooksTooEarly(Batch):
    def __init__(self) -> None:
        self.seen = self.equity


@pytest.mark.parametrize("strategy", [OrdersTooEarly, LooksTooEarly])
def test_a_strategy_that_orders_or_looks_before_it_runs_is_told_so(strategy: type[Strategy]) -> None:
    with pytest.raises(StrategyError, match="only while an engine runs it"):
        strategy()


@pytest.mark.parametrize("symbol", [None, 5, ["A"], b"A", {"A": 1}])
@pytest.mark.parametrize(
    "step",
    [
        lambda s, x: s.buy(x, 1),
        lambda s, x: s.sell(x, percent=0.1),
        lambda s, x: s.order_target_quantity(x, 1),
        lambda s, x: s.close_position(x),
        lambda s, x: s.submit_batch([x], [1]),
    ],
)
def test_st005_a_symbol_that_is_no_text_is_an_error(step: Any, symbol: Any) -> None:
    with pytest.raises(StrategyError, match=r"2024-01-02 21:00.*a symbol is text"):
        run(WORLD, {0: lambda s: step(s, symbol)})


@pytest.mark.parametrize("amount", ["10", True, [1], 1 + 2j, np.array([1.0, 2.0])])
@pytest.mark.parametrize(
    "step",
    [
        lambda s, x: s.buy("A", x),
        lambda s, x: s.sell("A", percent=x),
        lambda s, x: s.buy("A", 1, limit=x),
        lambda s, x: s.buy("A", 1, stop=x),
        lambda s, x: s.sell("A", 1, trailing=x),
        lambda s, x: s.buy("A", 1, stop_loss=x),
        lambda s, x: s.buy("A", 1, max_holding_bars=x),
        lambda s, x: s.order_target_value("A", x),
        lambda s, x: s.rebalance({"A": x}),
        lambda s, x: s.submit_batch(["A"], [x]),
        lambda s, x: s.replace(1, quantity=x),
    ],
)
def test_st006_what_is_no_number_is_an_error(step: Any, amount: Any) -> None:
    with pytest.raises(StrategyError, match="must be a number"):
        run(WORLD, {0: lambda s: step(s, amount)})


@pytest.mark.parametrize("number", [np.int64(5), np.float32(5.0), np.float64(5.0), 5])
def test_numbers_of_numpy_are_numbers(number: Any) -> None:
    assert quantities(run(WORLD, {0: lambda s: s.buy("B", number)}).fills) == [("B", 5.0)]


@pytest.mark.parametrize("order_id", ["1", None, [1], 1.0])
def test_an_order_id_that_is_none_is_an_error(order_id: Any) -> None:
    for step in (lambda s: s.cancel(order_id), lambda s: s.replace(order_id, quantity=1)):
        with pytest.raises(StrategyError, match="an order id is what buy or sell returned"):
            run(WORLD, {0: step})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"tif": "forever"}, "tif must be one of gtc, day, ioc, got 'forever'"),
        ({"limit": 9.0, "trailing": 1.0}, "a trailing stop takes one distance"),
        ({"trailing": 1.0, "trailing_percent": 0.1}, "a trailing stop takes one distance"),
        ({"limit": 9.0, "market_on_close": True}, "a market-on-close order takes no price"),
        ({"stop_los": 9.0}, "unknown argument 'stop_los'; 'stop_loss'?"),
        ({"stop_loss": 9.0, "stop_loss_percent": 0.1}, "give one of stop_loss and stop_loss_percent"),
        ({"max_holding_bars": 1.5}, "max_holding_bars must be a whole number, got 1.5"),
    ],
)
def test_terms_that_exclude_each_other_are_an_error(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(StrategyError) as caught:
        run(WORLD, {0: lambda s: s.buy("B", 1, **arguments)})
    assert said in str(caught.value)


def test_st008_a_stop_loss_on_the_wrong_side_of_the_entry_ends_the_position_at_its_price() -> None:
    # DESIGN.md section 5: a stop that is breached already when its entry fills, fills there and then.
    result = run(WORLD, {0: lambda s: s.buy("A", 1, stop_loss=120.0)})
    assert result.trades.select("entry_price", "exit_price", "exit_reason").rows() == [(100.0, 100.0, "stop_loss")]
    assert result.trades["entry_timestamp"].equals(result.trades["exit_timestamp"])


class FailsOn(Strategy):
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def on_market_data(self, event: MarketEvent) -> None:
        if event.symbol == "B" and event.timestamp == closes(1):
            raise self.error


def test_st015_an_interruption_by_the_user_is_not_the_strategys_error() -> None:
    with pytest.raises(KeyboardInterrupt):
        run_on(feed(), FailsOn(KeyboardInterrupt()))


def test_st017_the_cap_is_per_slice() -> None:
    class Cancels(Batch):
        def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Any) -> None:
            for number in range(MAX_REQUESTS_PER_SLICE):
                self.cancel(number)

    result: BacktestResult = run_on(feed(), Cancels())
    assert result.portfolio_states.height == 4
