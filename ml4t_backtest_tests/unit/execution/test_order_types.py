"""What orders do beyond the worked tables of docs/concepts, which `docs/test_contract_tables.py` runs."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl
import pytest

from ml4t_backtest import BacktestEngine, BacktestResult, PolarsDataFeed, Strategy, StrategyError
from ml4t_backtest.execution.accounts import MarginAccount
from ml4t_backtest.execution.commission import NoCommission, PerShareCommission
from ml4t_backtest.execution.slippage import NoSlippage, PercentageSlippage, VolumeShareSlippage

DAYS = [date(2024, 1, day) for day in (2, 3, 4, 5, 8, 9)]
FLAT = (100, 100, 100, 100)
Prices = tuple[float, float, float, float]


class Plan(Strategy):
    """Calls what is planned for a slice, by its number."""

    def __init__(self, plan: dict[int, Any]) -> None:
        self.plan = plan
        self.slice = -1

    def on_timestamp_batch(self, timestamp: Any, asset_batch: pl.DataFrame, context: Any) -> None:
        self.slice += 1
        if self.slice in self.plan:
            self.plan[self.slice](self)


def run(bars: list[Prices], plan: dict[int, Any], *, volume: float = 1000.0, **rules: Any) -> BacktestResult:
    rows = [(day, "A", *map(float, prices), volume) for day, prices in zip(DAYS, bars, strict=False)]
    names = ["timestamp", "symbol", "open", "high", "low", "close", "volume"]
    feed = PolarsDataFeed(pl.DataFrame(rows, schema=names, orient="row"), bar_label="session")
    costless = {"slippage": NoSlippage(), "commission": NoCommission(), "initial_capital": 10_000.0}
    return BacktestEngine(feed, Plan(plan), **{**costless, **rules}).run()


def test_a_triggered_stop_limit_keeps_working_as_a_limit() -> None:
    bars = [FLAT, (104, 105, 103.5, 104), (101, 101, 101, 101)]
    found = run(bars, {0: lambda s: s.buy("A", 10, stop=102, limit=103)})
    assert found.fills["raw_price"].to_list() == [101]


def test_slippage_never_makes_a_limit_worse() -> None:
    found = run([FLAT, (100, 101, 97, 99)], {0: lambda s: s.buy("A", 10, limit=98)}, slippage=PercentageSlippage(0.01))
    assert found.fills["price"].to_list() == [98]


def test_a_trailing_stop_is_tested_against_the_mark_of_earlier_bars() -> None:
    # Entry at 100; the bar that goes to 110 is tested against 90, the next against 110 x 0.9 = 99.
    bars = [FLAT, FLAT, (100, 110, 98, 110), (110, 110, 98, 99)]
    found = run(bars, {0: lambda s: s.buy("A", 10, trailing_stop_percent=0.1)})
    assert found.fills["raw_price"].to_list() == [100, pytest.approx(99, abs=1e-9)]
    assert found.trades["exit_reason"].to_list() == ["trailing_stop"]


@pytest.mark.parametrize(("tif", "reason"), [("day", "day"), ("ioc", "ioc"), ("gtc", "end_of_data")])
def test_time_in_force_ends_an_order(tif: str, reason: str) -> None:
    orders = run([FLAT] * 4, {0: lambda s: s.buy("A", 10, limit=90, tif=tif)}).orders
    assert orders.select("status", "reason").row(0) == ("expired", reason)


def test_a_stop_works_on_the_bar_whose_open_filled_the_entry() -> None:
    found = run([FLAT, (100, 101, 80, 90)], {0: lambda s: s.buy("A", 10, stop_loss=95)})
    assert found.trades.select("exit_price", "holding_period_bars").row(0) == (95, 0)


def test_a_stop_that_the_open_breaches_fills_at_the_open() -> None:
    found = run([FLAT, (94, 96, 93, 95)], {0: lambda s: s.buy("A", 10, stop_loss=95)})
    assert found.fills["raw_price"].to_list() == [94, 94]


def test_max_holding_bars_is_the_holding_period() -> None:
    found = run([FLAT] * 6, {0: lambda s: s.buy("A", 10, max_holding_bars=2)})
    assert found.trades.select("holding_period_bars", "exit_reason").row(0) == (2, "time_exit")


def test_two_exits_in_one_bar_never_leave_a_short_position() -> None:
    def plan(s: Strategy) -> None:
        s.sell("A", 10, limit=104)
        s.sell("A", 10, stop=96)

    buy = {0: lambda s: s.buy("A", 10, stop_loss=95, take_profit=105), 1: plan}
    found = run([FLAT, FLAT, (100, 110, 90, 100)], buy)
    assert found.portfolio_states["num_positions"].to_list() == [0, 1, 0]
    assert found.fills.height == 2


def test_a_parent_that_never_fills_has_no_children() -> None:
    orders = run([FLAT] * 3, {0: lambda s: s.buy("A", 10, limit=90, stop_loss=80)}).orders
    assert orders.height == 1


def test_cancel_takes_an_order_back_before_the_next_slice() -> None:
    ids: list[int] = []
    plan = {0: lambda s: ids.append(s.buy("A", 10, limit=98)), 1: lambda s: s.cancel(ids[0])}
    found = run([FLAT, FLAT, (97, 97, 97, 97)], plan)
    assert found.fills.height == 0
    assert found.orders.select("status", "reason").row(0) == ("cancelled", "by_strategy")


def test_replace_changes_price_and_quantity() -> None:
    ids: list[int] = []
    plan = {0: lambda s: ids.append(s.buy("A", 10, limit=90)), 1: lambda s: s.replace(ids[0], limit=99, quantity=4)}
    found = run([FLAT, FLAT, (100, 100, 98, 100)], plan)
    assert found.fills.select("quantity", "raw_price").rows() == [(4, 99)]


def test_a_volume_cap_spreads_an_order_over_bars_and_charges_its_minimum_once() -> None:
    costs = {"max_volume_share": 0.01, "commission": PerShareCommission(0.125, 2.0)}
    found = run([FLAT] * 5, {0: lambda s: s.buy("A", 25)}, **costs)
    assert found.fills["quantity"].to_list() == [10, 10, 5]
    # 10 shares: 1.25, so the minimum 2.0; 20 shares: 2.5; 25 shares: 3.125.
    assert found.fills["commission"].to_list() == [2.0, 0.5, 0.625]


def test_a_bar_without_volume_fills_nothing_under_a_cap_and_rejects_under_an_impact_model() -> None:
    plan = {0: lambda s: s.buy("A", 25)}
    assert run([FLAT] * 3, plan, volume=0.0, max_volume_share=0.5).orders["status"].to_list() == ["expired"]
    rejected = run([FLAT] * 3, plan, volume=0.0, slippage=VolumeShareSlippage()).orders
    assert rejected["reason"].to_list() == ["no_volume"]


def test_what_protects_waits_for_volume() -> None:
    # Stopped at 95 on a bar without volume: no price. The next bar opens at 90, with 1,000 shares.
    bars = pl.DataFrame(
        [
            (day, "A", *map(float, prices), volume)
            for day, prices, volume in zip(
                DAYS,
                [FLAT, FLAT, (100, 100, 90, 92), (90, 90, 90, 90)],
                [1e3, 1e3, 0.0, 1e3],
                strict=False,
            )
        ],
        schema=["timestamp", "symbol", "open", "high", "low", "close", "volume"],
        orient="row",
    )
    strategy = Plan({0: lambda s: s.buy("A", 10, stop_loss=95)})
    costs = {"slippage": VolumeShareSlippage(0.0), "commission": NoCommission(), "initial_capital": 10_000.0}
    found = BacktestEngine(PolarsDataFeed(bars, bar_label="session"), strategy, **costs).run()
    assert found.trades.select("exit_reason", "exit_price").row(0) == ("stop_loss", 90)


def test_a_position_left_at_the_end_has_a_price_under_an_impact_model() -> None:
    # Ten of the last bar's 1,000 shares: 100 x (1 - 0.1 x (10 / 1000)^2) = 99.999.
    plan = {0: lambda s: s.buy("A", 10)}
    found = run([FLAT] * 3, plan, end_of_data="close", slippage=VolumeShareSlippage(0.1))
    assert found.trades["exit_price"].to_list() == [pytest.approx(99.999, abs=1e-12)]


def test_a_short_position_earns_when_the_price_falls_and_pays_the_borrow_fee() -> None:
    plan = {0: lambda s: s.sell("A", 10), 3: lambda s: s.close_position("A")}
    found = run([FLAT, FLAT, FLAT, FLAT, (90, 90, 90, 90)], plan, account=MarginAccount(borrow_rate=0.365))
    # Held over the closes of January 3, 4 and 5; the fee of a day is 1000 x 0.365 / 365 = 1, over the weekend three.
    assert found.cash_flows["amount"].to_list() == pytest.approx([-1.0, -1.0, -3.0])
    trade = found.trades.row(0, named=True)
    assert trade["side"] == "short"
    assert trade["pnl_net"] == pytest.approx(100.0 - 5.0)


def test_a_flip_is_one_fill_that_closes_and_opens() -> None:
    plan = {0: lambda s: s.buy("A", 10), 1: lambda s: s.sell("A", 30)}
    found = run([FLAT] * 4, plan, account=MarginAccount(), commission=PerShareCommission(0.125, 0.0))
    assert found.fills["quantity"].to_list() == [10, 30]
    rows = found.trades.select("side", "status", "entry_quantity", "entry_commission", "exit_commission").rows()
    # 30 shares cost 3.75: 1.25 close ten, 2.50 open twenty.
    assert rows == [("long", "closed", 10, 1.25, 1.25), ("short", "open", 20, 2.5, 0.0)]


def test_a_margin_call_closes_the_largest_position_at_the_next_open() -> None:
    # 10,000 buys 200 shares at 100 on half margin; at 65 equity is 3,000, under a quarter of 13,000.
    found = run(
        [FLAT, FLAT, (65, 65, 65, 65), (66, 66, 66, 66)], {0: lambda s: s.buy("A", 200)}, account=MarginAccount()
    )
    assert found.trades.select("exit_reason", "exit_price").row(0) == ("margin_call", 66)


def test_a_margin_call_before_the_closing_order_of_a_rebalance_takes_no_money_from_its_buys() -> None:
    # Equity is 3,000 at 65: B gets 0.3 of it, 9 shares. The margin call sells A first: its own closing order is moot.
    names = ["timestamp", "symbol", "open", "high", "low", "close", "volume"]
    prices = {"A": (100.0, 100.0, 65.0, 66.0), "B": (100.0, 100.0, 100.0, 100.0)}
    rows = [
        (DAYS[n], name, *[price] * 4, 1e6)
        for n in range(4)
        for name, path in prices.items()
        for price in path[n : n + 1]
    ]
    feed = PolarsDataFeed(pl.DataFrame(rows, schema=names, orient="row"), bar_label="session")
    plan = {0: lambda s: s.buy("A", 200), 2: lambda s: s.rebalance({"B": 0.3})}
    costless: dict[str, Any] = {"slippage": NoSlippage(), "commission": NoCommission(), "initial_capital": 10_000.0}
    found = BacktestEngine(feed, Plan(plan), account=MarginAccount(), **costless).run()
    fills = found.fills.select("symbol", "side", "quantity").rows()
    assert fills == [("A", "buy", 200), ("A", "sell", 200), ("B", "buy", 9)]


def test_an_account_without_equity_ends_the_run_and_says_so() -> None:
    found = run([FLAT, FLAT, (40, 40, 40, 40), FLAT], {0: lambda s: s.buy("A", 200)}, account=MarginAccount())
    assert found.portfolio_states.height == 3
    assert found.facts["notes"][0].startswith("ruined")


def test_positions_are_closed_at_the_end_where_that_is_asked_for() -> None:
    plan = {0: lambda s: s.buy("A", 10)}
    found = run([FLAT, FLAT, (90, 90, 90, 90)], plan, end_of_data="close", commission=PerShareCommission(0.125, 0.0))
    trade = found.trades.row(0, named=True)
    assert (trade["exit_reason"], trade["exit_price"], trade["exit_commission"]) == ("end_of_data", 90, 1.25)
    assert found.portfolio_states["num_positions"].to_list() == [0, 1, 0]


@pytest.mark.parametrize(
    "terms",
    [{"trailing": 1, "limit": 99}, {"market_on_close": True, "stop": 99}, {"trailing": 1, "trailing_percent": 0.1}],
)
def test_terms_that_exclude_each_other_are_an_error(terms: dict[str, Any]) -> None:
    with pytest.raises(StrategyError, match="takes"):
        run([FLAT] * 2, {0: lambda s: s.buy("A", 10, **terms)})


def test_an_unknown_protection_names_the_nearest() -> None:
    with pytest.raises(StrategyError, match="stop_loss_percent"):
        run([FLAT] * 2, {0: lambda s: s.buy("A", 10, stop_loss_pct=0.1)})


@pytest.mark.parametrize("price", [float("nan"), -1.0, 0.0, float("inf")])
def test_an_impossible_price_is_a_rejected_order(price: float) -> None:
    orders = run([FLAT] * 2, {0: lambda s: s.buy("A", 10, limit=price)}).orders
    assert orders.select("status", "reason").row(0) == ("rejected", "invalid_price")


def test_submit_batch_is_the_same_as_one_by_one() -> None:
    def one_by_one(s: Strategy) -> None:
        s.buy("A", 10, stop_loss=95)

    batch = run([FLAT] * 3, {0: lambda s: s.submit_batch(["A"], [10.0], stop_loss=95)})
    single = run([FLAT] * 3, {0: one_by_one})
    assert batch.trades.equals(single.trades)
    assert batch.orders.equals(single.orders)
