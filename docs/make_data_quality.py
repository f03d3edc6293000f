"""Puts published data through preparation and `paranoid`, and writes what comes of it into concepts/data_quality.md.

`python -m docs.make_data_quality [FOLDER]` brings the page up to date from the files of a folder, ../shared/data unless
told otherwise. A test holds that the page is up to date where that folder is there; the files stay where they are.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, get_args

import polars as pl

from docs.generated_blocks import with_blocks
from ml4t_backtest import DataPreparer, DataValidationError, PolarsDataFeed, Violation
from ml4t_backtest.core.schemas import prices_schema
from ml4t_backtest.data.calendar import TradingCalendar
from ml4t_backtest.data.prepared import PreparedData
from ml4t_backtest.data.quality.data_quality import FindingCode

PAGE = Path(__file__).parent / "concepts" / "data_quality.md"
FILES = Path(__file__).parents[2] / "shared" / "data"
_NUMBERS = ("open", "high", "low", "close", "volume")
_LOOK_BACK, _DAYS_SHOWN = 64, 8
Cells = Sequence[str]


def of_new_york_plus_seven_hours(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Return rows of a broker whose day begins at 17:00 in New York, summer and winter, with their zone."""
    local = pl.col("timestamp").dt.offset_by("-7h")
    return rows.with_columns(local.dt.replace_time_zone("America/New_York"))


@dataclass(frozen=True, eq=False)
class Bars:
    """A file of bars, and how it is declared.

    Attributes:
        file: Stem of its name.
        title: What it is.
        said: The declaration, as the page has it.
        prices: Arguments of `add_prices`.
        calendar: Exchange calendar.
        clock: What is done to the timestamps first, where no zone says what they mean.
    """

    file: str
    title: str
    said: str = "`session`"
    prices: dict[str, Any] = field(default_factory=lambda: {"bar_label": "session"})
    calendar: str = "XNYS"
    clock: Callable[[pl.LazyFrame], pl.LazyFrame] | None = None

    def rows(self, folder: Path) -> pl.DataFrame:
        """Return the rows as they are published, on their clock."""
        rows = pl.scan_parquet(folder / f"{self.file}.parquet")
        return (rows if self.clock is None else self.clock(rows)).collect()

    def prepared(self, rows: pl.DataFrame) -> PreparedData:
        """Return the bars as preparation makes them."""
        return DataPreparer(calendar=self.calendar).add_prices(rows, **self.prices).prepare()


_CLOSES, _OPENS = {"freq": "1m", "bar_label": "close"}, {"freq": "1m", "bar_label": "open"}
_HOURS = {"freq": "1h", "bar_label": "open"}
SP500 = Bars("sp500_daily_2013_2018", "S&P 500, daily, 505 symbols, 2013 to 2018")
FX = Bars(
    "fx_hourly_2012_2022",
    "10 currency pairs, hours, 2012 to 2022",
    "`1h`, `open`, `us_futures`, the broker's clock",
    _HOURS,
    "us_futures",
    of_new_york_plus_seven_hours,
)
BARS = (
    SP500,
    Bars("wiki_daily_2000_2013_5sym", "WIKI, daily, 5 symbols, 2000 to 2013 (as traded)"),
    Bars("fang_daily_2013_2023_6sym", "FANG, daily, 6 symbols, 2013 to 2023"),
    Bars("spy_daily_1993_2021", "SPY, daily, 1993 to 2021 (adjusted)"),
    Bars("zipline_daily_2012_2014_corpactions_4sym", "4 symbols with corporate actions, daily, 2012 to 2014"),
    Bars("context_vix_spx_daily", "VIX and S&P 500 index, daily, 1950 to 2026, as if they were bars"),
    Bars("us_minute_2023_01_4sym", "4 US symbols, minutes, January 2023", "`1m`, `close`", _CLOSES),
    Bars("us_minute_2019_02_24sym", "24 US symbols, minutes, 5 sessions, newest first", "`1m`, `close`", _CLOSES),
    Bars("aapl_minute_ext_2024q1", "AAPL, minutes with extended hours, 2024", "`1m`, `open`", _OPENS),
    Bars("aapl_minute_2026_mintalib", "AAPL, minutes, 2026", "`1m`, `open`", _OPENS),
    FX,
)


