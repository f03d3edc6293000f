"""The hash of a table that comes in parts is that of the whole, wherever it was cut."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from ml4t_backtest.data.content_hash import TableHash, content_hash, joint_hash, table_hash

WHOLE = pl.DataFrame(
    {
        "when": [datetime(2024, 1, day, tzinfo=UTC) for day in range(1, 11)],
        "text": ["a", None, "", "bc", "d", None, "ä", "e", "", "f"],
        "number": [0.0, -0.0, None, 1.5, None, 2.5, 0.0, None, 4.0, 5.0],
        "flag": [True, None, False, True, True, None, None, False, True, False],
        "nothing": pl.Series([None] * 10, dtype=pl.Int64),
    }
)


def hash_in_parts(frame: pl.DataFrame, cuts: list[int]) -> str:
    digest = TableHash()
    edges = [0, *sorted(cuts), frame.height]
    for first, last in pairwise(edges):
        digest.add(frame[first:last])
    assert digest.height == frame.height
    return digest.hexdigest()


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.lists(st.integers(0, 10), max_size=5))
def test_where_a_table_is_cut_does_not_matter(cuts: list[int]) -> None:
    assert hash_in_parts(WHOLE, cuts) == table_hash(WHOLE)


def test_the_place_of_a_null_counts_over_the_parts() -> None:
    """The same values and as many nulls in each part, but in other rows of the second."""
    one = pl.DataFrame({"a": [1, 0, 2, None]}, schema={"a": pl.Int64})
    other = pl.DataFrame({"a": [1, 0, None, 2]}, schema={"a": pl.Int64})
    zeros = pl.DataFrame({"a": [1, None, 2, 0]}, schema={"a": pl.Int64})
    assert len({hash_in_parts(frame, [2]) for frame in (one, other, zeros)}) == 3


def test_text_does_not_flow_from_one_row_into_the_next() -> None:
    assert hash_in_parts(pl.DataFrame({"a": ["ab", "c"]}), [1]) != hash_in_parts(pl.DataFrame({"a": ["a", "bc"]}), [1])


def test_a_table_without_rows_has_its_columns() -> None:
    assert hash_in_parts(WHOLE.clear(), []) == table_hash(WHOLE.clear())
    assert table_hash(WHOLE.clear()) != table_hash(WHOLE.clear().drop("flag"))


def test_tables_whose_hashes_are_known_need_not_be_there() -> None:
    tables = {"x": WHOLE, "y": WHOLE.head(3)}
    assert joint_hash({name: table_hash(frame) for name, frame in tables.items()}) == content_hash(tables)
    assert joint_hash({"x": table_hash(WHOLE)}) != joint_hash({"y": table_hash(WHOLE)})
