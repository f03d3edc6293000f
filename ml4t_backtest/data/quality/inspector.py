"""Shows the detectors every bar, part by part, and keeps what they found."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import polars as pl

from ml4t_backtest.core.choices import require_choice
from ml4t_backtest.core.instants import instants, to_datetime
from ml4t_backtest.data.quality.data_quality import Finding, FindingCode, as_violations, findings_frame
from ml4t_backtest.data.quality.detectors import AT_THE_END, DETECTORS, SPLIT, Detector
from ml4t_backtest.data.quality.repeated_bars import RepeatedBars
from ml4t_backtest.data.quality.series_detectors import (
    FromFloat32,
    MixedLabels,
    SameSeries,
    SeriesDetector,
    WrongClock,
    one_name_in_two_cases,
)
from ml4t_backtest.data.quality.session_grid import BarPlaces, SessionGrid, grid_over, step_of
from ml4t_backtest.data.quality.symbol_rows import SEEN, Came, SymbolRows
from ml4t_backtest.data.validation import ValidationLevel, raise_violations

Int64s = npt.NDArray[np.int64]
# Arrays of so many rows stay in the processor's cache, which halves the time; and what is carried is looked at again.
_AT_ONCE, _TIMES_CARRIED = 250_000, 4
# How long bars are is learned from so many of them, wherever the first part ends.
_LEARNED_FROM = 1_000
_NEVER = int(np.iinfo(np.int64).max)
Splits = Collection[tuple[str, str]]
_Part = tuple[pl.DataFrame, npt.NDArray[np.uint32], Int64s]


class Inspector:
    """Looks for what is no error but may fool somebody.

    Attributes:
        in_order: Whether the bars of each symbol came in the order of time, as far as they were looked at; if they did
            not, begin again with sorted ones.
        findings: What was found, once it is closed.
    """

    def __init__(
        self,
        level: Literal["standard", "paranoid"],
        calendar: str,
        *,
        accept: Collection[str] = (),
        splits: Splits = (),
    ) -> None:
        """Begin to look.

        Args:
            level: `paranoid` looks for more, and refuses what it finds.
            calendar: Exchange calendar of the bars.
            accept: Codes of findings that are known and all right: recorded, never refused.
            splits: Symbol and ISO date of splits that are declared, and so no defect.
        """
        self._level, self._calendar = level, calendar
        self._accept, self._splits = frozenset(accept), frozenset(splits)
        self.findings: list[Finding] = []
        self.begin_again()

    @property
    def data_quality(self) -> pl.DataFrame:
        """What was found, as a table of schema `data_quality`."""
        return findings_frame(self.findings)

    @classmethod
    def at_level(
        cls,
        level: ValidationLevel,
        calendar: str,
        *,
        accept: Collection[str] = (),
        corporate_actions: pl.DataFrame | None = None,
    ) -> Inspector | None:
        """Return what looks at a level: nothing at `fast`.

        Args:
            level: Level of validation.
            calendar: Exchange calendar of the bars.
            accept: Codes of findings that are known and all right.
            corporate_actions: Table of that schema; its splits are declared, and so no defect.

        Raises:
            ConfigError: A code is none.
        """
        for code in accept:
            require_choice("accept", code, get_args(FindingCode))
        if level == "fast":
            return None
        if corporate_actions is None:
            return cls(level, calendar, accept=accept)
        splits = corporate_actions.filter(pl.col("kind") == "split").select("symbol", pl.col("ex_date").dt.to_string())
        return cls(level, calendar, accept=accept, splits=splits.rows())

    def note(self, findings: Iterable[Finding]) -> None:
        """Keep what others found; it counts when it is closed."""
        self.findings += findings

    def begin_again(self) -> None:
        """Forget what was seen."""
        self.in_order = True
        self._waiting: list[_Part] = []
        self._carried: Came | None = None
        self._grid: SessionGrid | None = None
        self._first, self._last = _NEVER, -_NEVER
        self._tallies = {each.code: _Tally(each) for each in DETECTORS}
        self._series: list[SeriesDetector] = [FromFloat32(), MixedLabels()]
        if self._level == "paranoid":
            self._series += [WrongClock(), SameSeries(), RepeatedBars()]

    def see(self, part: pl.DataFrame, codes: npt.NDArray[np.uint32], rows: Int64s) -> None:
        """Look at a part of the bars; each symbol's bars come in the order of time.

        Args:
            part: Bars that keep every rule.
            codes: Number of each row's symbol.
            rows: Physical row of each in its source.
        """
        for first in range(0, part.height, _AT_ONCE):
            here = slice(first, first + _AT_ONCE)
            self._waiting.append((part.select("open_instant", *SEEN)[here], codes[here], rows[here]))
            waiting = sum(len(each) for _, each, _ in self._waiting)
            if waiting >= (_LEARNED_FROM if self._carried is None else _TIMES_CARRIED * len(self._carried["code"])):
                self.look()

    def look(self) -> None:
        """Look at the bars that wait for others, so as not to be looked at in too small parts."""
        if not self._waiting or not self.in_order:
            return
        parts, codes, rows = zip(*self._waiting, strict=True)
        self._waiting = []
        part = parts[0] if len(parts) == 1 else pl.concat(parts, rechunk=True)
        bars = SymbolRows.of(part, np.concatenate(codes), np.concatenate(rows), self._carried)
        self.in_order = bars.in_order
        if not self.in_order:
            return
        places = BarPlaces(bars, self._grid_of(part))
        for tally in self._tallies.values():
            tally.see(bars, places)
        for series in self._series:
            series.see(bars, places)
        self._carried = bars.tail()

    def close(self, names: Sequence[str], file: str | None) -> None:
        """Conclude.

        Args:
            names: Symbols by their numbers.
            file: Where the bars lie, for messages.

        Raises:
            DataValidationError: The level is paranoid, and something was found that is not accepted.
        """
        self.look()
        found = [each for tally in self._tallies.values() for each in tally.findings(names, self._splits)]
        found += self._at_the_end(names)
        found += [each for series in self._series for each in series.findings(names)]
        found += one_name_in_two_cases(names)
        self.findings += found
        self.judge(file)

    def judge(self, file: str | None) -> None:
        """Refuse what was found so far, where the level is paranoid.

        Raises:
            DataValidationError: Something was found that is not accepted.
        """
        if self._level == "paranoid":
            refused = [each for each in self.findings if each.severity != "note" and each.what not in self._accept]
            raise_violations(as_violations(refused, file))

    def _at_the_end(self, names: Sequence[str]) -> Iterator[Finding]:
        """Yield what shows on the last bars of symbols only."""
        if self._carried is None or self._grid is None:
            return
        bars, tally = SymbolRows(self._carried), _Tally(AT_THE_END)
        tally.see(bars, BarPlaces(bars, self._grid))
        yield from tally.findings(names, self._splits)

    def _grid_of(self, part: pl.DataFrame) -> SessionGrid:
        """Return the sessions around all bars seen so far, for bars carried from long ago have their place too."""
        stamps = instants(part["timestamp"]).to_numpy()
        first, last = min(self._first, int(stamps.min())), max(self._last, int(stamps.max()))
        self._first, self._last = first, last
        grid = self._grid
        if grid is None:
            grid = grid_over(first, last, self._calendar, 0)
            step = step_of(part.head(_LEARNED_FROM), grid)
            grid = grid_over(first, last, self._calendar, step) if step else grid
        elif first < grid.opens[0] or last > grid.closes[-1]:
            grid = grid_over(first, last, self._calendar, grid.step)
        self._grid = grid
        return grid


class _Tally:
    """What one detector found, by symbol."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        # Splits are kept one by one, because one by one they may be declared.
        self._one_by_one = detector.code == SPLIT
        self._found: dict[int, list[_Place]] = {}

    def see(self, bars: SymbolRows, places: BarPlaces) -> None:
        positions, counts = self._detector.find(bars, places)
        fresh = bars.is_fresh(positions)
        positions, counts = positions[fresh], counts[fresh]
        if not len(positions):
            return
        codes, blamed = bars.at("code", positions), positions - self._detector.behind
        starts = np.union1d([0], np.flatnonzero((np.diff(codes, prepend=codes[0]) != 0) | self._one_by_one))
        ends = np.append(starts[1:], len(codes)) - 1
        lasts, sums = bars.timestamps[blamed[ends]].tolist(), np.add.reduceat(counts, starts).tolist()
        for start, last, count in zip(starts.tolist(), lasts, sums, strict=True):
            known = self._found.setdefault(int(codes[start]), [])
            if known and not self._one_by_one:
                # A symbol's bars are seen in the order of time: its first place stays the first.
                known[0] = replace(known[0], last=last, count=known[0].count + count)
            else:
                known.append(_place(bars, int(blamed[start]), last, count))

    def findings(self, names: Sequence[str], splits: Collection[tuple[str, str]]) -> Iterator[Finding]:
        of = self._detector
        for code, found in self._found.items():
            places = [each for each in found if not (self._one_by_one and each.is_declared(names[code], splits))]
            if places:
                first, count = places[0], sum(each.count for each in places)
                what = (first.text, of.severity, of.meaning, of.hint, first.row)
                yield Finding(of.code, names[code], first.first, places[-1].last, count, *what)


@dataclass(frozen=True)
class _Place:
    """Where the bars of one symbol have a defect: from when to when, how often, the first of them."""

    first: int
    last: int
    count: int
    row: int
    text: str

    def is_declared(self, symbol: str, splits: Collection[tuple[str, str]]) -> bool:
        return (symbol, f"{to_datetime(self.first):%F}") in splits


def _place(bars: SymbolRows, at: int, last: int, count: int) -> _Place:
    """Return a place that begins at a bar: told with its numbers, and the close before it."""
    first = int(bars.timestamps[at])
    text = f"{to_datetime(first):%Y-%m-%d %H:%M}"
    for name in SEEN[1:]:
        text += f" {name}={bars.at(name, at):g}"
    text += "" if bars.is_first[at] else f", close before={bars.close[at - 1]:g}"
    return _Place(first, last, count, int(bars.at("row", at)), text)
