"""Section H of the list of bad inputs: strategies and orders that misuse the engine, one case or more per row.

Rows that another stage refuses are listed in `ELSEWHERE`, with where.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from worlds import bars, closes, order, quantities, run, run_on

from ml4t_backtest import (
    BacktestEngine,
    BacktestError,
    BacktestResult,
    ConfigError,
    MarketEvent,
    PolarsDataFeed,
    Strategy,
    StrategyError,
)
from ml4t_backtest.strategy.outbox import MAX_REQUESTS_PER_SLICE

ELSEWHERE = {
    "ST003": "unit/strategy/test_callbacks.py: every way to override a callback is detected",
    "ST013": "unit/strategy/test_callbacks.py: changing what was handed over changes nothing",
    "ST016": "the determinism check of the command line: two runs differ",
}
WORLD = {"A": [100, 100, 100, 100], "B": [10, 10, 10, 10]}
RICH = {"initial_capital": 10_000.0}


def feed(prices: Any = None) -> PolarsDataFeed:
    return PolarsDataFeed(bars(prices or WORLD), bar_label="session")


def refused(step: Callable[[Strategy], object], **engine: Any) -> tuple[str, str]:
    """Return reason and detail of the one order of a run, which is rejected."""
    result = run(WORLD, {0: step}, **{**RICH, **engine})
    assert result.orders["status"].to_list() == ["rejected"]
    assert result.fills.is_empty()
    assert result.rejected_orders.height == 1
    record = order(result, 1)
    return record["reason"], record["detail"]


class Batch(Strategy):
    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Any) -> None:
        pass


class Neither(Strategy):
    pass


class Both(Batch):
    def on_market_data(self, event: MarketEvent) -> None:
        pass


@pytest.mark.parametrize(("row", "strategy"), [("ST001", Neither), ("ST002", Both)])
def test_a_strategy_with_no_callback_or_two_is_refused_when_the_engine_is_built(
    row: str, strategy: type[Strategy]
) -> None:
    with pytest.raises(StrategyError, match=r"on_timestamp_batch \w+ on_market_data; override exactly one"):
        BacktestEngine(feed(), strategy())


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


# ST005


@pytest.mark.parametrize(
    "step",
    [
        lambda s: s.buy("Z", 1),
        lambda s: s.sell("Z", percent=0.5),
        lambda s: s.order_target_percent("Z", 0.5),
        lambda s: s.close_position("Z"),
        lambda s: s.rebalance({"Z": 0.5}),
        lambda s: s.submit_batch(["Z"], [1]),
    ],
)
def test_st005_an_order_for_an_unknown_symbol_is_rejected(step: Any) -> None:
    assert refused(step) == ("unknown_symbol", "'Z' is not in the data")


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


# ST006


@pytest.mark.parametrize("arguments", [{"quantity": 1, "percent": 0.1}, {}])
def test_st006_both_amounts_or_none_are_an_error(arguments: dict[str, float]) -> None:
    with pytest.raises(StrategyError, match="order for 'A': give exactly one of quantity and percent"):
        run(WORLD, {0: lambda s: s.buy("A", **arguments)})


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


# ST007


def test_st007_more_than_all_of_equity_without_credit_is_rejected_for_cash() -> None:
    assert refused(lambda s: s.buy("A", percent=1.5)) == ("insufficient_cash", "1.5 of equity in a cash account")


# ST008


@pytest.mark.parametrize("price", [math.nan, -1.0, 0.0, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["limit", "stop", "trailing", "stop_loss", "take_profit"])
def test_st008_a_price_that_cannot_be_is_a_rejected_order(name: str, price: float) -> None:
    reason, detail = refused(lambda s: s.buy("A", 1, **{name: price}))
    assert reason == "invalid_price"
    assert repr(price) in detail


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("trailing_percent", 1.0),
        ("trailing_percent", -0.1),
        ("stop_loss_percent", 1.0),
        ("stop_loss_percent", -0.05),
        ("stop_loss_percent", math.nan),
        ("take_profit_percent", -0.05),
        ("take_profit_percent", 0.0),
        ("trailing_stop_percent", 5.0),
        ("max_holding_bars", 0),
        ("max_holding_bars", -3),
    ],
)
def test_st008_a_distance_on_the_wrong_side_or_beyond_the_price_is_a_rejected_order(name: str, value: float) -> None:
    reason, detail = refused(lambda s: s.buy("A", 1, **{name: value}))
    assert (reason, detail) == ("invalid_price", f"{name} {value!r}") or detail == f"trail_percent {value!r}"


@pytest.mark.parametrize("quantity", [math.nan, math.inf])
def test_st008_a_quantity_that_cannot_be_is_a_rejected_order(quantity: float) -> None:
    assert refused(lambda s: s.buy("A", quantity)) == ("invalid_quantity", f"quantity {quantity!r}")


def test_st008_a_stop_loss_on_the_wrong_side_of_the_entry_ends_the_position_at_its_price() -> None:
    # DESIGN.md section 5: a stop that is breached already when its entry fills, fills there and then.
    result = run(WORLD, {0: lambda s: s.buy("A", 1, stop_loss=120.0)})
    assert result.trades.select("entry_price", "exit_price", "exit_reason").rows() == [(100.0, 100.0, "stop_loss")]
    assert result.trades["entry_timestamp"].equals(result.trades["exit_timestamp"])


# ST009 to ST012


def test_st009_an_order_for_a_symbol_without_further_bars_expires_and_never_fills() -> None:
    world = {"A": [100, None, None, None], "B": [10, 10, 10, 10]}
    result = run(world, {0: lambda s: s.buy("A", 1)})
    assert result.orders.select("status", "reason", "filled_quantity").rows() == [("expired", "end_of_data", 0.0)]


@pytest.mark.parametrize(
    ("step", "status", "shares"),
    [
        (lambda s: s.buy("A", 100), "rejected", 0.0),
        (lambda s: s.buy("A", percent=1.0), "filled", 83.0),  # 10,000 / 120 = 83.3
        (lambda s: s.order_target_percent("A", 1.0), "filled", 83.0),
    ],
)
def test_st010_all_in_before_a_gap_up_is_rejected_or_cut_and_cash_stays_above_zero(
    step: Any, status: str, shares: float
) -> None:
    result = run({"A": [100, 120, 120]}, {0: step}, **RICH)
    assert result.orders.select("status", "filled_quantity").rows() == [(status, shares)]
    assert result.portfolio_states["cash"].min() >= 0.0


def test_st012_a_stop_that_the_market_gaps_through_fills_at_the_open() -> None:
    world = {"A": [100, 100, (80, 85, 75, 82)]}
    result = run(world, {0: lambda s: s.buy("A", 1, stop_loss=95.0)})
    assert result.trades.select("exit_price", "exit_reason").rows() == [(80.0, "stop_loss")]


# ST014


def test_st014_nothing_a_strategy_can_reach_is_later_than_its_slice() -> None:
    latest: list[tuple[datetime, datetime]] = []

    class Looks(Strategy):
        def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Any) -> None:
            shown = [asset_batch, self.history("A", 100), self.history("B", 100)]
            latest.extend((frame["timestamp"].max(), timestamp) for frame in shown)

    run_on(feed(), Looks())
    assert len(latest) == 12
    assert all(seen <= now for seen, now in latest)


# ST015


class FailsOn(Strategy):
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def on_market_data(self, event: MarketEvent) -> None:
        if event.symbol == "B" and event.timestamp == closes(1):
            raise self.error


def panic() -> BaseException:
    return pl.exceptions.PanicException("index out of bounds")


@pytest.mark.parametrize(
    "error", [KeyError("x"), pl.exceptions.ColumnNotFoundError("x"), SystemExit(3), BacktestError("x"), panic()]
)
def test_st015_whatever_a_strategy_raises_is_told_with_time_and_symbol(error: BaseException) -> None:
    with pytest.raises(StrategyError, match=r"FailsOn raised at 2024-01-03 21:00 UTC on B: ") as caught:
        run_on(feed(), FailsOn(error))
    assert caught.value.__cause__ is error


def test_st015_an_interruption_by_the_user_is_not_the_strategys_error() -> None:
    with pytest.raises(KeyboardInterrupt):
        run_on(feed(), FailsOn(KeyboardInterrupt()))


# ST017


@pytest.mark.parametrize(
    "step",
    [
        lambda s: [s.buy("B", 1, limit=1.0) for _ in range(10**6)],
        lambda s: s.submit_batch(["B"] * 10**6, [1] * 10**6),
        lambda s: [s.cancel(1) for _ in range(10**6)],
    ],
)
def test_st017_a_million_orders_in_one_slice_are_refused_at_the_cap(step: Any) -> None:
    with pytest.raises(StrategyError, match=f"E-ST-LIMIT more than {MAX_REQUESTS_PER_SLICE} orders"):
        run(WORLD, {0: step})


def test_st017_the_cap_is_per_slice() -> None:
    class Cancels(Batch):
        def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Any) -> None:
            for number in range(MAX_REQUESTS_PER_SLICE):
                self.cancel(number)

    result: BacktestResult = run_on(feed(), Cancels())
    assert result.portfolio_states.height == 4
