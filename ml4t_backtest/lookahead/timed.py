"""Tables whose rows became known at a moment each: what a cut through time leaves of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import polars as pl

from ml4t_backtest.core.instants import UTC_MICROSECONDS

_DAY = 86_400_000_000
_TICK = 1
# Columns that say what a row is about and when it was known: another future leaves them as they are.
KEYS = ("timestamp", "symbol", "available_at", "open_instant", "decision_instant", "start", "ex_date", "kind")
_PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True)
class TimedTable:
    """A table with the moment at which each row became known, and the columns of which the value came later.

    Attributes:
        frame: The rows.
        known: When each row became known, microseconds since 1970 UTC; None for a table without time.
        later: Column -> when its values became known, where that is after the row: of a bar the high, the low, the
            close and the volume, of a membership its end.
    """

    frame: pl.DataFrame
    known: pl.Series | None
    later: Mapping[str, pl.Series] = field(default_factory=dict)

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Self:
        """Return a table that tells by itself when its rows became known.

        A row is known from its `available_at` on, else from its `timestamp` on. A bar with an `open_instant` is there
        from then on, its open is known just after it. Corporate actions (`ex_date`) and memberships (`start`, `end`)
        are known from the beginning of their first day on, the end of a membership from the day after it on. A date
        stands for the end of its day.
        """
        names = frame.columns
        if "ex_date" in names:
            return cls(frame, moments(frame["ex_date"]) - (_DAY - _TICK))
        if "start" in names and "end" in names:
            return cls(frame, moments(frame["start"]) - (_DAY - _TICK), {"end": moments(frame["end"]) + _TICK})
        if "available_at" in names:
            return cls(frame, moments(frame["available_at"]))
        if "timestamp" not in names:
            return cls(frame, None)
        return cls.of_bars(frame, moments(frame["timestamp"]))

    @classmethod
    def of_bars(cls, frame: pl.DataFrame, closed: pl.Series, opened: pl.Series | None = None) -> Self:
        """Return bars that are known at their close, and their opens just after they opened, where that is said."""
        if opened is None and "open_instant" in frame.columns:
            opened = moments(frame["open_instant"])
        if opened is None or "open" not in frame.columns:
            return cls(frame, closed)
        return cls(frame, opened, dict.fromkeys(value_columns(frame), closed) | {"open": opened + _TICK})

    @property
    def is_bars(self) -> bool:
        """Whether the rows are price bars."""
        return set(_PRICES) <= set(self.frame.columns)

    def moments(self) -> list[pl.Series]:
        """Return every series of moments at which something of it became known."""
        return [] if self.known is None else [self.known, *self.later.values()]

    def cut_off(self, cut: int) -> pl.DataFrame:
        """Return what was known at a moment: later rows are gone, and a bar that is not over shows its open at most.

        What it does not show yet is its open, or the close before it, and no volume; anything else is null.
        """
        if self.known is None:
            return self.frame
        there = self.known <= cut
        rows = self.frame.filter(there)
        for name in ("open", *(each for each in self.later if each != "open")):
            hides = self.later[name].filter(there) > cut if name in self.later else None
            if hides is not None and hides.any():
                shown = pl.when(hides).then(self._unknown(name)).otherwise(name).cast(rows.schema[name])
                rows = rows.with_columns(shown.alias(name))
        return rows

    def _unknown(self, name: str) -> pl.Expr:
        if not self.is_bars or name not in (*_PRICES, "volume"):
            return pl.lit(None)
        if name != "open":
            return pl.col("open") if name in _PRICES else pl.lit(0)
        by = "symbol" if "symbol" in self.frame.columns else pl.lit(0)
        return pl.col("close").shift(1).over(by, order_by="timestamp").fill_null(1)


def value_columns(frame: pl.DataFrame) -> list[str]:
    """Return the columns that another future may change: those that are no keys, and tell no time."""
    return [name for name, dtype in frame.schema.items() if name not in KEYS and not dtype.is_temporal()]


def moments(column: pl.Series) -> pl.Series:
    """Return dates and datetimes as microseconds since 1970 UTC; a date stands for the end of its day.

    A row of which only the day is said was known by the end of that day; a datetime without a zone is read as UTC.
    """
    if column.dtype == pl.Date:
        return column.cast(pl.Datetime("us")).cast(pl.Int64) + (_DAY - _TICK)
    if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is None:
        return column.cast(pl.Datetime("us")).cast(pl.Int64)
    return column.cast(UTC_MICROSECONDS).cast(pl.Int64)
