"""Made-up bars on a real calendar: for benchmarks and tests, never for conclusions.

The same arguments give the same bars. The predictions are noise, drawn without a look at the prices.
"""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from ml4t_backtest.core.instants import UTC_MICROSECONDS
from ml4t_backtest.data.calendar import TradingCalendar
from ml4t_backtest.errors import ConfigError

_MINUTE = 60_000_000
_FIRST = date(2020, 1, 2)
_DAILY_VOLATILITY = 0.015
_SESSION_MINUTES = 390
_TICK = 4
_BREAK = ("break_start", "break_end")

Floats = npt.NDArray[np.float64]


def random_bars(
    num_symbols: int, num_sessions: int, *, minutes: bool = False, seed: int = 0, calendar: str = "XNYS"
) -> pl.DataFrame:
    """Return prepared bars of geometric random walks with a column of random predictions.

    Args:
        num_symbols: Symbols `S0000`, `S0001`, ..., each with a bar on every timestamp.
        num_sessions: Trading days from 2020-01-02 on.
        minutes: One bar per minute of each session (half days are shorter, no bar in a break at noon) instead of one
            per session.
        seed: Of numpy's PCG64 generator.
        calendar: Exchange calendar.

    Returns:
        Frame of schema `asset_data` with the signal `prediction` (standard normal, known at the bar's close), in
        (timestamp, symbol) order.

    Raises:
        ConfigError: A number is below 1.
    """
    if min(num_symbols, num_sessions) < 1:
        raise ConfigError(f"random bars need a symbol and a session, got {num_symbols} and {num_sessions}")
    opens, closes = _bar_times(num_sessions, minutes, calendar)
    rng = np.random.default_rng(seed)
    shape = (len(closes), num_symbols)
    volatility = _DAILY_VOLATILITY / (np.sqrt(_SESSION_MINUTES) if minutes else 1.0)
    symbols = pl.Series([f"S{number:04d}" for number in range(num_symbols)])
    known = pl.col("timestamp")
    return (
        pl.DataFrame(
            {
                "timestamp": np.repeat(closes, num_symbols),
                "symbol": symbols.gather(np.tile(np.arange(num_symbols), len(closes))),
                **{name: values.ravel() for name, values in _prices(rng, shape, volatility).items()},
                "volume": rng.integers(10_000, 1_000_000, shape).astype(np.float64).ravel(),
                "open_instant": np.repeat(opens, num_symbols),
                "prediction": rng.standard_normal(shape).ravel(),
            }
        )
        .with_columns(
            pl.from_epoch("timestamp", "us").dt.replace_time_zone("UTC").cast(UTC_MICROSECONDS),
            pl.from_epoch("open_instant", "us").dt.replace_time_zone("UTC").cast(UTC_MICROSECONDS),
        )
        .select(
            "timestamp",
            "symbol",
            "open",
            "high",
            "low",
            "close",
            "volume",
            "open_instant",
            known.alias("decision_instant"),
            "prediction",
            known.alias("prediction_available_at"),
            pl.lit(True).alias("prediction_is_new"),
        )
    )


def _bar_times(num_sessions: int, minutes: bool, calendar: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return when each bar opens and closes, as microseconds since 1970 UTC."""
    last = _FIRST + timedelta(days=2 * num_sessions + 10)
    sessions = TradingCalendar(calendar, _FIRST, last).sessions.filter(pl.col("session") >= _FIRST).head(num_sessions)
    opens, closes = (sessions[name].to_physical().to_numpy() for name in ("open", "close"))
    if not minutes:
        return opens, closes
    lengths = (closes - opens) // _MINUTE
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    starts = np.repeat(opens, lengths) + within * _MINUTE
    noon, after = (sessions[name].fill_null(strategy="zero").to_physical().to_numpy() for name in _BREAK)
    traded = (starts < np.repeat(noon, lengths)) | (starts >= np.repeat(after, lengths))
    return starts[traded], starts[traded] + _MINUTE


def _prices(rng: np.random.Generator, shape: tuple[int, int], volatility: float) -> dict[str, Floats]:
    """Return open, high, low and close, timestamps by symbols; opens gap a little from the close before."""
    first = np.exp(rng.uniform(np.log(10.0), np.log(300.0), shape[1]))
    close = first * np.exp(np.cumsum(rng.normal(0.0, volatility, shape), axis=0))
    before = np.vstack([first, close[:-1]])
    opened = before * np.exp(rng.normal(0.0, volatility / 4.0, shape))
    high = np.maximum(opened, close) * (1.0 + np.abs(rng.normal(0.0, volatility / 3.0, shape)))
    low = np.minimum(opened, close) / (1.0 + np.abs(rng.normal(0.0, volatility / 3.0, shape)))
    # Rounding keeps the order, so that low <= open, close <= high holds afterwards too.
    prices = {"open": opened, "high": high, "low": low, "close": close}
    return {name: np.maximum(np.round(values, _TICK), 10.0**-_TICK) for name, values in prices.items()}
