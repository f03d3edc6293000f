"""Any feed as chunks: prepared data chunk by chunk, slices of other feeds one by one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from ml4t_backtest.core.chunk import Chunk, Integers
from ml4t_backtest.core.instants import instants, to_datetime, to_instant
from ml4t_backtest.core.market import Market
from ml4t_backtest.data.polars_feed import DataFeed, PolarsDataFeed, Slice
from ml4t_backtest.errors import DataValidationError, Violation

_MICROSECONDS_PER_DAY = 86_400_000_000


def chunks_of(feed: DataFeed, market: Market) -> Iterator[Chunk]:
    """Yield a feed's data as chunks; symbols of a feed that does not announce them get their ids on the way.

    Raises:
        DataValidationError: Slices are not in the order of time, or a symbol has two rows in one.
    """
    if isinstance(feed, PolarsDataFeed):
        yield from feed.chunks()
        return
    before: int | None = None
    slices = iter(feed)
    piece = next(slices, None)
    while piece is not None:
        following = next(slices, None)
        instant = to_instant(piece[0])
        if before is not None and instant <= before:
            raise DataValidationError([_disorder(instant, before)])
        yield _single(instant, before, piece, market, is_last=following is None)
        before, piece = instant, following


def _single(instant: int, before: int | None, piece: Slice, market: Market, *, is_last: bool) -> Chunk:
    timestamp, rows, context = piece
    frame = rows.with_columns(pl.col("symbol").cast(pl.String), pl.lit(timestamp).alias("timestamp")).sort("symbol")
    ids = [market.id_of(symbol) for symbol in frame["symbol"].to_list()]
    if len(set(ids)) < len(ids):
        raise DataValidationError([Violation("E-KEY-DUP", "feed", f"a symbol has two rows at {timestamp}")])
    return Chunk(
        frame=frame,
        symbol_ids=np.array(ids, dtype=np.int64),
        timestamps=np.array([instant]),
        offsets=np.array([0, frame.height]),
        opened=_opened(frame, instant if before is None else before),
        decided=np.array([instant]),
        sessions=np.array([instant // _MICROSECONDS_PER_DAY]),
        # Nothing tells such a feed's sessions: each slice is taken for the last of its own.
        session_ends=np.array([True]),
        context=[dict(context)] if context else None,
        is_last=is_last,
    )


def _opened(frame: pl.DataFrame, assumed: int) -> Integers:
    """Return the open instants; where nothing tells them, a bar opens when the slice before was complete."""
    if "open_instant" in frame.columns:
        return instants(frame["open_instant"]).to_numpy()
    return np.full(frame.height, assumed, dtype=np.int64)


def _disorder(instant: int, before: int) -> Violation:
    text = f"slice {to_datetime(instant)} comes after {to_datetime(before)}"
    return Violation("E-TS-ORDER", "feed", text, hint="yield slices in the order of time, one per timestamp")
