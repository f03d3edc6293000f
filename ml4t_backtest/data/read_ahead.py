"""Makes the next piece of something long while the one before is used."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Piece = TypeVar("Piece")
_END = object()


def read_ahead(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Yield the same pieces in their order; a thread takes one piece ahead, never more.

    What an iterator raises is raised where its piece would have come. Whoever stops early waits for the piece that is
    being made.
    """
    with ThreadPoolExecutor(max_workers=1) as reader:
        coming = reader.submit(next, pieces, _END)
        while (piece := coming.result()) is not _END:
            coming = reader.submit(next, pieces, _END)
            yield piece  # type: ignore[misc]
            # It may be all the memory there is: nobody but its user holds it while the next one is waited for.
            del piece
