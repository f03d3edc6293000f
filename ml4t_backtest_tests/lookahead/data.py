"""The small made-up world that leaks are planted in: prices by day and by minute, and what comes beside prices.

Every table says when its rows became known.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache

import numpy as np
import polars as pl

from ml4t_backtest.data.synthetic import random_bars

SESSIONS = 150
BARS = ("timestamp", "symbol", "open", "high", "low", "close", "volume", "open_instant")
# S0004 comes late, S0005 goes early: universes can be chosen by who survives.
LATE, EARLY = "S0004", "S0005"


@cache
def daily() -> pl.DataFrame:
    """Daily bars of six symbols, in (symbol, timestamp) order."""
    bars = random_bars(6, SESSIONS, seed=7).select(BARS).sort("symbol", "timestamp")
    number = pl.int_range(pl.len()).over("symbol")
    absent = ((pl.col("symbol") == LATE) & (number < 40)) | ((pl.col("symbol") == EARLY) & (number >= 110))
    return bars.filter(~absent)


@cache
def minutes() -> pl.DataFrame:
    """Minute bars of two symbols over six sessions, every tenth minute, in (symbol, timestamp) order."""
    bars = random_bars(2, 6, minutes=True, seed=11).select(BARS)
    return bars.filter(pl.col("timestamp").dt.minute() % 10 == 0).sort("symbol", "timestamp")


@cache
def context() -> pl.DataFrame:
    """A market-wide index of fear, one row per session, known at its close."""
    stamps = daily()["timestamp"].unique().sort()
    rng = np.random.default_rng(3)
    level = 20.0 * np.exp(
        0.9 * np.cumsum(rng.normal(0.0, 0.05, stamps.len())) / np.sqrt(np.arange(1, stamps.len() + 1))
    )
    return pl.DataFrame({"timestamp": stamps, "available_at": stamps, "fear": level})


@cache
def corporate_actions() -> pl.DataFrame:
    """Two splits and some dividends."""
    days = daily()["timestamp"].unique().sort().cast(pl.Date)
    rows = [("S0000", days[60], "split", 2.0), ("S0001", days[90], "split", 3.0)]
    rows += [("S0002", days[number], "dividend", 0.5) for number in (30, 60, 90, 120)]
    return pl.DataFrame(rows, schema=["symbol", "ex_date", "kind", "value"], orient="row")


@cache
def universe() -> pl.DataFrame:
    """Who belonged to an index when."""
    days = daily()["timestamp"].unique().sort().cast(pl.Date)
    rows = [
        ("S0000", days[0], None),
        ("S0001", days[0], days[50]),
        ("S0001", days[100], None),
        ("S0002", days[20], None),
        (LATE, days[60], None),
        (EARLY, days[0], days[80]),
    ]
    return pl.DataFrame(rows, schema={"symbol": pl.String, "start": pl.Date, "end": pl.Date}, orient="row")


@cache
def earnings() -> pl.DataFrame:
    """Quarterly figures: what period they are about, when they were published, and a later revision of each."""
    first = daily()["timestamp"].min()
    assert first is not None
    rng, rows = np.random.default_rng(5), []
    for symbol in daily()["symbol"].unique().sort():
        for quarter in range(4):
            period = first + timedelta(days=45 * quarter)  # type: ignore[operator]
            value = float(rng.normal(1.0, 0.3))
            rows.append((symbol, period, period + timedelta(days=20), value))
            rows.append((symbol, period, period + timedelta(days=50), value + float(rng.normal(0.0, 0.1))))
    return pl.DataFrame(rows, schema=["symbol", "timestamp", "available_at", "eps"], orient="row")


@cache
def forecasts() -> pl.DataFrame:
    """What an analyst with an incredible hand says at each close: right about the next return, within an error.

    The prices are made of it, not it of the prices: it is known before them.
    """
    bars = daily().select("timestamp", "symbol", "close")
    rng = np.random.default_rng(9)
    ahead = (pl.col("close").shift(-1) / pl.col("close") - 1.0).over("symbol")
    noise = pl.Series("noise", rng.normal(0.0, 0.015, bars.height))
    said = bars.with_columns(noise).select("timestamp", "symbol", forecast=ahead.fill_null(0.0) + pl.col("noise"))
    return said.with_columns(available_at=pl.col("timestamp"))


def tables() -> dict[str, pl.DataFrame]:
    """Return all tables by the names that pipelines ask for."""
    return {
        "prices": daily(),
        "minutes": minutes(),
        "context": context(),
        "corporate_actions": corporate_actions(),
        "universe": universe(),
        "earnings": earnings(),
        "forecasts": forecasts(),
    }


def day_of(column: str = "timestamp") -> pl.Expr:
    """Return the day of a moment in New York, of which the sessions lie within one day of UTC too."""
    return pl.col(column).dt.date()


FIRST_DAY = date(2020, 1, 2)
