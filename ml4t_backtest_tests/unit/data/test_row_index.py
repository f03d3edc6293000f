"""What is known of the rows of a part as numbers is what plain Python finds in them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ml4t_backtest.data.row_index import RowIndex, Spans, SymbolCodes
from ml4t_backtest.data.slice_counts import SliceCounts

START, MINUTE = datetime(2024, 1, 2, tzinfo=UTC), timedelta(minutes=1)
UTC_US = pl.Datetime("us", "UTC")
Keys = list[tuple[int, str]]


def frame(keys: Keys, late: int = 0) -> pl.DataFrame:
    """Return rows with these keys, every third of which is decided on `late` minutes after its time."""
    rows = [(START + tick * MINUTE, symbol, START + (tick + late * (tick % 3 == 0)) * MINUTE) for tick, symbol in keys]
    schema = {"timestamp": UTC_US, "symbol": pl.String, "decision_instant": UTC_US}
    return pl.DataFrame(rows, schema=schema, orient="row")


def rounds(symbols: str, ticks: list[int], start: int = 0, stop: int | None = None) -> Keys:
    """Return one bar of each symbol per tick, of which the first and the last ones may be cut off."""
    return [(tick, symbol) for tick in ticks for symbol in symbols][start:stop]


_keys = st.lists(st.tuples(st.integers(0, 6), st.sampled_from("ABC")), min_size=1, max_size=25)
_rounds = st.builds(
    rounds,
    st.sampled_from(["A", "AB", "BA", "ABC", "ACB", "AAB"]),
    st.lists(st.integers(0, 9), min_size=2, max_size=8).map(sorted),
    st.integers(0, 2),
    st.none() | st.integers(3, 15),
)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.one_of(_keys, _rounds, _keys.map(sorted), _rounds.map(sorted)).filter(bool), st.integers(0, 1))
@example(rounds("ABC", [0, 1, 2, 3]), 0)
# The same minute twice: rounds are as long as slices only in the middle.
@example(rounds("AB", [0, 0, 1, 2, 3]), 0)
@example(rounds("AB", [0, 1, 2, 3, 3]), 0)
@example(rounds("AB", [0, 1, 2, 2, 3]), 0)
# Slices as long as a round, but out of step with it.
@example([(0, "A"), (1, "B"), (1, "A"), (2, "B"), (2, "A"), (3, "B")], 0)
def test_order_slices_and_symbols_are_those_of_the_rows(keys: Keys, late: int) -> None:
    part, codes, spans = frame(keys, late), SymbolCodes(), Spans()
    index = RowIndex.of(part, codes)
    assert [codes.names[code] for code in index.codes] == [symbol for _, symbol in keys]
    assert index.by_time == all(one < other for one, other in pairwise(keys))
    assert index.by_symbol == (not index.by_time and all(one[::-1] < other[::-1] for one, other in pairwise(keys)))
    minutes = {tick: sum(other == tick for other, _ in keys) for tick, _ in keys}
    expected = [(START + t * MINUTE, START + (t + late * (t % 3 == 0)) * MINUTE, n) for t, n in sorted(minutes.items())]
    counts = SliceCounts()
    for run in index.slices:
        counts.add(*run, 0)
    assert counts.frame().drop("is_torn").rows() == expected
    assert not counts.frame()["is_torn"].any()
    spans.see(index.codes[index.outer], index.stamps[index.outer])
    for code, name in enumerate(codes.names):
        ticks = [tick for tick, symbol in keys if symbol == name]
        first, last = (int((START + tick * MINUTE).timestamp() * 1e6) for tick in (min(ticks), max(ticks)))
        assert spans.of(code) == (first, last)


def test_symbols_keep_their_numbers_from_part_to_part() -> None:
    codes = SymbolCodes()
    first = RowIndex.of(frame(rounds("BA", [0, 1, 2])), codes)
    second = RowIndex.of(frame(rounds("CAB", [3, 4, 5])), codes)
    assert first.codes.tolist() == [0, 1] * 3
    assert second.codes.tolist() == [2, 1, 0] * 3
    assert codes.names == ["B", "A", "C"]
    assert codes.ranks(second.codes[:3]).tolist() == [3, 1, 2]


_parts = st.lists(st.one_of(_keys, _rounds, _keys.map(sorted)).filter(bool), min_size=1, max_size=6)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(_parts, st.integers(0, 1))
def test_slices_of_many_parts_are_counted_together(parts: list[Keys], late: int) -> None:
    """Also by symbol, where each has runs of its own; a slice is torn if several parts have rows of it."""
    for keys in (parts, [sorted(part, key=lambda key: key[::-1]) for part in parts]):
        counts, codes = SliceCounts(), SymbolCodes()
        for number, part in enumerate(keys):
            for run in RowIndex.of(frame(part, late), codes).slices:
                counts.add(*run, number)
        together = [tick for part in keys for tick, _ in part]
        assert counts.frame().select("timestamp", "decision_instant", "rows", "is_torn").rows() == [
            (
                START + tick * MINUTE,
                START + (tick + late * (tick % 3 == 0)) * MINUTE,
                together.count(tick),
                sum(tick in {other for other, _ in part} for part in keys) > 1,
            )
            for tick in sorted(set(together))
        ]
