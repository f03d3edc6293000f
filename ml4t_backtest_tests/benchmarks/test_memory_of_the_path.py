"""The path from files to trades in less than a gigabyte, however long the span, and again and again.

The short test holds that phases are measured at all; the long ones hold the bounds, on the size of the issue.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.memory_of_the_path import growth_mb, measure, peak_mb, table
from benchmarks.minute_world import write_world


def test_every_phase_is_measured(tmp_path: Path) -> None:
    config = write_world(tmp_path / "world", 3, 2)
    phases, told = measure(config, tmp_path / "out")
    # Two sessions of 390 minutes of three symbols.
    assert told.startswith("2340 bars, ")
    assert [phase.name for phase in phases] == ["import", "prepare", "run", "write"]
    assert all(phase.cpu > 0 and phase.wall > 0 for phase in phases)
    whole = table(phases).row(-1, named=True)
    assert whole["rss_mb"] >= whole["pss_mb"] >= whole["uss_mb"] > 20


def test_the_same_arguments_make_the_same_files(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_world(tmp_path / name, 2, 25)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.parquet"))
    assert len(files) == 5  # bars and signals of January and February, and the context
    assert all((tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes() for file in files)


@pytest.mark.long
def test_24_million_bars_go_from_files_to_trades_in_less_than_a_gigabyte(tmp_path: Path) -> None:
    config = write_world(tmp_path / "world", 250, 252)
    phases, told = measure(config, tmp_path / "out")
    print(table(phases))
    assert told.startswith("24480000 bars, ")
    assert peak_mb(phases) < 1_000


@pytest.mark.long
def test_twice_the_time_takes_a_twentieth_more_memory_at_most(tmp_path: Path) -> None:
    """The least of three passes each: the allocator gives memory back in its own time, which lifts a peak by chance."""
    peaks = []
    for sessions in (126, 252):
        config = write_world(tmp_path / f"{sessions}", 60, sessions)
        passes = [measure(config, tmp_path / f"{sessions}" / f"out{number}")[0] for number in range(3)]
        peaks.append(min(map(peak_mb, passes)))
    assert peaks[1] <= 1.05 * peaks[0], peaks


@pytest.mark.long
def test_fifty_runs_in_one_process_grow_by_twenty_megabytes_at_most(tmp_path: Path) -> None:
    growth, sizes = growth_mb(write_world(tmp_path, 10, 5), 50)
    assert len(sizes) == 50
    assert growth <= 20, sizes
