"""The guard tells ratios, compares them with what was recorded, and judges only when asked to."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from benchmarks import guard
from benchmarks.guard import Case, cases, main, measure, verdicts


def busy(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_a_ratio_is_ours_over_the_floor() -> None:
    watched = [Case("four times", lambda: busy(0.08), lambda: busy(0.02))]
    # What disturbs a pass makes it longer; the least of some comes near the truth.
    assert measure(watched, 3)["four times"] == pytest.approx(4.0, rel=0.3)


def test_slower_is_what_exceeds_the_record_by_more_than_half() -> None:
    told = verdicts({"a": 1.49, "b": 1.51, "c": 9.0}, {"a": 1.0, "b": 1.0})
    assert [slower for _, slower in told] == [False, True, False]
    assert told[1][0].startswith("SLOWER")
    assert "nothing recorded" in told[2][0]


def test_both_modes_are_watched_with_and_without_orders() -> None:
    from benchmarks.frames import minute_bars

    names = [case.name for case in cases(minute_bars(1_000))]
    assert len(names) == len(set(names)) == 7


def test_it_records_and_judges_only_when_it_is_strict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "RECORDED", tmp_path / "guard.json")
    small = ["--passes", "1", "--rows", "1000"]
    assert main([*small, "--record"]) == 0
    recorded = json.loads(guard.RECORDED.read_text())
    assert all(ratio > 0.0 for ratio in recorded.values())
    guard.RECORDED.write_text(json.dumps(dict.fromkeys(recorded, 1e-9)))
    assert main(small) == 0
    assert main([*small, "--strict"]) == 1
