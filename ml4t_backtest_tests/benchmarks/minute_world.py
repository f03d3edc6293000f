"""A world of minute bars in files, made month by month, so that making it takes no more memory than a month does.

    FOLDER/prices/2020-01.parquet    timestamp (close), symbol, open, high, low, close, volume
    FOLDER/signals/2020-01.parquet   timestamp, symbol, available_at, fast, slow, confidence
    FOLDER/context.parquet           timestamp, available_at, fear, breadth
    FOLDER/minutes.yaml              the backtest over them: one bar in a hundred is ordered on
    FOLDER/one_percent.py            its strategy

The same arguments give the same files. Nothing in the signals knows the prices.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from ml4t_backtest.core.instants import UTC_MICROSECONDS
from ml4t_backtest.data.calendar import TradingCalendar

FIRST = date(2020, 1, 2)
MINUTE = 60_000_000
SIGNALS = ("fast", "slow", "confidence")
CONTEXT = ("fear", "breadth")
# Of a minute: about 1.5 % a day.
VOLATILITY = 0.015 / np.sqrt(390)

CONFIG = """
backtest: {{start: {start}, end: {end}, initial_capital: 10000000}}
data:
  source:
    frequency: 1m
    bar_label: close
    adjustment: total_return
    prices: {{path: prices}}
    signals: [{{path: signals, names: [fast, slow, confidence]}}]
    context: [{{path: context.parquet, names: [fear, breadth]}}]
    indicators: [{indicators}]
strategy: {{path: "one_percent.py:OnePercent"}}
reporting: {{report: false, state_frequency: session}}
"""
STRATEGY = """
import numpy as np
from ml4t_backtest import Strategy


class OnePercent(Strategy):
    def on_timestamp_batch(self, timestamp, asset_batch, context):
        chosen = np.flatnonzero(asset_batch["fast"].to_numpy() > 0.99)
        if len(chosen):
            symbols = asset_batch["symbol"][chosen]
            held = self.position_quantities(symbols)
            self.submit_batch(symbols, np.where(held > 0, -held, 100.0))
"""

Stamps = npt.NDArray[np.int64]


def write_world(folder: Path, symbols: int, sessions: int, *, seed: int = 0, indicators: tuple[str, ...] = ()) -> Path:
    """Write the files, unless they are there, and return the configuration over them."""
    config = folder / "minutes.yaml"
    if config.exists():
        return config
    for kind in ("prices", "signals"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    days = _sessions(sessions)
    last = np.full(symbols, 100.0)
    names = pl.Series("symbol", [f"S{number:04d}" for number in range(symbols)])
    context = []
    for month, stamps in _months(days):
        rng = np.random.default_rng([seed, *map(int, month.split("-"))])
        prices, last = _prices(rng, stamps, names, last)
        prices.write_parquet(folder / "prices" / f"{month}.parquet")
        _signals(rng, stamps, names).write_parquet(folder / "signals" / f"{month}.parquet")
        context.append(_values(rng, _moments(stamps), CONTEXT))
    pl.concat(context).write_parquet(folder / "context.parquet")
    text = CONFIG.format(start=days["session"][0], end=days["session"][-1], indicators=", ".join(indicators))
    (folder / "one_percent.py").write_text(STRATEGY, encoding="utf-8")
    config.write_text(text, encoding="utf-8")
    return config


def _sessions(count: int) -> pl.DataFrame:
    calendar = TradingCalendar("XNYS", FIRST, FIRST + timedelta(days=2 * count + 10))
    return calendar.sessions.filter(pl.col("session") >= FIRST).head(count)


def _months(days: pl.DataFrame) -> Iterator[tuple[str, Stamps]]:
    """Yield each month with the closes of its minute bars."""
    for (month,), part in days.group_by(pl.col("session").dt.strftime("%Y-%m"), maintain_order=True):
        spans = zip(part["open"].to_physical(), part["close"].to_physical(), strict=True)
        yield str(month), np.concatenate([np.arange(opened + MINUTE, closed + 1, MINUTE) for opened, closed in spans])


def _moments(stamps: Stamps) -> pl.Series:
    return pl.Series("timestamp", stamps).cast(pl.Datetime("us")).dt.replace_time_zone("UTC").cast(UTC_MICROSECONDS)


def _keys(stamps: Stamps, names: pl.Series) -> pl.DataFrame:
    """Return timestamp and symbol of every bar, in the order of time."""
    rows = np.tile(np.arange(names.len()), len(stamps))
    return pl.DataFrame([_moments(np.repeat(stamps, names.len())), names.gather(rows)])


def _prices(
    rng: np.random.Generator, stamps: Stamps, names: pl.Series, last: npt.NDArray[np.float64]
) -> tuple[pl.DataFrame, npt.NDArray[np.float64]]:
    """Return a month of random walks that begin at the last closes, and their last closes."""
    shape = (len(stamps), names.len())
    close = np.round(last * np.exp(np.cumsum(rng.normal(0.0, VOLATILITY, shape), axis=0)), 2)
    opened = np.vstack([last, close[:-1]])
    high = np.round(np.maximum(opened, close) + np.abs(rng.normal(0.0, 0.02, shape)), 2)
    low = np.round(np.minimum(opened, close) - np.abs(rng.normal(0.0, 0.02, shape)), 2)
    columns = {"open": opened, "high": high, "low": np.maximum(low, 0.01), "close": close}
    volume = rng.integers(1_000, 100_000, shape).astype(np.float64)
    values = [pl.Series(name, each.ravel()) for name, each in {**columns, "volume": volume}.items()]
    return _keys(stamps, names).with_columns(values), close[-1]


def _signals(rng: np.random.Generator, stamps: Stamps, names: pl.Series) -> pl.DataFrame:
    return _values(rng, _keys(stamps, names), SIGNALS)


def _values(rng: np.random.Generator, keys: pl.DataFrame | pl.Series, columns: tuple[str, ...]) -> pl.DataFrame:
    """Return uniform random values between 0 and 1, known at their own timestamps."""
    frame = keys.to_frame() if isinstance(keys, pl.Series) else keys
    known = frame["timestamp"].alias("available_at")
    return frame.with_columns(known, *(pl.Series(name, rng.random(frame.height)) for name in columns))
