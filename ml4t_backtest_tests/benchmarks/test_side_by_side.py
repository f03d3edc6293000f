"""What is compared with what, and when two engines agree."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from benchmarks import works
from benchmarks.engines import ENGINES
from benchmarks.peers import matches
from benchmarks.side_by_side import Measurement, agree, compare, disagreements, ratios, table
from benchmarks.targets import Target, verdicts
from benchmarks.works import Work


def measured(engine: str, equity: float | None, fills: int | None, seconds: tuple[float, ...] = (1.0,)) -> Measurement:
    runs = [{"wall": each, "cpu": each, "equity": equity, "fills": fills} for each in seconds]
    return Measurement(engine, "1", "next open", 1_000, {"wall": 0.5, "cpu": 0.5}, runs[0], runs)


def test_engines_agree_to_the_cent_and_in_the_number_of_fills() -> None:
    one = measured("ours", 100.0, 7)
    assert agree(one, measured("other", 100.009, 7))
    assert not agree(one, measured("other", 100.011, 7))
    assert not agree(one, measured("other", 100.0, 8))


def test_what_an_engine_does_not_tell_is_not_held_against_it() -> None:
    assert agree(measured("ours", 100.0, 7), measured("decode", None, None))
    assert agree(measured("ours", 100.0, 7), measured("other", 100.0, None))
    assert disagreements([measured("ours", 100.0, 7), measured("other", 99.0, None)]) == [
        "other: None fills, equity 99.0; ours: 7 fills, equity 100.0"
    ]


def test_ratios_are_those_of_neighbouring_runs() -> None:
    # 3 / 1 and 3 / 2: the second run of both was disturbed alike.
    ours, other = measured("ours", 1.0, 1, (1.0, 2.0)), measured("other", 1.0, 1, (3.0, 3.0))
    assert ratios(ours, other) == [1.5, 3.0]


def test_ours_follows_the_rules_of_a_peer_that_fills_elsewhere() -> None:
    (ours, zipline), (plain, vectorbt) = matches([ENGINES[name] for name in ("ours", "zipline", "vectorbt")])
    assert (ours.profile, zipline.name) == ("zipline@3", "zipline")
    assert (plain.profile, vectorbt.name) == (None, "vectorbt")


def test_our_modes_are_compared_with_each_other_where_no_peer_is_named() -> None:
    names = [[engine.name for engine in each] for each in matches([ENGINES["ours"], ENGINES["ours-symbol"]])]
    assert names == [["ours", "ours-symbol"]]


@pytest.mark.parametrize(
    ("target", "seconds", "met"),
    [
        (Target("W2", "0.01", "ours", "vectorbt", 1.3), (1.4, 1.3, 1.2), "yes"),
        (Target("W2", "0.01", "ours", "vectorbt", 1.3), (1.2, 1.2, 1.4), "**no**"),
        (Target("W2", "0.01", "ours", "decode", 0.5), (0.5, 0.5, 0.5), "yes"),
        (Target("W2", "0.01", "ours", "decode", 0.5), (0.4, 0.4, 0.4), "**no**"),
    ],
)
def test_a_target_is_met_by_the_median_of_the_pairs(
    monkeypatch: pytest.MonkeyPatch, target: Target, seconds: tuple[float, ...], met: str
) -> None:
    monkeypatch.setattr("benchmarks.targets.TARGETS", (target,))
    both = [measured("ours", 1.0, 1, (1.0, 1.0, 1.0)), measured(target.other, 1.0, 1, seconds)]
    piece: dict[str, Any] = {"work": "W2", "task": "0.01", "measurements": [each.as_json() for each in both]}
    assert verdicts([piece]).splitlines()[2].endswith(f"| {met} |")
    assert "not measured" in verdicts([]).splitlines()[2]


def test_both_modes_run_as_measured_processes_and_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(works, "DATA", tmp_path)
    work = Work("small", 10, date(2023, 1, 3), 80)
    engines = [ENGINES["ours"], ENGINES["ours-symbol"]]
    ((_, found),) = compare(work, ["0.1"], engines, rounds=1, whole=1)
    assert disagreements(found) == []
    # 10 symbols x 80 sessions, one order in ten bars.
    assert abs((found[0].fills or 0) - 80) <= 1
    assert all(each.whole[0]["peak_mb"] > 50.0 and each.whole[0]["cpu"] > 0.0 for each in found)
    assert len(table(found)) == 1 + 2 + 2
