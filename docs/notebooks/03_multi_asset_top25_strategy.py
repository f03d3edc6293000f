# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, name: python3}
# ---

# %% [markdown]
# # The best 25 of 250
#
# 250 symbols, a prediction each per day, minute execution: hold the 25 with the most confidence, sized by their volatility,
# with stops, and only while the market is calm.
#
# **The minute bars are simulated** (geometric random walks): free minute data of 250 shares does not exist. They show the
# mechanics, and earn nothing, as they should. At the end the same strategy runs on **real** daily prices of the
# S&P 500, where `../shared/data` (or the folder in `ML4T_DATA`) has them.

# %%
import os
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from ml4t_backtest import BacktestEngine, PolarsDataFeed, Strategy, list_datasets
from ml4t_backtest.data.synthetic import random_bars

SYMBOLS, SESSIONS = 250, 5
shared = Path(os.environ.get("ML4T_DATA", "../shared/data"))
minutes = random_bars(SYMBOLS, SESSIONS, minutes=True, seed=7).drop(
    "prediction", "prediction_available_at", strict=False
)
print(f"{minutes.height:,} simulated minute bars of {SYMBOLS} symbols")

# %% [markdown]
# ## Daily predictions on minute bars
#
# One row per symbol and day, known at that day's open. On the 390 bars of the day it stays the same; `prediction_is_new` is
# true on the first bar that shows it, and only then the portfolio is chosen: once a day, not 390 times.

# %%
days = minutes["timestamp"].dt.date().unique().sort()
names = minutes["symbol"].unique().cast(pl.String).sort()
noise = np.random.default_rng(11)
grid = pl.DataFrame({"timestamp": days}).join(pl.DataFrame({"symbol": names}), how="cross")
predictions = grid.with_columns(prediction=pl.Series(noise.normal(size=grid.height)))
volatility = grid.select("timestamp", "symbol", atr=pl.Series(0.5 + noise.random(grid.height)))
signals = predictions.join(volatility, on=["timestamp", "symbol"])

vix_file = shared / "context_vix_spx_daily.parquet"
if vix_file.exists():
    vix = pl.read_parquet(vix_file).filter(pl.col("symbol") == "VIX").select("timestamp", vix="close")
    print("filter: the VIX")
else:
    index = pl.read_parquet(list_datasets()[0].path / "context.parquet")
    vix = index.select("timestamp", vix=pl.col("spx_volatility_21d") * 100).drop_nulls()
    print("filter: realised volatility of the S&P 500 in place of the VIX")
vix = vix.unique("timestamp").sort("timestamp")


class Top25(Strategy):
    """Hold the 25 best predictions at a risk of 0.1 % of equity per ATR each, at most 4 % in one, with a stop."""

    def __init__(self, calm_below: float = 30.0, top_n: int = 25) -> None:
        self.calm_below = calm_below
        self.top_n = top_n
        self.chosen_on: list[datetime] = []

    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Mapping[str, Any]) -> None:
        """Choose when new predictions are there."""
        if not asset_batch["prediction_is_new"].any():
            return
        self.chosen_on.append(timestamp)
        known = asset_batch.drop_nulls(["prediction", "atr"])
        calm = context["vix"] is None or context["vix"] < self.calm_below
        best = known.top_k(self.top_n, by="prediction").sort("symbol") if calm else known.head(0)
        keep = set(best["symbol"].cast(pl.String).to_list())
        held = set(self.get_all_positions()["symbol"].cast(pl.String).to_list())
        for symbol in sorted(held - keep):
            self.close_position(symbol)
        equity = self.equity
        for symbol, close, atr in best.select("symbol", "close", "atr").iter_rows():
            if symbol in held:
                continue
            quantity = min(0.001 * equity / atr, 0.04 * equity / close) // 1
            if quantity >= 1:
                self.buy(symbol, quantity, stop_loss=close - 3 * atr)


