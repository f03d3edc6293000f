"""The ledger of trials: what is written is there whole, whoever writes, merges or is killed meanwhile."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from datetime import date
from pathlib import Path

import pytest

from ml4t_backtest.errors import BacktestError, ConfigError
from ml4t_backtest.sweep.run import run_sweep
from ml4t_backtest.sweep.trial_ledger import TrialLedger


def _rows(name: str, number: int = 1) -> list[dict[str, object]]:
    return [{"trial": f"{name}-{each}", "status": "completed", "sharpe_ratio": 0.5} for each in range(number)]


def _write_for_ever(folder: Path, name: str) -> None:
    ledger = TrialLedger(folder)
    for number in range(1_000_000):
        ledger.add(_rows(f"{name}-{number}", 3))


def _write_some(folder: Path, name: str) -> None:
    ledger = TrialLedger(folder)
    for number in range(20):
        ledger.add(_rows(f"{name}-{number}"))
        if number % 5 == 0:
            ledger.compact(at_least=2)


def test_an_empty_ledger_has_no_rows_and_makes_no_folder(tmp_path: Path) -> None:
    ledger = TrialLedger(tmp_path / "ledger")
    assert ledger.read().is_empty()
    assert not (tmp_path / "ledger").exists()


def test_figures_of_different_rows_come_together(tmp_path: Path) -> None:
    ledger = TrialLedger(tmp_path / "ledger")
    ledger.add([{"trial": "a", "status": "completed", "old_figure": 1.0}])
    ledger.add([{"trial": "b", "status": "completed", "new_figure": 2.0}])
    assert ledger.read().select("trial", "old_figure", "new_figure").sort("trial").rows() == [
        ("a", 1.0, None),
        ("b", None, 2.0),
    ]


def test_a_failed_trial_is_a_row_but_is_not_completed(tmp_path: Path) -> None:
    ledger = TrialLedger(tmp_path / "ledger")
    ledger.add([{"trial": "a", "status": "failed", "error": "no"}, {"trial": "b", "status": "completed"}])
    assert ledger.read().height == 2
    assert ledger.completed_trials() == {"b"}


def test_other_variants_are_told_with_each_session_once(tmp_path: Path) -> None:
    days = [date(2024, 1, day) for day in range(1, 5)]

    def row(variant: str, first: int, last: int, *returns: float, **others: object) -> dict[str, object]:
        span = {"first_session": days[first], "last_session": days[last - 1], "sessions": days[first:last]}
        told = {"trial": f"{variant}{first}{last}", "variant_hash": variant, "data_hash": "d", "status": "completed"}
        return {**told, **span, "daily_returns": list(returns), **others}

    ledger = TrialLedger(tmp_path / "ledger")
    ledger.add([row("b", 2, 4, 0.3, 0.4), row("b", 1, 3, 0.2, 0.25), row("own", 0, 2, 0.1, 0.1)])
    ledger.add([row("a", 0, 1, 0.7), row("a", 0, 2, 0.1, 0.2, first_session=None, last_session=None)])
    ledger.add([row("c", 0, 1, 0.5, data_hash="other"), row("e", 0, 1, 0.5, status="failed")])
    # Of `a` the whole span tells, of `b` the span of days 1 and 2 before that of days 2 and 3.
    assert ledger.returns_of_others(["d"], {"own"}) == [[0.1, 0.2], [0.2, 0.25, 0.4]]


def test_merging_keeps_every_row_in_one_file(tmp_path: Path) -> None:
    ledger = TrialLedger(tmp_path / "ledger")
    for name in "abcde":
        ledger.add(_rows(name, 2))
    before = ledger.read()
    assert ledger.compact(at_least=5)
    assert len(list((tmp_path / "ledger").glob("*.parquet"))) == 1
    assert ledger.read().equals(before)


def test_a_row_that_is_in_two_files_counts_once(tmp_path: Path) -> None:
    """As after a merger that was killed between writing the one file and removing the many."""
    ledger = TrialLedger(tmp_path / "ledger")
    ledger.add(_rows("a", 2))
    (file,) = (tmp_path / "ledger").glob("*.parquet")
    (tmp_path / "ledger" / "abc.parquet").write_bytes(file.read_bytes())
    assert ledger.read().height == 2


def test_what_several_write_and_merge_at_once_is_all_there(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_some, args=(tmp_path / "ledger", name)) for name in ("x", "y")]
    for writer in writers:
        writer.start()
    ledger, seen = TrialLedger(tmp_path / "ledger"), 0
    while any(writer.is_alive() for writer in writers):
        rows = ledger.read()
        assert rows["attempt"].n_unique() == rows.height
        assert rows.height >= seen
        seen = rows.height
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert sorted(ledger.read()["trial"]) == sorted(f"{name}-{number}-0" for name in "xy" for number in range(20))


def test_a_writer_that_is_killed_leaves_whole_rows_only(tmp_path: Path) -> None:
    ledger = TrialLedger(tmp_path / "ledger")
    writer = multiprocessing.get_context("spawn").Process(target=_write_for_ever, args=(tmp_path / "ledger", "z"))
    writer.start()
    while ledger.read().height < 30:
        time.sleep(0.01)
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    names = ledger.read()["trial"].to_list()
    # Three rows a time: either all of them are there or none.
    assert len(names) % 3 == 0
    assert sorted(names) == sorted(f"z-{number}-{each}" for number in range(len(names) // 3) for each in range(3))


def test_a_ledger_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, no folder")
    with pytest.raises(BacktestError, match="cannot be written"):
        TrialLedger(tmp_path / "taken" / "ledger").add(_rows("a"))


def test_an_object_store_is_refused_before_anything_is_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"s3://desk/runs/sweeps/ledger: the trial ledger needs a folder"):
        run_sweep("thresholds", output_root="s3://desk/runs")
    assert list(tmp_path.iterdir()) == []
