"""Files that are named by months: none of them missing in the middle, and none with another month's rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import polars as pl

from ml4t_backtest.data.calendar import TradingCalendar
from ml4t_backtest.data.files.parquet_files import hive_keys, plain_scan, reading
from ml4t_backtest.errors import DataValidationError, Violation

Month = tuple[int, int]
# 2024-01, prices_202401, 2024_01: a month at the end of a name.
_NAMED = re.compile(r"(?:^|[^0-9])((?:19|20)\d{2})[-_]?(0[1-9]|1[0-2])$")
# By another clock a row may be of the month before or after: an evening in New York is a morning in UTC.
_OTHER_CLOCKS = timedelta(hours=6)
_SHOWN = 5


def check_months(files: Sequence[Path], path: str, dataset: str, column: str) -> None:
    """Refuse files named by months where one is missing in the middle, or holds rows of another month.

    Files that are not all named so are left alone.

    Args:
        files: The files of a source.
        path: The source as given.
        dataset: What it holds.
        column: Column of the timestamps.

    Raises:
        DataValidationError: Codes E-DS-GAP and E-DS-OVERLAP.
    """
    months = {file: month for file in files if (month := month_of(file)) is not None}
    if len(months) < max(len(files), 2):
        return
    found = _missing(sorted(set(months.values())), path, dataset)
    found += [each for file, month in months.items() for each in _strangers(file, month, dataset, column)]
    if found:
        raise DataValidationError(found)


def month_of(file: Path) -> Month | None:
    """Return the month that a file's folders (year=2024/month=01) or its name say it holds.

    >>> month_of(Path("prices_2024-03.parquet"))
    (2024, 3)
    """
    keys = hive_keys(file)
    by_folder = (keys.get("year", ""), keys.get("month", ""))
    if all(text.isdecimal() for text in by_folder):
        return int(by_folder[0]), int(by_folder[1])
    named = _NAMED.search(file.stem)
    return (int(named[1]), int(named[2])) if named else None


def months_between(first: Month, last: Month) -> list[Month]:
    """Return the months from one to another, both included.

    >>> months_between((2023, 12), (2024, 2))
    [(2023, 12), (2024, 1), (2024, 2)]
    """
    begin, end = (year * 12 + month - 1 for year, month in (first, last))
    return [(number // 12, number % 12 + 1) for number in range(begin, end + 1)]


def months_without_bars(stamps: pl.Series, spans: pl.DataFrame, calendar: TradingCalendar) -> list[Month]:
    """Return the months with sessions in which there is no bar, though two symbols or more have some before and after.

    Args:
        stamps: Closes of all bars, ascending.
        spans: `first` and `last` bar of each symbol.
        calendar: Sessions around the bars.
    """
    have, sessions = _months_of(stamps), calendar.sessions.filter(pl.col("close").is_between(stamps[0], stamps[-1]))
    return [
        month
        for month in sorted(_months_of(sessions["close"]) - have)
        if spans.filter((pl.col("first") < _first_of(month)) & (pl.col("last") > _first_of(month))).height > 1
    ]


def _months_of(stamps: pl.Series) -> set[Month]:
    months = stamps.to_frame("t").select(pl.col("t").dt.year(), m=pl.col("t").dt.month()).unique()
    return set(months.iter_rows())


def _first_of(month: Month) -> datetime:
    return datetime(*month, 1, tzinfo=UTC)


def missing_months(dataset: str, path: str, missing: Sequence[Month]) -> Violation:
    """Return the violation of months without data between others that have some."""
    named = [f"{year}-{month:02d}" for year, month in missing]
    return Violation(
        "E-DS-GAP",
        dataset,
        f"months are missing in the middle: {', '.join(named[:_SHOWN])}",
        file=path,
        count=len(missing),
        samples=tuple(named[:_SHOWN]),
        hint="get the files, or give the parts before and after as data sets of their own",
    )


def _missing(months: Sequence[Month], path: str, dataset: str) -> list[Violation]:
    missing = [month for month in months_between(months[0], months[-1]) if month not in months]
    return [missing_months(dataset, path, missing)] if missing else []


def _strangers(file: Path, month: Month, dataset: str, column: str) -> list[Violation]:
    """Return the violation of rows whose timestamp is of another month than the file's."""
    with reading(file):
        rows = plain_scan(file)
        if not isinstance(rows.collect_schema().get(column), (pl.Date, pl.Datetime)):
            return []
        stamps = rows.select(column).collect(engine="in-memory").to_series()
    outside = _outside(stamps, month).arg_true()
    if not outside.len():
        return []
    year, number = month
    values = [str(stamps[int(row)]) for row in outside.head(_SHOWN)]
    return [
        Violation(
            "E-DS-OVERLAP",
            dataset,
            f"rows of another month lie in the file of {year}-{number:02d}",
            file=str(file),
            row=int(outside[0]),
            column=column,
            value=values[0],
            count=outside.len(),
            samples=tuple(f"row {row} {value}" for row, value in zip(outside.head(_SHOWN), values, strict=True)),
            hint="move the rows into the file of their month",
        )
    ]


def _outside(stamps: pl.Series, month: Month) -> pl.Series:
    """Return which stamps are of another month, as they are written; a midnight is a date, whatever the clock."""
    first, following = (date(year, number, 1) for year, number in (month, _after(month)))
    if stamps.dtype == pl.Date:
        return ~stamps.is_between(first, following, closed="left").fill_null(True)
    written = stamps.dt.replace_time_zone(None)
    begin, end = (datetime.combine(day, time(0)) for day in (first, following))
    at_midnight = written.dt.time() == time(0)
    near = written.is_between(begin - _OTHER_CLOCKS, end + _OTHER_CLOCKS, closed="left")
    within = written.is_between(begin, end, closed="left")
    return ~(within | (near & ~at_midnight)).fill_null(True)


def _after(month: Month) -> Month:
    year, number = month
    return (year + 1, 1) if number == 12 else (year, number + 1)
