"""The rows of a lazy frame, some at a time: each is read once, in its place."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from ml4t_backtest.data.files.parquet_files import reading
from ml4t_backtest.data.sources import unflagged


def batches(rows: pl.LazyFrame, at_once: int, *, file: str | None) -> Iterator[pl.DataFrame]:
    """Yield all rows in their order, at most `at_once` at a time.

    What Polars hands over (mostly a row group) is passed on as it is, cut or joined only where it is too large or
    small: a batch has more than a quarter of `at_once` rows, but for the last one and where the next piece is large.

    Raises:
        CorruptDatasetError: A file turned out to be unreadable.
    """
    held: list[pl.DataFrame] = []
    height = 0
    for piece in _pieces(rows, at_once, file):
        if height + piece.height > at_once:
            yield _joined(held)
            held, height = [], 0
        held.append(piece)
        height += piece.height
        if 4 * height > at_once:
            yield _joined(held)
            held, height = [], 0
    if held:
        yield _joined(held)


def _pieces(rows: pl.LazyFrame, at_once: int, file: str | None) -> Iterator[pl.DataFrame]:
    # Nothing is computed here, so that the streaming engine gives the same rows each time.
    with reading(file):
        for piece in rows.collect_batches(engine="streaming", maintain_order=True):
            yield from piece.iter_slices(at_once)


def _joined(pieces: list[pl.DataFrame]) -> pl.DataFrame:
    return unflagged(pieces[0] if len(pieces) == 1 else pl.concat(pieces, rechunk=True))
