"""The data every engine is measured on: made from one seed, month by month, and kept as Parquet.

Bars are geometric random walks on the sessions of the New York Stock Exchange. Beside them stands a prediction `p`,
standard normal and drawn without a look at the prices. The strategy to be measured buys 100 shares when flat and
`p > t`, and closes when long and `p < -t`; `threshold` solves for the t at which exactly the wanted share of bars has
an order. Predictions of the first and of the last slice are 0: one of the peers shows its strategies no first bar, and
every order shall have a bar that fills it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from ml4t_backtest.core.instants import UTC_MICROSECONDS
from ml4t_backtest.data.calendar import TradingCalendar

Floats = npt.NDArray[np.float64]
SEED = 20_261
LOT = 100.0
CAPITAL = 100_000_000.0
SLIPPAGE, COMMISSION = 0.0005, 0.001
RATES = (0.0, 0.01, 0.1)
NO_ORDERS = 1e9
# Below this no rate up to 20 % has its threshold.
_LOWEST = 0.8
_TRIED = 200
_VOLATILITY = 0.015
_MINUTE, _DAY_MINUTES, _TICK = 60_000_000, 390, 4
DATA = Path(os.environ.get("ML4T_BENCHMARK_DATA", Path(__file__).parents[2] / ".benchmarks" / "data"))
WHAT_PEERS_READ = ("timestamp", "symbol", "open", "high", "low", "close", "volume", "p")


@dataclass(frozen=True)
class Work:
    """A size of data.

    Attributes:
        name: Of its folder.
        symbols: Instruments, each with a bar on every timestamp.
        first: Day from which sessions are taken.
        sessions: Their number.
        minutes: Length of a bar in minutes; 0 for one bar per session.
        streamed: Whether our engine leaves it on disk and reads it chunk by chunk; every peer holds all in memory.
    """

    name: str
    symbols: int
    first: date
    sessions: int
    minutes: int = 0
    streamed: bool = False

    @property
    def folder(self) -> Path:
        """Where it is kept."""
        return DATA / f"{self.name}-{self.symbols}x{self.sessions}x{self.minutes}-{self.first}-{SEED}"

    @property
    def last_symbol(self) -> str:
        """The last symbol of every slice."""
        return _symbol(self.symbols - 1)

    @property
    def bars(self) -> Path:
        """The folder of its bars, one file per month."""
        return self.folder / "bars"

    def sized(self, symbols: int, sessions: int) -> Work:
        """Return a work of the same kind and another size."""
        return replace(self, symbols=symbols, sessions=sessions)


@dataclass(frozen=True)
class Facts:
    """What is known of a work once it is made.

    Attributes:
        rows: Number of bars.
        slices: Number of timestamps.
        thresholds: Order rate, as text -> t.
        orders: Order rate, as text -> number of orders.
    """

    rows: int
    slices: int
    thresholds: dict[str, float]
    orders: dict[str, int]


# 2023 has 250 sessions, two of them half days: 97,140 minutes.
WORKS = {
    work.name: work
    for work in (
        Work("W1", 250, date(2004, 1, 2), 5_040),
        Work("W2", 100, date(2023, 1, 3), 21, minutes=1),
        Work("W3", 250, date(2023, 1, 3), 250, minutes=1, streamed=True),
        Work("S", 1, date(2014, 1, 2), 2_516, minutes=1),
    )
}
QUICK = {
    "W1": WORKS["W1"].sized(100, 1_000),
    "W2": WORKS["W2"].sized(100, 4),
    "W3": WORKS["W3"].sized(50, 63),
    "S": WORKS["S"].sized(1, 252),
}
SIZES = {"full": WORKS, "quick": QUICK}


def made(work: Work) -> Facts:
    """Return what is known of a work; make it first unless it is there."""
    facts = work.folder / "facts.json"
    if not facts.exists():
        work.bars.mkdir(parents=True, exist_ok=True)
        predictions = []
        for month, bars in months_of(work):
            bars.write_parquet(work.bars / f"{month}.parquet", compression="zstd")
            predictions.append(bars["p"].to_numpy().reshape(-1, work.symbols))
        known = facts_of(np.concatenate(predictions))
        facts.write_text(json.dumps(asdict(known)), encoding="utf-8")
    return Facts(**json.loads(facts.read_text(encoding="utf-8")))


def months_of(work: Work) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield the bars of a work month by month, as prepared data in (timestamp, symbol) order."""
    opens, closes = bar_times(work)
    months = pl.from_epoch(pl.Series(closes), "us").dt.strftime("%Y-%m")
    names = pl.Series("symbol", [_symbol(number) for number in range(work.symbols)])
    volatility = _VOLATILITY / np.sqrt(_DAY_MINUTES / work.minutes) if work.minutes else _VOLATILITY
    before = np.exp(np.random.default_rng(SEED).uniform(np.log(20.0), np.log(200.0), work.symbols))
    for number, (month, size) in enumerate(months.rle().struct.unnest().select("value", "len").iter_rows()):
        rng = np.random.default_rng([SEED, number])
        begin = months.search_sorted(month)
        at = slice(begin, begin + size)
        prices = _prices(rng, before, size, volatility)
        before = prices["close"][-1]
        predictions = rng.standard_normal((size, work.symbols))
        for edge in (0, len(closes) - 1):
            if begin <= edge < begin + size:
                predictions[edge - begin] = 0.0
        yield month, _frame(names, opens[at], closes[at], prices, predictions, rng)


def _symbol(number: int) -> str:
    return f"S{number:04d}"


