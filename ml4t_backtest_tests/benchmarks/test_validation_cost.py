"""The benchmark of validation runs, on a small size; its ratios are printed, not judged, on a shared machine."""

from __future__ import annotations

from pathlib import Path

from benchmarks.validation_cost import WAYS, measure, write_bars


def test_every_level_is_measured_against_decoding(tmp_path: Path) -> None:
    write_bars(tmp_path, 2, 2)
    figures = {way: measure(way, tmp_path) for way in WAYS}
    assert all(each["cpu"] > 0 and each["peak_mb"] > 0 for each in figures.values())
