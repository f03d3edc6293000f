"""A small world of files that a backtest must give one answer to, however the files lie and whoever runs it.

    python one_answer.py CONFIG ...    prints the hash of trades and portfolio states of each

Ten-minute bars of five symbols over the end of a month, some missing; a signal per day, another per bar, known some
minutes later; context; computed indicators; a universe; a split and a dividend. Nothing is drawn from a distribution,
so that the numbers are the same under every version of NumPy.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from ml4t_backtest import BacktestResult, run_backtest
from ml4t_backtest.core.instants import UTC_MICROSECONDS
from ml4t_backtest.data.calendar import TradingCalendar
from ml4t_backtest.data.content_hash import content_hash

SYMBOLS = ("AA", "B", "CCC", "D0", "ZX")
FIRST, LAST = date(2024, 1, 26), date(2024, 2, 2)
TEN_MINUTES = 600_000_000
STRATEGIES = ("Brackets", "Rebalance", "Dips", "Momentum")

CONFIG = """
backtest: {{start: 2024-01-29, end: 2024-02-02, initial_capital: 100000, warm_up_days: 3}}
data:
  source:
    frequency: 10m
    bar_label: close
    adjustment: none
    prices: {{path: "{prices}"}}
    signals:
      - {{path: "{daily}", names: [outlook], frequency: 1d, available_at: market_open, latency: 7m}}
      - {{path: "{fast}", names: [fast, spread], max_age: 2d}}
    context: [{{path: "{context}", names: [fear]}}]
    indicators: [ema:10, rsi:7, "atr:5", macd]
    corporate_actions: {{path: actions.parquet}}
    universe: {{path: members.parquet}}
