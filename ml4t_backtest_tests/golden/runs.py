"""The catalogue of pinned runs: small worlds of the oracle, and made-up bars under one strategy per feature."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import polars as pl
from property.lives import live
from property.scenes import scene

from ml4t_backtest import BacktestEngine, BacktestResult, PolarsDataFeed, Strategy
from ml4t_backtest.data.synthetic import random_bars
from ml4t_backtest.execution.accounts import MarginAccount
from ml4t_backtest.execution.commission import PerOrderCommission, PerShareCommission, TieredCommission
from ml4t_backtest.execution.guard import PortfolioLimits, PositionRules
from ml4t_backtest.execution.slippage import FixedSlippage, SpreadSlippage, VolumeShareSlippage

SCENES = range(28)
SIGNAL = "prediction"
Seen = Mapping[str, Any]
Rule = Callable[[Strategy, Seen], object]


@dataclass(frozen=True)
class Setup:
    """Made-up bars, a rule that trades them, and the engine's options.

    Attributes:
        rule: What is done with a bar: a mapping with symbol, close and prediction.
        options: Of the engine.
        bars: Arguments of `random_bars`.
    """

    rule: Rule
    options: Mapping[str, Any] = field(default_factory=dict)
    bars: Mapping[str, Any] = field(default_factory=lambda: {"num_symbols": 8, "num_sessions": 200})


class OnBatch(Strategy):
    """Follows a rule on whole slices."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule

    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Mapping[str, Any]) -> None:
        for row in asset_batch.iter_rows(named=True):
            self._rule(self, row)


class OnSymbol(Strategy):
    """Follows a rule bar by bar."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule

    def on_market_data(self, event: Any) -> None:
        self._rule(self, {"symbol": event.symbol, "close": event.close, SIGNAL: event.signals[SIGNAL]})


def follow_targets(strategy: Strategy, seen: Seen) -> None:
    """Hold an eighth of equity while the prediction is high."""
    if abs(seen[SIGNAL]) > 1.5:
        strategy.order_target_percent(seen["symbol"], 0.125 if seen[SIGNAL] > 0.0 else 0.0)


def buy_with_bracket(strategy: Strategy, seen: Seen) -> None:
    """Buy at the open, protected by a stop, a target and a time exit."""
    if seen[SIGNAL] > 2.0 and not strategy.get_position(seen["symbol"]):
        strategy.buy(seen["symbol"], percent=0.2, stop_loss_percent=0.02, take_profit_percent=0.03, max_holding_bars=15)


def fade_with_limits(strategy: Strategy, seen: Seen) -> None:
    """Buy a dip for a day, trail it, sell on strength at a limit."""
    if seen[SIGNAL] > 1.0:
        strategy.buy(seen["symbol"], quantity=50, limit=seen["close"] * 0.99, tif="day", trailing_stop_percent=0.04)
    elif seen[SIGNAL] < -2.0:
        strategy.sell(seen["symbol"], quantity=40, limit=seen["close"] * 1.005)


def break_out_both_ways(strategy: Strategy, seen: Seen) -> None:
    """Enter on stops and stop-limits, long and short."""
    symbol, close = seen["symbol"], seen["close"]
    if seen[SIGNAL] > 1.7:
        strategy.buy(symbol, quantity=100, stop=close * 1.01, tif="day", stop_loss=close * 0.98)
    elif seen[SIGNAL] < -1.7:
        strategy.sell(symbol, quantity=100, stop=close * 0.99, limit=close * 0.985, stop_loss=close * 1.03)
    elif abs(seen[SIGNAL]) < 0.05:
        strategy.close_position(symbol)


def trade_large(strategy: Strategy, seen: Seen) -> None:
    """Trade more than a bar's volume carries."""
    if seen[SIGNAL] > 1.8:
        strategy.buy(seen["symbol"], quantity=60_000)
    elif seen[SIGNAL] < -1.8:
        strategy.close_position(seen["symbol"])


def in_and_out_at_closes(strategy: Strategy, seen: Seen) -> None:
    """Buy at an open, leave at the close; trail in and out in between."""
    if seen[SIGNAL] > 2.2:
        strategy.buy(seen["symbol"], quantity=100)
        strategy.sell(seen["symbol"], quantity=100, market_on_close=True)
    elif seen[SIGNAL] < -2.2:
        strategy.buy(seen["symbol"], quantity=30, trailing_percent=0.001, tif="day")


def size_in_fractions(strategy: Strategy, seen: Seen) -> None:
    """Add and reduce by fractions of equity."""
    if seen[SIGNAL] > 1.3:
        strategy.buy(seen["symbol"], percent=0.15)
    elif seen[SIGNAL] < -1.6:
        strategy.sell(seen["symbol"], percent=0.1)


SETUPS: dict[str, Setup] = {
    "targets": Setup(follow_targets),
    "brackets": Setup(buy_with_bracket, {"commission": PerOrderCommission(1.0), "slippage": SpreadSlippage(0.04)}),
    "limits": Setup(fade_with_limits, {"commission": PerShareCommission(0.01, 1.0), "slippage": FixedSlippage(0.02)}),
    "margin": Setup(
        break_out_both_ways,
        {"account": MarginAccount(borrow_rate=0.03), "initial_capital": 100_000.0, "intrabar_path": "ohlc"},
    ),
    "volume": Setup(
        trade_large,
        {"max_volume_share": 0.1, "slippage": VolumeShareSlippage(0.1), "initial_capital": 1e8},
    ),
    "minutes": Setup(
        in_and_out_at_closes,
        {"initial_capital": 250_000.0},
        {"num_symbols": 3, "num_sessions": 3, "minutes": True},
    ),
    "rules": Setup(
        size_in_fractions,
        {
            "fractional": True,
            "commission": TieredCommission(),
            "position_rules": PositionRules(stop_loss_percent=0.03, take_profit_percent=0.05, max_holding_bars=30),
            "limits": PortfolioLimits(max_positions=5, max_weight=0.3, max_drawdown=0.2),
        },
    ),
    "actions": Setup(
        follow_targets,
        {
            "interest_rate": 0.02,
            "end_of_data": "close",
            "corporate_actions": pl.DataFrame(
                {
                    "symbol": ["S0001", "S0001", "S0003", "S0004"],
                    "ex_date": [date(2020, 3, 2), date(2020, 6, 1), date(2020, 4, 1), date(2020, 5, 1)],
                    "kind": ["dividend", "dividend", "split", "dividend"],
                    "value": [0.25, 0.25, 1.0009765625, 1.5],
                }
            ),
            "delistings": pl.DataFrame({"symbol": ["S0005"], "date": [date(2020, 7, 1)], "price": [33.0]}),
        },
    ),
}


def names() -> list[str]:
    """Return the names of all pinned runs."""
    modes = [f"{setup} {mode}" for setup in SETUPS for mode in ("batch", "symbol")]
    return [f"scene {number}" for number in SCENES] + modes


def run(name: str) -> BacktestResult:
    """Return the result of a pinned run."""
    what, which = name.split()
    if what == "scene":
        return live(scene(int(which))).result
    setup = SETUPS[what]
    bars = random_bars(**setup.bars, seed=len(what))
    for symbol, day, _ in setup.options.get("delistings", pl.DataFrame()).iter_rows():
        bars = bars.filter((pl.col("symbol") != symbol) | (pl.col("timestamp").dt.date() <= day))
    feed = PolarsDataFeed(bars, signal_columns=[SIGNAL])
    strategy = OnBatch(setup.rule) if which == "batch" else OnSymbol(setup.rule)
    return BacktestEngine(feed, strategy, **setup.options).run()
