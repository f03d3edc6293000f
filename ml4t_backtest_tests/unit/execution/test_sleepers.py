"""Orders that no bar reaches sleep through it; a run in which nobody ever sleeps must give the same bits."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ml4t_backtest import BacktestEngine, BacktestResult, NoCommission, NoSlippage, PolarsDataFeed, Strategy
from ml4t_backtest.core.market import Market
from ml4t_backtest.core.orders import Order
from ml4t_backtest.execution.accounts import CashAccount, MarginAccount
from ml4t_backtest.execution.book import Book
from ml4t_backtest.execution.sleepers import Sleepers

SYMBOLS = ("A", "B", "C", "D")
TABLES = ("trades", "fills", "orders", "cash_flows", "portfolio_states", "daily_returns")
DAYS = [date(2024, 1, 1) + timedelta(days=number) for number in range(120)]


def bars(seed: int) -> pl.DataFrame:
    """Prices that jump and idle; one symbol comes late and has holes."""
    draw, table = random.Random(seed), []
    for symbol in SYMBOLS:
        price = 100.0
        for number, day in enumerate(DAYS):
            before, price = price, round(price * (1.0 + draw.choice([0.0, 0.002, -0.002, 0.03, -0.03])), 2)
            if symbol == "D" and (number < 10 or draw.random() < 0.3):
                continue
            first = round(before * (1.0 + draw.choice([0.0, 0.0, 0.04, -0.04])), 2)
            top, bottom = max(first, price) + draw.choice([0.0, 1.0]), min(first, price) - draw.choice([0.0, 1.0])
            shape = {"open": first, "high": top, "low": bottom, "close": price, "volume": draw.choice([20.0, 500.0])}
            table.append({"timestamp": day, "symbol": symbol, **shape})
    return pl.DataFrame(table).sort("timestamp", "symbol")


class Waiter(Strategy):
    """Orders that wait, of every kind; some get other terms, some are taken back."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Mapping[str, Any]) -> None:
        draw = self._random
        for symbol, close in asset_batch.select("symbol", "close").iter_rows():
            if draw.random() < 0.25:
                self._order(symbol, close)
        working = self.get_orders()
        if working and draw.random() < 0.3:
            order = draw.choice(working)
            if order.limit is not None and not order.is_protective:
                self.replace(order.order_id, limit=round(order.limit * draw.choice([0.97, 1.0, 1.05]), 2))
            elif draw.random() < 0.5:
                self.cancel(order.order_id)

    def _order(self, symbol: str, close: float) -> None:
        draw = self._random
        away, near = draw.choice([0.02, 0.06]), draw.choice(["gtc", "gtc", "day", "ioc"])
        match draw.randint(0, 6):
            case 0:
                self.buy(symbol, 9, limit=close * (1.0 - away), tif=near)
            case 1:
                self.sell(symbol, 5, limit=close * (1.0 + away), tif=near)
            case 2:
                self.buy(symbol, 30, stop=close * (1.0 + away), tif=near)
            case 3:
                self.sell(symbol, 4, stop=close * (1.0 - away), tif=near)
            case 4:
                self.buy(symbol, 8, stop_loss_percent=away, take_profit_percent=away + 0.01)
            case 5:
                self.buy(symbol, 6, trailing_stop_percent=away, max_holding_bars=draw.choice([None, 4]))
            case _:
                self.buy(symbol, 3, stop=close * (1.0 + away), limit=close * (1.01 + away))


ACTIONS = pl.DataFrame(
    {
        "symbol": ["A", "B"],
        "ex_date": [DAYS[40], DAYS[60]],
        "kind": ["split", "split"],
        "value": [2.0, 0.5],
    }
)
SETTINGS: dict[str, dict[str, Any]] = {
    "cash": {},
    "margin": {"account": MarginAccount()},
    "little volume": {"max_volume_share": 0.2},
    "splits": {"corporate_actions": ACTIONS},
    "optimistic": {"intrabar_path": "optimistic"},
    "backtrader": {"profile": "backtrader@1.9"},
    "same close": {"fill_at": "same_close", "account": CashAccount()},
}


