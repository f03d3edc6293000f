"""A small project to sweep over: made-up bars, a strategy of its own, a backtest and a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from ml4t_backtest.data.synthetic import random_bars
from ml4t_backtest.sweep.loading import Sweep, sweep_from_mapping

STRATEGY = """
import os, signal, time
from ml4t_backtest import Strategy


class Above(Strategy):
    def __init__(self, level=1.0, seed=0, pause=0.0, dies_once=""):
        self.level, self.seed, self.pause, self.dies_once = level, seed, pause, dies_once

    def on_start(self):
        time.sleep(self.pause)
        if self.level == 13.0:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.dies_once and not os.path.exists(self.dies_once):
            open(self.dies_once, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)

    def on_timestamp_batch(self, timestamp, asset_batch, context):
        if self.level < 0.0:
            raise ValueError("a level below zero")
        for symbol, prediction in asset_batch.select("symbol", "prediction").iter_rows():
            if prediction > self.level:
                self.order_target_percent(symbol, 0.2)
            elif prediction < 0.0:
                self.close_position(symbol)
"""
BACKTEST = """
data:
  source:
    adjustment: total_return
    bar_label: close
    frequency: 1d
    prices: {path: bars.parquet}
    signals: [{path: signals.parquet, names: [prediction], available_at: null}]
strategy: {path: "above.py:Above"}
"""


def project(folder: Path, sessions: int = 60) -> Path:
    """Write the project and return its folder of configurations."""
    configs = folder / "configs"
    (configs / "sweeps").mkdir(parents=True)
    bars = random_bars(3, sessions, seed=1)
    bars.select("timestamp", "symbol", "open", "high", "low", "close", "volume").write_parquet(configs / "bars.parquet")
    known = pl.col("prediction_available_at").alias("available_at")
    bars.select("timestamp", "symbol", "prediction", known).write_parquet(configs / "signals.parquet")
    (configs / "above.py").write_text(STRATEGY, encoding="utf-8")
    (configs / "above.yaml").write_text(BACKTEST, encoding="utf-8")
    return configs


def sweep(configs: Path, space: dict[str, Any], **sections: Any) -> Sweep:
    """Return a sweep over the backtest of the project."""
    told = {"sweep": {"base": "above"}, "space": space, **sections}
    return sweep_from_mapping(told, name="levels", folder=configs / "sweeps")


def levels(*values: float, **others: list[Any]) -> dict[str, Any]:
    """Return a grid over the strategy's level, and over others of its params."""
    params = {"level": list(values), **others}
    return {"model": "grid", "parameters": {f"strategy.params.{name}": each for name, each in params.items()}}
