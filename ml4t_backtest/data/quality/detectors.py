"""What may fool somebody although no rule is broken: one small function per defect, each with its rule.

A detector is asked of bars by symbol and time and returns the positions of bars at which a defect shows, with how many
each stands for. It looks at a bar and at no more than `LOOK_BACK` bars before, so that the answer does not depend on
the parts a file is read in. What is right on some honest data stands with the detector: a finding is a question, not a
verdict.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ml4t_backtest.data.quality.session_grid import BarPlaces
from ml4t_backtest.data.quality.symbol_rows import SymbolRows

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Int64s = npt.NDArray[np.int64]
Found = tuple[Int64s, Int64s]
Severity = Literal["note", "doubt", "defect"]

SPLIT = "DQ-SPLIT?"
FROZEN_BARS = 60
SPLIT_RATIOS = (1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 15.0, 20.0, 25.0, 30.0, 50.0)
SPLIT_TOLERANCE = 0.065
SCALES = (100.0, 1_000.0, 10_000.0)
_DAY = 86_400_000_000
_REUSED_AFTER = 180 * _DAY
# A close moves at least that much and comes back: between two bars of a session, and between two sessions.
_SPIKE_WITHIN, _SPIKE_OVER = np.log(1.1), np.log(1.4)
_WICK = 3.0


def zero_volume(bars: SymbolRows, places: BarPlaces) -> Found:
    """Volume 0 although high differs from low: prices moved without a trade. Honest for indices and quotes."""
    empty = bars.that_came(bars.came("volume") == 0)
    return _ones(empty[bars.at("high", empty) != bars.at("low", empty)])


def outside_session(bars: SymbolRows, places: BarPlaces) -> Found:
    """A bar that closes when the exchange is closed: holiday, half day, wrong clock. Honest for extended hours."""
    return _ones(bars.at_moments(bars.moment_times <= places.opens))


def off_grid(bars: SymbolRows, places: BarPlaces) -> Found:
    """An intraday close that is no whole number of bars after the open, nor the close of the session."""
    if places.is_daily:
        return _NOTHING
    off = (bars.moment_times - places.opens) % places.step != 0
    return _ones(bars.at_moments(off & (bars.moment_times != places.closes)))


def shifted_session(bars: SymbolRows, places: BarPlaces) -> Found:
    """A daily bar that is not complete at the close of its session: stamped at another hour or a day off."""
    if not places.is_daily:
        return _NOTHING
    return _ones(bars.at_moments(bars.moment_times != places.closes))


def missing_bars(bars: SymbolRows, places: BarPlaces) -> Found:
    """How many places of the grid lie empty between a bar and the symbol's bar before it.

    Nothing is missing before a symbol's first bar or after its last. Honest for halts, and for minutes without a
    trade of a thinly traded symbol.
    """
    numbers = places.numbers
    found = np.flatnonzero(numbers[1:] > numbers[:-1] + 1) + 1
    found = found[~bars.is_first[found]]
    return found, (numbers[found] - numbers[found - 1] - 1).astype(np.int64)


def frozen_feed(bars: SymbolRows, places: BarPlaces) -> Found:
    """The same close for 60 bars running with volume on the last: a feed that repeats. Honest for pegged prices."""
    before = FROZEN_BARS - 1
    still = np.flatnonzero(bars.close[before:] == bars.close[:-before]) + before
    still = still[bars.since(still) >= before]
    if not len(still):
        return _NOTHING
    moves = np.cumsum(np.diff(bars.close, prepend=bars.close[0]) != 0)
    run = still[moves[still] == moves[still - before]]
    return _ones(run[bars.at("volume", run) > 0])


def price_spike(bars: SymbolRows, places: BarPlaces) -> Found:
    """A price that is nowhere near its neighbours, and is back on the next bar: a bad tick.

    Rule: the close moves 40 % (10 % within a session) and the next is within a quarter of that (in logarithms) of the
    one before; or a high or low is 3 times away from everything beside it. Honest on days like 2010-05-06.
    """
    jump = _Jump(bars)
    within = (places.sessions_at(jump.at - 1) == places.sessions_at(jump.at - 2)) & (not places.is_daily)
    far = np.abs(jump.closes) >= np.where(within, _SPIKE_WITHIN, _SPIKE_OVER)
    back = np.abs(jump.closes + jump.following) <= np.abs(jump.closes) / 4
    return _ones(jump.at[(far & back) | jump.has_wick()])


def unadjusted_split(bars: SymbolRows, places: BarPlaces) -> Found:
    """A new session opens at 1/2, 1/3, 2/3, ... (or the inverse) of the close before and stays there.

    Near is within 6.5 % of the ratio's logarithm: 4.6 % of the price at 1/2, 2.7 % at 2/3, where honest falls are many,
    16 % at 1/10. Half of the way back by the next close makes it no split. Honest for a fall that happens to be near
    such a ratio: look at the corporate actions of that day.
    """
    jump = _Jump(bars)
    stays = np.abs(_moves(bars.at("open", jump.at - 1), bars.close[jump.at])) < np.abs(jump.opens) / 2
    overnight = places.sessions_at(jump.at - 1) != places.sessions_at(jump.at - 2)
    near = _near(jump.opens, SPLIT_RATIOS, SPLIT_TOLERANCE * np.log(SPLIT_RATIOS))
    return _ones(jump.at[near & stays & overnight & ~jump.undoes(jump.opens)])


def scale_jump(bars: SymbolRows, places: BarPlaces) -> Found:
    """The close is 100, 1,000 or 10,000 times (or a part of) the one before, within a fifth, and stays: cents."""
    jump = _Jump(bars)
    stays = np.abs(jump.following) < np.log(1.5)
    near = _near(jump.closes, SCALES, np.full(len(SCALES), np.log(1.2)))
    return _ones(jump.at[near & stays & ~jump.undoes(jump.closes)])


def reused_symbol(bars: SymbolRows, places: BarPlaces) -> Found:
    """Half a year without a bar, then a price at twice or half: perhaps another company under an old name."""
    at = np.flatnonzero(bars.steps >= _REUSED_AFTER) + 1
    at = at[~bars.is_first[at]]
    return _ones(at[np.abs(_moves(bars.close[at - 1], bars.at("open", at))) >= np.log(2.0)])


def jump_at_the_end(bars: SymbolRows, places: BarPlaces) -> Found:
    """The close of a symbol's last bar is 40 % away from the one before: whether it stays there nobody knows yet.

    Asked at the end only, of the last bars of all symbols. Honest for a company that ended in a crash.
    """
    last = bars.ends[bars.ends - bars.begins > 1] - 1
    return _ones(last[np.abs(_moves(bars.close[last - 1], bars.close[last])) >= _SPIKE_OVER])


def _near(moves: Floats, ratios: tuple[float, ...], tolerances: Floats) -> Bools:
    """Return which logarithmic moves, up or down, are by one of some ratios, within the tolerance of each."""
    near: Bools = (np.abs(np.abs(moves)[:, None] - np.log(ratios)) <= tolerances).any(axis=1)
    return near


def _moves(before: Floats, after: Floats) -> Floats:
    """Return logarithmic moves between prices; NaN, which is like nothing, where one of them is not positive."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((before > 0) & (after > 0), np.log(after / before), np.nan)


