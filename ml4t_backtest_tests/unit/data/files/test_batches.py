"""Rows come some at a time: each once, in its place, whatever the row groups of the files."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from ml4t_backtest import CorruptDatasetError
from ml4t_backtest.data.files.batches import batches

ROWS = 1_000


@pytest.fixture(params=[1, 7, 100, 333, 1_000], ids=lambda size: f"row groups of {size}")
def files(request: pytest.FixtureRequest, tmp_path: Path) -> pl.LazyFrame:
    """Three files of different height with a running number."""
    numbers = pl.DataFrame({"number": range(ROWS)})
    for name, part in enumerate((numbers[:1], numbers[1:600], numbers[600:])):
        part.write_parquet(tmp_path / f"{name}.parquet", row_group_size=request.param)
    return pl.scan_parquet(sorted(tmp_path.glob("*.parquet")))


@pytest.mark.parametrize("at_once", [1, 8, 99, 100, 250, 999, 1_000, 5_000])
def test_each_row_comes_once_and_in_its_place(files: pl.LazyFrame, at_once: int) -> None:
    parts = list(batches(files, at_once, file=None))
    assert pl.concat(parts)["number"].to_list() == list(range(ROWS))
    heights = [part.height for part in parts]
    assert max(heights) <= at_once
    # Small row groups are put together: there are at most five times as many batches as there have to be.
    assert len(heights) <= 5 * (ROWS / at_once + 1)


def test_a_frame_in_memory_is_cut_and_its_flags_are_not_believed() -> None:
    frame = pl.DataFrame({"number": [3, 1, 2] * 10}).with_columns(pl.col("number").set_sorted())
    parts = list(batches(frame.lazy(), 4, file=None))
    assert [part.height for part in parts] == [4] * 7 + [2]
    assert not any(part["number"].flags["SORTED_ASC"] for part in parts)


def test_nothing_comes_of_nothing() -> None:
    assert list(batches(pl.LazyFrame({"number": []}), 4, file=None)) == []


def test_a_file_that_cannot_be_read_is_named_although_its_first_rows_could_be(tmp_path: Path) -> None:
    path = tmp_path / "bad.parquet"
    pl.DataFrame({"number": range(100_000)}).write_parquet(path, row_group_size=10_000)
    page = pq.ParquetFile(path).metadata.row_group(6).column(0).data_page_offset
    data = bytearray(path.read_bytes())
    data[page : page + 200] = bytes(200)
    path.write_bytes(data)
    with pytest.raises(CorruptDatasetError, match=r"bad\.parquet"):
        list(batches(pl.scan_parquet(path), 1_000, file=str(path)))
