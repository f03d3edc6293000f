"""Rows put aside: nothing is lost or reordered, symbols stay whole, and no file stays behind."""

from __future__ import annotations

import gc
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ml4t_backtest.data.scratch import ROW, RowsBySymbol, RowsByTime, Workplace, symbol_groups, time_spans

START = datetime(2024, 1, 2, 15, tzinfo=UTC)


def rows(*keys: tuple[int, str]) -> pl.DataFrame:
    """Return rows of (minute, symbol), numbered by a value column."""
    stamps = [START + timedelta(minutes=minute) for minute, _ in keys]
    return pl.DataFrame({"timestamp": stamps, "symbol": [symbol for _, symbol in keys], "n": range(len(keys))})


SHUFFLED = rows((1, "B"), (0, "C"), (1, "A"), (0, "A"), (2, "B"), (1, "C"), (0, "B"))


def in_parts(frame: pl.DataFrame, size: int, workplace: Workplace | None) -> RowsBySymbol:
    kept = RowsBySymbol(workplace)
    for first in range(0, frame.height, size):
        kept.add(frame.slice(first, size), first)
    return kept


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("aside", [True, False])
def test_the_rows_of_some_symbols_come_back_numbered_in_the_order_of_their_source(size: int, aside: bool) -> None:
    with Workplace(rows_at_once=2) as workplace:
        kept = in_parts(SHUFFLED, size, workplace if aside else None)
        found = kept.between("A", "B").sort("symbol", maintain_order=True)
    assert found.select(ROW, "symbol", "n").rows() == [(2, "A", 2), (3, "A", 3), (0, "B", 0), (4, "B", 4), (6, "B", 6)]
    assert kept.symbols.rows() == [("A", 2), ("B", 3), ("C", 2)]


def test_a_symbol_is_never_divided_between_two_groups() -> None:
    with Workplace(rows_at_once=4) as workplace:
        kept = in_parts(SHUFFLED, 3, workplace)
        # A has 2 rows, B 3, C 2: A and B are more than four together, and so are B and C.
        assert symbol_groups([kept], 4) == [("A", "A"), ("B", "B"), ("C", "C")]
        assert symbol_groups([kept], 5) == [("A", "B"), ("C", "C")]
        assert [group["symbol"].unique().to_list() for group in kept.groups()] == [["A"], ["B"], ["C"]]


def test_a_symbol_with_more_rows_than_are_held_at_once_is_a_group_of_its_own() -> None:
    kept = in_parts(rows((0, "A"), (0, "B"), (1, "B"), (2, "B"), (0, "C")), 2, None)
    assert symbol_groups([kept], 2) == [("A", "A"), ("B", "B"), ("C", "C")]


def test_groups_of_several_sources_hold_every_symbol_of_each() -> None:
    bars, signals = in_parts(rows((0, "B"), (0, "C")), 1, None), in_parts(rows((0, "A"), (0, "D")), 1, None)
    assert symbol_groups([bars, signals], 1) == [("A", "B"), ("C", "D")]


def test_a_row_without_a_symbol_belongs_to_no_group() -> None:
    frame = rows((0, "A"), (1, "A")).with_columns(symbol=pl.Series([None, "A"]))
    kept = in_parts(frame, 2, None)
    assert kept.between("A", "A")["n"].to_list() == [1]


@pytest.mark.parametrize("at_once", [1, 2, 3, 100])
@pytest.mark.parametrize("aside", [True, False])
def test_rows_that_come_by_symbol_leave_by_time(at_once: int, aside: bool) -> None:
    ordered = SHUFFLED.sort("timestamp", "symbol")
    slices = ordered.group_by("timestamp", maintain_order=True).len("rows")
    with Workplace(rows_at_once=at_once) as workplace:
        by_time = RowsByTime(time_spans(slices, at_once), workplace if aside else None)
        for symbol in ("A", "B", "C"):
            by_time.add(ordered.filter(pl.col("symbol") == symbol))
        batches = list(by_time.batches())
    assert_frame_equal(pl.concat(batches), ordered)
    # A slice is never divided: each timestamp stands in one batch.
    assert sum(batch["timestamp"].n_unique() for batch in batches) == slices.height


def test_batches_are_whole_slices_of_about_so_many_rows() -> None:
    stamps = [START + timedelta(minutes=minute) for minute in range(5)]
    slices = pl.DataFrame({"timestamp": stamps, "rows": [2, 2, 2, 5, 1]})
    # Rows up to and with each slice: 2, 4, 6, 11, 12; in fours: 1 to 4, 5 to 8, 9 to 12.
    assert time_spans(slices, 4) == [(stamps[0], stamps[1]), (stamps[2], stamps[2]), (stamps[3], stamps[4])]


def test_what_was_put_aside_goes_when_the_work_is_done(tmp_path: Path) -> None:
    with Workplace(tmp_path / "work", rows_at_once=2) as workplace:
        kept = in_parts(SHUFFLED, 2, workplace)
        assert len(list((tmp_path / "work").rglob("*.parquet"))) == 4
        assert kept.between("A", "C").height == 7
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_there_or_is_used_stays(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with Workplace(tmp_path / "mine" / "a" / "b") as workplace:
        workplace.new_file().touch()
        (tmp_path / "mine" / "a" / "other").touch()
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["mine", "mine/a", "mine/a/other"]


def test_what_was_put_aside_goes_with_a_workplace_that_nobody_closed(tmp_path: Path) -> None:
    workplace = Workplace(tmp_path, rows_at_once=2)
    kept = in_parts(SHUFFLED, 2, workplace)
    assert len(list(tmp_path.rglob("*.parquet"))) == 4
    del kept, workplace
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_a_workplace_that_needs_no_file_makes_no_folder(tmp_path: Path) -> None:
    with Workplace(tmp_path / "work") as workplace:
        in_parts(SHUFFLED, 7, None)
        assert workplace.rows_at_once > 7
    assert list(tmp_path.iterdir()) == []


def test_progress_tells_rows_done_and_rows_to_do() -> None:
    told: list[tuple[int, int]] = []
    workplace = Workplace(on_progress=lambda done, to_do: told.append((done, to_do)))
    workplace.expect(30)
    workplace.done(10)
    workplace.expect(5)
    workplace.done(20)
    assert told == [(10, 30), (30, 35)]