class _Jump:
    """Bars behind a bar that jumped, so that it is known whether the price stayed there.

    Attributes:
        at: Positions: two bars before stands the last price from before the jump.
        opens: Logarithmic move from that close to the next open.
        closes: From that close to the next close.
        following: From there to the close of the bar itself.
    """

    def __init__(self, bars: SymbolRows) -> None:
        self.at = bars.behind_jumps
        jumped = self.at - 1
        self._before, last = bars.close[self.at - 2], bars.close[jumped]
        self._open, self._high, self._low = bars.at("open", jumped), bars.high[jumped], bars.low[jumped]
        self.opens = _moves(self._before, self._open)
        self.closes = _moves(self._before, last)
        self.following = _moves(last, bars.close[self.at])
        earlier = _moves(bars.close[self.at - 3], self._before)
        self._earlier = np.where(bars.since(self.at) >= 3, earlier, 0.0)
        self._most, self._least = np.maximum(self._open, last), np.minimum(self._open, last)

    def undoes(self, moves: Floats) -> Bools:
        """Return where a move takes back the one of the bar before."""
        return np.abs(self._earlier + moves) <= np.abs(moves) / 4

    def has_wick(self) -> Bools:
        """Return where the high or the low is far from the bar's other prices and from the close before."""
        up = (self._high > _WICK * self._most) & (self._high > _WICK * self._before)
        down = (self._low * _WICK < self._least) & (self._low * _WICK < self._before)
        wick: Bools = up | down
        return wick


