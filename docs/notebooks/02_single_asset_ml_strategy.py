# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, name: python3}
# ---

# %% [markdown]
# # One share, one model
#
# AAPL from 2000 to 2013, real prices: a logistic regression, fitted again every quarter on the past only, says each evening how
# likely the next session is to gain. Prepare, run, analyse. The model has four features and no secret: expect little of it.

# %%
from datetime import datetime
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from ml4t_backtest import BacktestEngine, DataPreparer, MarketEvent, PolarsDataFeed, Strategy, list_datasets
from ml4t_backtest.reporting.breakdowns import by_known_value, rolling_sharpe

sample = list_datasets()[0].path
prices = pl.read_parquet(sample / "prices.parquet").filter(pl.col("symbol") == "AAPL").sort("timestamp")
actions = pl.read_parquet(sample / "corporate_actions.parquet").filter(pl.col("symbol") == "AAPL")

# %% [markdown]
# ## Features that know the past only
#
# A split would look like a crash, so returns are computed with the split taken out: on its ex-date only, when it is known.

# %%
splits = actions.filter(pl.col("kind") == "split").select(timestamp="ex_date", split="value")
step = (pl.col("close") * pl.col("split").fill_null(1.0) / pl.col("close").shift(1)).log().alias("step")
features = prices.join(splits, on="timestamp", how="left").sort("timestamp").select("timestamp", step)
features = features.with_columns(
    *(pl.col("step").rolling_sum(span).alias(f"return_{span}") for span in (1, 5, 21)),
    pl.col("step").rolling_std(21).alias("volatility"),
    (pl.col("step").shift(-1) > 0).alias("gains_tomorrow"),  # the label: never an input
)
columns = ["return_1", "return_5", "return_21", "volatility"]
features.drop_nulls().tail(3)

# %% [markdown]
# ## Walk forward
#
# At row `i` the label of row `i` is not known yet, so the model is fitted on rows before `i` whose next session has ended.

# %%
inputs = features.select(columns).to_numpy()
label = features["gains_tomorrow"].cast(pl.Float64).to_numpy()
usable = np.isfinite(inputs).all(axis=1)
probability = np.full(len(inputs), np.nan)
FIRST, EVERY = 504, 63
for start in range(FIRST, len(inputs), EVERY):
    known = np.flatnonzero(usable[: start - 1])  # the label of row start - 1 is the session that is just beginning
    scaler = StandardScaler().fit(inputs[known])
    model = LogisticRegression(C=0.1).fit(scaler.transform(inputs[known]), label[known])
    rows = np.arange(start, min(start + EVERY, len(inputs)))
    probability[rows] = model.predict_proba(scaler.transform(inputs[rows]))[:, 1]
signals = (
    features.select("timestamp", symbol=pl.lit("AAPL"), prediction=pl.Series(probability)).fill_nan(None).drop_nulls()
)
print(f"{signals.height} predictions, from {signals['prediction'].min():.3f} to {signals['prediction'].max():.3f}")

# %% [markdown]
# ## Prepare and run
#
# A prediction uses the close, so it is known at the close (`market_close`) and its orders fill at the next open.

# %%
prepared = (
    DataPreparer(calendar="XNYS")
    .add_prices(prices, freq="1d", bar_label="session")
    .add_signals(signals, freq="1d", valid_from="market_close")
    .add_corporate_actions(actions, adjustment="none")
    .prepare()
)


class Confident(Strategy):
    """All in while the model is more sure than usual, out when it is less."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_market_data(self, event: MarketEvent) -> None:
        """Compare today's probability with the median of those so far."""
        today = event.signals["prediction"]
        if today is None:
            return
        usual = float(np.median(self.seen[-252:])) if len(self.seen) >= 60 else None
        self.seen.append(today)
        if usual is None:
            return
        held = self.get_position(event.symbol)
        if not held and today > usual + 0.005:
            self.buy(event.symbol, percent=0.95, stop_loss_percent=0.10)
        elif held and today < usual - 0.005:
            self.close_position(event.symbol)


feed = PolarsDataFeed(prepared.asset_data, signal_columns=["prediction"])
result = BacktestEngine(
    feed, Confident(), initial_capital=100_000.0, corporate_actions=prepared.corporate_actions, adjustment="none"
).run()
print(result)
{name: result.metrics[name] for name in ("total_return", "sharpe_ratio", "max_drawdown", "hit_rate", "time_in_market")}

# %% [markdown]
# ## Beside holding the share
#
# The honest question is not whether it earned, but whether it earned more than doing nothing.

# %%
daily = result.daily_returns
adjusted = np.exp(features.join(daily.select(timestamp="session"), on="timestamp")["step"].fill_null(0.0).cum_sum())
holding = 100_000.0 * adjusted / adjusted[0]
figure = go.Figure()
figure.add_scatter(x=daily["session"].to_list(), y=daily["equity"].to_list(), name="strategy")
figure.add_scatter(
    x=daily["session"].to_list(), y=holding.to_list(), name="AAPL held (no dividends)", line={"dash": "dot"}
)
figure.update_layout(title="Equity, log scale", yaxis_type="log", height=420)
figure

# %% [markdown]
# ## Did confidence buy anything?

# %%
buckets = by_known_value(result.trades, "prediction", 5)
figure = go.Figure(go.Bar(x=[bucket.label for bucket in buckets], y=[bucket.mean_return for bucket in buckets]))
figure.update_layout(
    title="Mean net return of a trade, by the prediction it was decided on", yaxis_tickformat=".1%", height=350
)
figure

# %%
known = daily.drop_nulls("daily_return")
sharpe = rolling_sharpe(known["daily_return"].to_list(), 252)
figure = go.Figure(go.Scatter(x=known["session"].to_list(), y=sharpe))
figure.update_layout(title="Sharpe ratio of the last 252 sessions", height=350)
figure

# %%
told: dict[str, Any] = result.metrics
moment: datetime = result.trades["decision_timestamp"].min()  # type: ignore[assignment]
assert moment.year >= 2002, "two years of history before the first decision"
assert result.trades.filter(pl.col("entry_timestamp") <= pl.col("decision_timestamp")).is_empty()
print(f"Probability that the true Sharpe ratio is above 0: {told['probabilistic_sharpe_ratio']:.1%}")
