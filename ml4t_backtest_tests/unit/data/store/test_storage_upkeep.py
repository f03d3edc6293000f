"""What storage leaves behind: files that others may read, no leftovers, few old versions, and nothing elsewhere."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ml4t_backtest import BacktestError, CorruptDatasetError, UnsafePathError
from ml4t_backtest.data.store import storage
from ml4t_backtest.data.store.storage import POINTER, VERSIONS, current_version, publish, read_manifest, read_table

TWO_HOURS, TWO_DAYS = 7_200, 172_800


def table(value: int) -> dict[str, pl.DataFrame]:
    return {"x": pl.DataFrame({"a": [value]})}


def age(path: Path, seconds: int) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def values(home: Path) -> set[int]:
    return {pl.read_parquet(path / "x.parquet")["a"].item() for path in (home / VERSIONS).iterdir()}


def test_others_may_read_what_the_umask_lets_them_read(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        publish(tmp_path, "d", table(1), kind="test", attachments={"note.txt": b"x"})
    finally:
        os.umask(before)
    version = current_version(tmp_path, "d")
    assert stat.S_IMODE(version.stat().st_mode) == 0o755
    files = [*version.iterdir(), tmp_path / "d" / POINTER]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o644}


def test_leftovers_of_killed_writers_are_swept_after_a_day(tmp_path: Path) -> None:
    home = tmp_path / "d"
    (home / ".staging-old" / "deep").mkdir(parents=True)
    (home / ".staging-pointer").write_text("half")
    (home / ".staging-busy").mkdir()
    for name in (".staging-old", ".staging-pointer"):
        age(home / name, TWO_DAYS)
    publish(tmp_path, "d", table(1), kind="test")
    assert sorted(path.name for path in home.iterdir()) == [".staging-busy", POINTER, VERSIONS]


def test_the_five_youngest_versions_stay(tmp_path: Path) -> None:
    published = [publish(tmp_path, "d", table(value), kind="test").content_hash for value in range(8)]
    for value, version in enumerate(published):
        age(tmp_path / "d" / VERSIONS / version, TWO_DAYS - value)
    publish(tmp_path, "d", table(8), kind="test")
    assert values(tmp_path / "d") == {4, 5, 6, 7, 8}


def test_the_current_version_stays_however_old_it_is(tmp_path: Path) -> None:
    published = [publish(tmp_path, "d", table(value), kind="test").content_hash for value in (1, 2, 3)]
    for value, version in enumerate(published):
        age(tmp_path / "d" / VERSIONS / version, TWO_DAYS - value)
    publish(tmp_path, "d", table(1), kind="test", keep=2)
    assert values(tmp_path / "d") == {1, 3}


def test_a_version_that_somebody_may_still_read_stays(tmp_path: Path) -> None:
    for value in range(4):
        publish(tmp_path, "d", table(value), kind="test", keep=1)
    assert values(tmp_path / "d") == {0, 1, 2, 3}


def test_a_link_that_leads_out_of_the_root_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "loop").symlink_to(tmp_path / "root" / "loop")
    for name in ("link", "link/d", "loop"):
        with pytest.raises(UnsafePathError):
            publish(tmp_path / "root", name, table(1), kind="test")
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("fact", [float("nan"), float("inf"), {1, 2}, object()])
def test_facts_that_are_no_json_are_refused(fact: Any, tmp_path: Path) -> None:
    with pytest.raises(BacktestError, match="JSON"):
        publish(tmp_path, "d", table(1), kind="test", facts={"fact": fact})


def test_a_manifest_that_counts_other_rows_is_noticed(tmp_path: Path) -> None:
    publish(tmp_path, "d", table(1), kind="test")
    version = current_version(tmp_path, "d")
    text = (version / "manifest.json").read_text().replace('"rows": 1', '"rows": 7')
    (version / "manifest.json").write_text(text)
    with pytest.raises(CorruptDatasetError, match="7"):
        read_table(version, read_manifest(version), "x")


def test_a_version_that_another_writer_finished_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second writer of the same content is done just before the first one moves its own version into place."""
    move = storage._move_into_place

    def late(staging: Path, target: Path) -> None:
        monkeypatch.setattr(storage, "_move_into_place", move)
        publish(tmp_path, "d", table(1), kind="test")
        late.first = target.stat().st_ino  # type: ignore[attr-defined]
        move(staging, target)

    monkeypatch.setattr(storage, "_move_into_place", late)
    publish(tmp_path, "d", table(1), kind="test")
    assert current_version(tmp_path, "d").stat().st_ino == late.first  # type: ignore[attr-defined]
