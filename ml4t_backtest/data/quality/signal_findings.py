"""Signals that do not meet the bars: of no symbol, about no session with a bar, or long out of date."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import polars as pl

from ml4t_backtest.core.instants import span_microseconds, to_instant
from ml4t_backtest.data.calendar import TradingCalendar
from ml4t_backtest.data.loading import ValueSource
from ml4t_backtest.data.quality.data_quality import Finding
from ml4t_backtest.data.scratch import ROW
from ml4t_backtest.data.sources import describe
from ml4t_backtest.errors import Violation

# Fewer rows than this about a session in which their symbol has a bar, and fewer such sessions than this with a row:
# something is wrong. Signals of a longer span than the bars are none of that.
_MATCHED = 0.5
# A signal is out of date after so long, or after so many times the distance between its rows.
_FRESH, _TIMES = timedelta(days=30), 3


class SignalWatch:
    """Looks at one source of signals beside the bars, some whole symbols at a time.

    A row is matched when its symbol has a bar in the session it is about: that in which its timestamp lies, or else
    the next one.
    """

    def __init__(self, spec: ValueSource, symbols: Sequence[str], calendar: TradingCalendar) -> None:
        """Begin.

        Args:
            spec: The source.
            symbols: All symbols that have bars.
            calendar: Sessions around the bars.
        """
        self._spec, self._calendar = spec, calendar
        self._symbols = frozenset(symbols)
        self._rows = self._matched = 0
        self._sessions = self._sessions_with_rows = 0
        self._orphans: list[pl.DataFrame] = []
        self._stale: list[pl.DataFrame] = []
        self._late = 0

    def see(self, rows: pl.DataFrame, bars: pl.DataFrame) -> None:
        """Look at the rows of some symbols and at the bars of these symbols, signals joined.

        Args:
            rows: `timestamp`, `symbol`, `available_at`, and their numbers in the source as the column `ROW`; without
                it they are in the order of their source.
            bars: `timestamp`, `symbol`, `decision_instant`, and the signals with when they became known.
        """
        if rows.is_empty():
            return
        self._rows += rows.height
        numbered = rows if ROW in rows.columns else rows.with_row_index(ROW)
        orphans = numbered.filter(~pl.col("symbol").is_in(list(self._symbols)))
        if orphans.height:
            span = {"first": pl.col("timestamp").min(), "last": pl.col("timestamp").max(), "row": pl.col(ROW).min()}
            self._orphans.append(orphans.group_by("symbol").agg(rows=pl.len(), **span).sort("symbol"))
        if bars.height:
            self._count_matched(rows, bars)
            self._stale.append(self._out_of_date(rows, bars))

    def violations(self) -> Iterator[Violation]:
        """Yield symbols that are those of bars but for blanks inside them: spelling, and no other instruments."""
        plain = {_without_blanks(symbol): symbol for symbol in sorted(self._symbols)}
        for symbol, count, _, _, row in self._orphan_rows():
            meant = plain.get(_without_blanks(symbol))
            if meant is not None:
                yield Violation(
                    "E-KEY-WS",
                    "signals",
                    f"symbol differs from the prices' {meant!r} by blanks only",
                    file=describe(self._spec.source),
                    row=row,
                    column="symbol",
                    value=repr(symbol),
                    count=count,
                    hint="spell it as the prices do",
                )

    def findings(self) -> Iterator[Finding]:
        """Yield what was found."""
        file = describe(self._spec.source)
        for symbol, count, first, last, row in self._orphan_rows():
            yield Finding(
                "E-SG-ORPHAN",
                symbol,
                to_instant(first),
                to_instant(last),
                count,
                f"{count} rows of {', '.join(self._spec.names)}",
                "doubt",
                "signals are for a symbol that has no prices: nothing is traded on them",
                "add its prices, map its name, or leave it out",
                row=row,
                file=file,
            )
        some_bars_only = self._sessions_with_rows < _MATCHED * self._sessions or not self._sessions
        if self._rows and self._matched < _MATCHED * self._rows and some_bars_only:
            yield Finding(
                "DQ-MATCH",
                None,
                None,
                None,
                self._rows - self._matched,
                f"{self._matched / self._rows:.1%} of {self._rows:,} rows of {self._spec.names[0]}".replace("%", " %"),
                "doubt",
                "few signals are about a session in which their symbol has a bar: other dates, or other names",
                "compare symbols and dates of signals and prices",
                file=file,
            )
        yield from self._stale_findings(file)

    def _orphan_rows(self) -> list[tuple[str, int, datetime, datetime, int]]:
        if not self._orphans:
            return []
        return list(pl.concat(self._orphans).select("symbol", "rows", "first", "last", "row").iter_rows())

    def _count_matched(self, rows: pl.DataFrame, bars: pl.DataFrame) -> None:
        about, there = (
            frame.select("symbol", session=self._calendar.session_at(frame["timestamp"])["session"])
            for frame in (rows, bars)
        )
        sessions, keys = there.unique(), ["symbol", "session"]
        self._matched += about.join(sessions, on=keys, how="semi").height
        self._sessions += sessions.height
        self._sessions_with_rows += sessions.join(about, on=keys, how="semi").height

    def _out_of_date(self, rows: pl.DataFrame, bars: pl.DataFrame) -> pl.DataFrame:
        """Return for each symbol the bars at which its last signal was too old."""
        known = pl.col(f"{self._spec.names[0]}_available_at")
        before = known.forward_fill().over("symbol", order_by="timestamp")
        aged = bars.select("symbol", "timestamp", "decision_instant", known.alias("shown"), before=before)
        old = (
            pl.col("decision_instant") - pl.col("before") > self._fresh(rows)
            if self._spec.max_age is None
            else pl.col("shown").is_null()
        )
        stale = aged.filter(old & pl.col("before").is_not_null()).group_by("symbol")
        first, last = pl.col("timestamp").min().alias("first"), pl.col("timestamp").max().alias("last")
        return stale.agg(pl.len().alias("bars"), first, last, pl.col("before").max()).sort("symbol")

    def _fresh(self, rows: pl.DataFrame) -> timedelta:
        """Return how old a signal may be where nothing is declared."""
        apart = pl.col("timestamp") - pl.col("timestamp").shift(1).over("symbol", order_by="timestamp")
        usual = rows.select(apart.filter(apart > timedelta(0)).median()).item()
        return max(_FRESH, _TIMES * usual) if isinstance(usual, timedelta) else _FRESH

    def _stale_findings(self, file: str | None) -> Iterator[Finding]:
        declared = self._spec.max_age
        limit = f"max_age {declared}" if declared and span_microseconds(declared) else "what is usual for it"
        for found in self._stale:
            for symbol, bars, first, last, before in found.iter_rows():
                yield Finding(
                    "E-SG-STALE",
                    symbol,
                    to_instant(first),
                    to_instant(last),
                    bars,
                    f"{self._spec.names[0]} last known {before:%Y-%m-%d}, older than {limit} at {bars} bars",
                    "doubt",
                    "the last signal is out of date: the model may have stopped",
                    "update the signals, or declare max_age to forget old ones",
                    file=file,
                )


def _without_blanks(symbol: str) -> str:
    return "".join(symbol.split())
