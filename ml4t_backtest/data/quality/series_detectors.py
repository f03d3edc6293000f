"""What shows only over many bars or between symbols: each collects a little of every part and concludes at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from ml4t_backtest.core.instants import to_instant
from ml4t_backtest.data.quality.data_quality import Finding
from ml4t_backtest.data.quality.session_grid import BarPlaces
from ml4t_backtest.data.quality.symbol_rows import SymbolRows
from ml4t_backtest.data.row_index import Spans

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_MINUTE, _HALF_HOUR = 60_000_000, 1_800_000_000
# More than any time has minutes since 1970.
_MINUTES = 2**32
_HALF_HOURS = 48
_WINDOW = 28 * 86_400_000_000
_LEAST_BARS, _LEAST_MOVES = 15, 10
# Odd constants of SplitMix64: every bit of a price reaches every bit of the sum.
_MIX = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93], dtype=np.uint64)


class SeriesDetector(Protocol):
    """Looks at all bars and says at the end what it found."""

    def see(self, bars: SymbolRows, places: BarPlaces) -> None:
        """Take in the fresh bars of a part."""
        ...

    def findings(self, names: Sequence[str]) -> Iterator[Finding]:
        """Yield what was found; `names` are the symbols by their numbers."""
        ...


class FromFloat32:
    """Prices that went through 32 bits: all are exact in 32 bits and most have more than six decimals.

    Rounded, highs and lows come to lie on the wrong side of opens and closes, and levels are missed. Prices in
    binary fractions (quarters, eighths) are exact too, but short.
    """

    def __init__(self) -> None:
        self._exact, self._rows, self._long = True, 0, 0
        self._first = self._last = 0

    def see(self, bars: SymbolRows, places: BarPlaces) -> None:
        """Take in the fresh bars of a part; after the first price that needs 64 bits there is nothing left to ask."""
        if not self._exact:
            return
        close, stamps = bars.came("close")[bars.carried :], bars.came("timestamp")[bars.carried :]
        self._exact = bool((close.astype(np.float32) == close).all())
        self._long += int((np.round(close, 6) != close).sum()) if self._exact else 0
        self._first = min(self._first or int(stamps.min()), int(stamps.min()))
        self._last, self._rows = max(self._last, int(stamps.max())), self._rows + len(close)

    def findings(self, names: Sequence[str]) -> Iterator[Finding]:
        """Yield one finding for all symbols."""
        if self._exact and self._rows and self._long > self._rows / 2:
            yield Finding(
                "DQ-F32",
                None,
                self._first,
                self._last,
                self._rows,
                "all closes are numbers of 32 bits",
                "doubt",
                "prices were kept in 32 bits and are off by up to 6e-8 of themselves",
                "round them to ticks in the source",
            )


class MixedLabels:
    """Intraday bars stamped at the other end than the rest: a bar closes at most opens and hardly ever at the close.

    Rule: in at least a fifth of a symbol's sessions, and in two, a bar closes at the very open and none at the close;
    or one closes a bar after the close before, and none at the end of the first bar. A source may have changed its
    labels at some time. Extended hours have all of these, and are left alone. A session with a break at noon counts as
    two.
    """

    def __init__(self) -> None:
        self._sessions = np.zeros((1, 0), dtype=np.int64)
        self._early, self._late = _Lonely(), _Lonely()
        self._spans = Spans()

    def see(self, bars: SymbolRows, places: BarPlaces) -> None:
        """Look at the bars at the ends of sessions."""
        if places.is_daily:
            return
        times, step = bars.moment_times, places.step
        self._early.see(bars, places, times == places.opens, times == places.closes)
        self._late.see(bars, places, times == places.closed_before + step, times == places.opens + step)
        begins = bars.is_first.copy()
        begins[1:] |= places.stretches[1:] != places.stretches[:-1]
        found = np.flatnonzero(begins)
        fresh = bars.at("code", found[bars.is_fresh(found)])
        self._sessions = _added(self._sessions, np.bincount(fresh, minlength=_size(bars))[None, :])
        _stretch(self._spans, bars)

    def findings(self, names: Sequence[str]) -> Iterator[Finding]:
        """Yield one finding per symbol whose bars lie a bar early or late."""
        (sessions,) = self._sessions
        early, late = self._early.by_symbol(len(sessions)), self._late.by_symbol(len(sessions))
        many = np.maximum(early, late)
        for code in np.flatnonzero((5 * many >= sessions) & (many > 1)).tolist():
            word = "the open and none at the close" if early[code] >= late[code] else "the close, one bar late,"
            yield Finding(
                "DQ-LABEL",
                names[code],
                *self._spans.of(code),
                int(many[code]),
                f"bars end at {word} of {many[code]} of {sessions[code]} sessions",
                "defect",
                "bars are labelled at their other end: each is known a bar earlier or later than said",
                "declare bar_label for this source on its own",
            )


class _Lonely:
    """Sessions of symbols in which a bar closes at one moment and none at another one after it."""

    def __init__(self) -> None:
        # Symbol and opening minute of the session in one number, of those that still have no other bar.
        self._waiting = np.empty(0, dtype=np.int64)

    def see(self, bars: SymbolRows, places: BarPlaces, one: Bools, other: Bools) -> None:
        """Take in a part of the bars; `one` and `other` are chosen of its moments."""
        begun, answered = (self._sessions_of(bars, places, moments) for moments in (one, other))
        waiting = np.union1d(self._waiting, begun)
        self._waiting = waiting[~np.isin(waiting, answered)]

    @staticmethod
    def _sessions_of(bars: SymbolRows, places: BarPlaces, moments: Bools) -> Int64s:
        at = bars.at_moments(moments)
        at = at[bars.is_fresh(at)]
        opened = places.opens[bars.moments[at]] // _MINUTE + _MINUTES // 2 if len(at) else at
        return bars.at("code", at).astype(np.int64) * _MINUTES + opened

    def by_symbol(self, symbols: int) -> Int64s:
        """Return how many sessions of each symbol were left without the other bar."""
        return np.bincount(self._waiting // _MINUTES, minlength=symbols)


class WrongClock:
    """Intraday bars of regular hours by another clock: moved by some half hours, all of them would be in session.

    Rule: as they are, less than 90 % of a symbol's bars are inside a session; moved by one number of half hours, at
    least 99 % are. Asked apart of sessions that open at different times of the day in UTC, summer and winter: a clock
    that does not change with the exchange's is wrong in one of them, or by another hour in each. Extended hours fit
    nowhere and are left alone.
    """

    def __init__(self) -> None:
        # By time of the day at which sessions open, in half hours.
        self._counts: dict[int, Int64s] = {}
        self._spans = Spans()
        self._length = 0

    def see(self, bars: SymbolRows, places: BarPlaces) -> None:
        """Count the bars by the half hour of their session."""
        if places.is_daily:
            return
        self._length = -(-places.session_length // _HALF_HOUR)
        slot = (bars.moment_times - 1 - places.session_opens) // _HALF_HOUR % _HALF_HOURS
        opened = places.session_opens // _HALF_HOUR % _HALF_HOURS
        moments, codes = bars.came_moments[bars.carried :], bars.came("code")[bars.carried :]
        size = _size(bars)
        for time in np.unique(opened).tolist():
            here = (opened == time)[moments]
            cells = (slot * size)[moments[here]] + codes[here]
            counted = np.bincount(cells, minlength=_HALF_HOURS * size).reshape(_HALF_HOURS, size)
            self._counts[time] = _added(self._counts.get(time, counted[:, :0]), counted)
        _stretch(self._spans, bars)

    def findings(self, names: Sequence[str]) -> Iterator[Finding]:
        """Yield one finding per symbol that fits by another clock."""
        found: dict[int, list[tuple[int, str]]] = {}
        for time, counts in sorted(self._counts.items()):
            for code, outside, text in self._that_fit_elsewhere(counts):
                found.setdefault(code, []).append((outside, f"{text} (sessions from {_as_time(time)} UTC)"))
        for code, parts in sorted(found.items()):
            yield Finding(
                "DQ-CLOCK",
                names[code],
                *self._spans.of(code),
                sum(outside for outside, _ in parts),
                "; ".join(text for _, text in parts),
                "defect",
                "the timestamps are of another time zone than declared",
                "declare the timezone of the source",
            )

    def _that_fit_elsewhere(self, counts: Int64s) -> Iterator[tuple[int, int, str]]:
        """Yield symbols with how many of their bars are out of session, and what the clock would have to be."""
        every = counts.sum(axis=0)
        inside = np.stack([np.roll(counts, -ahead, axis=0)[: self._length].sum(axis=0) for ahead in range(_HALF_HOURS)])
        best = inside.argmax(axis=0)
        fits = (inside[0] < 0.9 * every) & (inside.max(axis=0) >= 0.99 * every) & (every > 0)
        for code in np.flatnonzero(fits).tolist():
            hours = (best[code] if best[code] <= 24 else best[code] - _HALF_HOURS) / 2
            share = inside[0, code] / every[code]
            yield code, int(every[code] - inside[0, code]), f"{share:.0%} in session; moved by {-hours:+g} h, all"


class SameSeries:
    """One series under several names: the same bars, to the last bit, over 28 days.

    Rule: within a window of 28 days (counted from 1970) two symbols have the same timestamps, opens, highs, lows and
    closes; at least 15 bars with at least 10 moves of the close, so that two halted symbols are not taken for one.
    """

    def __init__(self) -> None:
        self._parts: list[pl.DataFrame] = []

    def see(self, bars: SymbolRows, places: BarPlaces) -> None:
        """Add up the bars of each symbol and window."""
        window = (bars.moment_times // _WINDOW)[bars.moments]
        begins = bars.is_first.copy()
        begins[1:] |= window[1:] != window[:-1]
        starts = np.flatnonzero(begins)
        fresh = bars.is_fresh(slice(None))
        moved = (np.diff(bars.close, prepend=0.0) != 0) & fresh & ~bars.is_first
        sums = np.where(fresh, _mixed(bars.timestamps, bars.open, bars.high, bars.low, bars.close), np.uint64(0))
        self._parts.append(
            pl.DataFrame(
                {
                    "code": bars.at("code", starts),
                    "window": window[starts],
                    "sum": np.add.reduceat(sums, starts),
                    "bars": np.add.reduceat(fresh.astype(np.int64), starts),
                    "moves": np.add.reduceat(moved.astype(np.int64), starts),
                }
            )
        )

    def findings(self, names: Sequence[str]) -> Iterator[Finding]:
        """Yield one finding per group of names."""
        if not self._parts:
            return
        windows = pl.concat(self._parts).group_by("code", "window").agg(pl.col("sum", "bars", "moves").sum())
        full = windows.filter((pl.col("bars") >= _LEAST_BARS) & (pl.col("moves") >= _LEAST_MOVES))
        alike = full.group_by("window", "sum", "bars").agg(pl.col("code").sort()).filter(pl.col("code").list.len() > 1)
        groups = alike.group_by("code").agg(pl.col("bars").sum(), pl.col("window").min(), last=pl.col("window").max())
        for codes, bars, first, last in sorted(groups.iter_rows()):
            one, *others = sorted(names[code] for code in codes)
            yield Finding(
                "DQ-COPY",
                one,
                first * _WINDOW,
                (last + 1) * _WINDOW,
                bars,
                f"{bars} bars are those of {', '.join(others)}",
                "defect",
                "one series goes under several names: a position in each is one position",
                "keep one of them, or map the symbols again",
            )


def _stretch(spans: Spans, bars: SymbolRows) -> None:
    """Take in the first and the last bar of each symbol."""
    for ends in (bars.begins, bars.ends - 1):
        spans.see(bars.at("code", ends), bars.timestamps[ends])


def _as_time(half_hours: int) -> str:
    return f"{half_hours // 2:02}:{half_hours % 2 * 30:02}"


def one_name_in_two_cases(names: Sequence[str]) -> Iterator[Finding]:
    """Yield symbols that differ only in upper and lower case. Honest where an exchange marks classes by it (BRKb)."""
    spellings: dict[str, list[int]] = {}
    for code, name in enumerate(names):
        spellings.setdefault(name.casefold(), []).append(code)
    for codes in spellings.values():
        if len(codes) > 1:
            one, *others = sorted(names[code] for code in codes)
            yield Finding(
                "DQ-CASE",
                one,
                None,
                None,
                len(codes),
                f"also written {', '.join(others)}",
                "doubt",
                "one symbol may be spelled in several ways, and its history be torn apart",
                "spell it in one way",
            )


def late_revisions(rows: pl.DataFrame, dataset: str) -> Iterator[Finding]:
    """Yield how often a row of signals or context was changed after it was known; see `LateRevisions`."""
    seen = LateRevisions(dataset)
    seen.see(rows)
    yield from seen.findings()


class LateRevisions:
    """Rows of signals or context that were changed after they were known.

    Rule: several rows of one symbol and timestamp that became known at different moments and differ in a value. A
    backtest sees each version in its time; research on the last version alone knew the future. Honest for figures
    that are revised as a rule.
    """

    def __init__(self, dataset: str) -> None:
        self._dataset = dataset
        self._count = 0
        self._stamps: list[datetime] = []
        self._first: tuple[datetime, str, datetime, datetime] | None = None

    def see(self, rows: pl.DataFrame) -> None:
        """Look at rows, all of each symbol that is among them."""
        key = [name for name in ("symbol", "timestamp") if name in rows.columns]
        values = [name for name in rows.columns if name not in (*key, "available_at")]
        if not _repeats(rows, key):
            return
        ordered = rows.sort(*key, "available_at")
        same = pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in key)
        differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift(1)) for name in values)
        late = ordered.with_columns(before=pl.col("available_at").shift(1)).filter(same & differs)
        if late.is_empty():
            return
        self._count += late.height
        self._stamps += [late["timestamp"].min(), late["timestamp"].max()]  # type: ignore[list-item]
        row = late.sort("available_at", *key).row(0, named=True)
        first = (row["available_at"], row.get("symbol", self._dataset), row["timestamp"], row["before"])
        self._first = first if self._first is None else min(self._first, first)

    def findings(self) -> Iterator[Finding]:
        """Yield what was found."""
        if self._first is None:
            return
        known, of, stamp, before = self._first
        yield Finding(
            "DQ-REVISED",
            None,
            to_instant(min(self._stamps)),
            to_instant(max(self._stamps)),
            self._count,
            f"{of} {stamp:%Y-%m-%d}: known {before:%F}, again {known:%F}",
            "note",
            f"{self._dataset} were changed after they were known: each version is used from its own moment on",
        )


def _repeats(rows: pl.DataFrame, key: Sequence[str]) -> bool:
    """Return whether a key repeats; where the rows are in the order of their keys, that is seen in one pass."""
    steps = [(pl.col(name) > pl.col(name).shift(1), pl.col(name) == pl.col(name).shift(1)) for name in key]
    ascends = steps[0][0] if len(steps) == 1 else steps[0][0] | (steps[0][1] & steps[1][0])
    ordered = bool(rows.select(ascends.slice(1).all()).item())
    return not ordered and bool(rows.select(key).is_duplicated().any())


def _mixed(*columns: npt.NDArray[np.int64] | npt.NDArray[np.float64]) -> npt.NDArray[np.uint64]:
    """Return a hash of each row."""
    mixed = np.zeros(len(columns[0]), dtype=np.uint64)
    for number, column in enumerate(columns):
        mixed = (mixed ^ column.view(np.uint64)) * _MIX[number % len(_MIX)]
        mixed ^= mixed >> np.uint64(29)
    return mixed


def _size(bars: SymbolRows) -> int:
    return int(bars.present[-1]) + 1


def _added(total: Int64s, more: Int64s) -> Int64s:
    """Return the sum of two tables of counts by symbol, of which one may know fewer symbols."""
    wide = np.zeros((total.shape[0], max(total.shape[1], more.shape[1])), dtype=np.int64)
    wide[:, : total.shape[1]] += total
    wide[:, : more.shape[1]] += more
    return wide
