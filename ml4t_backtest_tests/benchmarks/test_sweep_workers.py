"""The benchmark of sweeps runs, on a small size; its figures are printed, not judged, on a shared machine."""

from __future__ import annotations

from pathlib import Path

from benchmarks.sweep_workers import measure, network, write_project


def test_a_sweep_is_measured(tmp_path: Path) -> None:
    write_project(tmp_path, 3, 40)
    figures = measure(tmp_path, tmp_path / "out", 1, 4, watch=True)
    assert all(value > 0 for name, value in figures.items() if name != "fills")
    assert all(value > 0 for value in network(tmp_path, tmp_path / "out", 4).values())
