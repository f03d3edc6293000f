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
from serve import clock, due_of, serve


class Noise(Strategy):
    def __init__(self, asked):
        self.enter, self.leave, self.lot = asked["enter"], asked["leave"], asked["lot"]

    def on_data(self, timestamp, data, context, broker):
        enter, leave = self.enter, self.leave
        for asset, bar in data.items():
            p = bar["signals"]["p"]
            if p > enter:
                if broker.get_position(asset) is None:
                    broker.submit_order(asset, self.lot)
            elif p < leave and broker.get_position(asset) is not None:
                broker.close_position(asset)


class Replay(Strategy):
    def __init__(self, asked):
        self.due, self.at = due_of(asked["tape"]), -1

    def on_data(self, timestamp, data, context, broker):
        self.at += 1
        for symbol, quantity in self.due.get(self.at, ()):
            broker.submit_order(f"S{symbol:04d}", quantity)


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
    strategy = (Replay if asked["tape"] else Noise)(asked)
    began = clock()
    result = Engine(feed, strategy, config).run()
    return {"equity": float(result.equity_curve[-1][1]), "fills": len(result.fills), "began": began}


if __name__ == "__main__":
    serve(version("ml4t-backtest"), load, run)
