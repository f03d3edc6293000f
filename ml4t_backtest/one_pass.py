"""Several strategies ride one pass over the data: it is checked, decoded and cut into slices once for all of them.

Each has an engine, an account and records of its own, and sees what it would see alone: the results are those of
single runs, to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import tee
from typing import Any

from ml4t_backtest.core.chunk import Chunk
from ml4t_backtest.data.polars_feed import DataFeed, PolarsDataFeed
from ml4t_backtest.data.slices import chunks_of
from ml4t_backtest.engine import BacktestEngine
from ml4t_backtest.errors import BacktestError, ConfigError
from ml4t_backtest.reporting.result import BacktestResult
from ml4t_backtest.strategy.base import Strategy


def run_many(feed: DataFeed, strategies: Sequence[Strategy], **arguments: Any) -> list[BacktestResult]:
    """Run several strategies over one feed in one pass and return their results, in the order of the strategies.

    Args:
        feed: As for `BacktestEngine`; it is walked through once.
        strategies: One object per run; two runs never share one.
        **arguments: Further arguments of `BacktestEngine`, the same for every strategy.

    Raises:
        StrategyError: A callback raised or ordered where it may not; the first one that did is told.
        ConfigError: A strategy stands in the list twice, or as for `BacktestEngine`.
        BacktestError: As for `BacktestEngine.run`.

    >>> from ml4t_backtest.data.synthetic import random_bars
    >>> class BuyAndHold(Strategy):
    ...     def __init__(self, symbol):
    ...         self.symbol = symbol
    ...     def on_timestamp_batch(self, timestamp, asset_batch, context):
    ...         if not self.get_position(self.symbol):
    ...             self.buy(self.symbol, 10)
    >>> feed = PolarsDataFeed(random_bars(2, 3), signal_columns=["prediction"])
    >>> [result.trades["symbol"].to_list() for result in run_many(feed, [BuyAndHold("S0000"), BuyAndHold("S0001")])]
    [['S0000'], ['S0001']]
    """
    if len({id(strategy) for strategy in strategies}) < len(strategies):
        raise ConfigError("a strategy stands in the list twice; give every run an object of its own")
    outcomes = run_together([BacktestEngine(feed, strategy, **arguments) for strategy in strategies])
    for outcome in outcomes:
        if isinstance(outcome, BacktestError):
            raise outcome
    return [outcome for outcome in outcomes if isinstance(outcome, BacktestResult)]


def run_together(engines: Sequence[BacktestEngine]) -> list[BacktestResult | BacktestError]:
    """Run engines that were built for one feed in one pass over it.

    An engine whose strategy raises ends there, the others go on.

    Args:
        engines: Not run yet, all with the same feed object.

    Returns:
        Per engine its result, or what ended it.

    Raises:
        ConfigError: The engines have different feeds.
    """
    if len({id(engine.feed) for engine in engines}) > 1:
        raise ConfigError("engines can ride one pass only over one and the same feed object")
    ended: dict[int, BacktestError] = {}
    riding = {number: engine for number, engine in enumerate(engines) if _goes_on(ended, number, engine.begin)}
    for chunks in _chunks(engines):
        for number, engine in list(riding.items()):
            if not _goes_on(ended, number, engine.live, chunks[number]) or engine.is_over:
                del riding[number]
        if not riding:
            break
    return [ended.get(number) or _finished(engine) for number, engine in enumerate(engines)]


def _goes_on(ended: dict[int, BacktestError], number: int, step: Any, *arguments: Any) -> bool:
    """Take a step of an engine's; note the error that ends it, and return whether there was none."""
    try:
        step(*arguments)
    except BacktestError as error:
        ended[number] = error
        return False
    return True


def _finished(engine: BacktestEngine) -> BacktestResult | BacktestError:
    try:
        return engine.finish()
    except BacktestError as error:
        return error


def _chunks(engines: Sequence[BacktestEngine]) -> Iterator[Sequence[Chunk]]:
    """Yield the data chunk by chunk, for each engine its own view of it."""
    if not engines:
        return
    feed = engines[0].feed
    if isinstance(feed, PolarsDataFeed):
        for chunk in feed.chunks():
            yield [chunk] * len(engines)
        return
    # Symbols that nobody announced get their ids as they come, in every market on its own.
    copies = tee(feed, len(engines))
    yield from zip(*(chunks_of(copy, each.market) for copy, each in zip(copies, engines, strict=True)), strict=True)
