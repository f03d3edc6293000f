"""Puts published data through preparation and `paranoid`, and writes what was found into docs/concepts/data_quality.md.

`python -m docs.make_data_quality [FOLDER]` brings the page up to date from the files of a folder (../shared/data unless
told otherwise); a test holds that it is, where the folder is there. The files are others' and stay where they are.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, get_args

import polars as pl

from ml4t_backtest import DataPreparer, DataValidationError, PolarsDataFeed, Violation
from ml4t_backtest.core.schemas import prices_schema
from ml4t_backtest.data.data_quality import FindingCode

PAGE = Path(__file__).parent / "concepts" / "data_quality.md"
FILES = Path(__file__).parents[1].parent / "shared" / "data"
NUMBERS = ("open", "high", "low", "close", "volume")
_MARKS = {"note": "", "doubt": "", "defect": " (defect)"}


def _new_york_plus_seven(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Return rows of a broker whose day begins at 17:00 in New York, summer and winter."""
    local = pl.col("timestamp").dt.offset_by("-7h")
    return rows.with_columns(local.dt.replace_time_zone("America/New_York"))


def _with_signs_of_volume(rows: pl.LazyFrame) -> pl.LazyFrame:
    return rows.with_columns(pl.col("volume").fill_null(0))


@dataclass(frozen=True, eq=False)
class Declared:
    """How a file is declared to preparation.

    Attributes:
        file: Stem of its name.
        title: What it is.
        said: The declaration, in words.
        prices: Arguments of `add_prices`.
        calendar: Exchange calendar.
        timezone: Zone of stamps that carry none.
        repaired: What is done to the rows first.
    """

    file: str
    title: str
    said: str
    prices: dict[str, Any] = field(default_factory=lambda: {"bar_label": "session"})
    calendar: str = "XNYS"
    timezone: str = "UTC"
    repaired: Callable[[pl.LazyFrame], pl.LazyFrame] = lambda rows: rows


_CLOSES = {"freq": "1m", "bar_label": "close"}
_OPENS = {"freq": "1m", "bar_label": "open"}
DECLARED = (
    Declared("sp500_daily_2013_2018", "S&P 500, daily, 505 symbols, 2013 to 2018", "`bar_label: session`"),
    Declared("wiki_daily_2000_2013_5sym", "WIKI, daily, 5 symbols, 2000 to 2013, as traded", "`bar_label: session`"),
    Declared("fang_daily_2013_2023_6sym", "FANG, daily, 6 symbols, 2013 to 2023", "`bar_label: session`"),
    Declared("spy_daily_1993_2021", "SPY, daily, 1993 to 2021, adjusted", "`bar_label: session`"),
    Declared(
        "zipline_daily_2012_2014_corpactions_4sym",
        "4 symbols with corporate actions, daily, 2012 to 2014",
        "`bar_label: session`",
    ),
    Declared("context_vix_spx_daily", "VIX and S&P 500, daily, 1950 to 2026", "`bar_label: session`"),
    Declared("us_minute_2023_01_4sym", "4 US symbols, minutes, January 2023", "`1m`, `close`", _CLOSES),
    Declared("us_minute_2019_02_24sym", "24 US symbols, minutes, 5 sessions, newest first", "`1m`, `close`", _CLOSES),
    Declared("aapl_minute_ext_2024q1", "AAPL, minutes, extended hours, 2024", "`1m`, `open`", _OPENS),
    Declared("aapl_minute_2026_mintalib", "AAPL, minutes, 2026", "`1m`, `open`", _OPENS),
    Declared(
        "fx_hourly_2012_2022",
        "10 currency pairs, hours, 2012 to 2022",
        "`1h`, `open`, `us_futures`, broker's clock",
        {"freq": "1h", "bar_label": "open"},
        "us_futures",
        repaired=_new_york_plus_seven,
    ),
)


@dataclass(frozen=True)
class Seen:
    """What became of a file: how many rows, what was refused, and what was found in the rest of it."""

    rows: int
    refused: Sequence[Violation]
    sound: int
    quality: pl.DataFrame
    paranoid: Sequence[Violation]


@cache
def seen(folder: Path, declared: Declared) -> Seen:
    """Prepare a file as it is; if it is refused, prepare its sound rows; look through what was prepared."""
    rows = declared.repaired(pl.scan_parquet(folder / f"{declared.file}.parquet"))
    given = rows.collect()
    refused: Sequence[Violation] = ()
    try:
        prepared = _prepared(declared, given)
    except DataValidationError as error:
        refused, given = error.violations, _sound(given, declared)
        prepared = _prepared(declared, given)
    look = {"calendar": declared.calendar, "validation": "paranoid"}
    feed = PolarsDataFeed(prepared.asset_data, accept=get_args(FindingCode), **look)
    found: Sequence[Violation] = ()
    try:
        PolarsDataFeed(prepared.asset_data, **look)
    except DataValidationError as error:
        found = error.violations
    return Seen(rows.select(pl.len()).collect().item(), refused, given.height, feed.data_quality, found)


def _prepared(declared: Declared, rows: pl.DataFrame) -> Any:
    preparer = DataPreparer(calendar=declared.calendar, timezone=declared.timezone)
    return preparer.add_prices(rows, **declared.prices).prepare()


def _sound(rows: pl.DataFrame, declared: Declared) -> pl.DataFrame:
    """Return the rows that keep the rules of prices, and name a session where they are labelled by one."""
    filled = rows.with_columns(pl.col("volume").fill_null(0).cast(pl.Float64))
    schema = prices_schema()
    rules = [pl.col(name).is_not_null() for name in NUMBERS]
    rules += [check.statistics["holds"](pl.col(name)) for name in NUMBERS for check in schema.columns[name].checks]
    rules += [check.statistics["holds"] for check in schema.checks if check.name.startswith("E-PX")]
    kept = filled.filter(pl.all_horizontal(holds.fill_null(True) for holds in rules))
    try:
        _prepared(declared, kept)
    except DataValidationError:
        from ml4t_backtest.data.calendar import TradingCalendar

        days = kept["timestamp"]
        calendar = TradingCalendar(declared.calendar, days.min(), days.max())  # type: ignore[arg-type]
        kept = kept.filter(calendar.is_session(days))
    return kept


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FILES
    import time
    for d in DECLARED:
        t = time.process_time()
        s = seen(folder, d)
        print(d.file, s.rows, s.sound, [(v.code, v.column, v.count) for v in s.refused], f"{time.process_time()-t:.1f}s")
        q = s.quality.group_by("what", "severity", maintain_order=True).agg(pl.col("count").filter(pl.col("symbol").is_not_null()).sum(), n=pl.col("symbol").n_unique(), e=pl.col("symbol").first()+" "+pl.col("example").first())
        for r in q.iter_rows(): print("   ", r)
        print("   paranoid:", [v.code for v in s.paranoid])
