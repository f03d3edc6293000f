# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, name: python3}
# ---

# %% [markdown]
# # Data preparation
#
# Three files as they come: prices with a vendor's column names, predictions in a file of their own with dates only, and an
# index of volatility. They become one data set in which every bar says when it was complete and every signal when it was
# known. Prices are the real ones of the embedded sample, as traded in 2012. The VIX comes from `../shared/data` (set
# `ML4T_DATA` to another folder); where it is absent, the realised volatility of the S&P 500 stands in.

# %%
import os
from datetime import date
from pathlib import Path

import plotly.graph_objects as go
import polars as pl

from ml4t_backtest import DataPreparer, list_datasets
from ml4t_backtest.errors import DataValidationError

sample = list_datasets()[0].path
shared = Path(os.environ.get("ML4T_DATA", "../shared/data"))
year = pl.col("timestamp").is_between(date(2012, 1, 3), date(2012, 12, 31))

vendor = (
    pl.read_parquet(sample / "prices.parquet")
    .filter(year & pl.col("symbol").is_in(["AAPL", "MSFT"]))
    .rename({"timestamp": "Day", "symbol": "Ticker", "volume": "Vol"})
)
predictions = pl.read_parquet(sample / "predictions.parquet").filter(year).select("timestamp", "symbol", "prediction")
vix_file = shared / "context_vix_spx_daily.parquet"
if vix_file.exists():
    vix = pl.read_parquet(vix_file).filter(year & (pl.col("symbol") == "VIX")).select("timestamp", vix="close")
    print("volatility: the VIX")
else:
    realised = pl.col("spx_volatility_21d").alias("vix") * 100
    vix = pl.read_parquet(sample / "context.parquet").filter(year).select("timestamp", realised)
    print("volatility: realised, of the S&P 500, in place of the VIX")
vix = vix.unique("timestamp").sort("timestamp").drop_nulls()
vendor.head(3)

# %% [markdown]
# ## Every row is checked, and everything that is wrong is said at once
#
# Two mistakes are planted: a high below the low, and a bar that is there twice.

# %%
broken = vendor.with_columns(
    high=pl.when(pl.col("Day") == date(2012, 3, 1), pl.col("Ticker") == "AAPL").then(1.0).otherwise("high")
)
broken = pl.concat([broken, broken.filter(pl.col("Day") == date(2012, 6, 1), pl.col("Ticker") == "MSFT")])
names = {"timestamp": "Day", "symbol": "Ticker", "volume": "Vol"}
try:
    DataPreparer(calendar="XNYS").add_prices(broken, freq="1d", bar_label="session", columns=names)
    raise AssertionError("the mistakes were not found")
except DataValidationError as error:
    print(error)

# %% [markdown]
# ## When was it known?
#
# A prediction is about a session, named by its date. `valid_from` says when it could be used first; there is no default,
# because a guess would be a leak. Context likewise: the VIX of a day is taken to be known at the open of the next.

# %%
actions = pl.read_parquet(sample / "corporate_actions.parquet").filter(pl.col("symbol").is_in(["AAPL", "MSFT"]))
prepared = (
    DataPreparer(calendar="XNYS")
    .add_prices(vendor, freq="1d", bar_label="session", columns=names)
    .add_signals(predictions.filter(pl.col("symbol") != "FB"), freq="1d", valid_from="market_close")
    .add_context(vix, names=["vix"], available_at="next_day")
    .add_corporate_actions(actions, adjustment="none")
    .add_indicators(["sma:20", "atr:14"])
    .validate_and_save(asset_output="data/assets", context_output="data/context")
)
bars = prepared.asset_data
bars.filter(pl.col("symbol") == "AAPL").select(
    "timestamp", "close", "sma_20", "prediction", "prediction_available_at"
).tail(3)

# %% [markdown]
# The close instant of a session is 21:00 UTC in winter, 20:00 in summer, and 18:00 on the day before Independence Day and after
# Thanksgiving, when New York closes at one o'clock. The calendar knows; nobody typed it.

# %%
apple = bars.filter(pl.col("symbol") == "AAPL")
hours = apple["timestamp"].dt.hour() + apple["timestamp"].dt.minute() / 60
figure = go.Figure(go.Scatter(x=apple["timestamp"].dt.date().to_list(), y=hours.to_list(), mode="markers"))
figure.update_layout(
    title="When the bar of each session of 2012 was complete", yaxis_title="hour of the day, UTC", height=350
)
figure

# %% [markdown]
# ## What was found that is no error
#
# Findings do not stop anything; they are recorded with the data and shown in every report made from it.

# %%
prepared.data_quality.select("what", "severity", "symbol", "count", "example").head(8)

# %%
assert hours.n_unique() >= 3, "winter, summer and half days"
assert bars["prediction_available_at"].le(bars["decision_instant"]).all(), "nothing is shown before it was known"
