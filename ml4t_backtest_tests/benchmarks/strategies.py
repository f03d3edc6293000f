"""The strategies that are measured, written as a user writes them: the public API and nothing else.

Each comes in both modes, and both modes give the same orders.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from benchmarks.tasks import STOP, TARGET
from benchmarks.works import LOT
from ml4t_backtest import FillView, MarketEvent, Strategy

TOP, INVESTED = 25, 0.5


class NoiseBySlice(Strategy):
    """Buys a lot when flat and p > enter, closes when long and p < leave; sees a slice at a time."""

    def __init__(self, enter: float, leave: float) -> None:
        self.enter, self.leave = enter, leave

    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Mapping[str, Any]) -> None:
        """Look at the predictions of the slice at once; a quantity of 0 gives no order."""
        p = asset_batch["p"].to_numpy()
        buys, sells = p > self.enter, p < self.leave
        # Counting is quicker than the method `any`.
        if not np.count_nonzero(buys | sells):
            return
        symbols = asset_batch["symbol"]
        held = self.position_quantities(symbols)
        self.submit_batch(symbols, LOT * (buys & (held == 0.0)) - held * sells)


class NoiseBySymbol(Strategy):
    """The same rule, one bar at a time."""

    def __init__(self, enter: float, leave: float) -> None:
        self.enter, self.leave = enter, leave

    def on_market_data(self, event: MarketEvent) -> None:
        """Look at one bar."""
        p = event.signals["p"]
        if p > self.enter:
            if not self.get_position(event.symbol):
                self.buy(event.symbol, LOT)
        elif p < self.leave and self.get_position(event.symbol):
            self.close_position(event.symbol)


class TopBySlice(Strategy):
    """Holds the highest predictions of each slice at equal weights."""

    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Mapping[str, Any]) -> None:
        """Rank the slice and rebalance."""
        p = asset_batch["p"].to_numpy()
        top = asset_batch["symbol"].gather(np.argsort(-p, kind="stable")[:TOP])
        self.rebalance(dict.fromkeys(top.to_list(), INVESTED / TOP))


class TopBySymbol(Strategy):
    """The same, collected bar by bar: the last symbol of a slice rebalances."""

    def __init__(self, last: str) -> None:
        self.last = last
        self.seen: dict[str, float] = {}

    def on_market_data(self, event: MarketEvent) -> None:
        """Remember the prediction; rank when the slice is complete."""
        self.seen[event.symbol] = event.signals["p"]
        if event.symbol == self.last:
            top = sorted(self.seen, key=self.seen.__getitem__, reverse=True)[:TOP]
            self.rebalance(dict.fromkeys(top, INVESTED / TOP))


class BracketsBySlice(Strategy):
    """Keeps up to 25 positions open, each with a stop and a target.

    The first symbols with p > enter get the room, but none on the bar on which it was left.
    """

    def __init__(self, enter: float) -> None:
        self.enter = enter
        self.left: list[str] = []

    def on_fill(self, fill: FillView) -> None:
        """Remember what was left on this bar."""
        if fill.side == "sell":
            self.left.append(fill.symbol)

    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Mapping[str, Any]) -> None:
        """Fill the room that is left."""
        left, self.left = self.left, []
        held = self.position_quantities(asset_batch["symbol"]) != 0.0
        room = TOP - np.count_nonzero(held)
        if room <= 0:
            return
        wanted = ~held & (asset_batch["p"].to_numpy() > self.enter)
        if left:
            wanted &= ~asset_batch["symbol"].is_in(left).to_numpy()
        rows = np.flatnonzero(wanted)[:room]
        if rows.size:
            symbols = asset_batch["symbol"].gather(rows)
            lots = np.full(rows.size, LOT)
            self.submit_batch(symbols, lots, stop_loss_percent=STOP, take_profit_percent=TARGET)


class BracketsBySymbol(Strategy):
    """The same, one bar at a time."""

    def __init__(self, enter: float) -> None:
        self.enter = enter
        self.now: datetime | None = None
        self.room = 0
        self.left: dict[str, datetime] = {}

    def on_fill(self, fill: FillView) -> None:
        """Remember when a symbol was left."""
        if fill.side == "sell":
            self.left[fill.symbol] = fill.timestamp

    def on_market_data(self, event: MarketEvent) -> None:
        """Count the room once a slice; take some of it."""
        if event.timestamp != self.now:
            self.now, self.room = event.timestamp, TOP - self.get_all_positions().height
        if self.room <= 0 or event.signals["p"] <= self.enter or self.left.get(event.symbol) == self.now:
            return
        if not self.get_position(event.symbol):
            self.buy(event.symbol, LOT, stop_loss_percent=STOP, take_profit_percent=TARGET)
            self.room -= 1


def strategy_of(name: str, mode: str, *, enter: float, leave: float, last: str) -> Strategy:
    """Return a strategy by the name it is asked for with.

    Args:
        name: `noise`, `top25` or `brackets`.
        mode: `batch` or `symbol`.
        enter: Predictions above it buy.
        leave: Predictions below it close.
        last: The last symbol of every slice.
    """
    batch = mode == "batch"
    if name == "noise":
        return NoiseBySlice(enter, leave) if batch else NoiseBySymbol(enter, leave)
    if name == "top25":
        return TopBySlice() if batch else TopBySymbol(last)
    if name == "brackets":
        return BracketsBySlice(enter) if batch else BracketsBySymbol(enter)
    raise ValueError(f"no strategy {name!r}")
