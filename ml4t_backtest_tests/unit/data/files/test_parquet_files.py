"""Many files as one table: hive keys wherever they stand, and files that do not fit together named both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ml4t_backtest import CorruptDatasetError
from ml4t_backtest.data.files.parquet_files import scan_files


def write(frame: pl.DataFrame, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(path)
    return path


@pytest.fixture
def tree(tmp_path: Path, make_bars: Any) -> Path:
    """Return a folder with one file per symbol, under letters that globs know."""
    for symbol in ("0700", "A"):
        write(make_bars().drop("symbol"), tmp_path / "data [old]" / f"symbol={symbol}" / "part-1.parquet")
    return tmp_path / "data [old]"


def symbols(path: Path | str) -> list[str]:
    return sorted(scan_files(str(path), "prices").select("symbol").unique().collect()["symbol"])


def test_a_single_file_of_a_hive_tree_keeps_its_symbol(tree: Path) -> None:
    assert symbols(tree / "symbol=0700" / "part-1.parquet") == ["0700"]


def test_a_glob_over_a_hive_tree_keeps_the_symbols(tree: Path) -> None:
    assert symbols(tree.rename(tree.parent / "data") / "symbol=*" / "*.parquet") == ["0700", "A"]


def test_what_begins_with_a_dot_or_a_line_is_some_writers_own_business(tree: Path) -> None:
    for name in ("_tmp-3.parquet", ".part.parquet", "part-2.parquet.tmp"):
        (tree / "symbol=A" / name).write_bytes(b"half")
    assert symbols(tree) == ["0700", "A"]


def test_a_folder_that_contradicts_the_column_inside_is_refused(
    tmp_path: Path, make_bars: Any, violations_of: Any
) -> None:
    path = write(make_bars(), tmp_path / "symbol=Z" / "p.parquet")
    (violation,) = violations_of(scan_files, str(tmp_path), "prices")
    assert (violation.code, violation.column, violation.file) == ("E-SC-HIVECONFLICT", "symbol", str(path))


def test_a_folder_that_says_what_the_column_inside_says_is_fine(tmp_path: Path, make_bars: Any) -> None:
    write(make_bars().with_columns(month=1), tmp_path / "symbol=A" / "month=01" / "p.parquet")
    assert symbols(tmp_path) == ["A"]


def test_a_column_of_another_type_or_absent_is_named_with_both_files(
    tmp_path: Path, make_bars: Any, violations_of: Any
) -> None:
    first = write(make_bars(), tmp_path / "1.parquet")
    second = write(make_bars().drop("volume").with_columns(pl.col("close").cast(pl.Int64)), tmp_path / "2.parquet")
    found = violations_of(scan_files, str(tmp_path), "prices")
    assert [(violation.code, violation.column) for violation in found] == [
        ("E-SC-DRIFT", "close"),
        ("E-SC-DRIFT", "volume"),
    ]
    for violation in found:
        assert str(first) in violation.message
        assert violation.file == str(second)


def test_a_column_that_only_later_files_have_is_left_out(tmp_path: Path, make_bars: Any) -> None:
    write(make_bars(), tmp_path / "1.parquet")
    write(make_bars(extra=[1, 2, 3]), tmp_path / "2.parquet")
    lazy = scan_files(str(tmp_path), "prices")
    assert lazy.collect().height == 6
    assert "extra" not in lazy.collect_schema().names()


def test_the_damaged_file_of_a_folder_is_the_one_named(tree: Path) -> None:
    (tree / "symbol=A" / "part-1.parquet").write_bytes(b"a,b\n1,2\n")
    with pytest.raises(CorruptDatasetError, match=r"symbol=A/part-1\.parquet.*CSV"):
        scan_files(str(tree), "prices")
