"""Bars that repeat open, high and low of a later bar: look-ahead inside published data, or coincidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
import numpy.typing as npt

from ml4t_backtest.core.instants import to_datetime
from ml4t_backtest.data.data_quality import Finding
from ml4t_backtest.data.session_grid import BarPlaces
from ml4t_backtest.data.symbol_rows import LOOK_BACK, SymbolRows

# Symbol, timestamps of both bars, physical row of the first, open, high and low.
_Pair = tuple[int, int, int, int, float, float, float]
_TICKS = 10.0 ** -np.arange(7)
_MIX = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93], dtype=np.uint64)
# Sum of 1 / sqrt(bars) over the look-back: a price drifts away, and with it the chance to stand at the same ticks.
_LAGS = float((1 / np.sqrt(np.arange(1, LOOK_BACK + 1))).sum())
_TICK_BARS = 1_000


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
        self._by_chance = 0.0
        self._ticks = np.zeros(0)

    def see(self, bars: SymbolRows, places: BarPlaces) -> None:
        """Find the pairs whose later bar is fresh."""
        self._learn_ticks(bars)
        spread = bars.high > bars.low
        wide = spread & bars.fresh
        ticks = np.maximum((bars.high[wide] - bars.low[wide]) / self._ticks[bars.codes[wide]], 1.0) + 1.0
        self._by_chance += float(np.minimum(_LAGS / ticks**3, 1.0).sum())
        keys = _keys(bars)
        order = np.argsort(keys, kind="stable")
        alike = np.flatnonzero(keys[order[1:]] == keys[order[:-1]])
        earlier, later = order[alike], order[alike + 1]
        same = np.ones(len(alike), dtype=bool)
        for values in (bars.codes, bars.open, bars.high, bars.low):
            same &= values[earlier] == values[later]
        same &= spread[later] & bars.fresh[later] & (later - earlier <= LOOK_BACK)
        for one, other in zip(earlier[same].tolist(), later[same].tolist(), strict=True):
            self._pairs.append(_pair(bars, one, other))

    def _learn_ticks(self, bars: SymbolRows) -> None:
        """Find the tick of each symbol that was not seen before, from its first bars."""
        starts = np.flatnonzero(bars.since == 0)
        missing = int(bars.codes.max()) + 1 - len(self._ticks)
        self._ticks = np.append(self._ticks, np.zeros(max(missing, 0)))
        for start, end in zip(starts, np.append(starts[1:], len(bars.codes)), strict=True):
            if self._ticks[bars.codes[start]] == 0.0:
                self._ticks[bars.codes[start]] = _tick_of(bars.close[start : min(end, start + _TICK_BARS)])

    def findings(self, names: Sequence[str]) -> Iterator[Finding]:
        """Yield one finding for all symbols, and one per symbol."""
        if not self._pairs:
            return
        chance = len(self._pairs) > 3 * self._by_chance + 3
        severity = "defect" if chance else "note"
        # By symbol and time, whatever the parts were.
        ordered = sorted(self._pairs)
        (first, last), most = Counter((pair[1], pair[2]) for pair in ordered).most_common(1)[0]
        yield self._finding(
            None,
            ordered,
            f"{self._by_chance:.1f} expected by coincidence; most: {most} symbols, {_day(first)} as {_day(last)}",
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


def _pair(bars: SymbolRows, one: int, other: int) -> _Pair:
    opened, high, low = (float(values[one]) for values in (bars.open, bars.high, bars.low))
    stamps = int(bars.timestamps[one]), int(bars.timestamps[other])
    return (int(bars.codes[one]), *stamps, int(bars.rows[one]), opened, high, low)


def _keys(bars: SymbolRows) -> npt.NDArray[np.uint64]:
    mixed: npt.NDArray[np.uint64] = bars.codes.astype(np.uint64) * _MIX[0]
    for values, factor in zip((bars.open, bars.high, bars.low), _MIX[1:], strict=True):
        mixed = (mixed ^ values.view(np.uint64)) * factor
        mixed ^= mixed >> np.uint64(31)
    return mixed


def _tick_of(prices: npt.NDArray[np.float64]) -> float:
    """Return the greatest of 1, 0.1, ..., 0.000001 of which three in ten prices are multiples.

    Many minute closes stand between ticks (averages, midpoints); prices on a finer tick hit a coarser one in a tenth.
    """
    for tick in _TICKS:
        steps = prices / tick
        if (np.abs(steps - np.round(steps)) < 1e-4).mean() >= 0.3:
            return float(tick)
    return float(_TICKS[-1])


def _day(moment: int) -> str:
    return f"{to_datetime(moment):%Y-%m-%d %H:%M}"
