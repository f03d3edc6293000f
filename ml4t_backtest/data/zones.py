"""Time zones of sources: mixed only where somebody said what stamps without one mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from ml4t_backtest.data.calendar import TradingCalendar
from ml4t_backtest.data.sources import Source, describe, scan, schema_of
from ml4t_backtest.errors import BacktestError, DataValidationError, Violation

_UTC = frozenset(("UTC", "Etc/UTC", "UCT", "Zulu", "GMT", "Etc/GMT", "+00:00"))
# Bars are of another exchange than declared where fewer than half of them fit its sessions.
_FITTING = 0.5


@dataclass(frozen=True)
class WrittenZone:
    """The zone that the stamps of a column are written in.

    Attributes:
        dataset: What the source holds (`prices`, ...).
        file: Where it is.
        column: Column of the source.
        zone: Its name; None where stamps carry none.
    """

    dataset: str
    file: str | None
    column: str
    zone: str | None

    def __str__(self) -> str:
        place = f"{self.dataset} ({self.file})" if self.file else self.dataset
        return f"{self.column} of {place} {'carries no zone' if self.zone is None else f'is in {self.zone}'}"


class ZoneWatch:
    """Watches that the sources of a data set are in one zone, one after the other."""

    def __init__(self, *, declared: bool) -> None:
        """Begin; `declared` is whether somebody said what stamps without a zone mean."""
        self._declared = declared
        self._written: list[WrittenZone] = []

    def add(self, source: Source, columns: Mapping[str, str] | None, dataset: str, *, by_day: bool) -> None:
        """Take in a source; see `zones_of` and `refuse_mixed_zones`.

        Raises:
            DataValidationError: Its zone is another than that of a source before.
        """
        written = zones_of(source, columns, dataset, by_day=by_day)
        refuse_mixed_zones([*self._written, *written], declared=self._declared)
        self._written += written


def zones_of(source: Source, columns: Mapping[str, str] | None, dataset: str, *, by_day: bool) -> list[WrittenZone]:
    """Return the zones of a source's moments; dates have none, and what is wrong with the source is not said here.

    Args:
        source: Where the rows are.
        columns: This package's name -> the source's name.
        dataset: What they are.
        by_day: Whether `timestamp` names a session, whatever the clock it is written by.
    """
    try:
        types = schema_of(scan(source, columns=columns, dataset=dataset))
    except BacktestError:
        return []
    moments = ("available_at",) if by_day else ("timestamp", "available_at")
    found = {name: types[name] for name in moments if isinstance(types.get(name), pl.Datetime)}
    return [WrittenZone(dataset, describe(source), name, _plain(dtype)) for name, dtype in found.items()]


def refuse_mixed_zones(written: Iterable[WrittenZone], *, declared: bool) -> None:
    """Refuse sources whose stamps are in several zones, or in one and in none, unless a zone was declared.

    Args:
        written: Zones of all sources.
        declared: Whether somebody said what stamps without a zone mean; then every source keeps its own.

    Raises:
        DataValidationError: Code E-TS-TZMIX; names a source of each zone.
    """
    first: dict[str | None, WrittenZone] = {}
    for each in written:
        first.setdefault(each.zone, each)
    if declared or len(first) < 2:
        return
    one, *others = first.values()
    raise DataValidationError(
        [
            Violation(
                "E-TS-TZMIX",
                other.dataset,
                f"zones are mixed: {one}, {other}",
                file=other.file,
                column=other.column,
                hint="write all of them in one zone, or declare `timezone`, the zone of stamps that carry none",
            )
            for other in others
        ]
    )


def foreign_zone(
    given: pl.Series, bars: pl.DataFrame, calendar: TradingCalendar, file: str | None, first_row: int = 0
) -> list[Violation]:
    """Return that bars are written in another zone than their exchange's and do not fit its sessions, if so.

    Args:
        given: Stamps as the source has them.
        bars: `timestamp`, the closes of the bars, and `open_instant`.
        calendar: Declared calendar.
        file: Where the bars came from.
        first_row: Number of the first of them in their source.
    """
    zone = _plain(given.dtype)
    if zone in (None, "UTC", calendar.timezone) or given.is_empty():
        return []
    session = calendar.session_at(bars["timestamp"])
    inside = session.with_columns(bars["timestamp"], bars["open_instant"]).select(
        ((pl.col("open_instant") >= pl.col("open")) & (pl.col("timestamp") <= pl.col("close"))).mean()
    )
    if float(inside.item() or 0.0) >= _FITTING:
        return []
    text = f"timestamps are in {zone} and fit no sessions of {calendar.name}, which is in {calendar.timezone}"
    hint = "declare the calendar of the exchange that the bars are from"
    return [
        Violation(
            "E-TS-TZMIX", "prices", text, file=file, row=first_row, column="timestamp", value=str(given[0]), hint=hint
        )
    ]


def _plain(dtype: pl.DataType | type[pl.DataType] | None) -> str | None:
    zone = getattr(dtype, "time_zone", None)
    return "UTC" if zone in _UTC else zone
