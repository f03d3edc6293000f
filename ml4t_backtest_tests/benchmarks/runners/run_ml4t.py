"""ml4t-backtest (the package of that name on PyPI) as a measured process, in its own environment.

Its default, `NEXT_BAR` at the open, is our rule.
"""

import sys
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import polars as pl
from ml4t.backtest import BacktestConfig, CommissionType, DataFeed, Engine, Strategy
from ml4t.backtest.config import SlippageType
from serve import serve


class Noise(Strategy):
    def __init__(self, t):
        self.t = t

    def on_data(self, timestamp, data, context, broker):
        t = self.t
        for asset, bar in data.items():
            p = bar["signals"]["p"]
            if p > t:
                if broker.get_position(asset) is None:
                    broker.submit_order(asset, 100)
            elif p < -t and broker.get_position(asset) is not None:
                broker.close_position(asset)


def load(asked):
    bars = pl.read_parquet(f"{asked['bars']}/*.parquet")
    prices = bars.select("timestamp", "symbol", "open", "high", "low", "close", "volume")
    return DataFeed(prices_df=prices, signals_df=bars.select("timestamp", "symbol", "p"))


def run(feed, asked):
    config = BacktestConfig(
        initial_cash=asked["capital"],
        commission_type=CommissionType.PERCENTAGE,
        commission_rate=asked["commission"],
        slippage_type=SlippageType.PERCENTAGE,
        slippage_rate=asked["slippage"],
    )
    result = Engine(feed, Noise(asked["t"]), config).run()
    return {"equity": float(result.equity_curve[-1][1]), "fills": len(result.fills)}


if __name__ == "__main__":
    serve(version("ml4t-backtest"), load, run)
