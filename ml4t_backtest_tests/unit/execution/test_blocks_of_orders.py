"""Plain market orders travel in columns; a run in which each of them is an object must give the same bits.

A strategy that wants to hear of its fills gets every order and fill as an object, so listening is what tells the two
apart: it must not change anything else.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from worlds import Slices, quantities, rows, run, run_on, script

from ml4t_backtest import (
    BacktestResult,
    PercentageCommission,
    PercentageSlippage,
    PerOrderCommission,
    PerShareCommission,
    PolarsDataFeed,
    Strategy,
)
from ml4t_backtest.core.views import FillView
from ml4t_backtest.execution.accounts import CashAccount, MarginAccount
from ml4t_backtest.execution.slippage import FixedSlippage, VolumeShareSlippage


@dataclass(frozen=True)
class ShortWithoutCredit(CashAccount):
    """An account of the user's own: spends its cash only, and may be short."""

    @property
    def allows_short(self) -> bool:
        return True


SYMBOLS = ("A", "B", "C", "D")
TABLES = ("trades", "fills", "orders", "cash_flows", "portfolio_states", "daily_returns")


class Wild(Strategy):
    """Orders at random: nearly all of it plain, now and then a limit, a stop or a bracket among it."""

    def __init__(self, seed: int, protected: float) -> None:
        self._random = random.Random(seed)
        self._protected = protected

    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Mapping[str, Any]) -> None:
        draw = self._random
        act = draw.random()
        if act < 0.25:
            quantities = [float(draw.choice([0, 0, 5, 10, -5, -10])) for _ in SYMBOLS]
            self.submit_batch(list(SYMBOLS), quantities)
        elif act < 0.4:
            self.rebalance({symbol: draw.choice([0.0, 0.2, 0.5]) for symbol in draw.sample(SYMBOLS, 2)})
        elif act < 0.5:
            self.submit_batch(list(SYMBOLS), -self.position_quantities(SYMBOLS))
        else:
            for symbol in draw.sample(SYMBOLS, draw.randint(0, 3)):
                self._one(symbol)

    def _one(self, symbol: str) -> None:
        draw = self._random
        if draw.random() < self._protected:
            self.buy(symbol, 7, stop_loss_percent=0.02, take_profit_percent=0.03)
            return
        match draw.randint(0, 4):
            case 0:
                self.buy(symbol, draw.randint(1, 30))
            case 1:
                self.sell(symbol, draw.randint(1, 12))
            case 2:
                self.buy(symbol, percent=draw.choice([0.1, 0.3, 0.9]))
            case 3:
                self.close_position(symbol)
            case 4:
                self.order_target_percent(symbol, draw.choice([0.0, 0.25, 0.6]))


class Listening(Wild):
    def on_fill(self, fill: FillView) -> None:
        """Hear of it, and do nothing."""


def bars(seed: int) -> pl.DataFrame:
    """Return 40 sessions of four symbols; now and then one of them has no bar."""
    draw, rows = random.Random(seed), []
    price = dict.fromkeys(SYMBOLS, 10.0)
    for day in range(40):
        for symbol in SYMBOLS:
            first = price[symbol] * draw.uniform(0.97, 1.03)
            last = first * draw.uniform(0.97, 1.03)
            price[symbol] = last
            if draw.random() < 0.9 or day == 0:
                high, low = max(first, last) * draw.uniform(1.0, 1.02), min(first, last) * draw.uniform(0.98, 1.0)
                stamp = date(2024, 1, 2) + timedelta(days=day)
                row = {"timestamp": stamp, "symbol": symbol, "open": first, "high": high, "low": low, "close": last}
                rows.append({**row, "volume": 500.0})
    return pl.DataFrame(rows)


def life(strategy: Strategy, seed: int, **engine: Any) -> BacktestResult:
    return run_on(PolarsDataFeed(bars(seed), calendar="24/7", bar_label="session", chunk=7), strategy, **engine)


ACCOUNTS: dict[str, dict[str, Any]] = {
    "cash": {"slippage": PercentageSlippage(0.001), "commission": PercentageCommission(0.002)},
    "little_cash": {"initial_capital": 200.0, "commission": PercentageCommission(0.01)},
    "clip": {"initial_capital": 300.0, "on_insufficient_cash": "clip", "commission": PerShareCommission(0.01, 1.0)},
    "margin": {"account": MarginAccount(borrow_rate=0.05), "slippage": PercentageSlippage(0.001)},
    "little_margin": {"account": MarginAccount(0.6, 0.4, 0.5), "initial_capital": 250.0},
    "margin_and_fees": {
        "account": MarginAccount(),
        "initial_capital": 600.0,
        "slippage": FixedSlippage(0.05),
        "commission": PerShareCommission(0.01, 1.0),
    },
    "short_without_credit": {"account": ShortWithoutCredit(), "initial_capital": 400.0},
    "fractional": {"fractional": True, "commission": PercentageCommission(0.001)},
    "impact": {"slippage": VolumeShareSlippage(0.1)},
}


@pytest.mark.parametrize("account", ACCOUNTS)
@pytest.mark.parametrize("protected", [0.0, 0.2])
@pytest.mark.parametrize("seed", range(6))
def test_orders_as_columns_and_as_objects_give_the_same_bits(account: str, protected: float, seed: int) -> None:
    columns = life(Wild(seed, protected), seed, **ACCOUNTS[account])
    objects = life(Listening(seed, protected), seed, **ACCOUNTS[account])
    assert columns.fills.height > 0
    for table in TABLES:
        assert_frame_equal(getattr(columns, table), getattr(objects, table), check_exact=True)


