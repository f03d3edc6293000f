"""zipline-reloaded as a measured process, in its own environment.

Bars are read from arrays in memory, which costs it less than its own files do. It fills at the next bar's close, so
that ours is held against it with that rule (see `engines`).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import pandas as pd
from serve import clock, due_of, serve
from sqlalchemy import create_engine
from zipline import __version__ as version
from zipline.algorithm import TradingAlgorithm
from zipline.assets import AssetDBWriter, AssetFinder
from zipline.data.bar_reader import BarReader
from zipline.data.data_portal import DataPortal
from zipline.finance.commission import PerDollar
from zipline.finance.slippage import FixedBasisPointsSlippage
from zipline.finance.trading import SimulationParameters
from zipline.utils.calendar_utils import get_calendar

FIELDS = ("open", "high", "low", "close", "volume")


class Bars(BarReader):
    """Bars of all symbols as arrays, timestamps by symbols."""

    def __init__(self, arrays, stamps, calendar, frequency):
        self._arrays, self._stamps = arrays, stamps
        self._rows = {stamp: row for row, stamp in enumerate(stamps.asi8)}
        self._calendar, self._frequency = calendar, frequency

    @property
    def data_frequency(self):
        return "session" if self._frequency == "daily" else self._frequency

    @property
    def last_available_dt(self):
        return self._stamps[-1]

    @property
    def first_trading_day(self):
        return self._stamps[0].tz_localize(None).normalize()

    @property
    def trading_calendar(self):
        return self._calendar

    def get_value(self, sid, dt, field):
        return self._arrays[field][self._rows[dt.value], int(sid)]

    def get_last_traded_dt(self, asset, dt):
        return dt

    def load_raw_arrays(self, columns, start_date, end_date, assets):
        first, last = self._rows[start_date.value], self._rows[end_date.value]
        sids = [int(each) for each in assets]
        return [self._arrays[column][first : last + 1][:, sids] for column in columns]


def finder_of(symbols, first, last):
    equities = pd.DataFrame(
        {
            "symbol": symbols,
            "asset_name": symbols,
            "start_date": first,
            "end_date": last,
            "auto_close_date": last + pd.Timedelta(days=366),
            "exchange": "XNYS",
        }
    )
    exchanges = pd.DataFrame({"exchange": ["XNYS"], "canonical_name": ["XNYS"], "country_code": ["US"]})
    engine = create_engine("sqlite:///:memory:")
    AssetDBWriter(engine).write(equities=equities, exchanges=exchanges)
    return AssetFinder(engine)


def load(asked):
    frame = pd.read_parquet(asked["bars"], columns=["timestamp", "symbol", *FIELDS, "p"])
    symbols = sorted(frame["symbol"].unique())
    stamps = pd.DatetimeIndex(frame["timestamp"].drop_duplicates()).as_unit("ns")
    frequency = "minute" if asked["minutes"] else "daily"
    if frequency == "daily":
        stamps = stamps.tz_localize(None).normalize()
    arrays = {name: frame[name].to_numpy().reshape(len(stamps), len(symbols)) for name in (*FIELDS, "p")}
    calendar = get_calendar("XNYS")
    days = stamps.tz_localize(None).normalize()
    return arrays, stamps, (days[0], days[-1]), symbols, calendar, frequency


def run(loaded, asked):
    arrays, stamps, (first, last), symbols, calendar, frequency = loaded
    finder, reader = finder_of(symbols, first, last), Bars(arrays, stamps, calendar, frequency)
    readers = {"equity_minute_reader" if frequency == "minute" else "equity_daily_reader": reader}
    portal = DataPortal(finder, calendar, first_trading_day=first, **readers)
    p, enter, leave = arrays["p"], asked["enter"], asked["leave"]
    due = due_of(asked["tape"]) if asked["tape"] else {}
    began = clock()

    def initialize(context):
        context.at = 0
        context.all = finder.retrieve_all(range(len(symbols)))
        context.set_commission(us_equities=PerDollar(asked["commission"]))
        context.set_slippage(us_equities=FixedBasisPointsSlippage(asked["slippage"] * 1e4, volume_limit=1e6))

    def replay(context, data):
        for sid, quantity in due.get(context.at, ()):
            context.order(context.all[sid], quantity)
        context.at += 1

    def follow(context, data):
        row = p[context.at]
        context.at += 1
        for sid in np.flatnonzero((row > enter) | (row < leave)):
            asset, held = context.all[sid], context.portfolio.positions
            if row[sid] > enter:
                if asset not in held:
                    context.order(asset, asked["lot"])
            elif asset in held:
                context.order_target(asset, 0)

    sessions = calendar.sessions_in_range(first, last)
    algorithm = TradingAlgorithm(
        sim_params=SimulationParameters(
            start_session=first,
            end_session=last,
            trading_calendar=calendar,
            capital_base=asked["capital"],
            data_frequency=frequency,
        ),
        data_portal=portal,
        initialize=initialize,
        handle_data=replay if asked["tape"] else follow,
        benchmark_returns=pd.Series(0.0, index=sessions),
    )
    results = algorithm.run()
    fills = sum(len(rows) for rows in results["transactions"])
    return {"equity": float(results["portfolio_value"].iloc[-1]), "fills": fills, "began": began}


if __name__ == "__main__":
    serve(version, load, run)
