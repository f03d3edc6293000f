"""Limits of the portfolio and rules for every position: what is refused, flattened, halted and protected."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl
import pytest

from ml4t_backtest import (
    BacktestEngine,
    BacktestResult,
    MarginAccount,
    NoCommission,
    NoSlippage,
    PolarsDataFeed,
    PortfolioLimits,
    PositionRules,
    Strategy,
)

DAYS = [date(2024, 1, day) for day in (2, 3, 4, 5, 8, 9)]
COSTLESS = {"slippage": NoSlippage(), "commission": NoCommission(), "initial_capital": 10_000.0}


class Plan(Strategy):
    """Calls what is planned for a slice, by its number."""

    def __init__(self, plan: dict[int, Any]) -> None:
        self.plan = plan
        self.slice = -1

    def on_timestamp_batch(self, timestamp: Any, asset_batch: pl.DataFrame, context: Any) -> None:
        self.slice += 1
        self.plan.get(self.slice, lambda s: None)(self)


def flat_bars(closes: dict[str, list[float]], **columns: list[float]) -> pl.DataFrame:
    """Bars that open and stay at one price; further columns are per session."""
    rows = [
        {"timestamp": day, "symbol": symbol, **dict.fromkeys(("open", "high", "low", "close"), price), "volume": 1e6}
        | {name: values[now] for name, values in columns.items()}
        for symbol, prices in closes.items()
        for now, (day, price) in enumerate(zip(DAYS, prices, strict=False))
    ]
    return pl.DataFrame(rows)


def run(closes: dict[str, list[float]], plan: dict[int, Any], **options: Any) -> BacktestResult:
    feed = PolarsDataFeed(flat_bars(closes), bar_label="session")
    return BacktestEngine(feed, Plan(plan), **{**COSTLESS, **options}).run()


def outcomes(result: BacktestResult) -> list[tuple[str, float, str | None]]:
    return result.orders.select("status", "filled_quantity", "reason").rows()


def test_the_symbol_after_the_last_allowed_one_is_refused_and_adding_is_not() -> None:
    def plan(s: Strategy) -> None:
        for symbol in "ABA":
            s.buy(symbol, 10)

    found = run({"A": [100.0] * 3, "B": [100.0] * 3}, {0: plan}, limits=PortfolioLimits(max_positions=1))
    assert outcomes(found) == [("filled", 10, None), ("rejected", 0, "risk_limit"), ("filled", 10, None)]


def test_a_weight_may_be_reached_and_not_passed() -> None:
    # A quarter of 10,000 is 25 shares at 100.
    found = run(
        {"A": [100.0] * 3}, {0: lambda s: [s.buy("A", 25), s.buy("A", 1)]}, limits=PortfolioLimits(max_weight=0.25)
    )
    assert outcomes(found) == [("filled", 25, None), ("rejected", 0, "risk_limit")]


def test_an_order_by_percent_is_cut_to_the_weight() -> None:
    found = run({"A": [100.0] * 3}, {0: lambda s: s.buy("A", percent=0.9)}, limits=PortfolioLimits(max_weight=0.25))
    assert outcomes(found) == [("filled", 25, "risk_limit")]


def test_a_refusal_tells_which_limit_and_by_how_much() -> None:
    flat = {"A": [100.0] * 4, "B": [100.0] * 4}
    told = {
        "max_positions": (1, "max_positions allows 1, it would be 2"),
        "max_weight": (0.25, "max_weight allows 2500, it would be 3000"),
        "max_gross_exposure": (0.5, "max_gross_exposure allows 5000, it would be 5500"),
        "max_net_exposure": (0.5, "max_net_exposure allows 5000, it would be 5500"),
    }
    for name, (limit, words) in told.items():
        found = run(
            flat,
            {0: lambda s: s.buy("A", 25), 1: lambda s: s.buy("B", 30)},
            limits=PortfolioLimits(**{name: limit}),
        )
        assert found.orders["detail"].to_list() == [None, words]
    poor = run(flat, {0: lambda s: s.buy("A", 200)}, limits=PortfolioLimits(max_weight=0.5))
    assert poor.orders["detail"].to_list() == ["200 shares at 100 cost 20000.00, cash is 10000.00"]


def test_gross_exposure_counts_longs_and_shorts_and_net_exposure_their_difference() -> None:
    def plan(s: Strategy) -> None:
        s.buy("A", 60)
        s.sell("B", 60)

    both = {"A": [100.0] * 3, "B": [100.0] * 3}
    gross = run(both, {0: plan}, account=MarginAccount(), limits=PortfolioLimits(max_gross_exposure=1.0))
    net = run(both, {0: plan}, account=MarginAccount(), limits=PortfolioLimits(max_net_exposure=0.6))
    assert outcomes(gross) == [("filled", 60, None), ("rejected", 0, "risk_limit")]
    assert outcomes(net) == [("filled", 60, None), ("filled", 60, None)]


def test_reducing_is_never_refused_by_a_limit() -> None:
    # At 300 the position is 90 % of equity; selling half of it leaves it above the limit, and is done.
    plan = {0: lambda s: s.buy("A", 50), 1: lambda s: s.sell("A", 10)}
    found = run({"A": [100.0, 100.0, 300.0]}, plan, limits=PortfolioLimits(max_weight=0.5))
    assert outcomes(found) == [("filled", 50, None), ("filled", 10, None)]


def test_a_drawdown_closes_everything_at_the_next_open_and_halts_for_good() -> None:
    # 100 shares: 11,000 at 110, then 8,800 at 88: a fall of 20 % from the highest close.
    def again(s: Strategy) -> None:
        s.buy("A", 1)

    plan = {0: lambda s: s.buy("A", 100), 1: lambda s: s.sell("A", 100, limit=200), 3: again, 4: again}
    found = run({"A": [100.0, 100.0, 110.0, 88.0, 87.0, 90.0]}, plan, limits=PortfolioLimits(max_drawdown=0.2))
    assert outcomes(found) == [
        ("filled", 100, None),
        ("cancelled", 0, "halted"),
        ("filled", 100, None),  # the order of the house
        ("rejected", 0, "halted"),
        ("rejected", 0, "halted"),
    ]
    assert found.orders["detail"].to_list()[3:] == ["a loss limit has stopped trading"] * 2
    trade = found.trades.row(0, named=True)
    assert (trade["exit_reason"], trade["exit_price"], trade["exit_decision_timestamp"]) == ("risk_limit", 87, None)


def test_a_drawdown_short_of_the_limit_closes_nothing() -> None:
    found = run(
        {"A": [100.0, 100.0, 110.0, 89.0, 89.0]},
        {0: lambda s: s.buy("A", 100)},
        limits=PortfolioLimits(max_drawdown=0.2),
    )
    assert found.trades["status"].to_list() == ["open"]


def test_a_daily_loss_closes_everything_and_what_that_session_decides_opens_nothing() -> None:
    # 9,000 after 10,000 is the 10 % of a day. Decided at that close: refused. Decided at the next one: done.
    plan = {0: lambda s: s.buy("A", 100), 2: lambda s: s.buy("A", 1), 3: lambda s: s.buy("A", 2)}
    found = run({"A": [100.0, 100.0, 90.0, 90.0, 90.0]}, plan, limits=PortfolioLimits(max_daily_loss=0.1))
    assert [row[:2] for row in outcomes(found)] == [("filled", 100), ("filled", 100), ("rejected", 0), ("filled", 2)]
    assert found.trades["exit_reason"].to_list() == ["risk_limit", None]


def test_a_loss_over_two_days_is_no_daily_loss() -> None:
    found = run(
        {"A": [100.0, 100.0, 91.0, 85.0]}, {0: lambda s: s.buy("A", 100)}, limits=PortfolioLimits(max_daily_loss=0.1)
    )
    assert found.trades["status"].to_list() == ["open"]


RULES = [
    (PositionRules(stop_loss_percent=0.05), [100.0, 100.0, 94.0], "stop_loss", 94.0),
    (PositionRules(take_profit_percent=0.05), [100.0, 100.0, 106.0], "take_profit", 106.0),
    (PositionRules(trailing_stop_percent=0.05), [100.0, 100.0, 120.0, 113.0], "trailing_stop", 113.0),
    (PositionRules(max_holding_bars=2), [100.0, 100.0, 101.0, 102.0], "time_exit", 102.0),
]


@pytest.mark.parametrize(("rules", "prices", "reason", "price"), RULES)
def test_a_rule_protects_every_entry(rules: PositionRules, prices: list[float], reason: str, price: float) -> None:
    found = run({"A": prices}, {0: lambda s: s.buy("A", 10)}, position_rules=rules)
    assert found.trades.select("exit_reason", "exit_price").row(0) == (reason, price)


def test_what_an_order_says_itself_goes_before_the_rule() -> None:
    found = run(
        {"A": [100.0, 100.0, 94.0, 89.0]},
        {0: lambda s: s.buy("A", 10, stop_loss_percent=0.1)},
        position_rules=PositionRules(stop_loss_percent=0.05),
    )
    assert found.trades.select("exit_reason", "exit_price").row(0) == ("stop_loss", 89)


def test_distances_in_average_true_ranges_are_those_of_the_deciding_bar() -> None:
    # The range is 2 when the order is decided and 50 when it fills: stop at 100 - 3 x 2, target at 100 + 4 x 2.
    bars = flat_bars({"A": [100.0, 100.0, 95.0, 93.0]}, atr=[2.0, 50.0, 50.0, 50.0])
    feed = PolarsDataFeed(bars, bar_label="session", indicator_columns=("atr",))
    rules = PositionRules(stop_loss_atr=3.0, take_profit_atr=4.0)
    found = BacktestEngine(feed, Plan({0: lambda s: s.buy("A", 10)}), **COSTLESS, position_rules=rules).run()
    trade = found.trades.row(0, named=True)
    assert (trade["stop_loss_level"], trade["take_profit_level"]) == (94, 108)
    assert (trade["exit_reason"], trade["exit_price"]) == ("stop_loss", 93)
