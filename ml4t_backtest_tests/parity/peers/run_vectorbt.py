"""Replays tapes with vectorbt in its own environment: `python run_vectorbt.py TAPES OUT`.

Without brackets the orders are a matrix of sizes (`from_orders`); with brackets they are entries and exits
(`from_signals`). Both fill at the close of the deciding row, which is vectorbt's default price.
"""

import json
import sys

import numpy as np
import pandas as pd
import vectorbt as vbt

BRACKET = {"stop_loss_percent": "sl_stop", "take_profit_percent": "tp_stop", "trailing_stop_percent": "sl_stop"}


def frames_of(tape):
    index = pd.DatetimeIndex(tape["slices"])
    return {
        name: pd.DataFrame({symbol: rows[name] for symbol, rows in tape["bars"].items()}, index=index)
        for name in ("open", "high", "low", "close")
    }


def options_of(tape):
    commission, slippage = tape["commission"], tape["slippage"]
    return {
        "init_cash": tape["capital"],
        "cash_sharing": True,
        "group_by": True,
        "fees": commission.get("rate", 0.0),
        "fixed_fees": commission.get("amount", 0.0),
        "slippage": slippage.get("rate", 0.0),
        "size_granularity": np.nan if tape["fractional"] else 1.0,
    }


def sizes_of(tape, like):
    sizes = pd.DataFrame(np.nan, index=like.index, columns=like.columns)
    for order in tape["orders"]:
        sizes.iloc[order["slice"], like.columns.get_loc(order["symbol"])] = order["quantity"]
    return sizes


def by_orders(tape, frames):
    sizes, prices = sizes_of(tape, frames["close"]), frames["close"]
    if tape.get("fill_at") == "next_open":
        # vectorbt fills where it is told to: a row later, at the open.
        sizes, prices = sizes.shift(1), frames["open"]
    return vbt.Portfolio.from_orders(frames["close"], size=sizes, price=prices, **options_of(tape))


def by_signals(tape, frames):
    close = frames["close"]
    words = ("entries", "exits", "short_entries", "short_exits")
    flags = {word: pd.DataFrame(False, index=close.index, columns=close.columns) for word in words}
    sizes = pd.DataFrame(np.nan, index=close.index, columns=close.columns)
    stops = {name: pd.DataFrame(np.nan, index=close.index, columns=close.columns) for name in ("sl_stop", "tp_stop")}
    trails = pd.DataFrame(False, index=close.index, columns=close.columns)
    for order in tape["orders"]:
        at = (order["slice"], close.columns.get_loc(order["symbol"]))
        if order.get("close"):
            flags["exits"].iloc[at] = flags["short_exits"].iloc[at] = True
            continue
        flags["entries" if order["quantity"] > 0 else "short_entries"].iloc[at] = True
        sizes.iloc[at] = abs(order["quantity"])
        for ours, theirs in BRACKET.items():
            if order.get(ours):
                stops[theirs].iloc[at] = order[ours]
        trails.iloc[at] = bool(order.get("trailing_stop_percent"))
    return vbt.Portfolio.from_signals(
        close,
        **flags,
        size=sizes,
        open=frames["open"],
        high=frames["high"],
        low=frames["low"],
        sl_trail=trails,
        accumulate="addonly",
        **stops,
        **options_of(tape),
    )


def fill_of(row, symbols):
    side = "sell" if row["side"] else "buy"
    return [int(row["idx"]), symbols[row["col"]], side, float(row["size"]), float(row["price"]), float(row["fees"])]


def replay(tape):
    frames = frames_of(tape)
    signals = any(order.get(name) for order in tape["orders"] for name in (*BRACKET, "close"))
    portfolio = (by_signals if signals else by_orders)(tape, frames)
    symbols = list(frames["close"].columns)
    fills = [fill_of(row, symbols) for row in portfolio.orders.values]
    return {"fills": sorted(fills, key=lambda fill: fill[0]), "equity": [*map(float, portfolio.value().to_numpy())]}


def main():
    with open(sys.argv[1]) as source:
        tapes = json.load(source)
    outcomes = {tape["name"]: replay(tape) for tape in tapes}
    with open(sys.argv[2], "w") as target:
        json.dump({"peer": "vectorbt", "version": vbt.__version__, "outcomes": outcomes}, target)


if __name__ == "__main__":
    main()
