"""vectorbt as a measured process, in its own environment.

The rule is `from_signals` with entries `p > t` and exits `p < -t`: an entry while long and an exit while flat do
nothing. vectorbt fills where it is told to: a row later, at the open.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import pandas as pd
import vectorbt as vbt
from serve import serve


def load(asked):
    frame = pd.read_parquet(asked["bars"], columns=["timestamp", "symbol", "open", "close", "p"])
    return {name: frame.pivot(index="timestamp", columns="symbol", values=name) for name in ("open", "close", "p")}


def run(frames, asked):
    p, t = frames["p"], asked["t"]
    portfolio = vbt.Portfolio.from_signals(
        frames["close"],
        entries=(p > t).vbt.fshift(1),
        exits=(p < -t).vbt.fshift(1),
        price=frames["open"],
        size=100.0,
        fees=asked["commission"],
        slippage=asked["slippage"],
        init_cash=asked["capital"],
        cash_sharing=True,
        group_by=True,
    )
    if asked["records"]:
        # What ours has made as well: equity at every slice, and trades.
        portfolio.value(), portfolio.trades.records
    return {"equity": float(portfolio.final_value()), "fills": int(portfolio.orders.count())}


if __name__ == "__main__":
    serve(vbt.__version__, load, run)
