"""Reads the next piece of something long while the one before is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Piece = TypeVar("Piece")


def read_ahead(read: Callable[[Item], Piece], items: Sequence[Item]) -> Iterator[Piece]:
    """Yield what `read` returns for each item, in their order; a thread reads one piece ahead, never more.

    What it raises is raised where its piece would have come. Whoever stops early waits for the piece being read.
    """
    if not items:
        return
    with ThreadPoolExecutor(max_workers=1) as reader:
        coming = reader.submit(read, items[0])
        for item in items[1:]:
            piece = coming.result()
            coming = reader.submit(read, item)
            yield piece
            # It may be all the memory there is: nobody but its user holds it while the next one is waited for.
            del piece
        yield coming.result()
