"""How much money a strategy could move, by the volume of the bars it filled in."""

from __future__ import annotations

import numpy as np
import polars as pl

from ml4t_backtest.data.sources import collect
from ml4t_backtest.reporting.result import BacktestResult

# Of a bar's volume: what is held to be tradable without moving the price much.
SHARE = 0.01
_WORST = 0.05


def capacity(result: BacktestResult, bars: pl.DataFrame | pl.LazyFrame, share: float = SHARE) -> float | None:
    """Return the equity at which 95 % of the fills would still be no more than a share of their bar's volume.

    Orders grow with equity, so each fill could have been share / (quantity / volume) times as large; the answer is the
    5 % quantile of equity times that. A hint, not a forecast: it knows nothing of spread and impact.

    Args:
        result: What a run produced.
        bars: The bars it ran over: `timestamp`, `symbol`, `volume`.
        share: Of a bar's volume, above 0.

    Returns:
        Account currency; None where no fill has a bar with volume.
    """
    fills = result.fills.select("timestamp", pl.col("symbol").cast(pl.String), "quantity")
    moments = fills["timestamp"].unique().sort()
    volumes = collect(
        bars.lazy()
        .filter(pl.col("timestamp").is_in(moments.implode()))
        .select("timestamp", pl.col("symbol").cast(pl.String), pl.col("volume").cast(pl.Float64))
    )
    equity = result.portfolio_states.select("timestamp", "equity").sort("timestamp")
    sized = (
        fills.join(volumes, on=["timestamp", "symbol"], how="inner", maintain_order="left")
        .join_asof(equity, on="timestamp", strategy="backward")
        .with_columns(pl.col("equity").fill_null(result.initial_capital))
        .filter((pl.col("volume") > 0.0) & (pl.col("quantity") > 0.0) & (pl.col("equity") > 0.0))
    )
    if sized.is_empty():
        return None
    room = sized.select(pl.col("equity") * share * pl.col("volume") / pl.col("quantity")).to_series()
    return float(np.quantile(room.to_numpy(), _WORST))
