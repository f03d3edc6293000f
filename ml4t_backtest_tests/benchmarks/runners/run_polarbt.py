"""PolarBT as a measured process, in its own environment.

With `order_delay=1` it fills at the next bar's close, so that ours is held against it with that rule (see `engines`).
"""

import sys
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import polars as pl
from polarbt import Engine, Strategy
from serve import serve


class Noise(Strategy):
    def preprocess(self, df):
        return df

    def next(self, ctx):
        t, portfolio = self.params["t"], ctx.portfolio
        for symbol, row in ctx.data.items():
            p = row["p"]
            if p > t:
                if not portfolio.get_position(symbol):
                    portfolio.order(symbol, 100)
            elif p < -t and portfolio.get_position(symbol):
                portfolio.close_position(symbol)


def load(asked):
    columns = ["timestamp", "symbol", "open", "high", "low", "close", "volume", "p"]
    return pl.read_parquet(f"{asked['bars']}/*.parquet", columns=columns)


def run(bars, asked):
    engine = Engine(
        Noise(t=asked["t"]),
        bars,
        initial_cash=asked["capital"],
        commission=asked["commission"],
        slippage=asked["slippage"],
        order_delay=1,
        warmup=0,
    )
    results = engine.run()
    # It forgets orders that are done; trades are an entry and an exit each.
    fills = 2 * results.trades.height + len(engine.portfolio.positions)
    return {"equity": float(results.final_equity), "fills": fills}


if __name__ == "__main__":
    serve(version("polarbt"), load, run)
