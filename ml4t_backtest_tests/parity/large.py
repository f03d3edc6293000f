"""The large tape: 250 symbols, twenty years of days, more than 200,000 fills, costs on.

Predictions that are pure noise open and close positions of one lot, so that both the bars and the orders follow from
the seed. Every symbol is at times flat, long, short and turned round.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import numpy.typing as npt

from ml4t_backtest.data.calendar import TradingCalendar
from ml4t_backtest.data.synthetic import random_bars
from parity.tape import PRICES, Tape, TapeOrder

SYMBOLS, SESSIONS, SEED = 250, 5_040, 20_260
CAPITAL = 100_000_000.0
LOT = 100.0
# Of the days on which a symbol trades.
TRADING_DAYS = 0.25
COMMISSION = {"model": "percentage", "rate": 0.001}
SLIPPAGE = {"model": "percentage", "rate": 0.0005}


def large_tape(num_symbols: int = SYMBOLS, num_sessions: int = SESSIONS) -> Tape:
    """Return the tape; fewer symbols and sessions for a try."""
    bars = random_bars(num_symbols, num_sessions, seed=SEED)
    symbols = bars["symbol"].head(num_symbols).to_list()
    prices = {name: bars[name].to_numpy().reshape(num_sessions, num_symbols) for name in PRICES}
    return Tape(
        name="large",
        slices=days_from_2005(num_sessions),
        bars={
            symbol: {name: prices[name][:, column].tolist() for name in PRICES} for column, symbol in enumerate(symbols)
        },
        orders=orders_of(symbols, num_sessions),
        capital=CAPITAL,
        commission=COMMISSION,
        slippage=SLIPPAGE,
        shorts=True,
    )


def days_from_2005(number: int) -> list[str]:
    """Return the first sessions since 2005, so that none lies in the future, as ISO dates."""
    sessions = TradingCalendar("XNYS", date(2005, 1, 1), date(2025, 12, 31)).sessions["session"]
    return [day.isoformat() for day in sessions.filter(sessions >= date(2005, 1, 1)).head(number)]


def orders_of(symbols: list[str], num_sessions: int) -> list[TapeOrder]:
    """Return market orders to positions of -1, 0 or 1 lot, in (slice, symbol) order."""
    rng = np.random.default_rng(SEED)
    shape = (num_sessions, len(symbols))
    trades = rng.random(shape) < TRADING_DAYS
    wanted = rng.integers(-1, 2, shape).astype(np.float64) * LOT
    held: npt.NDArray[np.float64] = np.zeros(len(symbols))
    orders = []
    for at in range(1, num_sessions - 1):
        moves = np.where(trades[at], wanted[at] - held, 0.0)
        held = held + moves
        orders += [TapeOrder(at, symbols[column], float(moves[column])) for column in np.flatnonzero(moves)]
    return orders