strategy: {{path: "strategies.py:{strategy}"}}
reporting: {{report: false}}
"""

OWN_STRATEGIES = '''
from ml4t_backtest import Strategy


class Brackets(Strategy):
    """Per symbol: entries with a stop, a target and a time exit."""

    def on_market_data(self, event):
        fast, rsi = event.signals["fast"], event.indicators["rsi_7"]
        if fast is not None and rsi is not None and fast > 0.7 and rsi < 60 and not self.get_position(event.symbol):
            self.buy(event.symbol, percent=0.15, stop_loss_percent=0.004, take_profit_percent=0.006, max_holding_bars=9)


class Rebalance(Strategy):
    """Per slice: the best outlooks in equal parts, twice a day."""

    def on_start(self):
        self.slices = 0

    def on_timestamp_batch(self, timestamp, asset_batch, context):
        self.slices += 1
        if self.slices % 19 == 0:
            known = asset_batch.drop_nulls("outlook").filter(asset_batch.drop_nulls("outlook")["in_universe"] == 1)
            best = known.sort("outlook", "symbol", descending=[True, False]).head(2)["symbol"].to_list()
            self.rebalance({symbol: 0.45 for symbol in best})


class Dips(Strategy):
    """Per symbol: limits below and stops above the close, for a day, trailed."""

    def on_market_data(self, event):
        fear = event.context["fear"]
        if fear is None or event.signals["fast"] is None:
            return
        if fear > 20 and event.signals["fast"] < 0.2:
            self.buy(event.symbol, quantity=40, limit=event.close * 0.998, tif="day", trailing_stop_percent=0.01)
        elif event.signals["fast"] > 0.9:
            self.buy(event.symbol, quantity=20, stop=event.close * 1.002, tif="day")
        elif event.signals["fast"] < 0.05:
            self.close_position(event.symbol)


class Momentum(Strategy):
    """Per slice: orders as one batch, sized by what each symbol did over its last bars."""

    def on_timestamp_batch(self, timestamp, asset_batch, context):
        chosen = asset_batch.filter(asset_batch["spread"].fill_null(0.0) > 0.8)["symbol"]
        if len(chosen):
            held = self.position_quantities(chosen)
            past = [self.history(symbol, 12)["close"] for symbol in chosen]
            wanted = [10.0 if closes[-1] > closes[0] else 0.0 for closes in past]
            moved = [(symbol, want - has) for symbol, want, has in zip(chosen, wanted, held) if want != has]
            if moved:
                self.submit_batch([symbol for symbol, _ in moved], [quantity for _, quantity in moved])
'''


@dataclass(frozen=True)
class Tables:
    """The raw tables of the world.

    Attributes:
        prices: Ten-minute bars.
        daily: One signal per symbol and session.
        fast: Two signals per bar, known four minutes after it.
        context: One value per bar, known at once.
    """

    prices: pl.DataFrame
    daily: pl.DataFrame
    fast: pl.DataFrame
    context: pl.DataFrame

    def by_name(self) -> dict[str, pl.DataFrame]:
        """Return the tables by their names in the configuration."""
        return {name: getattr(self, name) for name in ("prices", "daily", "fast", "context")}


def tables() -> Tables:
    """Return the raw tables, rows in the order of time."""
    sessions = TradingCalendar("XNYS", FIRST, LAST).sessions.filter(pl.col("session").is_between(FIRST, LAST))
    spans = zip(sessions["open"].to_physical(), sessions["close"].to_physical(), strict=True)
    stamps = np.concatenate([np.arange(opened + TEN_MINUTES, closed + 1, TEN_MINUTES) for opened, closed in spans])
    keys = _keys(stamps)
    noise = {name: _noise(keys.height, seed) for seed, name in enumerate(("step", "gap", "up", "down", "x", "y"))}
    prices = _bars(keys, noise)
    known = (pl.col("timestamp") + pl.duration(minutes=4)).alias("available_at")
    fast = keys.with_columns(known, pl.Series("fast", noise["x"]), pl.Series("spread", noise["y"]))
    days = sessions.select(timestamp="session").join(pl.DataFrame({"symbol": SYMBOLS}), how="cross")
    daily = days.with_columns(pl.Series("outlook", _noise(days.height, 17)))
    moments = pl.DataFrame([_moments(stamps)])
    fear = pl.Series("fear", np.round(15 + 10 * _noise(len(stamps), 23), 2))
    context = moments.with_columns(pl.col("timestamp").alias("available_at"), fear)
    # A tenth of the bars is missing, and the second symbol begins late.
    there = (pl.Series(_noise(prices.height, 5)) > 0.1) & (
        (prices["symbol"] != "B") | (prices["timestamp"].dt.day() > 26)
    )
    return Tables(prices.filter(there), daily, fast, context)


def write_world(
    folder: Path, paths: Mapping[str, str] | None = None, *, strategies: tuple[str, ...] = STRATEGIES
) -> None:
    """Write strategies, corporate actions, members and one configuration per strategy.

    Args:
        folder: Where.
        paths: Table -> path of its files as the configuration names it; NAME.parquet where it is not there.
        strategies: Strategies to write a configuration for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "strategies.py").write_text(OWN_STRATEGIES, encoding="utf-8")
    days = [date(2024, 1, 30), date(2024, 2, 1)]
    actions = {"symbol": ["CCC", "AA"], "ex_date": days, "kind": ["split", "dividend"], "value": [2.0, 0.35]}
    pl.DataFrame(actions).write_parquet(folder / "actions.parquet")
    spans = {"start": [FIRST] * 5, "end": [None, None, date(2024, 1, 30), None, None]}
    members = pl.DataFrame({"symbol": SYMBOLS, **spans}, schema_overrides={"end": pl.Date})
    members.write_parquet(folder / "members.parquet")
    named = {name: f"{name}.parquet" for name in ("prices", "daily", "fast", "context")} | dict(paths or {})
    for strategy in strategies:
        text = CONFIG.format(strategy=strategy, **named)
        (folder / f"{strategy.lower()}.yaml").write_text(text, encoding="utf-8")


def answer_hash(result: BacktestResult) -> str:
    """Return the hash of what a backtest answers: its trades and its portfolio states."""
    return content_hash({"trades": result.trades, "portfolio_states": result.portfolio_states})


# --- layouts of files -----------------------------------------------------------------------------------------------


def _single(frame: pl.DataFrame, folder: Path, rows: int) -> str:
    frame.write_parquet(folder / "all.parquet", row_group_size=rows)
    return "all.parquet"


def _per_symbol(frame: pl.DataFrame, folder: Path, rows: int) -> str:
    for (symbol,), part in frame.group_by("symbol", maintain_order=True):
        part.write_parquet(folder / f"of-{symbol}.parquet", row_group_size=rows)
    return ""


def _per_month(frame: pl.DataFrame, folder: Path, rows: int) -> str:
    for (month,), part in frame.group_by(pl.col("timestamp").dt.strftime("%Y-%m"), maintain_order=True):
        part.write_parquet(folder / f"{month}.parquet", row_group_size=rows)
    return ""


