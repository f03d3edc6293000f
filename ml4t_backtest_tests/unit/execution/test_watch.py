"""Accounts on credit are left alone while no price comes near a call; who looks at every close finds the same."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from itertools import product
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ml4t_backtest import BacktestEngine, BacktestResult, PolarsDataFeed, Strategy
from ml4t_backtest.core.market import Market
from ml4t_backtest.data.slices import chunks_of
from ml4t_backtest.execution.accounts import MarginAccount
from ml4t_backtest.execution.watch import Watch
from ml4t_backtest.portfolio.ledger import Ledger

SYMBOLS = ("A", "B", "C", "D")
TABLES = ("trades", "fills", "orders", "cash_flows", "portfolio_states", "daily_returns")
DAYS = [date(2024, 1, 1) + timedelta(days=number) for number in range(250)]


def bars(seed: int, *, holes: bool) -> pl.DataFrame:
    """Prices that idle for a while and then jump; one symbol comes late and may have holes."""
    draw, table = random.Random(seed), []
    for symbol in SYMBOLS:
        price = 50.0
        for number, day in enumerate(DAYS):
            before = price
            step = (
                draw.choice([0.0, 0.0, 0.001, -0.001, 0.05, -0.05])
                if draw.random() < 0.99
                else draw.choice([1.5, -0.6])
            )
            price = round(price * (1.0 + step), 2)
            if holes and symbol == "D" and (number < 10 or draw.random() < 0.4):
                continue
            shape = {"open": before, "high": max(before, price), "low": min(before, price), "close": price}
            table.append({"timestamp": day, "symbol": symbol, **shape, "volume": 500.0})
    return pl.DataFrame(table).sort("timestamp", "symbol")


class Borrower(Strategy):
    """Now and then goes long or short with much of what the account allows, and then waits."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Mapping[str, Any]) -> None:
        draw = self._random
        if draw.random() < 0.05:
            names = draw.sample(SYMBOLS, 2)
            self.rebalance({name: draw.choice([-0.9, -0.5, 0.5, 0.9]) for name in names})
        elif draw.random() < 0.02:
            self.buy("A", 20, limit=30.0)


ACTIONS = pl.DataFrame(
    {
        "symbol": ["A", "B", "C"],
        "ex_date": [DAYS[40], DAYS[60], DAYS[70]],
        "kind": ["split", "split", "dividend"],
        "value": [2.0, 0.5, 1.5],
    }
)
SETTINGS: dict[str, dict[str, Any]] = {
    "margin": {},
    "strict": {"account": MarginAccount(0.5, 0.49, 0.49)},
    "fees": {"account": MarginAccount(borrow_rate=0.3), "interest_rate": 0.04},
    "actions": {"corporate_actions": ACTIONS},
    "limits": {"limits": None},
    "backtesting": {"profile": "backtesting.py@0.6"},
    "zipline": {"profile": "zipline@3"},
}


def run(seed: int, *, holes: bool, **options: Any) -> BacktestResult:
    feed = PolarsDataFeed(bars(seed, holes=holes), bar_label="session", calendar="24/7", chunk=90)
    account = {} if "profile" in options else {"account": MarginAccount()}
    options = {"initial_capital": 10_000.0, **account, **options}
    return BacktestEngine(feed, Borrower(seed), **options).run()


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("seed", range(5))
def test_who_is_left_alone_misses_no_margin_call(setting: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"holes": seed % 2 == 1, **SETTINGS[setting]}
    found = run(seed, **options)
    monkeypatch.setattr(Watch, "calm_until", lambda self: 0)
    looked_at = run(seed, **options)
    assert found.fills.height > 10
    for name in TABLES:
        assert_frame_equal(getattr(found, name), getattr(looked_at, name), check_exact=True)


def test_these_worlds_have_margin_calls_ruins_and_many_slices_nobody_looks_at(monkeypatch: pytest.MonkeyPatch) -> None:
    found: Counter[str] = Counter()
    must_close = MarginAccount.must_close

    def counting(account: MarginAccount, *asked: Any) -> list[int]:
        found["looks"] += 1
        return must_close(account, *asked)

    monkeypatch.setattr(MarginAccount, "must_close", counting)
    for seed, setting in product(range(5), ("margin", "strict", "fees")):
        result = run(seed, holes=seed % 2 == 1, **SETTINGS[setting])
        found["slices"] += result.portfolio_states.height
        found["calls"] += (result.trades["exit_reason"] == "margin_call").sum()
        found["ruins"] += result.portfolio_states["equity"].item(-1) <= 0.0
    assert found["calls"] > 10
    assert found["ruins"] >= 1
    assert found["looks"] < 0.1 * found["slices"]


@pytest.fixture
def market() -> Market:
    """One symbol of ten closes: 100 but for 149 in slice 6, and a first slice that is over."""
    closes = [100.0] * 10
    closes[6] = 149.0
    frame = pl.DataFrame({"timestamp": DAYS[:10], "symbol": "A", "close": closes, "volume": 1.0})
    frame = frame.with_columns(open=pl.col.close, high=pl.col.close, low=pl.col.close)
    standing = Market(["A"])
    (chunk,) = chunks_of(PolarsDataFeed(frame, bar_label="session", calendar="24/7"), standing)
    standing.enter(chunk, 0)
    return standing


def looks(market: Market, quantity: float, cash: float) -> list[int]:
    """Return the slices in which an account is looked at, that holds shares bought or sold at 100 each."""
    ledger = Ledger(cash, market)
    ledger.apply_fill(0, quantity, 100.0, 0.0)
    watch, slices, until = Watch(market, ledger, MarginAccount()), [], 0
    for index in range(market.chunk.num_slices):
        market.pass_over(index)
        if index >= until:
            until = watch.calm_until()
            if until <= index:
                slices.append(index)
    return slices


# Ten shares short: cash is c + 1,000, equity c + 1,000 - 10 p, of which 0.3 x 10 p is bound. That leaves c - 937 at 149
# and c - 300 at 100. Ten shares long and c - 1,000 of cash: c - 250 is left at 100.
@pytest.mark.parametrize(
    ("quantity", "cash", "looked_at"),
    [(-10.0, 937.0, [6]), (-10.0, 938.0, []), (-10.0, 299.0, list(range(10))), (10.0, 1000.0, []), (10.0, 251.0, [])],
)
def test_a_slice_is_looked_at_where_its_close_may_call(
    market: Market, quantity: float, cash: float, looked_at: list[int]
) -> None:
    assert looks(market, quantity, cash) == looked_at


@pytest.mark.parametrize("more", [0.0, 1e-8])
def test_where_rounding_could_decide_it_is_looked_at(market: Market, more: float) -> None:
    # 1,000 of cash after the sale, and 300 of its own: equity 300 is the 30 % of 1,000.
    assert looks(market, -10.0, 300.0 + more)[:3] == [0, 1, 2]


def test_who_owes_nothing_is_never_looked_at(market: Market) -> None:
    ledger = Ledger(1000.0, market)
    market.pass_over(0)
    assert Watch(market, ledger, MarginAccount()).calm_until() > market.chunk.num_slices