@dataclass(frozen=True)
class Seen:
    """What became of a file of bars.

    Attributes:
        rows: How many it has.
        refused: What preparation refused it for.
        quality: What `paranoid` found in the rows that keep the rules.
    """

    rows: int
    refused: Sequence[Violation]
    quality: pl.DataFrame


@cache
def seen(folder: Path, bars: Bars) -> Seen:
    """Prepare a file as it is, or else its sound rows, and look through what was prepared."""
    rows = bars.rows(folder)
    refused: Sequence[Violation] = ()
    try:
        prepared = bars.prepared(rows)
    except DataValidationError as error:
        refused, prepared = error.violations, bars.prepared(_sound(rows, bars))
    every = get_args(FindingCode)
    feed = PolarsDataFeed(prepared.asset_data, calendar=bars.calendar, validation="paranoid", accept=every)
    return Seen(rows.height, refused, feed.data_quality)


def _sound(rows: pl.DataFrame, bars: Bars) -> pl.DataFrame:
    """Return the rows of sessions that keep the rules of prices; a volume that nobody knows is taken for 1."""
    filled = rows.with_columns(pl.col("volume").fill_null(1).cast(pl.Float64))
    columns, across = prices_schema().columns, prices_schema().checks
    rules = [pl.col(name).is_not_null() for name in _NUMBERS]
    rules += [check.statistics["holds"](pl.col(name)) for name in _NUMBERS for check in columns[name].checks]
    rules += [check.statistics["holds"] for check in across if check.name.startswith("E-PX")]
    kept = filled.filter(pl.all_horizontal(holds.fill_null(True) for holds in rules))
    days = kept["timestamp"]
    calendar = TradingCalendar(bars.calendar, days.min(), days.max())  # type: ignore[arg-type]
    return kept.filter(calendar.is_session(days))


def blocks(folder: Path) -> dict[str, str]:
    """Return every generated block of the page, by its name."""
    return {
        "bars": _table(("data", "declared", "rows", "refused", "found"), [bars_row(folder, bars) for bars in BARS]),
        "others": _table(("data", "rows", "as", "what becomes of it"), list(_others(folder))),
        "repetitions": _repetitions(folder),
        "days": _days(folder),
        "ticks": _ticks(folder),
        "moments": _moments(folder),
        "calendars": _calendars(folder),
        "wrong": _table(("data", "declared wrongly", "what becomes of it"), list(_wrong(folder))),
    }


def bars_row(folder: Path, bars: Bars) -> Cells:
    """Return the row of a file of bars in the page's first table."""
    found = seen(folder, bars)
    return bars.title, bars.said, f"{found.rows:,}", _refused(found.refused), _found(found.quality)


def _refused(violations: Sequence[Violation]) -> str:
    said = (f"{each.count:,} `{each.code}`{f' {each.column}' if each.column else ''}" for each in violations)
    return ", ".join(said) or "none"


def _found(quality: pl.DataFrame) -> str:
    """Return count, symbols and severity of each kind, the gravest first."""
    said = []
    for (code,), rows in quality.group_by("what", maintain_order=True):
        own = rows.filter(pl.col("symbol").is_not_null())
        count, severity = (own if own.height else rows)["count"].sum(), rows["severity"][0]
        symbols = f" in {own.height} symbol{'s' if own.height > 1 else ''}" if own.height else ""
        said.append(f"{count:,} `{code}`{symbols} ({severity})")
    return "; ".join(said) or "nothing"


