"""Pinned runs give the orders and figures they gave when they were pinned."""

from __future__ import annotations

from pathlib import Path

import pytest

from golden import pinned, regenerate, runs
from golden.runs import SETUPS

PINNED = pinned.read()


@pytest.mark.parametrize("name", runs.names())
def test_a_pinned_run_is_what_it_was(name: str) -> None:
    changed = pinned.differences(PINNED[name], pinned.fingerprint(runs.run(name)))
    told = "\n  ".join([f"{name} is not what it was; if that is meant, run {pinned.COMMAND}:", *changed])
    assert not changed, told


def test_at_least_forty_runs_and_twenty_statistics_are_pinned() -> None:
    assert sorted(PINNED) == sorted(runs.names())
    assert len(PINNED) >= 40
    assert all(len(values) == 1 + 20 for values in PINNED.values())


@pytest.mark.parametrize("setup", SETUPS)
def test_both_callback_modes_are_pinned_to_the_same(setup: str) -> None:
    assert PINNED[f"{setup} batch"] == PINNED[f"{setup} symbol"]


@pytest.mark.parametrize("setup", SETUPS)
def test_a_pinned_run_does_something(setup: str) -> None:
    assert int(PINNED[f"{setup} batch"]["fills"]) >= 20


def test_a_difference_is_told_with_both_values() -> None:
    values = next(iter(PINNED.values()))
    other = {**values, "final_equity": "1", "order_hash": "0" * 16}
    assert pinned.differences(values, other) == [
        f"order_hash: pinned {values['order_hash']}, now {'0' * 16}",
        f"final_equity: pinned {values['final_equity']}, now 1",
    ]


def test_the_last_digits_of_a_float_are_no_difference() -> None:
    assert pinned.differences({"sharpe_ratio": "1.23456789012"}, {"sharpe_ratio": "1.23456789013"}) == []
    assert pinned.differences({"sharpe_ratio": "1.23456789012"}, {"sharpe_ratio": "1.23456789112"}) != []


def test_the_command_prints_what_changes_and_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = {name: PINNED[name] for name in ("scene 0", "scene 1")}
    monkeypatch.setattr(runs, "names", lambda: list(kept))
    monkeypatch.setattr(pinned, "FILE", tmp_path / "golden.csv")
    pinned.write({**kept, "scene 1": {**kept["scene 1"], "fills": "7"}})
    assert regenerate.main(["--check"]) == 1
    assert pinned.read()["scene 1"]["fills"] == "7"
    assert regenerate.main([]) == 0
    assert pinned.read() == kept
    assert f"scene 1\n  fills: pinned 7, now {kept['scene 1']['fills']}\n1 of 2 runs differ" in capsys.readouterr().out
