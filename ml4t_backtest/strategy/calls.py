"""Calling a strategy: what it is shown, and what becomes of what it raises."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

import polars as pl

from ml4t_backtest.core.chunk import Chunk
from ml4t_backtest.core.event import MarketEvent
from ml4t_backtest.core.fill import Fill
from ml4t_backtest.core.instants import to_datetime
from ml4t_backtest.core.market import Market
from ml4t_backtest.core.orders import Order
from ml4t_backtest.core.views import FillView, OrderView
from ml4t_backtest.errors import StrategyError
from ml4t_backtest.strategy.base import Strategy, callback_mode
from ml4t_backtest.strategy.events import events_of_chunk
from ml4t_backtest.strategy.outbox import Outbox

Decider = Callable[[int], None]
# What a callback may end with: leaving the program and a panic of Polars are no plain exceptions.
_RAISED = (Exception, SystemExit, pl.exceptions.PanicException)


class Calls:
    """Hands slices and news to the one callback that a strategy overrides.

    Whatever a callback raises is the strategy's error, told with the moment it happened at.
    """

    def __init__(
        self, strategy: Strategy, outbox: Outbox, market: Market, *, signals: Sequence[str], indicators: Sequence[str]
    ) -> None:
        self._strategy = strategy
        self._mode = callback_mode(strategy)
        self._outbox = outbox
        self._market = market
        self._signals = tuple(signals)
        self._indicators = tuple(indicators)

    def start(self) -> None:
        """Call `on_start`."""
        self._call(self._strategy.on_start)
        self._refuse_orders("in on_start, before the first slice")

    def end(self) -> None:
        """Call `on_end`."""
        self._call(self._strategy.on_end)
        self._refuse_orders("after the last slice")

    def tell(self, news: Iterable[Fill | Order]) -> None:
        """Tell what has filled and what has ended."""
        for each in news:
            if isinstance(each, Fill):
                self._call(partial(self._strategy.on_fill, FillView.of(each, self._market.symbols[each.symbol_id])))
            else:
                self._call(partial(self._strategy.on_order, OrderView.of(each)))

    def warm_up(self, chunk: Chunk, index: int) -> None:
        """Show a slice from before the traded span."""
        stamp, batch, context = to_datetime(self._market.timestamp), chunk.batch(index), chunk.context_at(index)
        self._call(lambda: self._strategy.on_warm_up(stamp, batch, context))
        self._refuse_orders(f"at {stamp:%Y-%m-%d %H:%M}, before the first traded slice")

    def decider(self, chunk: Chunk, first: int) -> Decider:
        """Return what hands a slice to the strategy: whole, or one event per symbol in symbol order.

        Args:
            chunk: What the slices belong to.
            first: The first of them that is handed over; the others follow, each once, in order.
        """
        if self._mode == "batch":
            return self._decider_of_slices(chunk)
        events = events_of_chunk(chunk, first, self._signals, self._indicators)
        decider_of = self._decider_of_single_events if chunk.width == 1 else self._decider_of_events
        return decider_of(chunk, events)

    def _decider_of_slices(self, chunk: Chunk) -> Decider:
        strategy, moments, context_at = self._strategy, chunk.moments, chunk.context_at
        rows_from, first_rows, widths = chunk.frame.slice, chunk.first_rows, chunk.widths
        has_context = chunk.context is not None

        def decide(index: int) -> None:
            # A view of the slice's rows, and context of its own: here without a call for each.
            batch, context = rows_from(first_rows[index], widths[index]), context_at(index) if has_context else {}
            try:
                strategy.on_timestamp_batch(moments[index], batch, context)
            except _RAISED as error:
                raise self._error(error, context=context_at(index)) from error

        return decide

    def _decider_of_single_events(self, chunk: Chunk, events: Iterator[MarketEvent]) -> Decider:
        """As `_decider_of_events` where each slice has one event: nothing has to be counted off."""
        strategy, advance = self._strategy, events.__next__

        def decide(index: int) -> None:
            event = advance()
            try:
                strategy.on_market_data(event)
            except _RAISED as error:
                raise self._error(error, event.symbol, chunk.context_at(index)) from error

        return decide

    def _decider_of_events(self, chunk: Chunk, events: Iterator[MarketEvent]) -> Decider:
        strategy, widths = self._strategy, chunk.widths

        def decide(index: int) -> None:
            event: MarketEvent | None = None
            # Looked up anew for each slice: a strategy may replace it, whatever belongs to one chunk.
            on_market_data = strategy.on_market_data
            try:
                for event in islice(events, widths[index]):
                    on_market_data(event)
            except _RAISED as error:
                symbol = None if event is None else event.symbol
                raise self._error(error, symbol, chunk.context_at(index)) from error

        return decide

    def _call(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except _RAISED as error:
            raise self._error(error) from error

    def _error(
        self, error: BaseException, symbol: str | None = None, context: Mapping[str, Any] | None = None
    ) -> StrategyError:
        when = f"at {to_datetime(self._market.timestamp):%Y-%m-%d %H:%M} UTC" if self._market.started else "in on_start"
        where = f" on {symbol}" if symbol else ""
        shown = self._shown(context) if isinstance(error, KeyError) and context is not None else ""
        return StrategyError(f"{self._name()} raised {when}{where}: {error!r}{shown}")

    def _shown(self, context: Mapping[str, Any]) -> str:
        """Return what a slice has, for a strategy that asked for what it does not have."""
        kinds = (("signals", self._signals), ("indicators", self._indicators), ("context", tuple(context)))
        return "; of this data: " + ", ".join(f"{kind} {list(names)}" for kind, names in kinds)

    def _refuse_orders(self, when: str) -> None:
        """Raise for orders made where there is no slice to size them with, or none left to fill them."""
        if self._outbox.drain():
            raise StrategyError(f"{self._name()} ordered {when}; order in the callbacks of traded slices")

    def _name(self) -> str:
        return type(self._strategy).__name__
