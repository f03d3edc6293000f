"""What a strategy is told of its orders: `get_orders`, `on_fill`, `on_order`; when, in which order, and as values."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from worlds import Step, bars, closes, opens, quantities, run, run_on

from ml4t_backtest import PolarsDataFeed, Strategy, StrategyError
from ml4t_backtest.core.views import FillView, OrderView

FLAT = {"A": [10, 10, 10, 10], "B": [20, 20, 20, 20]}


class Listener(Strategy):
    """Does at its i-th slice what `plan[i]` says and writes down everything it is told."""

    def __init__(self, plan: dict[int, Step] | None = None) -> None:
        self._plan = plan or {}
        self._slice = -1
        self.heard: list[Any] = []

    def on_fill(self, fill: FillView) -> None:
        self.heard.append(("fill", fill.order_id, fill.symbol, fill.side, fill.quantity))

    def on_order(self, order: OrderView) -> None:
        self.heard.append((order.status, order.order_id, order.reason))

    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Any) -> None:
        self._slice += 1
        self.heard.append(self._slice)
        self._plan.get(self._slice, lambda strategy: None)(self)

    def on_end(self) -> None:
        self.heard.append("end")


def listen(prices: Any, plan: dict[int, Step], *, chunk: Any = "1mo", **engine: Any) -> list[Any]:
    strategy = Listener(plan)
    run_on(PolarsDataFeed(bars(prices), bar_label="session", chunk=chunk), strategy, **engine)
    return strategy.heard


def working(prices: Any, plan: dict[int, Step], at: int, symbol: str | None = None) -> list[OrderView]:
    """Return the working orders that slice `at` sees."""
    seen: list[OrderView] = []
    run(prices, {**plan, at: lambda s: seen.extend(s.get_orders(symbol))})
    return seen


# Working orders


def test_working_orders_are_seen_from_the_slice_after_their_decision_on() -> None:
    seen: list[int] = []
    plan = {
        0: lambda s: (s.buy("A", 5, limit=8.0), seen.append(len(s.get_orders("A")))),
        1: lambda s: seen.append(len(s.get_orders("A"))),
    }
    run(FLAT, plan)
    assert seen == [0, 1]


def test_a_working_order_shows_its_terms() -> None:
    order = working(FLAT, {0: lambda s: s.buy("A", 5, stop=12.0, limit=13.0, tif="gtc")}, 1, "A")[0]
    assert (order.order_id, order.symbol, order.side, order.order_type) == (1, "A", "buy", "stop_limit")
    assert (order.status, order.quantity, order.filled_quantity, order.tif) == ("working", 5.0, 0.0, "gtc")
    assert (order.limit, order.stop, order.is_protective, order.reason) == (13.0, 12.0, False, None)
    assert (order.decision_timestamp, order.last_timestamp) == (closes(0), closes(0))


def test_orders_of_one_symbol_or_of_all_come_in_the_order_of_submission() -> None:
    plan = {0: lambda s: (s.buy("B", 1, limit=1.0), s.buy("A", 2, limit=1.0), s.buy("B", 3, limit=1.0))}
    assert [order.quantity for order in working(FLAT, plan, 1, "B")] == [1.0, 3.0]
    assert [order.quantity for order in working(FLAT, plan, 1)] == [1.0, 2.0, 3.0]
    assert working(FLAT, plan, 1, "unknown") == []


def test_protective_orders_are_among_them_from_the_fill_of_their_entry_on() -> None:
    plan = {0: lambda s: s.buy("A", 5, stop_loss=8.0, take_profit=13.0)}
    orders = working(FLAT, plan, 1, "A")
    assert sorted((o.order_type, o.side, o.quantity, o.is_protective) for o in orders) == [
        ("limit", "sell", 5.0, True),
        ("stop", "sell", 5.0, True),
    ]
    assert {o.stop for o in orders} == {8.0, None}


def test_a_trailing_stop_shows_where_it_stands() -> None:
    # Bought at 10; the bar reaches 14, 3 below are 11.
    world = {"A": [10, 10, (12, 14, 12, 13), 13]}
    plan = {0: lambda s: s.buy("A", 5), 1: lambda s: s.sell("A", 5, trailing=3.0)}
    assert [order.stop for order in working(world, plan, 2)] == [11.0]


def test_a_protective_order_can_be_replaced_by_its_id() -> None:
    def raise_stop(strategy: Strategy) -> None:
        (stop,) = strategy.get_orders("A")
        strategy.replace(stop.order_id, stop=9.5)

    world = {"A": [10, 10, (10, 10, 9.25, 10), 10]}
    result = run(world, {0: lambda s: s.buy("A", 5, stop_loss=8.0), 1: raise_stop})
    assert result.trades.select("exit_price", "exit_reason").rows() == [(9.5, "stop_loss")]


def test_views_cannot_be_changed() -> None:
    order = working(FLAT, {0: lambda s: s.buy("A", 5, limit=8.0)}, 1)[0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        order.quantity = 7.0  # type: ignore[misc]


# Fills and ends


@pytest.mark.parametrize("chunk", [1, 2, "1mo"])
def test_fills_and_ended_orders_are_told_before_the_decision_of_their_slice(chunk: Any) -> None:
    plan = {0: lambda s: (s.buy("B", 3), s.buy("A", 5)), 1: lambda s: s.close_position("A")}
    assert listen(FLAT, plan, chunk=chunk) == [
        0,
        ("fill", 1, "B", "buy", 3.0),
        ("filled", 1, None),
        ("fill", 2, "A", "buy", 5.0),
        ("filled", 2, None),
        1,
        ("fill", 3, "A", "sell", 5.0),
        ("filled", 3, None),
        2,
        3,
        "end",
    ]


def test_what_a_fill_sets_off_is_told_after_it() -> None:
    world = {"A": [10, 10, (10, 14, 10, 13), 13]}
    heard = listen(world, {0: lambda s: s.buy("A", 5, stop_loss=8.0, take_profit=13.0)})
    # 2 and 3 are the stop and the target: the target fills, the stop is cancelled by it.
    assert heard[heard.index(1) + 1 : heard.index(2)] == [
        ("fill", 3, "A", "sell", 5.0),
        ("filled", 3, None),
        ("cancelled", 2, "oco"),
    ]


@pytest.mark.parametrize("chunk", [1, "1mo"])
def test_what_a_decision_ends_is_told_before_the_next_one(chunk: Any) -> None:
    plan = {0: lambda s: (s.buy("A", 5, limit=1.0), s.buy("Z", 5)), 1: lambda s: s.cancel(1)}
    heard = listen(FLAT, plan, chunk=chunk)
    assert heard == [0, ("rejected", 2, "unknown_symbol"), 1, ("cancelled", 1, "by_strategy"), 2, 3, "end"]


def test_the_end_of_the_data_is_told_before_on_end() -> None:
    plan = {3: lambda s: s.buy("B", 1), 0: lambda s: s.buy("A", 5)}
    heard = listen(FLAT, plan, end_of_data="close")
    assert heard[heard.index(3) + 1 :] == [
        ("expired", 2, "end_of_data"),
        ("fill", 3, "A", "sell", 5.0),
        ("filled", 3, None),
        "end",
    ]


def test_a_fill_shows_prices_costs_and_moments() -> None:
    seen: list[FillView] = []

    class Keep(Listener):
        def on_fill(self, fill: FillView) -> None:
            seen.append(fill)

    run_on(PolarsDataFeed(bars({"A": [10, (11, 12, 11, 12)]}), bar_label="session"), Keep({0: lambda s: s.buy("A", 5)}))
    fill = seen[0]
    assert (fill.fill_id, fill.order_id, fill.symbol, fill.side, fill.quantity) == (1, 1, "A", "buy", 5.0)
    assert (fill.price, fill.raw_price, fill.commission, fill.slippage) == (11.0, 11.0, 0.0, 0.0)
    assert (fill.timestamp, fill.fill_instant) == (closes(1), opens(1))


def test_orders_made_when_told_of_a_fill_go_with_those_of_the_decision() -> None:
    class Reverses(Listener):
        def on_fill(self, fill: FillView) -> None:
            if fill.side == "buy":
                self.sell(fill.symbol, fill.quantity)

    strategy = Reverses({0: lambda s: s.buy("A", 5), 1: lambda s: s.buy("B", 1)})
    result = run_on(PolarsDataFeed(bars(FLAT), bar_label="session"), strategy)
    assert quantities(result.fills) == [("A", 5.0), ("A", -5.0), ("B", 1.0), ("B", -1.0)]
    assert result.fills["timestamp"].to_list() == [closes(1), closes(2), closes(2), closes(3)]


class OrdersWhenItIsOver(Listener):
    def on_order(self, order: OrderView) -> None:
        if order.reason == "end_of_data":
            self.buy("A", 1)


def test_an_order_made_when_told_of_the_end_is_an_error() -> None:
    strategy = OrdersWhenItIsOver({3: lambda s: s.buy("B", 1)})
    with pytest.raises(StrategyError, match="OrdersWhenItIsOver ordered after the last slice"):
        run_on(PolarsDataFeed(bars(FLAT), bar_label="session"), strategy)


class FailsWhenTold(Listener):
    def on_fill(self, fill: FillView) -> None:
        raise RuntimeError("not today")


def test_what_is_raised_when_told_of_a_fill_is_the_strategys_error() -> None:
    with pytest.raises(StrategyError, match=r"FailsWhenTold raised at 2024-01-03 21:00.*not today"):
        run_on(PolarsDataFeed(bars(FLAT), bar_label="session"), FailsWhenTold({0: lambda s: s.buy("A", 5)}))


def test_a_listener_changes_nothing_but_what_it_hears() -> None:
    plan = {0: lambda s: s.buy("A", 5, stop_loss=8.0), 2: lambda s: s.close_position("A")}
    deaf = run(FLAT, plan)
    hearing = run_on(PolarsDataFeed(bars(FLAT), bar_label="session"), Listener(plan))
    assert deaf.orders.equals(hearing.orders)
    assert deaf.trades.equals(hearing.trades)


def test_position_quantities_are_signed_and_aligned_with_the_symbols_asked_for() -> None:
    seen: list[list[float]] = []
    plan = {
        0: lambda s: (s.buy("A", 5), s.buy("B", 3)),
        1: lambda s: seen.append(s.position_quantities(pl.Series(["B", "Z", "A", "B"])).tolist()),
    }
    run(FLAT, plan)
    assert seen == [[3.0, 0.0, 5.0, 3.0]]


@pytest.mark.parametrize("kind", [list, np.array, pl.Series, lambda values: pl.Series(values).cast(pl.Float32)])
def test_a_batch_takes_quantities_of_any_kind(kind: Any) -> None:
    result = run(FLAT, {0: lambda s: s.submit_batch(pl.Series(["A", "B", "A"]), kind([5, 0, 2]))})
    assert quantities(result.fills) == [("A", 5.0), ("A", 2.0)]


def test_a_batch_with_a_null_is_a_rejected_order_and_one_of_two_lengths_an_error() -> None:
    result = run(FLAT, {0: lambda s: s.submit_batch(["A", "B"], pl.Series([None, 3.0]))})
    assert result.orders.select("symbol", "status", "reason").rows() == [
        ("A", "rejected", "invalid_quantity"),
        ("B", "filled", None),
    ]
    with pytest.raises(StrategyError, match="2 symbols and 1 quantities"):
        run(FLAT, {0: lambda s: s.submit_batch(["A", "B"], [1.0])})