def _ones(positions: Int64s) -> Found:
    return positions, np.ones(len(positions), dtype=np.int64)


_NOTHING = _ones(np.zeros(0, dtype=np.int64))


@dataclass(frozen=True)
class Detector:
    """One kind of finding.

    Attributes:
        code: Stable code.
        find: The function; its docstring is the rule.
        meaning: What it may mean.
        hint: What to do.
        severity: How likely the data is wrong: `doubt` may be right, `defect` hardly is.
        behind: How many bars before the one it is found at the defect lies.
    """

    code: str
    find: Callable[[SymbolRows, BarPlaces], Found]
    meaning: str
    hint: str
    severity: Severity = "doubt"
    behind: int = 0


DETECTORS = (
    Detector(
        "DQ-ZEROVOL",
        zero_volume,
        "prices moved in bars without volume: nothing can be traded at them",
        "cap fills by volume (max_volume_share)",
    ),
    Detector(
        "DQ-SESSION",
        outside_session,
        "bars outside the sessions of the calendar: another clock, another exchange, or extended hours",
        "check calendar, timezone and bar_label",
    ),
    Detector(
        "DQ-GRID",
        off_grid,
        "bars between the places where bars belong: another time zone, or stamps that are not exact",
        "check timezone, or round the timestamps in the source",
    ),
    Detector(
        "DQ-SHIFT",
        shifted_session,
        "daily bars that are not stamped at their session's close: half days stamped at the usual hour "
        "(bar_label: session reads their date), or a day early or late",
        "declare bar_label: session, or repair the dates",
        "defect",
    ),
    Detector("DQ-GAP", missing_bars, "bars are missing inside a symbol's life", "complete the source"),
    Detector(
        "DQ-STALE",
        frozen_feed,
        f"the close has not moved for {FROZEN_BARS} bars: the feed may have stood still",
        "ask the source",
    ),
    Detector(
        "DQ-SPIKE",
        price_spike,
        "a price far from its neighbours that is back at once: a bad tick",
        "drop or repair the bar",
        "defect",
        behind=1,
    ),
    Detector(
        SPLIT,
        unadjusted_split,
        "the price jumped overnight by the ratio of a split: perhaps not adjusted",
        "declare corporate actions (adjustment: none) or use adjusted prices",
        "defect",
        behind=1,
    ),
    Detector(
        "DQ-SCALE",
        scale_jump,
        "the price changed its unit: cents, ticks or another currency",
        "rescale the source",
        "defect",
        behind=1,
    ),
    Detector(
        "DQ-REUSE",
        reused_symbol,
        "the name may belong to another company since",
        "give the later one a name of its own",
    ),
)
AT_THE_END = Detector(
    "DQ-LAST",
    jump_at_the_end,
    "a price jumped on the very last bar: a bad tick, a split, or news",
    "look at it, and at the next bar when there is one",
)
