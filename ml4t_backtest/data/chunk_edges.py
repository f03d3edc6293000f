"""What is held in memory at once: a span of time, a number of slices, or as many slices as have half a million bars."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

import polars as pl

from ml4t_backtest.errors import ConfigError

_AUTO = "auto"
_ROWS_AT_ONCE = 500_000
_CHUNK = re.compile(r"[1-9]\d*(mo|y|q|w|d|h)")


def checked_chunk(chunk: str | int) -> str | int:
    """Return a span (`1mo`, `1w`, ...), `auto` or a number of slices, after looking that it is one.

    Raises:
        ConfigError: It is none of them.
    """
    is_span = isinstance(chunk, str) and (chunk == _AUTO or _CHUNK.fullmatch(chunk))
    if is_span or (isinstance(chunk, int) and chunk >= 1):
        return chunk
    raise ConfigError(f"chunk must be a span such as '1mo', '1w', '1y' or a number of slices, got {chunk!r}")


def chunk_edges(slices: pl.DataFrame, chunk: str | int) -> Iterator[tuple[datetime, datetime, int]]:
    """Yield the first and last timestamp of each chunk and the number of its rows."""
    stamp = pl.col("timestamp")
    if chunk == _AUTO:
        number = (pl.col("rows").cum_sum() - 1) // _ROWS_AT_ONCE
    else:
        number = pl.int_range(pl.len()) // chunk if isinstance(chunk, int) else stamp.dt.truncate(chunk)
    parts = slices.group_by(number.alias("chunk"), maintain_order=True)
    spans = parts.agg(first=stamp.first(), last=stamp.last(), height=pl.col("rows").sum())
    yield from spans.select("first", "last", "height").iter_rows()