def _hive(frame: pl.DataFrame, folder: Path, rows: int) -> str:
    stamp = pl.col("timestamp").dt
    for (year, month), part in frame.group_by(stamp.year().alias("y"), stamp.month().alias("m"), maintain_order=True):
        home = folder / f"year={year}" / f"month={month:02d}"
        home.mkdir(parents=True)
        part.write_parquet(home / "part.parquet", row_group_size=rows)
    return ""


def _shuffled(frame: pl.DataFrame, folder: Path, rows: int) -> str:
    return _single(frame.sample(fraction=1.0, shuffle=True, seed=rows), folder, rows)


def _glob(frame: pl.DataFrame, folder: Path, rows: int) -> str:
    """Cut anywhere, the last rows in the file of the first name."""
    cuts = [0, frame.height // 7, frame.height // 2 + 1, frame.height]
    for number, (first, last) in enumerate(pairwise(cuts)):
        frame[first:last].write_parquet(folder / f"part-{9 - number}.parquet", row_group_size=rows)
    (folder / "notes.txt").write_text("not a part")
    return "part-*.parquet"


LAYOUTS: dict[str, Callable[[pl.DataFrame, Path, int], str]] = {
    "single file": _single,
    "per symbol": _per_symbol,
    "per month": _per_month,
    "hive": _hive,
    "shuffled rows": _shuffled,
    "glob": _glob,
}


def lay_out(frame: pl.DataFrame, folder: Path, layout: str, rows_per_group: int) -> str:
    """Write a table into a new folder in some layout and return the path that names its files."""
    folder.mkdir(parents=True)
    pattern = LAYOUTS[layout](frame, folder, rows_per_group)
    return str(folder / pattern) if pattern else str(folder)


# --- made-up numbers ------------------------------------------------------------------------------------------------


def _noise(count: int, seed: int) -> np.ndarray:
    """Return numbers between 0 and 1 that look random: a multiplicative hash of their places, in exact arithmetic."""
    mixed = (np.arange(count, dtype=np.uint64) + np.uint64(1_000 * seed + 1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    return np.asarray((mixed >> np.uint64(40)) / np.float64(2**24))


def _moments(stamps: np.ndarray) -> pl.Series:
    return pl.Series("timestamp", stamps).cast(pl.Datetime("us")).dt.replace_time_zone("UTC").cast(UTC_MICROSECONDS)


def _keys(stamps: np.ndarray) -> pl.DataFrame:
    symbols = pl.Series("symbol", SYMBOLS).gather(np.tile(np.arange(len(SYMBOLS)), len(stamps)))
    return pl.DataFrame([_moments(np.repeat(stamps, len(SYMBOLS))), symbols])


def _bars(keys: pl.DataFrame, noise: Mapping[str, np.ndarray]) -> pl.DataFrame:
    """Return bars in cents; the third symbol halves at its split, and trades twice the shares from then on."""
    shape = (-1, len(SYMBOLS))
    close = 80.0 + np.cumsum(np.round((noise["step"].reshape(shape) - 0.5) * 0.8, 2), axis=0)
    opened = np.vstack([np.full(len(SYMBOLS), 80.0), close[:-1]]) + np.round(
        (noise["gap"].reshape(shape) - 0.5) * 0.2, 2
    )
    high = np.maximum(opened, close) + np.round(noise["up"].reshape(shape) * 0.3, 2)
    low = np.minimum(opened, close) - np.round(noise["down"].reshape(shape) * 0.3, 2)
    columns = {"open": opened, "high": high, "low": low, "close": close}
    frame = keys.with_columns(
        *(pl.Series(name, np.round(values, 2).ravel()) for name, values in columns.items()),
        pl.Series("volume", np.round(1_000 + 9_000 * noise["x"])),
    )
    split = (pl.col("symbol") == "CCC") & (pl.col("timestamp").dt.date() >= date(2024, 1, 30))
    halved = [pl.when(split).then(pl.col(name) / 2).otherwise(pl.col(name)).alias(name) for name in columns]
    return frame.with_columns(*halved, pl.when(split).then(pl.col("volume") * 2).otherwise("volume").alias("volume"))


if __name__ == "__main__":
    for path in sys.argv[1:]:
        print(answer_hash(run_backtest(path)))
