"""A backtest that begins after its data ends, or ends before it: told beside what else is wrong."""

from __future__ import annotations

from contextlib import suppress
from datetime import date, timedelta

import polars as pl

from ml4t_backtest.config.dataset_schema import DatasetConfig
from ml4t_backtest.config.document import Mistakes, Origin
from ml4t_backtest.data.sources import collect, scan
from ml4t_backtest.errors import BacktestError

# A label may be an instant of the neighbouring day in another zone.
_LEEWAY = timedelta(days=1)


def note_span(start: object, end: object, dataset: DatasetConfig, origin: Origin, mistakes: Mistakes) -> None:
    """Note that the price file has no bar between two dates.

    Asked where something else is wrong already: otherwise the feed tells, of the prepared data and to the instant.

    Args:
        start: `backtest.start` as a configuration has it: a date, its text, or anything that is wrong.
        end: `backtest.end`, likewise.
        dataset: The data set, which knows where its files are.
        origin: The configuration, for lines.
        mistakes: Where to note it.
    """
    first, last = _day(start), _day(end)
    there = None if first is None and last is None else _days_of_bars(dataset)
    if there is None:
        return
    begins, ends = there
    too_late = first is not None and first > ends + _LEEWAY
    if too_late or (last is not None and last < begins - _LEEWAY):
        text = f"no data between {first or 'its begin'} and {last or 'its end'}: it spans {begins} to {ends}"
        mistakes.add(origin.message(("backtest", "start" if too_late else "end"), text))


def _day(given: object) -> date | None:
    with suppress(ValueError):
        return date.fromisoformat(str(given)[:10])
    return None


def _days_of_bars(dataset: DatasetConfig) -> tuple[date, date] | None:
    """Return the first and last date of the price file; None where it is remote or cannot be read as it is declared."""
    columns = {str(ours): theirs for ours, theirs in dataset.prices.columns.items()}
    with suppress(BacktestError, pl.exceptions.PolarsError):
        path = dataset.resolve(dataset.prices.path)
        if "://" in path:
            return None
        stamps = collect(scan(path, columns=columns, dataset="prices").select("timestamp"), file=path).to_series()
        if not isinstance(stamps.dtype, (pl.Date, pl.Datetime)):
            return None
        days = stamps.cast(pl.Date)
        first, last = days.min(), days.max()
        if isinstance(first, date) and isinstance(last, date):
            return first, last
    return None
