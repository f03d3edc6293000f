"""PolarBT as a measured process, in its own environment.

With `order_delay=1` it fills at the next bar's close, so that ours is held against it with that rule (see `engines`).
"""

import sys
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import polars as pl
from polarbt import Engine, Strategy
from serve import clock, due_of, serve


class Noise(Strategy):
    def preprocess(self, df):
        return df

    def next(self, ctx):
        asked, portfolio = self.params["asked"], ctx.portfolio
        enter, leave, lot = asked["enter"], asked["leave"], asked["lot"]
        for symbol, row in ctx.data.items():
            p = row["p"]
            if p > enter:
                if not portfolio.get_position(symbol):
                    portfolio.order(symbol, lot)
            elif p < leave and portfolio.get_position(symbol):
                portfolio.close_position(symbol)


class Replay(Strategy):
    def preprocess(self, df):
        return df

    def next(self, ctx):
        for symbol, quantity in self.params["asked"]["due"].get(ctx.bar_index, ()):
            ctx.portfolio.order(f"S{symbol:04d}", quantity)


def load(asked):
    columns = ["timestamp", "symbol", "open", "high", "low", "close", "volume", "p"]
    return pl.read_parquet(f"{asked['bars']}/*.parquet", columns=columns)


def run(bars, asked):
    if asked["tape"]:
        asked["due"] = due_of(asked["tape"])
    began = clock()
    engine = Engine(
        (Replay if asked["tape"] else Noise)(asked=asked),
        bars,
        initial_cash=asked["capital"],
        commission=asked["commission"],
        slippage=asked["slippage"],
        order_delay=1,
        warmup=0,
    )
    results = engine.run()
    # It forgets orders that are done. Trades are an entry and an exit each, unless a tape adds to positions.
    fills = None if asked["tape"] else 2 * results.trades.height + len(engine.portfolio.positions)
    return {"equity": float(results.final_equity), "fills": fills, "began": began}


if __name__ == "__main__":
    serve(version("polarbt"), load, run)
