"""Our engine as a measured process."""

from __future__ import annotations

from typing import Any

import polars as pl
from benchmarks.serve import serve
from benchmarks.strategies import NoiseBySlice, NoiseBySymbol

from ml4t_backtest import BacktestEngine, PolarsDataFeed, __version__
from ml4t_backtest.execution.commission import PercentageCommission
from ml4t_backtest.execution.slippage import PercentageSlippage

STRATEGIES = {("noise", "batch"): NoiseBySlice, ("noise", "symbol"): NoiseBySymbol}


def load(asked: dict[str, Any]) -> PolarsDataFeed:
    """Open the bars: in memory, or left on disk and read month by month during the run."""
    source = asked["bars"] if asked["stream"] else pl.read_parquet(f"{asked['bars']}/*.parquet")
    return PolarsDataFeed(source, signal_columns=["p"], **asked["feed"])


def run(feed: PolarsDataFeed, asked: dict[str, Any]) -> dict[str, Any]:
    """Run the strategy with every record on."""
    engine = BacktestEngine(
        feed,
        STRATEGIES[asked["strategy"], asked["mode"]](asked["t"]),
        initial_capital=asked["capital"],
        slippage=PercentageSlippage(asked["slippage"]),
        commission=PercentageCommission(asked["commission"]),
        profile=asked["profile"],
    )
    result = engine.run()
    return {"equity": result.portfolio_states["equity"][-1], "fills": result.fills.height}


if __name__ == "__main__":
    serve(__version__, load, run)
