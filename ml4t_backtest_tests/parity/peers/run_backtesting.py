"""Replays tapes with backtesting.py, one symbol each, in its own environment: `python run_backtesting.py TAPES OUT`."""

import json
import sys
import warnings

import pandas as pd
from backtesting import Backtest, Strategy
from backtesting import __version__ as version

COMMISSIONS = {
    "none": lambda terms: 0.0,
    "percentage": lambda terms: terms["rate"],
    "per_share": lambda terms: lambda size, price: max(abs(size) * terms["per_share"], terms.get("minimum", 0.0)),
    "per_order": lambda terms: (terms["amount"], 0.0),
}


def strategy_of(tape):
    """Return a strategy class that gives the tape's orders."""
    due = {}
    for order in tape["orders"]:
        due.setdefault(order["slice"], []).append(order)

    class Replay(Strategy):
        def init(self):
            pass

        def next(self):
            for number, order in enumerate(due.get(len(self.data) - 1, ())):
                if order.get("close"):
                    self.position.close()
                    continue
                size = order["quantity"]
                give = self.buy if size > 0 else self.sell
                terms = {"sl": order.get("stop_loss"), "tp": order.get("take_profit"), "tag": (order["slice"], number)}
                give(size=abs(size), limit=order.get("limit"), stop=order.get("stop"), **terms)

    return Replay


def replay(tape):
    ((symbol, rows),) = tape["bars"].items()
    frame = pd.DataFrame({name.capitalize(): rows[name] for name in ("open", "high", "low", "close")})
    frame["Volume"] = 1_000_000
    frame.index = pd.DatetimeIndex(tape["slices"])
    slippage = tape["slippage"]
    commission = COMMISSIONS[tape["commission"]["model"]](tape["commission"])
    test = Backtest(
        frame,
        strategy_of(tape),
        cash=tape["capital"],
        commission=commission,
        spread=slippage.get("rate", 0.0),
        finalize_trades=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stats = test.run()
    trades = [*stats["_strategy"].closed_trades, *stats["_strategy"].trades]
    charge = commission if callable(commission) else lambda size, price: fixed_and_relative(commission, size, price)
    return {"fills": sorted(fills_of(trades, symbol, charge)), "equity": [*stats["_equity_curve"]["Equity"]]}


def fixed_and_relative(commission, size, price):
    fixed, rate = commission if isinstance(commission, tuple) else (0.0, commission)
    return fixed + abs(size) * price * rate


def fills_of(trades, symbol, charge):
    """Yield entries and exits: backtesting.py has no list of fills.

    A trade that is closed in parts becomes several; they have the tag of the order that was charged for the whole.
    """
    entries = {}
    for trade in trades:
        entries.setdefault(trade.tag, []).append(trade)
        if trade.exit_bar is not None:
            side = "sell" if trade.size > 0 else "buy"
            cost = charge(trade.size, trade.exit_price)
            yield [int(trade.exit_bar), symbol, side, abs(trade.size), float(trade.exit_price), cost]
    for parts in entries.values():
        size, first = sum(abs(trade.size) for trade in parts), parts[0]
        side = "buy" if first.size > 0 else "sell"
        cost = charge(size, first.entry_price)
        yield [int(first.entry_bar), symbol, side, size, float(first.entry_price), cost]


def main():
    with open(sys.argv[1]) as source:
        tapes = json.load(source)
    outcomes = {tape["name"]: replay(tape) for tape in tapes}
    with open(sys.argv[2], "w") as target:
        json.dump({"peer": "backtesting.py", "version": version, "outcomes": outcomes}, target)


if __name__ == "__main__":
    main()