def run(seed: int, **options: Any) -> BacktestResult:
    feed = PolarsDataFeed(bars(seed), bar_label="session", calendar="24/7", chunk=7)
    return BacktestEngine(feed, Waiter(seed), initial_capital=20_000.0, **options).run()


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("seed", range(4))
def test_who_sleeps_misses_nothing(setting: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run(seed, **SETTINGS[setting])
    monkeypatch.setattr(Sleepers, "look", lambda self: None)
    awake = run(seed, **SETTINGS[setting])
    assert found.fills.height > 20
    for name in TABLES:
        assert_frame_equal(getattr(found, name), getattr(awake, name), check_exact=True)


def test_what_is_left_of_a_stop_fills_wherever_the_market_is() -> None:
    class Once(Strategy):
        def on_timestamp_batch(
            self, timestamp: datetime, asset_batch: pl.DataFrame, context: Mapping[str, Any]
        ) -> None:
            if not self.get_orders() and not self.get_position("A"):
                self.buy("A", 30, stop=110.0)

    prices = [(100.0, 100.0), (100.0, 111.0), (100.0, 101.0), (99.0, 100.0)]
    table = [
        {"timestamp": day, "symbol": "A", "open": first, "high": top, "low": 90.0, "close": 100.0, "volume": 50.0}
        for day, (first, top) in zip(DAYS, prices, strict=False)
    ]
    feed = PolarsDataFeed(pl.DataFrame(table), bar_label="session", calendar="24/7")
    options = {"slippage": NoSlippage(), "commission": NoCommission(), "max_volume_share": 0.2}
    found = BacktestEngine(feed, Once(), **options).run()
    # A fifth of 50 shares in each bar: at the stop, and then at the opens, though the market is back.
    assert found.fills.select("quantity", "price").rows() == [(10.0, 110.0), (10.0, 100.0), (10.0, 99.0)]


def waiting(order_id: int, kind: Any, side: Any, level: float, **more: Any) -> Order:
    levels = {"limit": level} if kind == "limit" else {"stop": level}
    quantity = 1.0 if side == "buy" else -1.0
    row = {"symbol": "A", "symbol_id": 0, "decided": 0, "live_from": 0, "decision_slice": 0, "decision_row": 0}
    return Order(order_id=order_id, side=side, quantity=quantity, kind=kind, **{**row, **levels, **more})


@pytest.fixture
def market() -> Market:
    """One symbol: a bar from 100, between 95 and 105, and one that is a jump to 120."""
    from ml4t_backtest.data.slices import chunks_of

    frame = pl.DataFrame(
        {
            "timestamp": DAYS[:2],
            "symbol": ["A", "A"],
            "open": [100.0, 120.0],
            "high": [105.0, 120.0],
            "low": [95.0, 120.0],
            "close": [101.0, 120.0],
            "volume": [1.0, 1.0],
        }
    )
    standing = Market(["A"])
    (chunk,) = chunks_of(PolarsDataFeed(frame, bar_label="session", calendar="24/7"), standing)
    standing.enter(chunk, 0)
    return standing


def awake(market: Market, orders: list[Order], slices: int = 1) -> list[int]:
    book = Book(market, lambda: 0, fractional=False)
    sleepers = Sleepers(market, book)
    for order in orders:
        book.submit(order)
    for index in range(slices):
        market.move_to(index)
        sleepers.look()
    return [order.order_id for order in sleepers.awake()]


def test_a_price_that_is_just_reached_wakes_and_one_beyond_does_not(market: Market) -> None:
    orders = [
        waiting(1, "limit", "buy", 95.0),
        waiting(2, "limit", "buy", 94.99),
        waiting(3, "stop", "sell", 95.0),
        waiting(4, "stop", "sell", 94.99),
        waiting(5, "limit", "sell", 105.0),
        waiting(6, "limit", "sell", 105.01),
        waiting(7, "stop", "buy", 105.0),
        waiting(8, "stop", "buy", 105.01),
    ]
    assert awake(market, orders) == [1, 3, 5, 7]


def test_a_jump_over_the_price_wakes(market: Market) -> None:
    orders = [waiting(1, "stop", "buy", 110.0), waiting(2, "limit", "sell", 110.0), waiting(3, "stop", "sell", 90.0)]
    assert awake(market, orders) == []
    assert awake(market, orders, slices=2) == [1, 2]


def test_who_has_more_to_wait_for_than_a_price_never_sleeps(market: Market) -> None:
    orders = [
        waiting(1, "limit", "buy", 50.0, tif="day"),
        waiting(2, "limit", "buy", 50.0, tif="ioc"),
        waiting(3, "trailing_stop", "sell", 50.0),
        waiting(4, "stop", "sell", 50.0, triggered=True),
        waiting(5, "limit", "buy", 50.0),
    ]
    assert awake(market, orders) == [1, 2, 3, 4]


def test_other_terms_are_noticed(market: Market) -> None:
    book = Book(market, lambda: 0, fractional=True)
    sleepers, order = Sleepers(market, book), waiting(1, "limit", "buy", 50.0)
    book.submit(order)
    sleepers.look()
    assert sleepers.awake() == []
    book.rescale(0, 0.5)
    sleepers.look()
    assert [each.limit for each in sleepers.awake()] == [100.0]