def test_more_than_half_of_the_orders_of_these_worlds_travel_in_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    from ml4t_backtest.execution.block_filling import BlockFiller

    filled = []
    fill = BlockFiller.fill

    def counting(filler: BlockFiller, block: Any) -> Any:
        done, left = fill(filler, block)
        filled.append(0 if done is None else len(done))
        return done, left

    monkeypatch.setattr(BlockFiller, "fill", counting)
    fills = sum(life(Wild(seed, 0.0), seed, **ACCOUNTS["cash"]).fills.height for seed in range(12))
    # Sales of what is not held, and buys beyond the cash, are looked at one by one.
    assert sum(filled) > 0.5 * fills


def test_looking_at_a_working_order_changes_nothing() -> None:
    class Curious(Wild):
        def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Any) -> None:
            super().on_timestamp_batch(timestamp, asset_batch, context)
            self.get_orders()

    plain, curious = life(Wild(3, 0.1), 3), life(Curious(3, 0.1), 3)
    for table in TABLES:
        assert_frame_equal(getattr(plain, table), getattr(curious, table), check_exact=True)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_adding_to_a_position_by_a_plain_order_leaves_what_protects_it(side: float) -> None:
    # 10 shares at 10 with a stop 1.5 away, 5 more at 10; a gap of 2 goes through the stop of the 10.
    def enter(strategy: Strategy) -> None:
        order = strategy.buy if side > 0.0 else strategy.sell
        order("A", 10, stop_loss=10.0 - 1.5 * side)

    def add(strategy: Strategy) -> None:
        strategy.submit_batch(["A"], [5.0 * side])

    gap = 10.0 - 2.0 * side
    result = run({"A": [10, 10, 10, gap, gap]}, {0: enter, 1: add}, account=MarginAccount())
    assert quantities(result.fills) == [("A", 10.0 * side), ("A", 5.0 * side), ("A", -10.0 * side)]
    assert result.fills["price"].to_list() == [10.0, 10.0, gap]


def test_a_plain_order_waits_where_the_bar_of_its_symbol_opened_before_the_decision() -> None:
    # Decided at 21:00. The next bars end at 22:00: that of A began at 21:00, that of B at 20:30, before the decision.
    evening = datetime(2024, 1, 2, 21, tzinfo=UTC)
    hours = [evening + timedelta(hours=hour) for hour in range(3)]
    opened = {"A": [evening - timedelta(hours=1), *hours[:2]], "B": [evening - timedelta(hours=1), evening, hours[1]]}
    opened["B"][1] -= timedelta(minutes=30)
    slices = [
        (hour, rows({"A": 10 + number, "B": 20 + number}, open_instant=[opened["A"][number], opened["B"][number]]), {})
        for number, hour in enumerate(hours)
    ]
    result = run_on(Slices(slices), script({0: lambda strategy: strategy.submit_batch(["A", "B"], [1.0, 1.0])}))
    assert result.fills.select("symbol", "timestamp", "price").rows() == [("A", hours[1], 11.0), ("B", hours[2], 22.0)]


@pytest.mark.parametrize(("shares", "status"), [(50.0, "filled"), (80.0, "rejected")])
def test_room_on_credit_is_measured_by_the_opens_at_which_a_block_fills(shares: float, status: str) -> None:
    # 10 A at 100 are all the cash. At the closes before, equity 1,000 carries 1,000 more; the open of A at 60 leaves
    # equity 600, half of what may be held: 1,200, of which A has 600. 50 B at 10 fit, 80 do not.
    plan = {0: lambda s: s.submit_batch(["A"], [10.0]), 2: lambda s: s.submit_batch(["B"], [shares])}
    result = run({"A": [100, 100, 100, 60, 60], "B": [10] * 5}, plan, account=MarginAccount())
    assert result.orders.select("symbol", "status").rows() == [("A", "filled"), ("B", status)]


def batch(*orders: tuple[str, float]) -> Callable[[Strategy], object]:
    return lambda strategy: strategy.submit_batch([symbol for symbol, _ in orders], [shares for _, shares in orders])


def test_on_credit_a_flip_has_to_be_carried_before_what_comes_after_it_is_sold() -> None:
    # Equity 140 carries 280. At the turn of A 19 of it at 10 and 10 of B at 10 would be 290; in the end it is only 190.
    prices = {"A": [10, 10, 10, 10], "B": [10, 10, 10, 10]}
    orders = {0: batch(("A", -1.0), ("B", 10.0)), 1: batch(("A", 20.0), ("B", -10.0))}
    result = run(prices, orders, account=MarginAccount(), initial_capital=140.0)
    assert quantities(result.fills)[2:] == [("A", 1.0), ("B", -10.0)]


def test_on_credit_costs_count_too() -> None:
    # 199 at 10 bind 995 of 1,000; the commission of 9.95 leaves less.
    options = {"account": MarginAccount(), "initial_capital": 1_000.0, "commission": PerShareCommission(0.05)}
    assert run({"A": [10, 10, 10]}, {0: batch(("A", 199.0))}, **options).fills.is_empty()
    assert run({"A": [10, 10, 10]}, {0: batch(("A", 197.0))}, **options).fills.height == 1


def test_on_credit_costs_of_fills_that_wait_to_be_paid_count_too() -> None:
    # Eight orders cost 50 each: 600 is left of 1,000, which carries 1,200 and no more.
    small: dict[int, Callable[[Strategy], object]] = {day: batch(("A", 1.0)) for day in range(8)}
    options = {"account": MarginAccount(), "initial_capital": 1_000.0, "commission": PerOrderCommission(50.0)}
    fills = run({"A": [1.0] * 11, "B": [10.0] * 11}, {**small, 8: batch(("B", 115.0))}, **options).fills
    assert fills.height == 8
    fills = run({"A": [1.0] * 11, "B": [10.0] * 11}, {**small, 8: batch(("B", 105.0))}, **options).fills
    assert fills.height == 9
