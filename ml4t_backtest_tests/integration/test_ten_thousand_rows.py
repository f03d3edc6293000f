"""Ten thousand rows go from files through feed and engine to Parquet, and what comes out is what the files say."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ml4t_backtest import BacktestEngine, NoCommission, NoSlippage, PolarsDataFeed, Strategy, read_result
from ml4t_backtest.data.synthetic import random_bars

SYMBOLS, SESSIONS = 40, 250
COLUMNS = ["timestamp", "symbol", "open", "high", "low", "close", "volume"]


class ByPrediction(Strategy):
    """Buys ten shares at the first slice whose prediction is above 1, sells them at the first below -1 after it."""

    def __init__(self) -> None:
        self.slices: list[tuple[datetime, int]] = []

    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Mapping[str, Any]) -> None:
        self.slices.append((timestamp, asset_batch.height))
        for symbol, prediction in asset_batch.select("symbol", "prediction").iter_rows():
            held = self.get_position(symbol)
            if prediction > 1.0 and not held:
                self.buy(symbol, quantity=10)
            elif prediction < -1.0 and held:
                self.close_position(symbol)


@pytest.fixture(scope="module")
def bars() -> pl.DataFrame:
    return random_bars(SYMBOLS, SESSIONS, minutes=False)


@pytest.fixture
def files(bars: pl.DataFrame, tmp_path: Path) -> Path:
    """Bars in one file a quarter, rows in any order, predictions in one file beside them."""
    quarters = bars.select(COLUMNS).sample(fraction=1.0, shuffle=True, seed=3)
    for (quarter,), part in quarters.group_by(pl.col("timestamp").dt.quarter(), maintain_order=True):
        folder = tmp_path / "bars" / f"quarter={quarter}"
        folder.mkdir(parents=True)
        part.write_parquet(folder / "part.parquet")
    predictions = bars.select("timestamp", "symbol", "prediction", available_at="prediction_available_at")
    predictions.write_parquet(tmp_path / "predictions.parquet")
    return tmp_path


def expected_fills(bars: pl.DataFrame) -> list[tuple[datetime, str, float, float]]:
    """Return what plain loops over the rows say: each decision fills at the same symbol's next open."""
    fills = []
    for (symbol,), own in bars.sort("symbol", "timestamp").group_by("symbol", maintain_order=True):
        held, rows = False, own.select("timestamp", "open", "prediction").rows()
        for (_, _, prediction), (timestamp, price, _) in pairwise(rows):
            if (prediction < -1.0) if held else (prediction > 1.0):
                held = not held
                fills.append((timestamp, symbol, price, 10.0 if held else -10.0))
    return sorted(fills)


def test_files_to_feed_to_engine_to_parquet(bars: pl.DataFrame, files: Path) -> None:
    assert bars.height == 10_000
    feed = PolarsDataFeed(
        files / "bars",
        signals_data=files / "predictions.parquet",
        signal_columns=["prediction"],
        chunk="1mo",
    )
    strategy = ByPrediction()
    engine = BacktestEngine(feed, strategy, initial_capital=1e6, slippage=NoSlippage(), commission=NoCommission())
    result = read_result(engine.run().write(files / "result"))

    closes = bars["timestamp"].unique().sort().to_list()
    assert strategy.slices == [(close, SYMBOLS) for close in closes]
    signed = pl.when(pl.col("side") == "buy").then("quantity").otherwise(-pl.col("quantity"))
    fills = result.fills.select("timestamp", pl.col("symbol").cast(pl.String), "raw_price", signed).rows()
    expected = expected_fills(bars)
    assert len(expected) > 1_000
    assert sorted(fills) == expected
    # Equity: what was there, less what was paid, plus what is held at the last close.
    paid = sum(price * quantity for _, _, price, quantity in expected)
    last = dict(bars.filter(pl.col("timestamp") == closes[-1]).select("symbol", "close").iter_rows())
    held = sum(last[symbol] * quantity for _, symbol, _, quantity in expected)
    np.testing.assert_allclose(result.portfolio_states["equity"][-1], 1e6 - paid + held, rtol=1e-12)
    # One row per exit and one per position that is still open: as many as there were buys.
    assert result.trades.height == sum(quantity > 0 for *_, quantity in expected)
