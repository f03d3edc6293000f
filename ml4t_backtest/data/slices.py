"""Any feed as chunks: prepared data chunk by chunk, slices of other feeds one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from ml4t_backtest.core import schemas
from ml4t_backtest.core.chunk import Chunk
from ml4t_backtest.core.instants import UTC_MICROSECONDS, instants, to_datetime, to_instant
from ml4t_backtest.core.market import Market
from ml4t_backtest.data.loading import typed
from ml4t_backtest.data.polars_feed import DataFeed, PolarsDataFeed
from ml4t_backtest.data.sources import require_columns
from ml4t_backtest.data.validation import find_violations, raise_violations
from ml4t_backtest.errors import DataValidationError, Violation

_MICROSECONDS_PER_DAY = 86_400_000_000
_NUMBERS = (*schemas.PRICE_COLUMNS, "volume")
_OPENED = "open_instant"
_END = object()


def chunks_of(feed: DataFeed, market: Market) -> Iterator[Chunk]:
    """Yield a feed's data as chunks; symbols of a feed that does not announce them get their ids on the way.

    Raises:
        DataValidationError: Something is no slice, slices are not in the order of time, a symbol has two rows in one,
            or a row breaks a rule of price bars.
    """
    if isinstance(feed, PolarsDataFeed):
        yield from feed.chunks()
        return
    before: int | None = None
    for piece, is_last in _with_end(feed):
        timestamp, rows, context = _triple(piece)
        instant = to_instant(timestamp)
        if before is not None and instant <= before:
            raise DataValidationError([_disorder(instant, before)])
        checked = _checked(rows, timestamp, instant if before is None else before)
        yield _single(checked, instant, context, market, is_last=is_last)
        before = instant


def _with_end(feed: DataFeed) -> Iterator[tuple[Any, bool]]:
    """Yield what a feed yields, and whether it is the last."""
    pieces = iter(feed)
    piece: Any = next(pieces, _END)
    while piece is not _END:
        following: Any = next(pieces, _END)
        yield piece, following is _END
        piece = following


def _triple(piece: Any) -> tuple[datetime, pl.DataFrame, Mapping[str, Any]]:
    try:
        timestamp, rows, context = piece
    except (TypeError, ValueError) as error:
        raise DataValidationError([_no_slice("a slice", type(piece), "(timestamp, rows, context)")]) from error
    if not isinstance(timestamp, datetime) or timestamp.tzinfo is None:
        raise DataValidationError([_no_slice("its timestamp", repr(timestamp), "a datetime with a time zone")])
    if not isinstance(rows, pl.DataFrame):
        raise DataValidationError([_no_slice("its rows", type(rows), "a Polars DataFrame")])
    if not isinstance(context or {}, Mapping):
        raise DataValidationError([_no_slice("its context", type(context), "a mapping")])
    return timestamp, rows, context or {}


def _checked(rows: pl.DataFrame, timestamp: datetime, assumed: int) -> pl.DataFrame:
    """Return the rows of a slice with their types, in symbol order, after looking at every value.

    Where nothing tells when a bar opened, it opened when the slice before was complete.
    """
    require_columns(rows.lazy(), ["symbol", *_NUMBERS], dataset="feed")
    moment = pl.lit(timestamp).cast(UTC_MICROSECONDS)
    frame = typed(rows, _NUMBERS, ["symbol"], "feed", None).with_columns(timestamp=moment)
    if _OPENED not in frame.columns:
        frame = frame.with_columns(pl.lit(to_datetime(assumed)).cast(UTC_MICROSECONDS).alias(_OPENED))
    elif isinstance(frame.schema[_OPENED], pl.Datetime):
        frame = frame.with_columns(pl.col(_OPENED).cast(UTC_MICROSECONDS))
    raise_violations(find_violations(frame, schemas.prices_schema(), allow_empty=True, keys=False))
    return frame.sort("symbol")


def _single(frame: pl.DataFrame, instant: int, context: Mapping[str, Any], market: Market, *, is_last: bool) -> Chunk:
    ids = [market.id_of(symbol) for symbol in frame["symbol"].to_list()]
    if len(set(ids)) < len(ids):
        text = f"a symbol has two rows at {to_datetime(instant)}"
        raise DataValidationError([Violation("E-KEY-DUP", "feed", text)])
    return Chunk(
        frame=frame,
        symbol_ids=np.array(ids, dtype=np.int64),
        timestamps=np.array([instant]),
        offsets=np.array([0, frame.height]),
        opened=instants(frame[_OPENED]).to_numpy(),
        decided=np.array([instant]),
        sessions=np.array([instant // _MICROSECONDS_PER_DAY]),
        # Nothing tells such a feed's sessions: each slice is taken for the last of its own.
        session_ends=np.array([True]),
        context=[dict(context)] if context else None,
        is_last=is_last,
    )


def _no_slice(what: str, found: object, needed: str) -> Violation:
    return Violation("E-SC-DTYPE", "feed", f"{what} must be {needed}, found {found}", hint="repair the feed")


def _disorder(instant: int, before: int) -> Violation:
    text = f"slice {to_datetime(instant)} comes after {to_datetime(before)}"
    return Violation("E-TS-ORDER", "feed", text, hint="yield slices in the order of time, one per timestamp")
