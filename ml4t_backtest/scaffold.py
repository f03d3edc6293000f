"""A first configuration and strategy from a user's own files: `ml4t-backtest new`.

What a file shows is detected (columns, length of a bar); what it cannot show, how bars are labelled and when a
prediction was known, is asked for and never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import polars as pl

from ml4t_backtest.data.safe_path import output_folder
from ml4t_backtest.data.sources import collect
from ml4t_backtest.errors import ConfigError

_NAMES: Mapping[str, tuple[str, ...]] = {
    "timestamp": ("timestamp", "date", "datetime", "time", "day", "session", "ts"),
    "symbol": ("symbol", "ticker", "asset", "instrument", "sym", "security", "name"),
    "open": ("open", "o", "open_price", "px_open"),
    "high": ("high", "h", "high_price", "px_high"),
    "low": ("low", "l", "low_price", "px_low"),
    "close": ("close", "c", "close_price", "px_close", "last"),
    "volume": ("volume", "vol", "v", "qty", "shares"),
}
_KEY = ("timestamp", "symbol")
_ENOUGH_ROWS = 100_000


@dataclass(frozen=True)
class Found:
    """What a file shows of itself.

    Attributes:
        path: Absolute path.
        columns: Our name -> the file's, where they differ.
        values: Number columns that are none of ours, in the file's order.
        by_session: Whether timestamps are dates, or all at midnight.
        frequency: `1d`, or the least span between two bars of a symbol; None where that is no whole minutes.
        has_available_at: Whether rows say when they became known.
    """

    path: Path
    columns: dict[str, str]
    values: tuple[str, ...]
    by_session: bool
    frequency: str | None
    has_available_at: bool


@dataclass(frozen=True)
class Answers:
    """What the files cannot show.

    Attributes:
        name: Of the configuration.
        bar_label: `close`, `open` or `session`.
        adjustment: What the prices contain: `none`, `split` or `total_return`.
        signal_available_at: `market_open`, `market_close` or `next_day`; None where the file says so itself.
        timezone: Of timestamps without one.
        calendar: Exchange calendar.
    """

    name: str
    bar_label: str
    adjustment: str
    signal_available_at: str | None = None
    timezone: str = "UTC"
    calendar: str = "XNYS"


def look_at(path: str | Path, needed: Sequence[str]) -> Found:
    """Return what a Parquet file shows of itself.

    Args:
        path: The file.
        needed: Which of our columns it must have.

    Raises:
        ConfigError: A column that is needed has no known name.
        CorruptDatasetError: It cannot be read.
    """
    home = Path(path).absolute()
    rows = collect(pl.scan_parquet(home).head(_ENOUGH_ROWS), file=str(home))
    known = {each.lower(): each for each in reversed(rows.columns)}
    named = {ours: next((known[name] for name in names if name in known), None) for ours, names in _NAMES.items()}
    missing = [ours for ours in needed if named[ours] is None]
    if missing:
        raise ConfigError(
            f"{home}: no column for {', '.join(missing)}; it has {', '.join(rows.columns)}. Rename them, or begin with "
            "a configuration by hand: columns maps our names to the file's"
        )
    ours = {name: found for name, found in named.items() if name in needed and found is not None}
    taken = {*ours.values(), "available_at"}
    stamps = rows.select(pl.col(ours["timestamp"]).alias("timestamp"), pl.col(ours["symbol"]).alias("symbol"))
    by_session = _by_session(stamps["timestamp"])
    return Found(
        path=home,
        columns={name: found for name, found in ours.items() if name != found},
        values=tuple(name for name, dtype in rows.schema.items() if dtype.is_numeric() and name not in taken),
        by_session=by_session,
        frequency="1d" if by_session else _span(stamps),
        has_available_at="available_at" in rows.columns,
    )


def write_project(folder: str | Path, answers: Answers, prices: Found, signals: Found | None) -> list[Path]:
    """Write a configuration and a strategy that runs on it, and return their paths.

    Args:
        folder: Where to; made when it is absent.
        answers: What was asked for.
        prices: The file of bars.
        signals: The file of predictions; None for none.

    Raises:
        ConfigError: A file of that name is there already, or the length of a bar is not known.
        UnsafePathError: The path is no safe one.
    """
    home = output_folder(folder)
    if prices.frequency is None:
        raise ConfigError(f"{prices.path}: no two bars of a symbol are whole minutes apart")
    module = f"{answers.name.replace('-', '_').replace('.', '_')}_strategy.py"
    signal = signals.values[0] if signals is not None else None
    files = {
        home / f"{answers.name}.yaml": _config(answers, prices, signals, module),
        home / module: _STRATEGY_ON_SIGNAL.format(signal=signal) if signal else _STRATEGY_ON_PRICES,
    }
    there = [str(path) for path in files if path.exists()]
    if there:
        raise ConfigError(f"{', '.join(there)} is there already; nothing was written")
    home.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
    return list(files)


def _by_session(stamps: pl.Series) -> bool:
    if stamps.dtype == pl.Date:
        return True
    if not isinstance(stamps.dtype, pl.Datetime):
        raise ConfigError(f"the column {stamps.name} holds {stamps.dtype}: write dates or times there")
    return stamps.len() > 0 and stamps.dt.truncate("1d").equals(stamps)


def _span(stamps: pl.DataFrame) -> str | None:
    """Return the least span between two bars of a symbol as text: 5m, 1h."""
    apart = stamps.sort("symbol", "timestamp").select(pl.col("timestamp").diff().over("symbol")).to_series()
    least = apart.filter(apart > timedelta(0)).min()
    minutes = least / timedelta(minutes=1) if isinstance(least, timedelta) else 0.0
    if minutes < 1 or minutes != int(minutes):
        return None
    return f"{int(minutes) // 60}h" if minutes % 60 == 0 else f"{int(minutes)}m"


def _config(answers: Answers, prices: Found, signals: Found | None, module: str) -> str:
    lines = [
        f"# Written by ml4t-backtest new. Run it:  ml4t-backtest run {answers.name}.yaml",
        "backtest:",
        "  initial_capital: 1000000",
        "",
        "data:",
        "  source:",
        f"    calendar: {answers.calendar}",
        f"    frequency: {prices.frequency}",
        f"    bar_label: {answers.bar_label}       # what a bar's timestamp names",
        f"    timezone: {answers.timezone}         # of timestamps that carry none",
        f"    adjustment: {answers.adjustment}     # what the prices contain already",
        "    prices:",
        f"      path: {_quoted(str(prices.path))}",
        *_columns(prices, "      "),
    ]
    if signals is not None:
        known = answers.signal_available_at or "null"
        lines += [
            "    signals:",
            f"      - path: {_quoted(str(signals.path))}",
            f"        names: [{', '.join(_quoted(name) for name in signals.values)}]",
            f"        available_at: {known}    # when a prediction could first be used; null: the file says so",
            *_columns(signals, "        "),
        ]
    lines += [
        "",
        "# What trading costs: 0.0005 is 0.05 %.",
        "execution:",
        "  slippage: {model: percentage, rate: 0.0005}",
        "  commission: {model: percentage, rate: 0.001}",
        "",
        "strategy:",
        f"  path: {module}:Mine",
        "",
    ]
    return "\n".join(lines)


def _columns(found: Found, indent: str) -> list[str]:
    if not found.columns:
        return []
    pairs = ", ".join(f"{ours}: {_quoted(theirs)}" for ours, theirs in found.columns.items())
    return [f"{indent}columns: {{{pairs}}}"]


def _quoted(text: str) -> str:
    """Return a YAML text in single quotes, in which only the quote itself is doubled."""
    return "'" + text.replace("'", "''") + "'"


_STRATEGY_ON_SIGNAL = '''"""What is held: the symbols with the highest predictions. Change it to what you believe."""

from ml4t_backtest import Strategy


class Mine(Strategy):
    """Every fifth slice, hold the quarter of the symbols with the highest predictions, in equal parts."""

    def on_start(self):
        self.slices = 0

    def on_timestamp_batch(self, timestamp, asset_batch, context):
        self.slices += 1
        if self.slices % 5 != 1:
            return
        known = asset_batch.drop_nulls({signal!r}).sort({signal!r}, descending=True)
        chosen = known["symbol"].head(max(1, known.height // 4)).to_list()
        self.rebalance(dict.fromkeys(chosen, 0.95 / len(chosen)) if chosen else {{}})
'''
_STRATEGY_ON_PRICES = '''"""What is held: every symbol, in equal parts. Change it to what you believe."""

from ml4t_backtest import Strategy


class Mine(Strategy):
    """Every twentieth slice, hold all symbols in equal parts."""

    def on_start(self):
        self.slices = 0

    def on_timestamp_batch(self, timestamp, asset_batch, context):
        self.slices += 1
        if self.slices % 20 == 1:
            symbols = asset_batch["symbol"].to_list()
            self.rebalance(dict.fromkeys(symbols, 0.95 / len(symbols)))
'''
