"""Good data: prices, predictions, context and a dividend that nothing is wrong with. A case spoils one thing in it.

`daily` has three symbols on 124 sessions, `intraday` two symbols with bars of five minutes on two sessions. Timestamps
are the closes, in UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ml4t_backtest.core.instants import UTC_MICROSECONDS
from ml4t_backtest.data.calendar import TradingCalendar

Frames = Mapping[str, pl.DataFrame]
# Writes a table somewhere below a folder and returns the path that a user would give.
Store = Callable[[pl.DataFrame, Path], Path]
Mutation = Callable[["World"], "World"]

SYMBOLS = ("AAA", "BBB", "CCC")
FIRST, LAST = date(2024, 1, 2), date(2024, 6, 28)
DIVIDEND = date(2024, 3, 14)
INTRADAY = (date(2024, 1, 3), date(2024, 1, 4))


def in_one_file(name: str) -> Store:
    """Return the plain way to store a table: one Parquet file."""

    def store(frame: pl.DataFrame, folder: Path) -> Path:
        frame.write_parquet(folder / f"{name}.parquet")
        return folder / f"{name}.parquet"

    return store


@dataclass(frozen=True)
class World:
    """Tables, how each is stored, and what is declared about them.

    Attributes:
        tables: `prices`, `signals`, `context`, `actions`, perhaps `universe`.
        stored: Table -> how it is written, where not in one file.
        declared: Keys of a data set's configuration; `prices`, `signals` and `context` hold those of their sources.
        backtest: Keys of a configuration's other sections.
    """

    tables: Frames
    stored: Mapping[str, Store] = field(default_factory=dict)
    declared: Mapping[str, Any] = field(default_factory=dict)
    backtest: Mapping[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> dict[str, str]:
        """Write every table and return their paths as a user gives them."""
        stores = {name: self.stored.get(name, in_one_file(name)) for name in self.tables}
        return {name: str(stores[name](frame, folder)) for name, frame in self.tables.items()}

    def with_table(self, name: str, frame: pl.DataFrame) -> World:
        """Return the world with another table of a name."""
        return replace(self, tables={**self.tables, name: frame})

    def declaring(self, **declared: Any) -> World:
        """Return the world with more declared; what is declared of a source is added to it."""
        known = self.declared
        merged = {
            key: {**known[key], **value} if isinstance(value, dict) and isinstance(known.get(key), dict) else value
            for key, value in declared.items()
        }
        return replace(self, declared={**known, **merged})


DECLARED: Mapping[str, Any] = {
    "calendar": "XNYS",
    "frequency": "1d",
    "bar_label": "close",
    "adjustment": "none",
    "prices": {},
    "signals": {"names": ["prediction", "confidence"], "available_at": "market_close"},
    "context": {"names": ["vix"], "available_at": "market_close"},
}


def daily_over(first: date, last: date, symbols: tuple[str, ...] = SYMBOLS) -> World:
    """Return a daily world; its signals and its context are known when its sessions close."""
    closes = sessions_of(first, last)["close"]
    tables = {
        "prices": bars_of(closes, symbols, seed=1, step=0.012),
        "signals": signals_of(closes, symbols, seed=2),
        "context": pl.DataFrame({"timestamp": closes, "vix": walk(closes.len(), 3, 0.03, 1_500)}),
        "actions": pl.DataFrame({"symbol": ["AAA"], "ex_date": [DIVIDEND], "kind": ["dividend"], "value": [0.25]}),
    }
    return World(tables, declared=DECLARED)


def intraday_over(first: date, last: date) -> World:
    """Return a world of bars of five minutes; its signals come every half hour and are known at once."""
    spans = [
        pl.datetime_range(opened + timedelta(minutes=5), closed, "5m", eager=True)
        for _, opened, closed in sessions_of(first, last).select("session", "open", "close").iter_rows()
    ]
    stamps = pl.concat(spans).cast(UTC_MICROSECONDS)
    some = stamps.gather_every(6)
    context = pl.DataFrame({"timestamp": some, "vix": walk(some.len(), 6, 0.01, 1_500), "available_at": some})
    tables = {
        "prices": bars_of(stamps, SYMBOLS[:2], seed=4, step=0.003),
        "signals": signals_of(some, SYMBOLS[:2], seed=5).with_columns(available_at=pl.col("timestamp")),
        "context": context,
        "actions": daily().tables["actions"].clear(),
    }
    own = {"signals": {"names": ["prediction", "confidence"]}, "context": {"names": ["vix"]}}
    return World(tables, declared={**DECLARED, "frequency": "5m", **own})


@cache
def daily() -> World:
    """Return the daily world of the cases."""
    return daily_over(FIRST, LAST)


@cache
def intraday() -> World:
    """Return the intraday world of the cases."""
    return intraday_over(INTRADAY[0], INTRADAY[-1])


def sessions_of(first: date, last: date) -> pl.DataFrame:
    """Return the sessions of New York between two dates."""
    sessions = TradingCalendar("XNYS", first, last).sessions
    return sessions.filter(pl.col("session").is_between(first, last))


def bars_of(closes: pl.Series, symbols: tuple[str, ...], *, seed: int, step: float) -> pl.DataFrame:
    """Return bars in (timestamp, symbol) order, prices in whole cents."""
    parts = []
    for number, symbol in enumerate(symbols):
        rng = np.random.default_rng([seed, number])
        close = walk(closes.len(), seed + number, step, 8_000 + 3_000 * number)
        opened = np.round(np.roll(close, 1) * (1 + rng.normal(0, step / 4, len(close))), 2)
        opened[0] = close[0]
        wick = np.round(close * rng.uniform(step / 8, step, (2, len(close))), 2) + 0.01
        parts.append(
            pl.DataFrame(
                {
                    "timestamp": closes,
                    "symbol": symbol,
                    "open": opened,
                    "high": np.round(np.maximum(opened, close) + wick[0], 2),
                    "low": np.round(np.minimum(opened, close) - wick[1], 2),
                    "close": close,
                    "volume": rng.integers(100_000, 900_000, len(close)),
                }
            )
        )
    return pl.concat(parts).sort("timestamp", "symbol")


def signals_of(stamps: pl.Series, symbols: tuple[str, ...], *, seed: int) -> pl.DataFrame:
    """Return predictions drawn without a look at any price."""
    rng = np.random.default_rng(seed)
    keys = stamps.to_frame("timestamp").join(
        pl.DataFrame({"symbol": symbols}), how="cross", maintain_order="left_right"
    )
    values = {name: np.round(rng.uniform(0, 1, keys.height), 4) for name in ("prediction", "confidence")}
    return keys.with_columns(pl.Series(name, column) for name, column in values.items())


def walk(length: int, seed: int, step: float, cents: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return a random walk in whole cents."""
    rng = np.random.default_rng(seed)
    moved = cents * np.exp(np.cumsum(np.clip(rng.normal(0, step, length), -3 * step, 3 * step)))
    walked: np.ndarray[Any, np.dtype[np.float64]] = np.round(moved) / 100
    return walked