def bar_times(work: Work) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return when each bar opens and closes, as microseconds since 1970 UTC; half days are shorter."""
    calendar = TradingCalendar("XNYS", work.first, date(2024, 12, 31))
    sessions = calendar.sessions.filter(pl.col("session") >= work.first).head(work.sessions)
    opens, closes = (sessions[name].to_physical().to_numpy() for name in ("open", "close"))
    if not work.minutes:
        return opens, closes
    length = work.minutes * _MINUTE
    counts = -((opens - closes) // length)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    starts = np.repeat(opens, counts) + within * length
    return starts, np.minimum(starts + length, np.repeat(closes, counts))


def _prices(rng: np.random.Generator, before: Floats, size: int, volatility: float) -> dict[str, Floats]:
    """Return open, high, low and close, timestamps by symbols, going on from the closes before."""
    shape = (size, len(before))
    close = before * np.exp(np.cumsum(rng.normal(0.0, volatility, shape), axis=0))
    opened = np.vstack([before, close[:-1]]) * np.exp(rng.normal(0.0, volatility / 4.0, shape))
    high = np.maximum(opened, close) * (1.0 + np.abs(rng.normal(0.0, volatility / 3.0, shape)))
    low = np.minimum(opened, close) / (1.0 + np.abs(rng.normal(0.0, volatility / 3.0, shape)))
    # Rounding keeps the order, so that low <= open, close <= high holds afterwards too.
    prices = {"open": opened, "high": high, "low": low, "close": close}
    return {name: np.maximum(np.round(values, _TICK), 10.0**-_TICK) for name, values in prices.items()}


def _frame(
    names: pl.Series,
    opens: npt.NDArray[np.int64],
    closes: npt.NDArray[np.int64],
    prices: dict[str, Floats],
    predictions: Floats,
    rng: np.random.Generator,
) -> pl.DataFrame:
    size, known = len(names), pl.col("timestamp")
    moments = {"timestamp": np.repeat(closes, size), "open_instant": np.repeat(opens, size)}
    return pl.DataFrame(
        {
            "symbol": names.gather(np.tile(np.arange(size), len(closes))),
            **{name: values.ravel() for name, values in prices.items()},
            "volume": rng.integers(10_000, 1_000_000, predictions.shape).astype(np.float64).ravel(),
            "p": predictions.ravel(),
            **{name: pl.from_epoch(pl.Series(each), "us") for name, each in moments.items()},
        }
    ).select(
        known.dt.replace_time_zone("UTC").cast(UTC_MICROSECONDS),
        *("symbol", "open", "high", "low", "close", "volume"),
        pl.col("open_instant").dt.replace_time_zone("UTC").cast(UTC_MICROSECONDS),
        known.dt.replace_time_zone("UTC").cast(UTC_MICROSECONDS).alias("decision_instant"),
        "p",
        known.dt.replace_time_zone("UTC").cast(UTC_MICROSECONDS).alias("p_available_at"),
        pl.lit(True).alias("p_is_new"),
    )


def facts_of(predictions: Floats) -> Facts:
    """Return the facts of a work with these predictions, timestamps by symbols."""
    slices, symbols = predictions.shape
    thresholds = {f"{rate:g}": threshold(predictions, rate) for rate in RATES}
    orders = {rate: orders_at(predictions, t) for rate, t in thresholds.items()}
    return Facts(slices * symbols, slices, thresholds, orders)


def threshold(predictions: Floats, rate: float) -> float:
    """Return the t at which `rate` of all bars have an order; where no t does that exactly, one order more or less."""
    if rate == 0.0:
        return NO_ORDERS
    wanted, strong = round(rate * predictions.size), _strong(predictions)
    low, high = _LOWEST, 8.0
    for _ in range(60):
        middle = (low + high) / 2.0
        low, high = (middle, high) if _count(strong, middle) > wanted else (low, middle)
    return _nearest(strong, high, wanted)


def _nearest(strong: tuple[npt.NDArray[np.int64], Floats], t: float, wanted: int) -> float:
    """Return the threshold nearest to t with the wanted number of orders; the best one where none has it.

    Orders do not fall one by one with t: a prediction that drops out may take none, one or two with it.
    """
    sizes = np.sort(np.abs(strong[1]))
    between = (sizes[1:] + sizes[:-1]) / 2.0
    place = int(np.searchsorted(between, t))
    near = between[max(place - _TRIED, 0) : place + _TRIED]
    # What is weaker than all of them has no part in any order.
    kept = np.abs(strong[1]) >= near[0]
    strong = strong[0][kept], strong[1][kept]
    best, missed = t, abs(_count(strong, t) - wanted)
    for candidate in near[np.argsort(np.abs(near - t))]:
        if not missed:
            break
        off = abs(_count(strong, candidate) - wanted)
        best, missed = (float(candidate), off) if off < missed else (best, missed)
    return best


def orders_at(predictions: Floats, t: float) -> int:
    """Return how many orders the strategy gives at threshold t."""
    return _count(_strong(predictions), t)


def _strong(predictions: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return symbol and value of the predictions that may lead to orders, symbol by symbol in the order of time."""
    by_symbol = predictions.T.ravel()
    rows = np.flatnonzero(np.abs(by_symbol) > _LOWEST)
    return rows // len(predictions), by_symbol[rows]


def _count(strong: tuple[npt.NDArray[np.int64], Floats], t: float) -> int:
    """Return the orders at threshold t: each turn from below -t (or the start) to above t, and back."""
    symbol, value = strong
    kept = np.abs(value) > t
    symbol, up = symbol[kept], value[kept] > 0.0
    starts = np.ones(len(up), dtype=bool)
    starts[1:] = symbol[1:] != symbol[:-1]
    long_before = np.concatenate([[False], up[:-1]]) & ~starts
    return int(np.count_nonzero(up != long_before))
