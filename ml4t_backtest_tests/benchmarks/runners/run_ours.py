"""Our engine as a measured process."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
from benchmarks.serve import serve
from benchmarks.strategies import strategy_of

from ml4t_backtest import BacktestEngine, BacktestResult, PolarsDataFeed, __version__
from ml4t_backtest.execution.commission import PercentageCommission
from ml4t_backtest.execution.profiles import profile_of
from ml4t_backtest.execution.slippage import PercentageSlippage

EARLIER = pl.col("p_available_at") - timedelta(microseconds=1)


def load(asked: dict[str, Any]) -> PolarsDataFeed:
    """Open the bars: in memory, or left on disk and read chunk by chunk during the run."""
    bars = pl.scan_parquet(f"{asked['bars']}/*.parquet")
    if profile_of(asked["profile"]).fill_at == "same_close":
        # Whoever trades at the close must have known the prediction before it.
        bars = bars.with_columns(EARLIER)
    source = bars if asked["stream"] else bars.collect()
    return PolarsDataFeed(source, signal_columns=["p"])


def run(feed: PolarsDataFeed, asked: dict[str, Any]) -> dict[str, Any]:
    """Run the strategy with every record on."""
    words = {name: asked[name] for name in ("enter", "leave", "last")}
    engine = BacktestEngine(
        feed,
        strategy_of(asked["strategy"], asked["mode"], **words),
        initial_capital=asked["capital"],
        slippage=PercentageSlippage(asked["slippage"]),
        commission=PercentageCommission(asked["commission"]),
        profile=asked["profile"],
    )
    result = engine.run()
    if asked["do"] == "tape":
        write_tape(result, asked["tape"])
    frames = (result.trades, result.fills, result.orders, result.portfolio_states)
    return {
        "equity": result.portfolio_states["equity"][-1],
        "fills": result.fills.height,
        "records_mb": sum(frame.estimated_size("mb") for frame in frames),
    }


def write_tape(result: BacktestResult, path: str) -> None:
    """Write the orders that the strategy gave, as a peer can replay them: brackets are not among them."""
    orders = result.orders.filter((pl.col("order_type") == "market") & (pl.col("quantity") > 0.0))
    stamps = result.portfolio_states["timestamp"]
    quantities = orders.select(pl.when(pl.col("side") == "buy").then("quantity").otherwise(-pl.col("quantity")))
    np.savez(
        path,
        slice=stamps.search_sorted(orders["decision_timestamp"]).to_numpy(),
        symbol=orders["symbol"].str.slice(1).cast(pl.Int64).to_numpy(),
        quantity=quantities.to_series().to_numpy(),
    )


if __name__ == "__main__":
    serve(__version__, load, run)
