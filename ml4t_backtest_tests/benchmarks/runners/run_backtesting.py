"""backtesting.py as a measured process, in its own environment: one symbol at a time, an account each.

Its spread is charged on what opens only, so that ours is held against it with that rule (see `engines`).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import pandas as pd
from backtesting import Backtest, Strategy
from backtesting import __version__ as version
from serve import serve

NAMES = {"open": "Open", "high": "High", "low": "Low", "close": "Close", "volume": "Volume"}


class Noise(Strategy):
    enter = leave = lot = None

    def init(self):
        pass

    def next(self):
        p = self.data.p[-1]
        if p > self.enter:
            if not self.position:
                self.buy(size=self.lot)
        elif p < self.leave and self.position:
            self.position.close()


def load(asked):
    frame = pd.read_parquet(asked["bars"], columns=["timestamp", "symbol", *NAMES, "p"])
    frame = frame.rename(columns=NAMES).set_index("timestamp")
    frame.index = frame.index.tz_localize(None)
    return {symbol: rows.drop(columns="symbol") for symbol, rows in frame.groupby("symbol", sort=True)}


def run(symbols, asked):
    equity, fills = asked["capital"], 0
    rule = {name: asked[name] for name in ("enter", "leave", "lot")}
    for bars in symbols.values():
        test = Backtest(
            bars,
            Noise,
            cash=asked["capital"],
            commission=asked["commission"],
            spread=asked["slippage"],
            finalize_trades=False,
        )
        strategy = test.run(**rule)["_strategy"]
        equity += strategy.equity - asked["capital"]
        fills += 2 * len(strategy.closed_trades) + len(strategy.trades)
    return {"equity": float(equity), "fills": fills}


if __name__ == "__main__":
    serve(version, load, run)
