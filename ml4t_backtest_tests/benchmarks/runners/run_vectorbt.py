"""vectorbt as a measured process, in its own environment.

The rule is `from_signals` with entries and exits: an entry while long and an exit while flat do nothing. A tape is
`from_orders`, a tape with brackets `from_signals` with stops. vectorbt fills where it is told to: a row later, at the
open; brackets start where it starts them, at the close of the entry, and so do entries that have one.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import pandas as pd
import vectorbt as vbt
from serve import serve


def load(asked):
    names = ["open", "high", "low", "close", "p"] if asked["brackets"] else ["open", "close", "p"]
    frame = pd.read_parquet(asked["bars"], columns=["timestamp", "symbol", *names])
    return {name: frame.pivot(index="timestamp", columns="symbol", values=name) for name in names}


def by_rule(frames, asked, **account):
    p, close = frames["p"], frames["close"]
    entries, exits = (p > asked["enter"]).vbt.fshift(1), (p < asked["leave"]).vbt.fshift(1)
    return vbt.Portfolio.from_signals(close, entries, exits, price=frames["open"], size=asked["lot"], **account)


def sizes_of(asked, shape):
    tape, sizes = np.load(asked["tape"]), np.full(shape, np.nan)
    sizes[tape["slice"], tape["symbol"]] = tape["quantity"]
    return sizes


def by_tape(frames, asked, **account):
    close = frames["close"]
    sizes = np.vstack([np.full((1, close.shape[1]), np.nan), sizes_of(asked, close.shape)[:-1]])
    return vbt.Portfolio.from_orders(close, size=sizes, price=frames["open"], **account)


def by_tape_with_brackets(frames, asked, **account):
    sizes = sizes_of(asked, frames["close"].shape)
    bars = {name: frames[name] for name in ("open", "high", "low")}
    stops = {"sl_stop": asked["stop"], "tp_stop": asked["target"]}
    return vbt.Portfolio.from_signals(frames["close"], ~np.isnan(sizes), size=sizes, **bars, **stops, **account)


WAYS = {"noise": by_rule, "top25": by_tape, "brackets": by_tape_with_brackets}


def run(frames, asked):
    portfolio = WAYS[asked["strategy"]](
        frames,
        asked,
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
