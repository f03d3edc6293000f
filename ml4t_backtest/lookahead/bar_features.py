"""What can be said of a bar by its close, and what only later: the words in which delivered values are read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

LEADS = 20
_LAGS = 12
_WINDOWS = (*range(2, 16), 20, 21)
_HORIZONS = (1, 2, 3, 4, 5, 10, 20, 21)
_OPEN, _HIGH, _LOW, _CLOSE, _VOLUME = (pl.col(name) for name in ("open", "high", "low", "close", "volume"))
_RETURN = _CLOSE / _CLOSE.shift(1) - 1.0
_LOG_VOLUME = (_VOLUME + 1.0).log()


@dataclass(frozen=True)
class Bars:
    """The bars of one symbol in the order of time.

    Attributes:
        frame: Columns `open`, `high`, `low`, `close`, `volume`.
        closed: When each was over, microseconds since 1970 UTC.
        opened: When each opened, likewise; None where nobody says.
    """

    frame: pl.DataFrame
    closed: Integers
    opened: Integers | None

    @property
    def close(self) -> Floats:
        """Their closes."""
        return self.frame["close"].to_numpy()

    @cached_property
    def past(self) -> Floats:
        """What is known at each close, one column each; not a number where there is none."""
        return self._table(past())

    @cached_property
    def ahead(self) -> Floats:
        """What lies ahead of each close."""
        return self._table({str(number): each.value for number, each in enumerate(ahead())})

    @cached_property
    def past_parts(self) -> Floats:
        """The past parts of `ahead`, column by column; 0 where there are none."""
        parts = (pl.lit(0.0) if each.past_part is None else each.past_part for each in ahead())
        return self._table({str(number): part for number, part in enumerate(parts)})

    @cached_property
    def leads(self) -> Floats:
        """The returns of the next bars."""
        return self._table({str(lead): _RETURN.shift(-lead) for lead in range(1, LEADS + 1)})

    def _table(self, expressions: dict[str, pl.Expr]) -> Floats:
        return self.frame.with_columns(**expressions).select(pl.col(list(expressions)).cast(pl.Float64)).to_numpy()


@dataclass(frozen=True)
class Ahead:
    """Something that is known only when later bars are.

    Attributes:
        what: What it is, in words.
        value: Its value, seen from each bar.
        past_part: The same over those of its bars that are known by then; None where there are none.
        is_return: Whether it is what one could earn, rather than anything that can be told of bars.
        horizon: Number of later bars it needs.
    """

    what: str
    value: pl.Expr
    past_part: pl.Expr | None = None
    is_return: bool = False
    horizon: int = 1


@cache
def past() -> dict[str, pl.Expr]:
    """Return what most honest signals are made of, in units of the last close."""
    closes = {f"close {lag} before": _CLOSE.shift(lag) / _CLOSE for lag in range(1, _LAGS + 1)}
    inside = {
        f"{name} {lag} before": pl.col(name).shift(lag) / _CLOSE for lag in (0, 1) for name in ("open", "high", "low")
    }
    size = _RETURN.abs()
    return {
        "level": _CLOSE,
        "inverse": 1.0 / _CLOSE,
        **closes,
        **inside,
        "volume": _LOG_VOLUME,
        "volume before": _LOG_VOLUME.shift(1),
        "size": size,
        "size before": size.shift(1),
        "square": size**2,
        "direction": _RETURN.sign(),
        "volatility 5": _RETURN.rolling_std(5, min_samples=2),
        "volatility 20": _RETURN.rolling_std(20, min_samples=2),
        "average 12": _CLOSE.ewm_mean(span=12) / _CLOSE,
        "average 26": _CLOSE.ewm_mean(span=26) / _CLOSE,
        "mean 50": _CLOSE.rolling_mean(50, min_samples=1) / _CLOSE,
        "mean so far": _CLOSE.cum_sum() / pl.int_range(1, pl.len() + 1) / _CLOSE,
        "highest so far": _HIGH.cum_max() / _CLOSE,
        "lowest so far": _LOW.cum_min() / _CLOSE,
    }


@cache
def ahead() -> tuple[Ahead, ...]:
    """Return what signals that look ahead are made of, in units of the last close."""
    return (*_earned(), *_next_bar(), *_later_windows())


def _earned() -> Iterator[Ahead]:
    for bars in _HORIZONS:
        yield from _with_direction(f"the return over the next {_bars(bars)}", _CLOSE.shift(-bars) / _CLOSE - 1.0, bars)
    next_open, next_close = _OPEN.shift(-1), _CLOSE.shift(-1)
    yield from _with_direction("the next bar's return from open to close", next_close / next_open - 1.0, 1)
    yield from _with_direction("the gap from this close to the next open", next_open / _CLOSE - 1.0, 1)
    yield from _with_direction("the return from the next open to the one after", _OPEN.shift(-2) / next_open - 1.0, 2)
    yield from _with_direction("the return of the bar after the next", _RETURN.shift(-2), 2)


def _with_direction(what: str, value: pl.Expr, horizon: int) -> Iterator[Ahead]:
    yield Ahead(what, value, None, True, horizon)
    yield Ahead(f"the direction of {what.removeprefix('the ')}", value.sign(), None, True, horizon)


def _next_bar() -> Iterator[Ahead]:
    for name in ("high", "low"):
        yield Ahead(f"the next bar's {name}", pl.col(name).shift(-1) / _CLOSE)
    yield Ahead("the next bar's range", (_HIGH - _LOW).shift(-1) / _CLOSE)
    yield Ahead("the next bar's volume", _LOG_VOLUME.shift(-1))
    yield Ahead("the size of the next return", _RETURN.shift(-1).abs())
    for name, value in past().items():
        if not name.endswith("before") and name not in ("level", "inverse"):
            yield Ahead(f"the {name} of the next bar", value.shift(-1), value)


def _later_windows() -> Iterator[Ahead]:
    for window in _WINDOWS:
        for lead in sorted({1, window // 2, window}):
            for what in _STATISTICS:
                until = "" if lead == window else f" of {_bars(window)}, {lead} of them later"
                whole = until or f" of the next {_bars(window)}"
                rest = _statistic(what, window - lead) if window > lead else None
                yield Ahead(f"the {what}{whole}", _statistic(what, window, lead), rest, False, lead)


_STATISTICS = ("mean close", "median close", "volatility", "highest high", "lowest low")


def _statistic(what: str, window: int, lead: int = 0) -> pl.Expr:
    """Return a statistic of the `window` bars up to the one `lead` bars later."""
    if what == "volatility":
        return _RETURN.rolling_std(window, min_samples=min(window, 2)).shift(-lead)
    rolled = {
        "mean close": _CLOSE.rolling_mean(window),
        "median close": _CLOSE.rolling_median(window),
        "highest high": _HIGH.rolling_max(window),
        "lowest low": _LOW.rolling_min(window),
    }
    return rolled[what].shift(-lead) / _CLOSE


def _bars(number: int) -> str:
    return "bar" if number == 1 else f"{number} bars"
