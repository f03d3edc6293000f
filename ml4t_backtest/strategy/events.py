"""Slices as one event per symbol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import polars as pl

from ml4t_backtest.core.event import MarketEvent

_DATA = ("open", "high", "low", "close", "volume")


class EventReader:
    """Makes events from rows; columns become Python values once, however many slices the rows belong to."""

    def __init__(self, frame: pl.DataFrame, signals: Sequence[str], indicators: Sequence[str]) -> None:
        """Read the columns.

        Args:
            frame: Bars of one or more slices.
            signals: Signal columns; NAME_is_new comes along where the frame has it.
            indicators: Indicator columns.
        """
        shown = [column for name in signals for column in (name, f"{name}_is_new") if column in frame.columns]
        self._stamps = frame["timestamp"].to_list()
        self._symbols = frame["symbol"].to_list()
        self._data = frame.select(_DATA).to_dicts()
        self._signals = _dicts(frame, shown)
        self._indicators = _dicts(frame, indicators)

    def events(self, first: int, last: int, context: Mapping[str, Any]) -> Iterator[MarketEvent]:
        """Yield the events of rows `first` up to `last`, in symbol order; they share a context none can change."""
        context = MappingProxyType(context)
        for row in range(first, last):
            yield MarketEvent(
                self._stamps[row],
                self._symbols[row],
                self._data[row],
                self._signals[row],
                self._indicators[row],
                context,
            )


def _dicts(frame: pl.DataFrame, names: Sequence[str]) -> list[dict[str, Any]]:
    return frame.select(names).to_dicts() if names else [{} for _ in range(frame.height)]
