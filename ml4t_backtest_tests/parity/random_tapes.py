"""Random small tapes: what nobody thought of declaring. One seed, one tape.

They stay within what a profile claims to reproduce: see `not_reproduced` of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from parity.scenarios import BACKTESTING, BACKTRADER, SESSIONS, VECTORBT, ZIPLINE
from parity.tape import Tape, TapeOrder

Random = np.random.Generator
_SYMBOLS = ("A", "B", "C")
# Scarce where a profile knows what then happens: see what it does not reproduce about short positions.
_CAPITAL = {
    BACKTRADER: [6_000.0, 25_000.0, 1_000_000.0],
    BACKTESTING: [1_000_000.0],
    VECTORBT: [25_000.0, 1_000_000.0],
    ZIPLINE: [6_000.0, 1_000_000.0],
}


def random_tape(peer: str, seed: int) -> Tape:
    """Return the tape of a seed for a peer."""
    rng = np.random.default_rng([seed, sum(map(ord, peer))])
    symbols = ("A",) if peer == BACKTESTING else _SYMBOLS
    bars = {symbol: _bars(rng, len(SESSIONS)) for symbol in symbols}
    return Tape(
        name=f"random_{peer}_{seed}",
        slices=list(SESSIONS),
        bars=bars,
        orders=list(_ORDERS[peer](rng, bars)),
        capital=float(rng.choice(_CAPITAL[peer])),
        commission={"model": "percentage", "rate": float(rng.choice([0.0, 0.001]))},
        slippage={"model": "percentage", "rate": float(rng.choice([0.0, 0.0005, 0.004]))},
        fractional=peer == VECTORBT and bool(rng.integers(2)),
        shorts=True,
    )


def _bars(rng: Random, length: int) -> dict[str, list[float]]:
    """Return bars that often gap, in cents; one in four opens where the last one closed."""
    columns: dict[str, list[float]] = {name: [] for name in ("open", "high", "low", "close")}
    close = 100.0
    for _ in range(length):
        open_ = close + (0.0 if rng.integers(4) == 0 else rng.normal(0.0, 2.0))
        close = open_ + rng.normal(0.0, 2.0)
        high = max(open_, close) + abs(rng.normal(0.0, 1.5))
        low = min(open_, close) - abs(rng.normal(0.0, 1.5))
        for name, value in (("open", open_), ("high", high), ("low", low), ("close", close)):
            columns[name].append(round(float(value), 2))
        close = columns["close"][-1]
    return columns


def _near(rng: Random, price: float, digits: int = 2) -> float:
    return round(float(price + rng.normal(0.0, 2.5)), digits)


def _size(rng: Random) -> float:
    return float(rng.integers(1, 40)) * float(rng.choice([-1.0, 1.0]))


def _plain(rng: Random, at: int, symbol: str, close: float, digits: int = 2) -> TapeOrder:
    """Return a market, limit, stop or stop-limit order."""
    terms: dict[str, Any] = {}
    kind = rng.choice(["market", "market", "limit", "stop", "stop_limit"])
    if kind in ("limit", "stop_limit"):
        terms["limit"] = _near(rng, close, digits)
    if kind in ("stop", "stop_limit"):
        terms["stop"] = _near(rng, close, digits)
    return TapeOrder(at, symbol, _size(rng), **terms)


def _bracketed(rng: Random, at: int, symbol: str, close: float, sign: float) -> TapeOrder:
    """Return an entry with a stop, a target or both, on the right sides of its price."""
    terms: dict[str, Any] = {}
    kind = rng.choice(["market", "limit", "stop"])
    if kind != "market":
        terms[str(kind)] = _near(rng, close)
    price = terms.get("limit") or terms.get("stop") or close
    # Farther than any slippage: some engines refuse levels on the wrong side.
    if rng.integers(4):
        terms["stop_loss"] = round(price - sign * float(rng.uniform(1.0, 5.0)), 2)
    if rng.integers(4) or "stop_loss" not in terms:
        terms["take_profit"] = round(price + sign * float(rng.uniform(1.0, 5.0)), 2)
    return TapeOrder(at, symbol, sign * float(rng.integers(1, 30)), **terms)


def _due(rng: Random, bars: dict[str, dict[str, list[float]]], often: float) -> Iterator[tuple[int, str, float]]:
    """Yield (slice, symbol, close) of random decisions."""
    for at in range(1, len(SESSIONS) - 1):
        for symbol, rows in bars.items():
            while rng.random() < often:
                yield at, symbol, rows["close"][at]


def _for_backtrader(rng: Random, bars: dict[str, dict[str, list[float]]]) -> Iterator[TapeOrder]:
    """A has orders of all kinds, B long brackets and C short ones: there nothing else closes a position."""
    sides = {"B": 1.0, "C": -1.0}
    for at, symbol, close in _due(rng, bars, 0.3):
        if symbol in sides:
            if rng.integers(5) == 0:
                trail = float(rng.uniform(0.01, 0.04))
                size = sides[symbol] * float(rng.integers(1, 30))
                yield TapeOrder(at, symbol, size, trailing_stop_percent=trail)
            else:
                yield _bracketed(rng, at, symbol, close, sides[symbol])
        elif rng.integers(5) == 0:
            trail = {"trail_amount": float(rng.uniform(1.0, 3.0))} if rng.integers(2) else {"trail_percent": 0.02}
            yield TapeOrder(at, symbol, _size(rng), **trail)
        else:
            yield _plain(rng, at, symbol, close)


def _for_backtesting(rng: Random, bars: dict[str, dict[str, list[float]]]) -> Iterator[TapeOrder]:
    for at, symbol, close in _due(rng, bars, 0.5):
        if rng.integers(2):
            yield _bracketed(rng, at, symbol, close, float(rng.choice([-1.0, 1.0])))
        else:
            yield _plain(rng, at, symbol, close)


def _for_vectorbt(rng: Random, bars: dict[str, dict[str, list[float]]]) -> Iterator[TapeOrder]:
    """Half of the tapes have one bracket per symbol, which may be closed early; the others an order per row."""
    if rng.integers(2):
        for symbol in bars:
            entry, sign = int(rng.integers(1, 5)), float(rng.choice([-1.0, 1.0]))
            stop, target = float(rng.uniform(0.01, 0.05)), float(rng.uniform(0.01, 0.05))
            kind = str(rng.choice(["stop_loss_percent", "trailing_stop_percent"]))
            yield TapeOrder(
                entry, symbol, sign * float(rng.integers(1, 15)), **{kind: stop}, take_profit_percent=target
            )
            if rng.integers(2):
                yield TapeOrder(entry + int(rng.integers(1, 5)), symbol, close=True)
        return
    for at in range(1, len(SESSIONS) - 1):
        for symbol in bars:
            if rng.random() < 0.4:
                yield TapeOrder(at, symbol, _size(rng))


def _for_zipline(rng: Random, bars: dict[str, dict[str, list[float]]]) -> Iterator[TapeOrder]:
    for at, symbol, close in _due(rng, bars, 0.4):
        yield _plain(rng, at, symbol, close, digits=4)


_ORDERS: dict[str, Callable[[Random, dict[str, dict[str, list[float]]]], Iterator[TapeOrder]]] = {
    BACKTRADER: _for_backtrader,
    BACKTESTING: _for_backtesting,
    VECTORBT: _for_vectorbt,
    ZIPLINE: _for_zipline,
}
