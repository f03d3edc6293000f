"""Replays tapes with zipline-reloaded in its own environment: `python run_zipline.py TAPES OUT`."""

import json
import sys

import numpy as np
import pandas as pd
from sqlalchemy import create_engine
from zipline import __version__ as version
from zipline.algorithm import TradingAlgorithm
from zipline.assets import AssetDBWriter, AssetFinder
from zipline.data.data_portal import DataPortal
from zipline.data.in_memory_daily_bars import InMemoryDailyBarReader
from zipline.finance.commission import NoCommission, PerDollar, PerShare, PerTrade
from zipline.finance.execution import LimitOrder, MarketOrder, StopLimitOrder, StopOrder
from zipline.finance.slippage import FixedBasisPointsSlippage, FixedSlippage, NoSlippage
from zipline.finance.trading import SimulationParameters
from zipline.utils.calendar_utils import get_calendar

COMMISSIONS = {
    "none": lambda terms: NoCommission(),
    "percentage": lambda terms: PerDollar(terms["rate"]),
    "per_share": lambda terms: PerShare(terms["per_share"], terms.get("minimum", 0.0)),
    "per_order": lambda terms: PerTrade(terms["amount"]),
}
SLIPPAGES = {
    "none": lambda terms: NoSlippage(),
    "percentage": lambda terms: FixedBasisPointsSlippage(terms["rate"] * 1e4, volume_limit=1.0),
    "fixed": lambda terms: FixedSlippage(2.0 * terms["amount"]),
}


class Bars(InMemoryDailyBarReader):
    """Bars of a tape; the two lookups of its parent that read an attribute it does not have."""

    def get_value(self, sid, dt, field):
        return self._frames[field].loc[dt, int(sid)]

    def get_last_traded_dt(self, asset, dt):
        return dt

    @property
    def last_available_dt(self):
        return self._sessions[-1]


def bars_of(tape, calendar):
    days = pd.DatetimeIndex(tape["slices"])
    symbols = list(tape["bars"])
    frames = {
        name: pd.DataFrame({sid: tape["bars"][symbol][name] for sid, symbol in enumerate(symbols)}, index=days)
        for name in ("open", "high", "low", "close")
    }
    frames["volume"] = pd.DataFrame(1_000_000, index=days, columns=range(len(symbols)))
    codes = pd.Series(index=np.arange(len(symbols)), data=["USD"] * len(symbols))
    return Bars(frames, calendar, codes, verify_indices=False)


def finder_of(tape):
    first, last = pd.Timestamp(tape["slices"][0]), pd.Timestamp(tape["slices"][-1])
    equities = pd.DataFrame(
        [
            {
                "symbol": symbol,
                "asset_name": symbol,
                "start_date": first,
                "end_date": last,
                "auto_close_date": last + pd.Timedelta(days=366),
                "exchange": "XNYS",
            }
            for symbol in tape["bars"]
        ]
    )
    exchanges = pd.DataFrame({"exchange": ["XNYS"], "canonical_name": ["XNYS"], "country_code": ["US"]})
    engine = create_engine("sqlite:///:memory:")
    AssetDBWriter(engine).write(equities=equities, exchanges=exchanges)
    return AssetFinder(engine)


def style_of(order):
    limit, stop = order.get("limit"), order.get("stop")
    if limit and stop:
        return StopLimitOrder(limit, stop)
    if limit:
        return LimitOrder(limit)
    return StopOrder(stop) if stop else MarketOrder()


def replay(tape):
    calendar = get_calendar("XNYS")
    reader, finder = bars_of(tape, calendar), finder_of(tape)
    portal = DataPortal(finder, calendar, first_trading_day=reader.first_trading_day, equity_daily_reader=reader)
    first, last = pd.Timestamp(tape["slices"][0]), pd.Timestamp(tape["slices"][-1])
    due = {}
    for order in tape["orders"]:
        due.setdefault(order["slice"], []).append(order)

    def initialize(context):
        context.at = 0
        context.set_commission(us_equities=COMMISSIONS[tape["commission"]["model"]](tape["commission"]))
        context.set_slippage(us_equities=SLIPPAGES[tape["slippage"]["model"]](tape["slippage"]))

    def handle_data(context, data):
        for order in due.get(context.at, ()):
            asset = context.symbol(order["symbol"])
            if order.get("close"):
                context.order_target(asset, 0)
            else:
                context.order(asset, order["quantity"], style=style_of(order))
        context.at += 1

    algorithm = TradingAlgorithm(
        sim_params=SimulationParameters(
            start_session=first,
            end_session=last,
            trading_calendar=calendar,
            capital_base=tape["capital"],
            data_frequency="daily",
        ),
        data_portal=portal,
        initialize=initialize,
        handle_data=handle_data,
        benchmark_returns=pd.Series(0.0, index=pd.DatetimeIndex(tape["slices"])),
    )
    results = algorithm.run()
    slices = {day: index for index, day in enumerate(tape["slices"])}
    charged = {row["id"]: row["commission"] for rows in results["orders"] for row in rows}
    fills = [
        [
            slices[row["dt"].date().isoformat()],
            row["sid"].symbol,
            "buy" if row["amount"] > 0 else "sell",
            abs(row["amount"]),
            row["price"],
            charged[row["order_id"]],
        ]
        for rows in results["transactions"]
        for row in rows
    ]
    return {"fills": fills, "equity": [*map(float, results["portfolio_value"])]}


def main():
    with open(sys.argv[1]) as source:
        tapes = json.load(source)
    outcomes = {tape["name"]: replay(tape) for tape in tapes}
    with open(sys.argv[2], "w") as target:
        json.dump({"peer": "zipline-reloaded", "version": version, "outcomes": outcomes}, target)


if __name__ == "__main__":
    main()
