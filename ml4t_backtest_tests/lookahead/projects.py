"""Small projects in a folder: a configuration, its data, and a strategy of the user's beside it."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from lookahead.data import daily

SYMBOLS = ("S0000", "S0001", "S0002")
CONFIG = """\
backtest: {{initial_capital: 100000}}
data:
  source:
    adjustment: none
    bar_label: session
    prices: {{path: prices.parquet}}
    signals:
      - {{path: signals.parquet, names: [prediction], available_at: market_close}}
strategy:
  path: {path}
  params: {params}
"""
# Trades on what it is shown; holds for a while, so that there is something to record.
HONEST = """
from ml4t_backtest import Strategy

class Mine(Strategy):
    def on_market_data(self, event):
        wanted = event.signals["prediction"]
        held = self.get_position(event.symbol)
        if wanted is not None and wanted > 0.5 and not held:
            self.buy(event.symbol, percent=0.2, stop_loss_percent=0.05)
        elif wanted is not None and wanted < -0.5 and held:
            self.close_position(event.symbol)
"""


def bars() -> pl.DataFrame:
    """Daily bars labelled by session, in (symbol, timestamp) order."""
    return (
        daily().filter(pl.col("symbol").is_in(SYMBOLS)).with_columns(pl.col("timestamp").dt.date()).drop("open_instant")
    )


def signals(signal: pl.Expr) -> pl.DataFrame:
    """Return the signal `prediction`, computed within each symbol in the order of time."""
    return bars().select("timestamp", "symbol", prediction=signal.over("symbol")).drop_nulls()


def honest_signal() -> pl.Expr:
    """Return a momentum in units of its past deviation."""
    moved = pl.col("close") / pl.col("close").shift(3) - 1.0
    return moved / moved.rolling_std(20)


def project(
    folder: Path,
    *,
    strategy: str = HONEST,
    signal: pl.Expr | None = None,
    params: str = "{}",
    config: str = CONFIG,
) -> Path:
    """Write a project and return the path of its configuration."""
    bars().write_parquet(folder / "prices.parquet")
    signals(honest_signal() if signal is None else signal).write_parquet(folder / "signals.parquet")
    (folder / "mine.py").write_text(strategy, encoding="utf-8")
    path = folder / "mine.yaml"
    path.write_text(config.format(path="mine.py:Mine", params=params), encoding="utf-8")
    return path