def _others(folder: Path) -> Iterator[Cells]:
    """Yield what becomes of the files that are no bars, or are bars of text."""
    quotes = pl.read_parquet(folder / "curated_bad_quotes_strings.parquet")
    names = {"timestamp": "date", "symbol": "scenario"}
    cast = quotes.with_columns(
        pl.col("date").str.to_date(strict=False), pl.col(_NUMBERS).cast(pl.Float64, strict=False)
    )
    spells = pl.read_parquet(folder / "universe_sp500_ticker_start_end.parquet")
    spans = {"symbol": "ticker", "start": "start_date", "end": "end_date"}
    dated = spells.with_columns(pl.col("start_date", "end_date").str.to_date())
    sectors = pl.read_parquet(folder / "universe_sp500_sectors_2026.parquet")
    closes = pl.read_parquet(folder / "context_vix_spx_daily.parquet").pivot(
        "symbol", index="timestamp", values="close"
    )
    bars = {"bar_label": "session"}
    yield "bad quotes, as text", f"{quotes.height}", "bars", _outcome("prices", quotes, columns=names, **bars)
    yield "the same, cast", f"{quotes.height}", "bars", _outcome("prices", cast, columns=names, **bars)
    yield "S&P 500 membership", f"{spells.height:,}", "universe", _outcome("universe", spells, columns=spans)
    yield "the same, cast", f"{spells.height:,}", "universe", _outcome("universe", dated, columns=spans)
    yield "S&P 500 sectors", f"{sectors.height}", "universe", _outcome("universe", sectors)
    yield "VIX and S&P 500, closes", f"{closes.height:,}", "context", _outcome("context", closes)
    known = {"available_at": "market_close", "latency": "15m"}
    yield "the same, known at 16:15", f"{closes.height:,}", "context", _outcome("context", closes, **known)


def _outcome(kind: str, rows: pl.DataFrame, **how: Any) -> str:
    try:
        getattr(DataPreparer(), f"add_{kind}")(rows, **how)
    except DataValidationError as error:
        return f"refused: {_refused(error.violations)}"
    return "accepted"


@cache
def _repeated(folder: Path) -> pl.DataFrame:
    """Return the bars of the S&P 500 that repeat a later one, by plain comparison of each with the 64 after it."""
    ranged = SP500.rows(folder).drop_nulls().filter(pl.col("high") > pl.col("low")).sort("symbol", "timestamp")
    bars = ranged.filter(pl.all_horizontal(pl.col(name).is_between("low", "high") for name in ("open", "close")))
    later = pl.lit(None, pl.Int64)
    for ahead in range(_LOOK_BACK, 0, -1):
        same = [pl.col(name) == pl.col(name).shift(-ahead).over("symbol") for name in ("open", "high", "low")]
        later = pl.when(pl.all_horizontal(same)).then(ahead).otherwise(later)
    repeats = bars.with_row_index("row").with_columns(then=pl.col("row") + later).drop_nulls("then")
    there = bars[repeats["then"]].select("timestamp", "close", "volume")
    return repeats.hstack(there.rename({name: f"later_{name}" for name in there.columns}))


def _repetitions(folder: Path) -> str:
    repeated = _repeated(folder)
    (total,) = _of_all(seen(folder, SP500).quality, "DQ-REPEAT")
    close = pl.col("close") == pl.col("later_close")
    rows = [
        ("found by `paranoid`", total["count"]),
        ("found by comparing each bar with the 64 after it, one by one", repeated.height),
        ("symbols", repeated["symbol"].n_unique()),
        ("to be expected by coincidence, at most", round(float(total["example"].split()[0]))),
        (f"in the {_DAYS_SHOWN} most frequent pairs of days", _pairs(folder)["len"].head(_DAYS_SHOWN).sum()),
        ("that repeat the close too", repeated.filter(close).height),
        ("and the volume", repeated.filter(close & (pl.col("volume") == pl.col("later_volume"))).height),
    ]
    return _table(("bars that repeat a later one", "number"), [(name, f"{number:,}") for name, number in rows])


def _pairs(folder: Path) -> pl.DataFrame:
    days = _repeated(folder).group_by("timestamp", "later_timestamp").len()
    return days.sort("len", "timestamp", "later_timestamp", descending=[True, False, False])


def _days(folder: Path) -> str:
    rows = _pairs(folder).head(_DAYS_SHOWN).rows()
    return _table(
        ("bars of", "are those of", "symbols"), [(str(one), str(later), str(len_)) for one, later, len_ in rows]
    )


