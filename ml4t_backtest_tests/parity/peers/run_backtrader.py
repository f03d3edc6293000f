"""Replays tapes with backtrader. Runs in backtrader's own environment: `python run_backtrader.py TAPES OUT`."""

import datetime as dt
import json
import sys

import backtrader as bt

COMMISSIONS = {
    "none": lambda size, price, terms: 0.0,
    "percentage": lambda size, price, terms: size * price * terms["rate"],
    "per_share": lambda size, price, terms: max(size * terms["per_share"], terms.get("minimum", 0.0)),
    "per_order": lambda size, price, terms: terms["amount"],
}


class Commission(bt.CommInfoBase):
    """The tape's commission, charged for the closing and for the opening part of a fill each, as backtrader does."""

    params = (("terms", None), ("stocklike", True), ("commtype", bt.CommInfoBase.COMM_PERC), ("percabs", True))

    def _getcommission(self, size, price, pseudoexec):
        terms = self.p.terms
        return COMMISSIONS[terms["model"]](abs(size), price, terms) if size else 0.0


class Bars(bt.feeds.DataBase):
    """Daily bars from lists; the date's midnight stands for the bar."""

    params = (("rows", None), ("days", None))

    def start(self):
        super().start()
        self._next = 0

    def _load(self):
        if self._next >= len(self.p.days):
            return False
        at, rows = self._next, self.p.rows
        self._next += 1
        self.lines.datetime[0] = bt.date2num(self.p.days[at])
        for name in ("open", "high", "low", "close"):
            getattr(self.lines, name)[0] = rows[name][at]
        self.lines.volume[0] = 1_000_000
        self.lines.openinterest[0] = 0
        return True


class Replay(bt.Strategy):
    """Gives the tape's orders and writes down what happened."""

    params = (("tape", None),)

    def __init__(self):
        self.due = {}
        for order in self.p.tape["orders"]:
            self.due.setdefault(order["slice"], []).append(order)
        self.fills, self.equity, self.seen = [], [], {}
        self.slice_of = {day: index for index, day in enumerate(self.p.tape["slices"])}

    def next(self):
        at = len(self.equity)
        self.equity.append(self.broker.getvalue())
        for order in self.due.get(at, ()):
            self.give(order)

    def give(self, order):
        data, size = self.getdatabyname(order["symbol"]), order.get("quantity", 0.0)
        if order.get("close"):
            self.close(data=data)
            return
        way = {True: self.buy, False: self.sell}
        children = list(self.children(order, data.close[0]))
        parent = way[size > 0](data=data, size=abs(size), transmit=not children, **kind(order))
        for number, terms in enumerate(children):
            last = number == len(children) - 1
            way[size < 0](data=data, size=abs(size), parent=parent, transmit=last, **terms)

    def children(self, order, close):
        """The bracket, its stop before its target; distances are of the price the parent is expected at."""
        sign = 1.0 if order["quantity"] > 0 else -1.0
        expected = order.get("limit") or order.get("stop") or close
        stop, target = order.get("stop_loss"), order.get("take_profit")
        if order.get("stop_loss_percent"):
            stop = expected * (1.0 - sign * order["stop_loss_percent"])
        if order.get("take_profit_percent"):
            target = expected * (1.0 + sign * order["take_profit_percent"])
        if stop:
            yield {"exectype": bt.Order.Stop, "price": stop}
        if order.get("trailing_stop_percent"):
            yield {"exectype": bt.Order.StopTrail, "trailpercent": order["trailing_stop_percent"]}
        if target:
            yield {"exectype": bt.Order.Limit, "price": target}

    def notify_order(self, order):
        done = order.executed
        before_size, before_cost = self.seen.get(order.ref, (0.0, 0.0))
        if not done.size or done.size == before_size:
            return
        self.seen[order.ref] = (done.size, done.comm)
        day = bt.num2date(done.dt).date().isoformat()
        size = abs(done.size - before_size)
        side = "buy" if order.isbuy() else "sell"
        bits = list(done.exbits)[-1]
        self.fills.append([self.slice_of[day], order.data._name, side, size, bits.price, done.comm - before_cost])


def kind(order):
    """Return how backtrader calls the order's type."""
    limit, stop = order.get("limit"), order.get("stop")
    if order.get("trail_amount") or order.get("trail_percent"):
        return {
            "exectype": bt.Order.StopTrail,
            "trailamount": order.get("trail_amount"),
            "trailpercent": order.get("trail_percent"),
        }
    if limit and stop:
        return {"exectype": bt.Order.StopLimit, "price": stop, "plimit": limit}
    if limit:
        return {"exectype": bt.Order.Limit, "price": limit}
    if stop:
        return {"exectype": bt.Order.Stop, "price": stop}
    return {"exectype": bt.Order.Market}


def replay(tape):
    cerebro = bt.Cerebro(stdstats=False, runonce=False, preload=False)
    days = [dt.datetime.fromisoformat(day) for day in tape["slices"]]
    for symbol, rows in tape["bars"].items():
        cerebro.adddata(Bars(rows=rows, days=days), name=symbol)
    cerebro.addstrategy(Replay, tape=tape)
    broker = cerebro.broker
    broker.setcash(tape["capital"])
    broker.addcommissioninfo(Commission(terms=tape["commission"]))
    slippage = tape["slippage"]
    if slippage["model"] == "percentage":
        broker.set_slippage_perc(slippage["rate"])
    elif slippage["model"] == "fixed":
        broker.set_slippage_fixed(slippage["amount"])
    (strategy,) = cerebro.run()
    return {"fills": strategy.fills, "equity": strategy.equity}


def main():
    with open(sys.argv[1]) as source:
        tapes = json.load(source)
    outcomes = {tape["name"]: replay(tape) for tape in tapes}
    with open(sys.argv[2], "w") as target:
        json.dump({"peer": "backtrader", "version": bt.__version__, "outcomes": outcomes}, target)


if __name__ == "__main__":
    main()
