"""What a per-symbol strategy is called with.

An event is made for every bar of a run, so it is little more than a row number: what is not asked for is not made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import FrozenInstanceError
from datetime import datetime
from functools import cached_property
from typing import Any, NoReturn

import polars as pl

_DATA = ("open", "high", "low", "close", "volume")
_SHOWN = ("timestamp", "symbol", "data", "signals", "indicators", "context")


class EventColumns:
    """Bars as plain lists, each made when it is first read: most strategies look at two or three of them."""

    def __init__(self, bars: pl.DataFrame, indicators: Sequence[str]) -> None:
        """Choose the bars.

        Args:
            bars: Columns open, high, low, close (account currency per share), volume (shares) and indicators.
            indicators: Names of the indicators.
        """
        self._bars = bars
        self._indicators = tuple(indicators)

    @cached_property
    def open(self) -> list[float]:
        """First prices."""
        return self._bars["open"].to_list()

    @cached_property
    def high(self) -> list[float]:
        """Highest prices."""
        return self._bars["high"].to_list()

    @cached_property
    def low(self) -> list[float]:
        """Lowest prices."""
        return self._bars["low"].to_list()

    @cached_property
    def close(self) -> list[float]:
        """Last prices."""
        return self._bars["close"].to_list()

    @cached_property
    def volume(self) -> list[float]:
        """Shares traded."""
        return self._bars["volume"].to_list()

    @cached_property
    def indicators(self) -> dict[str, list[float | None]]:
        """Indicator name -> values."""
        return {name: self._bars[name].to_list() for name in self._indicators}


class _Fields:
    """An event that can still be written to."""

    __slots__ = ("_columns", "_row", "context", "signals", "symbol", "timestamp")

    timestamp: datetime
    symbol: str
    signals: Mapping[str, Any]
    context: Mapping[str, Any]
    _columns: EventColumns
    _row: int


class MarketEvent(_Fields):
    """One bar of one symbol, complete and known at `timestamp`. Nothing about it can be set.

    Attributes:
        timestamp: Close of the bar, UTC.
        symbol: Instrument.
        signals: Signal name -> value known at the decision (None where there is none); NAME_is_new tells whether
            this is the first bar that shows it.
        context: Context name -> value known at the decision.

    >>> from datetime import UTC
    >>> bar = {"open": 10.0, "high": 11.0, "low": 9.5, "close": 10.5, "volume": 1_000.0}
    >>> event = MarketEvent(datetime(2024, 1, 2, 21, tzinfo=UTC), "A", bar, {"prediction": 0.6}, {"rsi_14": None}, {})
    >>> event.close, event.signals["prediction"], event.indicators["rsi_14"]
    (10.5, 0.6, None)
    """

    __slots__ = ()

    def __init__(
        self,
        timestamp: datetime,
        symbol: str,
        data: Mapping[str, float],
        signals: Mapping[str, Any],
        indicators: Mapping[str, float | None],
        context: Mapping[str, Any],
    ) -> None:
        """Make one event, to try a strategy with; `data` has open, high, low, close and volume."""
        bar = pl.DataFrame({name: data[name] for name in _DATA} | {**indicators})
        columns = EventColumns(bar, list(indicators))
        values = {"timestamp": timestamp, "symbol": symbol, "signals": signals, "context": context}
        for name, value in {**values, "_columns": columns, "_row": 0}.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    @property
    def data(self) -> Mapping[str, float]:
        """Open, high, low, close (account currency per share) and volume (shares)."""
        return {name: getattr(self._columns, name)[self._row] for name in _DATA}

    @property
    def indicators(self) -> Mapping[str, float | None]:
        """Indicator name -> value, from prices up to this bar."""
        return {name: values[self._row] for name, values in self._columns.indicators.items()}

    @property
    def open(self) -> float:
        """First price of the bar."""
        return self._columns.open[self._row]

    @property
    def high(self) -> float:
        """Highest price of the bar."""
        return self._columns.high[self._row]

    @property
    def low(self) -> float:
        """Lowest price of the bar."""
        return self._columns.low[self._row]

    @property
    def close(self) -> float:
        """Last price of the bar."""
        return self._columns.close[self._row]

    @property
    def volume(self) -> float:
        """Shares traded in the bar."""
        return self._columns.volume[self._row]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MarketEvent):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in _SHOWN)

    __hash__ = None  # type: ignore[assignment] # its mappings have none

    def __repr__(self) -> str:
        return f"MarketEvent({self.symbol} {self.timestamp:%Y-%m-%d %H:%M} close={self.close:g} {dict(self.signals)})"


def events(
    timestamps: Iterable[datetime],
    symbols: Sequence[str],
    signals: Iterable[Mapping[str, Any]],
    contexts: Iterable[Mapping[str, Any]],
    columns: EventColumns,
) -> Iterator[MarketEvent]:
    """Yield one event per bar of the columns, each made when it is asked for.

    An object that is filled first and frozen then is made four times as fast as one that was never open.
    """
    shown = zip(range(len(symbols)), timestamps, symbols, signals, contexts, strict=True)
    for row, timestamp, symbol, known, context in shown:
        event = _Fields()
        event.timestamp = timestamp
        event.symbol = symbol
        event.signals = known
        event.context = context
        event._columns = columns
        event._row = row
        event.__class__ = MarketEvent
        yield event  # type: ignore[misc]