feed = PolarsDataFeed(
    minutes,
    signals_data=signals,
    signal_columns=["prediction", "atr"],
    signal_available_at="market_open",
    context_data=vix,
    context_columns=["vix"],
    context_available_at="next_day",
    bar_label="close",
    frequency="1m",
)
strategy = Top25()
result = BacktestEngine(feed, strategy, initial_capital=1_000_000.0, state_frequency="slice").run()
print(result)

# %%
states = result.portfolio_states
figure = go.Figure(go.Scatter(y=states["num_positions"].to_list(), line={"shape": "hv"}))
figure.update_layout(
    title="Positions, minute by minute: chosen once a day, then thinned by stops",
    xaxis_title="minutes since the first",
    yaxis_title="positions",
    height=350,
)
figure

# %% [markdown]
# ## What ended the trades

# %%
ended = result.trades.filter(pl.col("status") != "open").group_by("exit_reason").len().sort("exit_reason")
figure = go.Figure(go.Bar(x=ended["exit_reason"].cast(pl.String).to_list(), y=ended["len"].to_list()))
figure.update_layout(title="Exits by reason", height=320)
figure

# %%
assert len(strategy.chosen_on) == SESSIONS, "once a day, although the predictions are on every minute"
assert states["num_positions"].max() <= 25

# %% [markdown]
# ## The same strategy on real prices
#
# Daily bars of 500 shares, 2013 to 2018 (adjusted for splits). The "model" is what a child would try first: last month's
# losers. The list of members is that of 2018, so **everything here is flattered by survivorship**; what the picture shows is how
# the pieces work together, not an edge.

# %%
file = shared / "sp500_daily_2013_2018.parquet"
if file.exists():
    real = pl.read_parquet(file).sort("symbol", "timestamp").drop_nulls()
    complete = real.group_by("symbol").len().filter(pl.col("len") == pl.col("len").max())["symbol"].sort()
    real = real.filter(pl.col("symbol").is_in(complete.head(SYMBOLS).implode()))
    ok = (pl.col("low") <= pl.min_horizontal("open", "close")) & (pl.col("high") >= pl.max_horizontal("open", "close"))
    real = real.filter(ok & (pl.col("volume") > 0))
    change = (pl.col("close") / pl.col("close").shift(1) - 1).over("symbol")
    month = (1 - pl.col("close") / pl.col("close").shift(21)).over("symbol")
    scored = real.with_columns(prediction=month, atr=(change.abs().rolling_mean(21).over("symbol") * pl.col("close")))
    feed = PolarsDataFeed(
        real,
        signals_data=scored.select("timestamp", "symbol", "prediction", "atr").drop_nulls(),
        signal_columns=["prediction", "atr"],
        signal_available_at="market_close",
        context_data=vix.filter(pl.col("timestamp") >= date(2013, 1, 2)),
        context_columns=["vix"],
        context_available_at="next_day",
        bar_label="session",
    )

    class Weekly(Top25):
        """Choose every fifth session."""

        def on_start(self) -> None:
            """Begin counting."""
            self.slices = 0

        def on_timestamp_batch(
            self, timestamp: datetime, asset_batch: pl.DataFrame, context: Mapping[str, Any]
        ) -> None:
            """Leave out four sessions of five."""
            self.slices += 1
            if self.slices % 5 == 0:
                super().on_timestamp_batch(timestamp, asset_batch, context)

    real_result = BacktestEngine(feed, Weekly(calm_below=22.0), initial_capital=1_000_000.0, adjustment="split").run()
    daily = real_result.daily_returns
    figure = go.Figure(go.Scatter(x=daily["session"].to_list(), y=daily["equity"].to_list()))
    figure.update_layout(title="Losers of the month, top 25 of 250, out when the VIX is above 22", height=420)
    print(real_result)
else:
    figure = go.Figure().update_layout(title="the S&P 500 file is not here")
figure
