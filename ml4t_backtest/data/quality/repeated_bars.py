"""Bars that repeat open, high and low of a later bar: look-ahead inside published data, or coincidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from ml4t_backtest.core.instants import to_datetime
from ml4t_backtest.data.quality.data_quality import Finding
from ml4t_backtest.data.quality.session_grid import BarPlaces
from ml4t_backtest.data.quality.symbol_rows import LOOK_BACK, SymbolRows

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
# Symbol, timestamps of both bars, physical row of the first, open, high and low.
_Pair = tuple[int, int, int, int, float, float, float]
_MIX = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93], dtype=np.uint64)
_BUCKET_BITS = 20
# Sum of 1 / sqrt(bars) over the look-back: a price drifts away, and with it the chance to stand at the same ticks.
_LAGS = float((1 / np.sqrt(np.arange(1, LOOK_BACK + 1))).sum())

# A tick is the greatest of these of which three in ten of a symbol's first closes are multiples. Many minute closes
# stand between ticks (averages, midpoints); prices on a finer tick hit a coarser one in a tenth.
_TICKS = 10.0 ** -np.arange(7)
_FIRST_CLOSES, _ON_TICK = 1_000, 0.3
# Widths from a ten-millionth to a million, eight between one power of two and the next: the leading bits of a number.
_SHIFT = 49
_NARROWEST, _WIDEST = (int(np.float64(width).view(np.int64)) >> _SHIFT for width in (1e-7, 1e6))
_BINS = _WIDEST - _NARROWEST + 1


class RepeatedBars:
    """A bar with the very open, high and low of one of the 64 bars of its symbol after it, high above low.

    Published files hold bars that were overwritten with another day's: who trades on the first one knows the second.
    Coincidence is weighed: two bars at the same level whose range is n ticks agree in three prices with a chance of
    about 1 / n^3, and the level drifts away with the square root of the bars between; so a bar meets its like by chance
    `_LAGS / n^3` times. Three times as many as that, and three more, are no coincidence. Minute bars of a few ticks
    agree often.
    """

    def __init__(self) -> None:
        self._pairs: list[_Pair] = []
        self._chance = _Chance()
        self._last = np.empty(2**_BUCKET_BITS, dtype=np.int32)

    def see(self, bars: SymbolRows, places: BarPlaces) -> None:
        """Find the pairs whose later bar is fresh."""
        self._chance.see(bars)
        among = self._that_share_a_bucket(bars)
        prices = [bars.at(name, among) for name in ("code", "open", "high", "low")]
        keys = _keys(*prices)
        order = np.argsort(keys, kind="stable")
        alike = np.flatnonzero(keys[order[1:]] == keys[order[:-1]])
        earlier, later = order[alike], order[alike + 1]
        same = np.ones(len(alike), dtype=bool)
        for values in prices:
            same &= values[earlier] == values[later]
        earlier, later = among[earlier[same]], among[later[same]]
        near = (later - earlier <= LOOK_BACK) & bars.is_fresh(later)
        self._pairs += [_pair(bars, *pair) for pair in zip(earlier[near].tolist(), later[near].tolist(), strict=True)]

    def _that_share_a_bucket(self, bars: SymbolRows) -> Int64s:
        """Return the positions of all bars that may be alike, and of few others: quicker than sorting all."""
        keys = _keys(*(bars.came(name) for name in ("code", "open", "high", "low")))
        buckets = (keys >> np.uint64(64 - _BUCKET_BITS)).astype(np.int32)
        numbers = np.arange(len(buckets), dtype=np.int32)
        # One bar of each bucket stays; whoever reads another number there shares the bucket with it.
        self._last[buckets] = numbers
        there = self._last[buckets]
        shares = there != numbers
        shares[there[shares]] = True
        return bars.that_came(shares & (bars.came("high") > bars.came("low")))

    def findings(self, names: Sequence[str]) -> Iterator[Finding]:
        """Yield one finding for all symbols, and one per symbol."""
        if not self._pairs:
            return
        by_chance = self._chance.expected()
        severity = "defect" if len(self._pairs) > 3 * by_chance + 3 else "note"
        # By symbol and time, whatever the parts were.
        ordered = sorted(self._pairs)
        days = Counter((pair[1], pair[2]) for pair in ordered)
        (first, last), most = min(days.items(), key=lambda item: (-item[1], item[0]))
        yield self._finding(
            None,
            ordered,
            f"{by_chance:.1f} expected by coincidence; most: {most} symbols, {_day(first)} as {_day(last)}",
            severity,
        )
        for code, pairs in groupby(ordered, key=lambda pair: pair[0]):
            own = list(pairs)
            _, one, other, _, opened, high, low = own[0]
            text = f"{_day(one)} has open {opened:g}, high {high:g}, low {low:g} of {_day(other)}"
            yield self._finding(names[code], own, text, severity)

    def _finding(self, symbol: str | None, pairs: Sequence[_Pair], text: str, severity: str) -> Finding:
        return Finding(
            "DQ-REPEAT",
            symbol,
            min(pair[1] for pair in pairs),
            max(pair[1] for pair in pairs),
            len(pairs),
            text,
            severity,
            "bars hold the open, high and low of a later bar: its range was known before it happened",
            "drop the earlier bars or take them from another source",
            pairs[0][3],
        )


class _Chance:
    """How many bars would repeat by coincidence, from how many ticks wide they are.

    Kept as counts of whole numbers, so that the parts in which bars come make no difference.
    """

    def __init__(self) -> None:
        self._widths = np.zeros((0, _BINS), dtype=np.int64)
        # Per symbol: closes that were looked at, and how many are multiples of each tick.
        self._on_tick = np.zeros((0, 1 + len(_TICKS)), dtype=np.int64)

    def see(self, bars: SymbolRows) -> None:
        """Count widths, and learn the ticks of symbols that have not had their first closes yet."""
        missing = max(int(bars.present[-1]) + 1 - len(self._widths), 0)
        self._widths, self._on_tick = (np.pad(each, ((0, missing), (0, 0))) for each in (self._widths, self._on_tick))
        code, high, low = (bars.came(name)[bars.carried :] for name in ("code", "high", "low"))
        bins = ((high - low).view(np.int64) >> _SHIFT) - _NARROWEST
        wide = np.clip(bins, 0, _BINS - 1)[high > low]
        cells = code[high > low].astype(np.int64) * _BINS + wide
        self._widths += np.bincount(cells, minlength=self._widths.size).reshape(self._widths.shape)
        self._learn_ticks(bars)

    def _learn_ticks(self, bars: SymbolRows) -> None:
        for code, begin, end in zip(bars.present, bars.begins, bars.ends, strict=True):
            left = _FIRST_CLOSES - self._on_tick[code, 0]
            if left <= 0:
                continue
            positions = np.arange(begin, end)
            close = bars.close[positions[bars.is_fresh(positions)][:left]]
            steps = close[:, None] / _TICKS
            hits = (np.abs(steps - np.round(steps)) < 1e-4).sum(axis=0)
            self._on_tick[code] += np.concatenate([[len(close)], hits])

    def expected(self) -> float:
        """Return how many."""
        looked_at, hits = self._on_tick[:, :1], self._on_tick[:, 1:]
        fits = hits >= _ON_TICK * np.maximum(looked_at, 1)
        ticks = _TICKS[np.where(fits.any(axis=1), fits.argmax(axis=1), len(_TICKS) - 1)]
        leading = np.arange(_NARROWEST, _WIDEST + 1) << _SHIFT
        widths = (leading + (1 << (_SHIFT - 1))).view(np.float64)
        apart = np.maximum(widths / ticks[:, None], 1.0) + 1.0
        # One symbol after the other, so that the last bits depend on nothing else.
        return float(np.cumsum(self._widths * np.minimum(_LAGS / apart**3, 1.0))[-1])


def _pair(bars: SymbolRows, one: int, other: int) -> _Pair:
    opened, high, low = (float(bars.at(name, one)) for name in ("open", "high", "low"))
    stamps = int(bars.at("timestamp", one)), int(bars.at("timestamp", other))
    return (int(bars.at("code", one)), *stamps, int(bars.at("row", one)), opened, high, low)


def _keys(codes: npt.NDArray[np.uint32], *prices: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    mixed: npt.NDArray[np.uint64] = codes.astype(np.uint64) * _MIX[0]
    for values, factor in zip(prices, _MIX[1:], strict=True):
        mixed = (mixed ^ values.view(np.uint64)) * factor
        mixed ^= mixed >> np.uint64(31)
    return mixed


def _day(moment: int) -> str:
    return f"{to_datetime(moment):%Y-%m-%d %H:%M}"
