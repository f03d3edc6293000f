"""The strategies that are measured, written as a user writes them: the public API and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from benchmarks.works import LOT
from ml4t_backtest import MarketEvent, Strategy


class NoiseBySlice(Strategy):
    """Buys a lot when flat and p > t, closes when long and p < -t; sees a slice at a time."""

    def __init__(self, t: float) -> None:
        self.t = t

    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Mapping[str, Any]) -> None:
        """Look at the strong predictions of the slice, if there are any."""
        p = asset_batch["p"].to_numpy()
        strong = np.flatnonzero(np.abs(p) > self.t)
        if not strong.size:
            return
        symbols = asset_batch["symbol"].gather(strong)
        held = self.position_quantities(symbols)
        self.submit_batch(symbols, np.where(p[strong] > 0.0, np.where(held == 0.0, LOT, 0.0), -held))


class NoiseBySymbol(Strategy):
    """The same rule, one bar at a time."""

    def __init__(self, t: float) -> None:
        self.t = t

    def on_market_data(self, event: MarketEvent) -> None:
        """Look at one bar."""
        p = event.signals["p"]
        if p > self.t:
            if not self.get_position(event.symbol):
                self.buy(event.symbol, LOT)
        elif p < -self.t and self.get_position(event.symbol):
            self.close_position(event.symbol)
