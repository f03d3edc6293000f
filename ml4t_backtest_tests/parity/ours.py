"""Our side: the engine on a tape."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import date
from types import ModuleType
from typing import Any

import polars as pl

from ml4t_backtest import BacktestEngine, PolarsDataFeed, Strategy
from ml4t_backtest.config.cost_models import models_of
from ml4t_backtest.data.calendar import TradingCalendar
from ml4t_backtest.execution import commission, slippage
from ml4t_backtest.execution.accounts import CashAccount, MarginAccount
from ml4t_backtest.execution.profiles import Profile
from ml4t_backtest.reporting.result import BacktestResult
from parity.tape import PRICES, VOLUME, Execution, Outcome, Tape, TapeOrder

PROTECTION = ("stop_loss", "take_profit", "stop_loss_percent", "take_profit_percent", "trailing_stop_percent")
TERMS = {"limit": "limit", "stop": "stop", "trail_amount": "trailing", "trail_percent": "trailing_percent"}


class Replay(Strategy):
    """Gives the tape's orders."""

    def __init__(self, tape: Tape) -> None:
        self._due: dict[int, list[TapeOrder]] = defaultdict(list)
        for order in tape.orders:
            self._due[order.slice].append(order)
        self._at = -1

    def on_timestamp_batch(self, timestamp: Any, asset_batch: pl.DataFrame, context: Mapping[str, Any]) -> None:
        self._at += 1
        for order in self._due.get(self._at, ()):
            if order.close:
                self.close_position(order.symbol)
                continue
            words = {theirs: getattr(order, ours) for ours, theirs in TERMS.items()}
            words |= {name: value for name in PROTECTION if (value := getattr(order, name)) is not None}
            give = self.buy if order.quantity > 0 else self.sell
            give(order.symbol, abs(order.quantity), **words)


def replay(tape: Tape, profile: Profile | str | None = None) -> Outcome:
    """Run the engine on a tape, with what the tape and the profile say and our defaults for everything else."""
    ours = MarginAccount() if tape.shorts else CashAccount()
    engine = BacktestEngine(
        PolarsDataFeed(bars_of(tape), chunk="10y"),
        Replay(tape),
        initial_capital=tape.capital,
        slippage=_model(slippage, tape.slippage),
        commission=_model(commission, tape.commission),
        fractional=tape.fractional,
        account=ours if profile is None else None,
        profile=profile,
    )
    return outcome_of(engine.run(), tape)


def bars_of(tape: Tape) -> pl.DataFrame:
    """Return the bars of a tape as prepared data: daily bars of the New York Stock Exchange."""
    days = pl.Series("session", [date.fromisoformat(day) for day in tape.slices])
    calendar = TradingCalendar("XNYS", days[0], days[-1])
    sessions = calendar.sessions.filter(pl.col("session").is_in(days.implode()))
    instants = sessions.select(timestamp="close", open_instant="open", decision_instant="close")
    frames = [
        instants.with_columns(
            pl.lit(symbol).alias("symbol"),
            *(pl.Series(name, rows[name], dtype=pl.Float64) for name in PRICES),
            pl.lit(float(VOLUME)).alias("volume"),
        )
        for symbol, rows in tape.bars.items()
    ]
    return pl.concat(frames).sort("timestamp", "symbol")


def outcome_of(result: BacktestResult, tape: Tape) -> Outcome:
    """Return what the records say, with slices counted from 0."""
    stamps = result.portfolio_states["timestamp"].to_list()
    place = {stamp: index for index, stamp in enumerate(stamps)}
    columns = ("timestamp", "symbol", "side", "quantity", "price", "commission")
    fills = [Execution(place[row[0]], *row[1:]) for row in result.fills.select(columns).iter_rows()]
    return Outcome(fills, result.portfolio_states["equity"].to_list())


def _model(module: ModuleType, section: dict[str, Any]) -> Any:
    words = {name: value for name, value in section.items() if name != "model"}
    return models_of(module)[section["model"]](**words)