def _ticks(folder: Path) -> str:
    """Return how many minute bars repeat a later one, and how many would by coincidence."""
    rows = []
    for bars in BARS:
        for found in _of_all(seen(folder, bars).quality, "DQ-REPEAT"):
            expected = float(found["example"].split()[0])
            rows.append((bars.title, f"{found['count']:,}", f"{expected:,.0f}", found["severity"]))
    return _table(("data", "repetitions", "expected at most", "severity"), rows)


def _of_all(quality: pl.DataFrame, code: str) -> list[dict[str, Any]]:
    return quality.filter((pl.col("what") == code) & pl.col("symbol").is_null()).to_dicts()


# What moved a pair at a known moment (UTC), and the pair.
_KNOWN = (
    ("the franc is no longer held", datetime(2015, 1, 15, 9, 30), "USDCHF"),
    ("the pound's flash crash", datetime(2016, 10, 6, 23, 7), "GBPUSD"),
    ("the yen's flash crash", datetime(2019, 1, 2, 22, 35), "AUDJPY"),
)


def _moments(folder: Path) -> str:
    """Return which bars hold moments that everybody knows: what the clock of the currency pairs is."""
    bars = pl.read_parquet(folder / f"{FX.file}.parquet").with_columns(width=pl.col("high") / pl.col("low"))
    rows = []
    for what, moment, symbol in _KNOWN:
        near = bars.filter((pl.col("symbol") == symbol) & ((pl.col("timestamp") - moment).abs() < pl.duration(hours=8)))
        label: datetime = near.sort("width")["timestamp"][-1]
        ahead = (label - moment.replace(minute=0)).total_seconds() / 3600
        rows.append((what, f"{moment:%Y-%m-%d %H:%M}", f"{symbol} {label:%Y-%m-%d %H:%M}", f"{ahead:+g} h"))
    return _table(("what happened", "when, UTC", "the widest bar around it", "its label, from the hour's begin"), rows)


def _calendars(folder: Path) -> str:
    """Return what is found in the currency pairs by the right clock and by none, on several calendars."""
    rows = []
    for clock, said in ((None, "taken for UTC"), (of_new_york_plus_seven_hours, "the broker's")):
        for calendar in ("24/7", "24/5", "us_futures"):
            bars = Bars(FX.file, FX.title, prices=_HOURS, calendar=calendar, clock=clock)
            rows.append((said, f"`{calendar}`", _found(seen(folder, bars).quality)))
    return _table(("clock", "calendar", "found"), rows)


def _wrong(folder: Path) -> Iterator[Cells]:
    """Yield what becomes of files that are declared as what they are not."""
    four, aapl = "us_minute_2023_01_4sym", "aapl_minute_2026_mintalib"
    for file, said, prices, calendar in (
        (four, "`open`, and they are closes", _OPENS, "XNYS"),
        (aapl, "`close`, and they are opens", _CLOSES, "XNYS"),
        ("aapl_minute_ext_2024q1", "`close`, and they are opens", _CLOSES, "XNYS"),
        (four, "calendar `XLON`", _CLOSES, "XLON"),
        (SP500.file, "calendar `XLON`", SP500.prices, "XLON"),
    ):
        bars = Bars(file, next(each.title for each in BARS if each.file == file), said, prices, calendar)
        found = seen(folder, bars)
        refused = f"refused: {_refused(found.refused)}; of the rest: " if found.refused else ""
        yield bars.title, said, f"{refused}{_found(found.quality)}"
    written = pl.col("timestamp").dt.convert_time_zone("America/New_York").dt.replace_time_zone(None)
    local = Bars(four, BARS[6].title, prices=_CLOSES, clock=lambda rows: rows.with_columns(written))
    yield local.title, "New York's own time, without its zone", _found(seen(folder, local).quality)


def rewritten(page: str, folder: Path) -> str:
    """Return the page with every generated block brought up to date."""
    return with_blocks(page, blocks(folder))


def _table(head: Cells, rows: Sequence[Cells]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    chosen = Path(sys.argv[1]) if len(sys.argv) > 1 else FILES
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8"), chosen), encoding="utf-8")
