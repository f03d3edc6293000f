"""A thread reads one piece ahead: the same pieces in the same order, errors in their places, nothing left running."""

from __future__ import annotations

import threading
import time
import weakref
from threading import Event

import pytest

from ml4t_backtest.data.read_ahead import read_ahead

SECONDS = 10.0


def test_the_pieces_come_in_their_order() -> None:
    assert list(read_ahead(item * 2 for item in [1, 2, 3])) == [2, 4, 6]
    assert list(read_ahead(iter([7]))) == [7]
    assert list(read_ahead(iter([]))) == []


def test_the_next_piece_is_read_while_one_is_used_and_none_beyond_it() -> None:
    begun = {item: Event() for item in range(4)}

    def read(item: int) -> int:
        begun[item].set()
        return item

    pieces = read_ahead(map(read, range(4)))
    assert next(pieces) == 0
    assert begun[1].wait(SECONDS)
    # There is one reader, and it has nothing to do before the next piece is asked for.
    assert not begun[2].wait(0.2)
    assert next(pieces) == 1
    assert begun[2].wait(SECONDS)
    pieces.close()  # type: ignore[attr-defined]


def test_an_error_is_raised_where_its_piece_would_have_come() -> None:
    def read(item: int) -> int:
        if item == 2:
            raise OSError("gone")
        return item

    pieces = read_ahead(map(read, [0, 1, 2, 3]))
    assert [next(pieces), next(pieces)] == [0, 1]
    with pytest.raises(OSError, match="gone"):
        next(pieces)


def test_who_stops_early_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    pieces = read_ahead(iter(range(100)))
    assert next(pieces) == 0
    assert threading.active_count() == before + 1
    pieces.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_a_piece_is_held_by_nobody_but_its_user() -> None:
    class Piece:
        pass

    seen: list[weakref.ref[Piece]] = []
    is_gone: list[bool] = []

    def read(item: int) -> Piece:
        if item == 1:
            # Who asks for this piece has done with the one before: it has to go while this one is being read.
            deadline = time.monotonic() + 2.0
            while not (seen and seen[0]() is None) and time.monotonic() < deadline:
                time.sleep(0.01)
            is_gone.append(seen[0]() is None)
        return Piece()

    pieces = read_ahead(map(read, range(3)))
    piece = next(pieces)
    seen.append(weakref.ref(piece))
    del piece
    next(pieces)
    assert is_gone == [True]
    pieces.close()  # type: ignore[attr-defined]
