"""What a check found: leaks, and what it could not see."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Literal

import polars as pl

from ml4t_backtest.lookahead.futures import Future

Stage = Literal["preparation", "engine", "pipeline", "delivered data"]
_NUMBER = ".6g"


@dataclass(frozen=True)
class Leak:
    """A column that knew something before it could be known.

    Attributes:
        stage: Where it was noticed.
        table: Table of the column.
        column: The column; `(row)` where a whole row comes or goes with the future.
        timestamp: Time of the first row concerned.
        symbol: Its symbol, None where rows have none.
        cut: Everything up to this moment was the same in both worlds; None for what delivered data shows by itself.
        before: The value as it is.
        after: The value with another future; None for delivered data.
        how: What was done to the future, or what the column was found to be.
        rows: Number of rows concerned.
        future: What came after the cut; None for delivered data.

    >>> leak = Leak("pipeline", "signals", "score", None, "A", None, 0.5, 0.7, "raised", 3)
    >>> leak.cells()[0]
    'signals.score'
    """

    stage: Stage
    table: str
    column: str
    timestamp: datetime | None
    symbol: str | None
    cut: datetime | None
    before: Any
    after: Any
    how: str
    rows: int
    future: Future | None = None

    def cells(self) -> tuple[str, ...]:
        """Return the leak as text, in the order of `LookaheadReport.COLUMNS`."""
        return (
            f"{self.table}.{self.column}",
            _moment(self.timestamp),
            self.symbol or "",
            _moment(self.cut),
            _shown(self.before),
            "" if self.cut is None else _shown(self.after),
            f"{self.how} ({self.stage}, rows: {self.rows:,})",
        )


@dataclass(frozen=True)
class LookaheadReport:
    """What a check looked at and found.

    Attributes:
        leaks: The first leak of each column, the earliest first.
        checked: What was looked at, in sentences.
        notes: What could not be looked at, or is odd without being a leak.

    >>> report = LookaheadReport(leaks=(), checked=("signals, at 12 moments",))
    >>> report.is_clean, report.verdict()
    (True, 'nothing looked ahead')
    """

    leaks: tuple[Leak, ...]
    checked: tuple[str, ...]
    notes: tuple[str, ...] = ()

    COLUMNS: ClassVar = ("column", "first leaked", "symbol", "cut", "value", "with another future", "found by")

    @property
    def is_clean(self) -> bool:
        """Whether nothing was found."""
        return not self.leaks

    @property
    def leaked_columns(self) -> tuple[str, ...]:
        """The columns that leak, the earliest first."""
        return tuple(dict.fromkeys(leak.column for leak in self.leaks))

    def to_frame(self) -> pl.DataFrame:
        """Return one row per leak; values as text."""
        return pl.DataFrame(
            [
                {
                    "stage": leak.stage,
                    "table": leak.table,
                    "column": leak.column,
                    "timestamp": leak.timestamp,
                    "symbol": leak.symbol,
                    "cut": leak.cut,
                    "before": _shown(leak.before),
                    "after": None if leak.cut is None else _shown(leak.after),
                    "how": leak.how,
                    "rows": leak.rows,
                }
                for leak in self.leaks
            ],
            schema=_TYPES,
        )

    def verdict(self) -> str:
        """Return the outcome as one sentence."""
        if self.is_clean:
            return "nothing looked ahead"
        first = self.leaks[0]
        when = "" if first.timestamp is None else f", first at {_moment(first.timestamp)}"
        who = f" on {first.symbol}" if first.symbol else ""
        return f"look-ahead: {first.table}.{first.column} leaks{when}{who}"

    def lines(self) -> list[str]:
        """Return what was looked at, what is to be noted, and the verdict, a sentence each."""
        return [
            *(f"checked  {line}" for line in self.checked),
            *(f"note  {line}" for line in self.notes),
            self.verdict(),
        ]

    def __str__(self) -> str:
        return "\n".join([*(" | ".join(leak.cells()) for leak in self.leaks), *self.lines()])


_TIME = pl.Datetime("us", "UTC")
_TYPES: dict[str, Any] = {
    "stage": pl.String,
    "table": pl.String,
    "column": pl.String,
    "timestamp": _TIME,
    "symbol": pl.String,
    "cut": _TIME,
    "before": pl.String,
    "after": pl.String,
    "how": pl.String,
    "rows": pl.Int64,
}


def first_of_each(leaks: list[Leak]) -> tuple[Leak, ...]:
    """Return the earliest leak of each column, in the order of time; the first one found where times are equal."""
    found: dict[tuple[str, str, str], Leak] = {}
    for leak in sorted(leaks, key=_when):
        found.setdefault((leak.stage, leak.table, leak.column), leak)
    return tuple(found.values())


def _when(leak: Leak) -> tuple[bool, datetime | None]:
    # A leak without a time concerns all of it.
    return (leak.timestamp is not None, leak.timestamp)


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    return f"{value:{_NUMBER}}" if isinstance(value, float) else str(value)
