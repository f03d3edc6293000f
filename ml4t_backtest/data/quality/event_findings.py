"""Context, corporate actions and membership that do not meet the bars."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import date, datetime

import polars as pl

from ml4t_backtest.core.instants import to_instant
from ml4t_backtest.data.calendar import TradingCalendar
from ml4t_backtest.data.loading import ValueSource
from ml4t_backtest.data.quality.data_quality import Finding
from ml4t_backtest.data.sources import describe
from ml4t_backtest.errors import Violation


def late_context(spec: ValueSource, rows: pl.DataFrame, slices: pl.DataFrame) -> Iterator[Finding]:
    """Yield that a source of context begins after the bars: until then its values are null, never later ones.

    Args:
        spec: The source.
        rows: Its loaded rows.
        slices: `timestamp` and `decision_instant` of the bars, ascending.
    """
    known, first = rows["available_at"].min(), slices["timestamp"][0]
    if rows.is_empty() or not (isinstance(known, datetime) and rows["timestamp"].min() > first):
        return
    without = slices.filter(pl.col("decision_instant") < known)
    if without.height:
        yield Finding(
            "DQ-CXWARM",
            None,
            to_instant(first),
            to_instant(without["timestamp"][-1]),
            without.height,
            f"{', '.join(spec.names)} known from {known:%Y-%m-%d %H:%M}, bars from {first:%Y-%m-%d %H:%M}",
            "doubt",
            "context begins after the bars: until then it is null",
            "get it from earlier on, or start the backtest later",
            file=describe(spec.source),
        )


class ActionWatch:
    """Looks at corporate actions beside the bars, some whole symbols at a time."""

    def __init__(self, actions: pl.DataFrame, adjustment: str, calendar: TradingCalendar, file: str | None) -> None:
        """Begin.

        Args:
            actions: Table of schema `corporate_actions`, in the order of its source.
            adjustment: What the prices contain already.
            calendar: Sessions around the bars.
            file: Where the actions came from.
        """
        self._actions = actions.with_row_index("row")
        self._adjustment, self._calendar, self._file = adjustment, calendar, file
        self._found: list[Finding] = []
        self._large: list[tuple[int, str, date, float, float]] = []

    def see(self, bars: pl.DataFrame) -> None:
        """Look at the bars of some symbols, in the order of time."""
        own = self._actions.filter(pl.col("symbol").is_in(bars["symbol"].unique().implode()))
        for row, symbol, ex_date, kind, value in own.iter_rows():
            opens = self._calendar.open_of(pl.Series([ex_date]))[0]
            if opens is None:
                continue
            mine = bars.filter(pl.col("symbol") == symbol)
            before = mine.filter(pl.col("timestamp") <= opens)["close"]
            after = mine.filter(pl.col("timestamp") > opens)["open"]
            if before.len() and kind == "dividend" and self._adjustment != "total_return" and value > before[-1]:
                self._large.append((row, symbol, ex_date, value, before[-1]))
            if before.len() and after.len() and kind == "split" and self._adjustment == "none":
                self._look_at_split(symbol, ex_date, value, before[-1], after[0])

    def violations(self) -> Iterator[Violation]:
        """Yield dividends that are larger than the price they are paid from."""
        if not self._large:
            return
        row, symbol, ex_date, value, price = min(self._large)
        yield Violation(
            "E-CA-AMOUNT",
            "corporate_actions",
            f"a dividend is larger than the close before it, {price:g}",
            file=self._file,
            row=row,
            key=f"{symbol} {ex_date}",
            column="value",
            value=repr(value),
            count=len(self._large),
            samples=tuple(f"row {number} {name} {day} {amount}" for number, name, day, amount, _ in self._large[:5]),
            hint="write it per share, in account currency and on the basis of the prices",
        )

    def findings(self) -> Iterator[Finding]:
        """Yield what was found."""
        closed = self._actions.filter(~self._calendar.is_session(self._actions["ex_date"]))
        days = self._calendar.sessions["session"]
        for row, symbol, ex_date, kind, value in closed.filter(
            pl.col("ex_date").is_between(days[0], days[-1])
        ).iter_rows():
            yield self._finding(
                "DQ-CADATE",
                (symbol, ex_date),
                f"{kind} {value:g} on {ex_date}",
                "doubt",
                "an ex-date is no session: it counts at the next one",
                "check the date",
                row,
            )
        yield from self._found

    def _look_at_split(self, symbol: str, ex_date: date, ratio: float, before: float, after: float) -> None:
        """Note a split that the prices show nothing of: they are nearer to no move than to its ratio."""
        if min(before, after) <= 0 or abs(math.log(after / before)) >= abs(math.log(ratio)) / 2:
            return
        self._found.append(
            self._finding(
                "DQ-DOUBLEADJ",
                (symbol, ex_date),
                f"split {ratio:g} on {ex_date}: close before {before:g}, open {after:g}",
                "defect",
                "a split is declared and the price does not move by it: the prices may be adjusted already",
                "declare adjustment: split",
                None,
            )
        )

    def _finding(
        self, code: str, of: tuple[str, date], example: str, severity: str, meaning: str, hint: str, row: int | None
    ) -> Finding:
        symbol, ex_date = of
        at = to_instant(self._calendar.open_of(pl.Series([ex_date]))[0])
        return Finding(code, symbol, at, at, 1, example, severity, meaning, hint, row=row, file=self._file)


def missing_members(
    universe: pl.DataFrame, symbols: Sequence[str], slices: pl.DataFrame, file: str | None
) -> list[Violation]:
    """Return that members of a universe have no prices at all, if so: what is left of it is what survived.

    Args:
        universe: Table of schema `universe`, in the order of its source.
        symbols: Symbols that have bars.
        slices: `timestamp` of the bars, ascending.
        file: Where the universe came from.
    """
    first, last = slices["timestamp"][0].date(), slices["timestamp"][-1].date()
    within = (pl.col("start") <= last) & (pl.col("end").is_null() | (pl.col("end") >= first))
    absent = universe.with_row_index("row").filter(within & ~pl.col("symbol").is_in(list(symbols)))
    if absent.is_empty():
        return []
    names = absent["symbol"].unique(maintain_order=True)
    return [
        Violation(
            "E-UNI-MISSING",
            "universe",
            f"members have no prices: {', '.join(names.head(10))}{', ...' if names.len() > 10 else ''}",
            file=file,
            row=int(absent["row"][0]),
            column="symbol",
            value=repr(absent["symbol"][0]),
            count=names.len(),
            samples=tuple(names.head(5)),
            hint="add their prices, or leave them out of the universe and say so",
        )
    ]


def outsiders(universe: pl.DataFrame, bars_of: pl.DataFrame, file: str | None) -> Iterator[Finding]:
    """Yield symbols that have bars and never belonged to the universe.

    Args:
        universe: Table of schema `universe`.
        bars_of: `symbol` and `rows`, how many bars each has.
        file: Where the universe came from.
    """
    for symbol, rows in bars_of.filter(~pl.col("symbol").is_in(universe["symbol"].unique().implode())).iter_rows():
        yield Finding(
            "DQ-UNIVERSE",
            symbol,
            None,
            None,
            rows,
            f"{rows} bars outside of the universe",
            "doubt",
            "a symbol has prices and never belonged to the universe: its bars are there, in_universe is 0",
            "leave it out of the prices, or add its membership",
            file=file,
        )
