# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, name: python3}
# ---

# %% [markdown]
# # Two regimes, two rules
#
# Bull: the index above its 200-day mean and the VIX below 25. Bear: everything else. In the bull regime the three best predictions
# are held; in the bear regime only what the model is convinced of, at half size, with a stop. Changes of regime are handled: a
# new regime must last three sessions before the portfolio is turned over.
#
# Five real shares, 2003 to 2013, with the crisis in the middle. The VIX comes from `../shared/data` (or `ML4T_DATA`); where
# it is absent, the realised volatility of the S&P 500 stands in.

# %%
import os
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import polars as pl

from ml4t_backtest import BacktestEngine, PolarsDataFeed, Strategy, list_datasets
from ml4t_backtest.reporting.breakdowns import by_known_value

sample = list_datasets()[0].path
shared = Path(os.environ.get("ML4T_DATA", "../shared/data"))
index = pl.read_parquet(sample / "context.parquet").sort("timestamp")
vix_file = shared / "context_vix_spx_daily.parquet"
if vix_file.exists():
    vix = pl.read_parquet(vix_file).filter(pl.col("symbol") == "VIX").select("timestamp", vix="close")
    label = "VIX"
else:
    vix = index.select("timestamp", vix=pl.col("spx_volatility_21d") * 100)
    label = "realised volatility of the S&P 500, in place of the VIX"
print(label)
context = (
    index.select("timestamp", "spx_close", spx_mean_200=pl.col("spx_close").rolling_mean(200))
    .join(vix.unique("timestamp"), on="timestamp", how="left")
    .sort("timestamp")
)


class TwoRegimes(Strategy):
    """Broad in bull markets, picky and small in bear markets; a regime counts once it has lasted."""

    def __init__(self, patience: int = 3) -> None:
        self.patience = patience
        self.regime: str | None = None
        self.candidate: str | None = None
        self.lasted = 0
        self.turns: list[tuple[datetime, str]] = []
        self.slices = 0

    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Mapping[str, Any]) -> None:
        """See which regime it is, and rebalance when it turned or a week is over."""
        if context["spx_mean_200"] is None or context["vix"] is None:
            return
        self.slices += 1
        turned = self._turned(timestamp, context)
        if self.regime and (turned or self.slices % 5 == 0):
            self.rebalance(self._bull(asset_batch) if self.regime == "bull" else self._bear(asset_batch))

    def _turned(self, timestamp: datetime, context: Mapping[str, Any]) -> bool:
        now = "bull" if context["spx_close"] > context["spx_mean_200"] and context["vix"] < 25 else "bear"
        self.lasted = self.lasted + 1 if now == self.candidate else 1
        self.candidate = now
        if now == self.regime or self.lasted < self.patience:
            return False
        self.regime = now
        self.turns.append((timestamp, now))
        return True

    def _bull(self, asset_batch: pl.DataFrame) -> dict[str, float]:
        best = asset_batch.drop_nulls("prediction").top_k(3, by="prediction")
        return dict.fromkeys(sorted(best["symbol"].cast(pl.String).to_list()), 0.95 / 3)

    def _bear(self, asset_batch: pl.DataFrame) -> dict[str, float]:
        convincing = asset_batch.filter(pl.col("prediction") > 0.52)
        return dict.fromkeys(sorted(convincing["symbol"].cast(pl.String).to_list()), 0.95 / 6)


def backtest(strategy: Strategy) -> Any:
    """Run a strategy over the sample, 2003 to 2013."""
    feed = PolarsDataFeed(
        sample / "prices.parquet",
        signals_data=sample / "predictions.parquet",
        signal_columns=["prediction"],
        context_data=context,
        context_columns=["spx_close", "spx_mean_200", "vix"],
        context_available_at="market_close",
        bar_label="session",
        start=date(2003, 1, 2),
        end=date(2013, 3, 1),
    )
    actions = pl.read_parquet(sample / "corporate_actions.parquet")
    return BacktestEngine(feed, strategy, corporate_actions=actions).run()


strategy = TwoRegimes()
result = backtest(strategy)
print(result)

# %% [markdown]
# ## Where the regime turned, and what the account did

# %%
daily = result.daily_returns
sessions = daily["session"].to_list()
figure = go.Figure()
ends = [*[moment for moment, _ in strategy.turns[1:]], datetime(2013, 3, 1)]
for (start, regime), end in zip(strategy.turns, ends, strict=True):
    if regime == "bear":
        figure.add_vrect(x0=start.date(), x1=end.date(), fillcolor="firebrick", opacity=0.15, line_width=0)
figure.add_scatter(x=sessions, y=daily["equity"].to_list(), name="equity")
level = daily["spx_close"]
figure.add_scatter(x=sessions, y=(level / level[0] * 1e6).to_list(), name="S&P 500", line={"dash": "dot"})
figure.update_layout(title="Equity and index; bear regimes shaded", height=420)
figure

# %% [markdown]
# ## What each regime earned

# %%
moments = pl.DataFrame(
    strategy.turns, schema={"timestamp": pl.Datetime("us", "UTC"), "regime": pl.String}, orient="row"
)
regimes = daily.drop_nulls("daily_return").join_asof(moments, on="timestamp").drop_nulls("regime")
table = regimes.group_by("regime").agg(
    sessions=pl.len(),
    mean_daily=pl.col("daily_return").mean(),
    volatility=pl.col("daily_return").std() * 252**0.5,
    worst_day=pl.col("daily_return").min(),
)
table.sort("regime")

# %% [markdown]
# ## Does patience pay?
#
# Turning at once catches turns earlier and pays for every false one. One run each; the fewer turns, the fewer costs.

# %%
rows = []
for patience in (1, 3, 5, 10):
    each = TwoRegimes(patience)
    metrics = backtest(each).metrics
    rows.append((patience, len(each.turns), metrics["total_costs"], metrics["sharpe_ratio"], metrics["max_drawdown"]))
turns = pl.DataFrame(rows, schema=["patience", "turns", "costs", "sharpe", "max_drawdown"], orient="row")
figure = go.Figure(go.Bar(x=[f"{p} sessions" for p in turns["patience"]], y=turns["turns"].to_list()))
figure.update_layout(title="Turns of the regime, by how long it must last", height=320)
figure

# %%
turns

# %% [markdown]
# ## Trades by the volatility they were decided in

# %%
buckets = by_known_value(result.trades, "vix", 5)
figure = go.Figure(go.Bar(x=[bucket.label for bucket in buckets], y=[bucket.mean_return for bucket in buckets]))
figure.update_layout(
    title=f"Mean net return of a trade, by the {label} at its decision", yaxis_tickformat=".1%", height=350
)
figure

# %%
assert len(strategy.turns) >= 4, "the decade had a crisis in it"
assert turns["turns"].is_sorted(descending=True), "more patience, fewer turns"
