"""Positions that plain fills began, carried from chunk to chunk: the trades are those of a run in one chunk."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from worlds import Slices, actions, bars, rows, run, run_on, script

from ml4t_backtest import BacktestResult, PercentageCommission, PercentageSlippage, PolarsDataFeed, Strategy
from ml4t_backtest.core.views import FillView
from ml4t_backtest.execution.accounts import CashAccount, MarginAccount

SYMBOLS = ("A", "B", "C", "D")
DAYS = 25
FIRST = date(2024, 1, 2)


class NowAndThen(Strategy):
    """Opens and closes whole positions by plain orders most of the time; sometimes adds, halves, turns or protects."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Mapping[str, Any]) -> None:
        draw = self._random
        held = self.position_quantities(SYMBOLS).tolist()
        for symbol, quantity in zip(SYMBOLS, held, strict=True):
            act = draw.random()
            if act < 0.15:
                self.submit_batch([symbol], [-quantity or draw.choice([10.0, 20.0, -10.0])])
            elif act < 0.2:
                self.submit_batch([symbol], [draw.choice([6.0, -5.0, -3.0 * quantity])])
            elif act < 0.23:
                self.buy(symbol, 4, stop_loss_percent=0.05, take_profit_percent=0.05)


class Listening(NowAndThen):
    """The same with every order and fill as an object."""

    def on_fill(self, fill: FillView) -> None:
        pass


def days(seed: int, missing: float) -> pl.DataFrame:
    draw = random.Random(seed)
    prices = dict.fromkeys(SYMBOLS, 20.0)
    found = []
    for day in range(DAYS):
        for symbol in SYMBOLS:
            first = round(prices[symbol] * draw.uniform(0.96, 1.04), 2)
            last = prices[symbol] = round(first * draw.uniform(0.96, 1.04), 2)
            high, low = max(first, last) * draw.uniform(1.0, 1.05), min(first, last) * draw.uniform(0.95, 1.0)
            if draw.random() >= missing or day == 0:
                stamp = FIRST + timedelta(days=day)
                row = {"timestamp": stamp, "symbol": symbol, "open": first, "high": high, "low": low, "close": last}
                found.append({**row, "volume": 500.0})
    return pl.DataFrame(found)


def life(strategy: Strategy, seed: int, chunk: int | str, *, missing: float, **engine: Any) -> BacktestResult:
    draw = random.Random(seed)
    happened = actions(
        ("A", FIRST + timedelta(days=draw.randint(5, 20)), "split", 2.0),
        ("B", FIRST + timedelta(days=draw.randint(5, 20)), "dividend", 0.5),
    )
    feed = PolarsDataFeed(days(seed, missing), calendar="24/7", bar_label="session", chunk=chunk)
    costs = {"slippage": PercentageSlippage(0.001), "commission": PercentageCommission(0.002)}
    return run_on(feed, strategy, corporate_actions=happened, initial_capital=5_000.0, **costs, **engine)


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("account", [CashAccount(), MarginAccount(borrow_rate=0.05)], ids=["cash", "margin"])
@pytest.mark.parametrize("seed", range(3))
def test_trades_do_not_depend_on_where_chunks_end(seed: int, account: Any, missing: float) -> None:
    whole = life(NowAndThen(seed), seed, DAYS, missing=missing, account=account)
    assert whole.trades.filter(status="closed").height >= 5
    for strategy, chunk in ((NowAndThen, 1), (Listening, 2), (NowAndThen, 5)):
        parts = life(strategy(seed), seed, chunk, missing=missing, account=account)
        assert_frame_equal(parts.trades, whole.trades, check_exact=True)


def buy_and_sell(first: int, last: int) -> dict[int, Any]:
    return {first: lambda s: s.submit_batch(["A"], [1.0]), last: lambda s: s.submit_batch(["A"], [-1.0])}


def test_a_position_remembers_its_extremes_and_its_bars_through_chunks_without_a_bar() -> None:
    # Chunks of two slices. A is bought at the open of day 1, has no bar on days 2 and 3, its high and low on days 4 and
    # 5, and leaves at the open of day 7; what days 0 and 7 show beside that open is not its own. B is always there.
    a = [(10, 99, 1, 10), 10, None, None, (10, 14, 10, 10), (10, 10, 8, 10), 10, (11, 99, 1, 11), 11]
    row = run({"A": a, "B": [5] * 9}, buy_and_sell(0, 6), feed={"chunk": 2}).trades.row(0, named=True)
    assert (row["max_favorable_pct"], row["max_adverse_pct"]) == (pytest.approx(0.4), pytest.approx(-0.2))
    assert row["holding_period_bars"] == 4
    assert (row["entry_price"], row["exit_price"]) == (10.0, 11.0)


def test_a_position_that_is_still_open_has_lived_all_chunks() -> None:
    a = [10, 10, (10, 13, 10, 10), 10, (10, 10, 7, 10), 12]
    row = run({"A": a}, {0: lambda s: s.submit_batch(["A"], [1.0])}, feed={"chunk": 1}).trades.row(0, named=True)
    assert row["status"] == "open"
    assert (row["max_favorable_pct"], row["max_adverse_pct"]) == (pytest.approx(0.3), pytest.approx(-0.3))
    assert row["holding_period_bars"] == 4
    assert row["pnl_net"] == pytest.approx(2.0)


def test_what_happens_to_a_position_after_some_chunks_happens_to_all_it_has_lived_through() -> None:
    # A 2-for-1 split on day 3: entered at 10, the high of 14 and the low of 8 before it are 7 and 4 of today's shares.
    a = [10, 10, (10, 14, 8, 10), 5, 5, 5]
    result = run(
        bars({"A": a}),
        {0: lambda s: s.submit_batch(["A"], [1.0]), 4: lambda s: s.submit_batch(["A"], [-2.0])},
        feed={"chunk": 1},
        corporate_actions=actions(("A", date(2024, 1, 5), "split", 2.0)),
    )
    row = result.trades.row(0, named=True)
    assert (row["entry_price"], row["entry_quantity"]) == (5.0, 2.0)
    assert (row["max_favorable_pct"], row["max_adverse_pct"]) == (pytest.approx(0.4), pytest.approx(-0.2))
    assert row["holding_period_bars"] == 4


def test_a_position_lives_through_a_slice_that_has_only_the_symbols_before_it() -> None:
    # A feed of one's own is a chunk per slice; that of day 2 is a grid of A alone. B is held from day 1 to day 4.
    shown = [
        {"A": 5, "B": 10},
        {"A": 5, "B": (10, 13, 10, 10)},
        {"A": 5},
        {"A": 5, "B": (10, 10, 8, 9)},
        {"A": 5, "B": 9},
    ]
    stamps = [datetime(2024, 1, day, 21, tzinfo=UTC) for day in (2, 3, 4, 5, 8)]
    feed = Slices([(stamp, rows(prices), {}) for stamp, prices in zip(stamps, shown, strict=True)])
    plan = {0: lambda s: s.submit_batch(["B"], [1.0]), 3: lambda s: s.submit_batch(["B"], [-1.0])}
    row = run_on(feed, script(plan)).trades.row(0, named=True)
    assert (row["max_favorable_pct"], row["max_adverse_pct"]) == (pytest.approx(0.3), pytest.approx(-0.2))
    assert row["holding_period_bars"] == 2
