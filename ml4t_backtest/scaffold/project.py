"""The configuration and the strategy that `ml4t-backtest new` writes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ml4t_backtest.data.safe_path import output_folder
from ml4t_backtest.errors import ConfigError
from ml4t_backtest.scaffold.found import Found


@dataclass(frozen=True)
class Answers:
    """What the files cannot show.

    Attributes:
        name: Of the configuration.
        bar_label: `close`, `open` or `session`.
        adjustment: What the prices contain: `none`, `split` or `total_return`.
        signal_available_at: `market_open`, `market_close` or `next_day`; None where the file says so itself.
        context_available_at: The same of the file of context.
        timezone: Of timestamps without one.
        calendar: Exchange calendar.
    """

    name: str
    bar_label: str
    adjustment: str
    signal_available_at: str | None = None
    context_available_at: str | None = None
    timezone: str = "UTC"
    calendar: str = "XNYS"


def write_project(
    folder: str | Path, answers: Answers, prices: Found, signals: Found | None, context: Found | None = None
) -> list[Path]:
    """Write a configuration and a strategy that runs on it, and return their paths.

    Args:
        folder: Where to; made when it is absent. `.` is the folder one stands in.
        answers: What was asked for.
        prices: The file of bars.
        signals: The file of predictions; None for none.
        context: The file of market-wide values; None for none.

    Raises:
        ConfigError: A file of that name is there already, the length of a bar is not known, or nothing is predicted.
        UnsafePathError: The path is no safe one.
    """
    home = Path.cwd() if Path(folder) == Path() else output_folder(folder)
    if prices.frequency is None:
        raise ConfigError(f"{prices.path}: no two bars of a symbol are whole minutes apart")
    module = f"{answers.name.replace('-', '_').replace('.', '_')}_strategy.py"
    files = {
        home / f"{answers.name}.yaml": _config(home, answers, prices, signals, context, module),
        home / module: _strategy(prices, signals),
    }
    there = [str(path) for path in files if path.exists()]
    if there:
        raise ConfigError(
            f"{', '.join(there)} is there already; nothing was written. Choose another name, or another folder (--to)"
        )
    home.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
    return list(files)


def _config(
    home: Path, answers: Answers, prices: Found, signals: Found | None, context: Found | None, module: str
) -> str:
    lines = [
        f"# Written by ml4t-backtest new. Run it:  ml4t-backtest run {answers.name}.yaml",
        "backtest:",
        "  initial_capital: 1000000",
        "",
        "data:",
        "  source:",
        f"    calendar: {answers.calendar}",
        f"    frequency: {prices.frequency}",
        f"    bar_label: {answers.bar_label}    # what a bar's timestamp names",
        f"    timezone: {answers.timezone}    # of timestamps that carry none",
        f"    adjustment: {answers.adjustment}    # what the prices contain already",
        "    prices:",
        f"      path: {_place(prices, home)}",
        *_columns(prices, "      ", but=prices.values),
    ]
    if signals is not None:
        lines += _timed("signals", signals, answers.signal_available_at, home)
    if context is not None:
        lines += _timed("context", context, answers.context_available_at, home)
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


def _timed(section: str, found: Found, available_at: str | None, home: Path) -> list[str]:
    what = "prediction" if section == "signals" else "value"
    return [
        f"    {section}:",
        f"      - path: {_place(found, home)}",
        *_columns(found, "        "),
        f"        names: [{', '.join(_quoted(name) for name in found.values)}]",
        f"        available_at: {available_at or 'null'}    # when a {what} could be used; null: the file says so",
    ]


def _columns(found: Found, indent: str, but: tuple[str, ...] = ()) -> list[str]:
    pairs = [f"{ours}: {_quoted(theirs)}" for ours, theirs in found.columns.items() if ours not in but]
    return [f"{indent}columns: {{{', '.join(pairs)}}}"] if pairs else []


def _place(found: Found, home: Path) -> str:
    """Return where a file is as the configuration says it: from its own folder where it lies there or beside it."""
    near = found.path.is_relative_to(home.resolve().parent)
    return _quoted(Path(os.path.relpath(found.path, home.resolve())).as_posix() if near else str(found.path))


def _strategy(prices: Found, signals: Found | None) -> str:
    signal = None if signals is None else signals.prediction
    if prices.frequency == "1d":
        return _DAILY_ON_SIGNAL.format(signal=signal) if signal else _DAILY_ON_PRICES
    return _INTRADAY_ON_SIGNAL.format(signal=signal) if signal else _INTRADAY_ON_PRICES


def _quoted(text: str) -> str:
    """Return a YAML text in single quotes, in which only the quote itself is doubled."""
    return "'" + text.replace("'", "''") + "'"


_DAILY_ON_SIGNAL = '''"""What is held: the symbols with the highest predictions. Change it to what you believe."""

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
_DAILY_ON_PRICES = '''"""What is held: every symbol, in equal parts. Change it to what you believe."""

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
_INTRADAY_ON_SIGNAL = '''"""What is held: the symbols with the highest predictions. Change it to what you believe."""

from ml4t_backtest import Strategy


class Mine(Strategy):
    """Once a day, on the first bar with new predictions, hold the quarter of the symbols with the highest."""

    def on_start(self):
        self.day = None

    def on_timestamp_batch(self, timestamp, asset_batch, context):
        if timestamp.date() == self.day or not asset_batch[{signal!r} + "_is_new"].any():
            return
        self.day = timestamp.date()
        known = asset_batch.drop_nulls({signal!r}).sort({signal!r}, descending=True)
        chosen = known["symbol"].head(max(1, known.height // 4)).to_list()
        self.rebalance(dict.fromkeys(chosen, 0.95 / len(chosen)) if chosen else {{}})
'''
_INTRADAY_ON_PRICES = '''"""What is held: every symbol, in equal parts. Change it to what you believe."""

from ml4t_backtest import Strategy


class Mine(Strategy):
    """Once a day, on its first bar, hold all symbols in equal parts."""

    def on_start(self):
        self.day = None

    def on_timestamp_batch(self, timestamp, asset_batch, context):
        if timestamp.date() != self.day:
            self.day = timestamp.date()
            symbols = asset_batch["symbol"].to_list()
            self.rebalance(dict.fromkeys(symbols, 0.95 / len(symbols)))
'''
