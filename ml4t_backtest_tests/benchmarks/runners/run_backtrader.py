"""backtrader as a measured process, in its own environment.

Every symbol is a feed with one line more, the prediction. Slippage may leave the bar (`slip_out`), which makes it our
rule. Its feeds are filled when it is run (`preload`): the clock of the run starts after that.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import backtrader as bt
import pandas as pd
from serve import clock, due_of, serve


class Bars(bt.feeds.DataBase):
    """Bars from lists of numbers."""

    lines = ("prediction",)
    params = (("rows", None), ("times", None))

    def start(self):
        super().start()
        self._next = 0

    def _load(self):
        at = self._next
        if at >= len(self.p.times):
            return False
        self._next += 1
        lines = self.lines
        lines.datetime[0] = self.p.times[at]
        lines.open[0], lines.high[0], lines.low[0], lines.close[0], lines.volume[0], lines.prediction[0] = self.p.rows[
            at
        ]
        lines.openinterest[0] = 0.0
        return True


class Counting(bt.Strategy):
    params = (("asked", None),)

    def __init__(self):
        self.fills, self.due = 0, due_of(self.p.asked["tape"]) if self.p.asked["tape"] else {}

    def start(self):
        self.began = clock()

    def notify_order(self, order):
        if order.status == order.Completed:
            self.fills += 1


class Noise(Counting):
    def next(self):
        asked = self.p.asked
        enter, leave = asked["enter"], asked["leave"]
        for data in self.datas:
            p = data.prediction[0]
            if p > enter:
                if not self.getposition(data).size:
                    self.buy(data, size=asked["lot"])
            elif p < leave and self.getposition(data).size:
                self.close(data)


class Replay(Counting):
    def next(self):
        for symbol, quantity in self.due.get(len(self) - 1, ()):
            (self.buy if quantity > 0 else self.sell)(self.datas[symbol], size=abs(quantity))


def load(asked):
    columns = ["open", "high", "low", "close", "volume", "p"]
    frame = pd.read_parquet(asked["bars"], columns=["timestamp", "symbol", *columns])
    stamps = frame["timestamp"].drop_duplicates()
    times = [bt.date2num(stamp.replace(tzinfo=None)) for stamp in stamps.dt.to_pydatetime()]
    return times, {symbol: rows[columns].values.tolist() for symbol, rows in frame.groupby("symbol", sort=True)}


def run(loaded, asked):
    times, symbols = loaded
    cerebro = bt.Cerebro(stdstats=False)
    for symbol, rows in symbols.items():
        cerebro.adddata(Bars(rows=rows, times=times, timeframe=bt.TimeFrame.Minutes), name=symbol)
    cerebro.addstrategy(Replay if asked["tape"] else Noise, asked=asked)
    cerebro.broker.setcash(asked["capital"])
    cerebro.broker.setcommission(commission=asked["commission"])
    cerebro.broker.set_slippage_perc(asked["slippage"], slip_out=True)
    (strategy,) = cerebro.run()
    return {"equity": cerebro.broker.getvalue(), "fills": strategy.fills, "began": strategy.began}


if __name__ == "__main__":
    serve(bt.__version__, load, run)
