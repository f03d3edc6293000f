"""What a failure leads to: errors that may pass are tried again, and what fails a grave check is never published."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml4t_backtest.pipeline.asset_shelf import AssetShelf

dg = pytest.importorskip("dagster")
pytestmark = pytest.mark.dagster
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def run(demo: Any, job: str, key: str, root: Path) -> Any:
    return demo.defs.resolve_job_def(job).execute_in_process(
        run_config=QUIET, partition_key=key, resources=demo.resources(root), raise_on_error=False
    )


def failing(works: Callable[..., Any], error: Exception, times: int) -> tuple[Callable[..., Any], list[int]]:
    """Return a function that raises so many times before it works, and the list of its calls."""
    calls: list[int] = []

    def tried(*arguments: Any, **named: Any) -> Any:
        calls.append(len(calls))
        if len(calls) <= times:
            raise error
        return works(*arguments, **named)

    return tried, calls


@pytest.fixture
def demo(own_data: Any, load_graph: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    loaded = load_graph(own_data.configs)
    from dagster_project import contracts

    monkeypatch.setattr(contracts, "_SECONDS_BETWEEN", 0)
    return loaded


@pytest.mark.parametrize(("times", "ends_well"), [(2, True), (3, False)])
def test_a_source_that_does_not_answer_is_asked_three_times(
    times: int, ends_well: bool, demo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dagster_project.defs import raw

    works = raw.raw_inputs
    tried, calls = failing(works, TimeoutError("no answer"), times)
    monkeypatch.setattr(raw, "raw_inputs", lambda data, kind: (tried if kind == "prices" else works)(data, kind))
    assert run(demo, "prepare_data", "mine", tmp_path).success == ends_well
    assert len(calls) == 3


def test_a_storage_that_is_busy_is_tried_again(demo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried, _ = failing(AssetShelf.put, OSError(errno.EBUSY, "busy"), 2)
    monkeypatch.setattr(AssetShelf, "put", tried)
    assert run(demo, "prepare_data", "mine", tmp_path).success
    assert AssetShelf(tmp_path).holds("asset_data", "mine")


def test_a_full_disk_is_not_tried_again(demo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dagster_project.defs import raw

    tried, calls = failing(raw.raw_tables, OSError(errno.ENOSPC, "no space left"), 100)
    monkeypatch.setattr(raw, "raw_tables", tried)
    assert not run(demo, "prepare_data", "mine", tmp_path).success
    # Once for each of the four sources.
    assert len(calls) == 4


def test_a_run_that_knows_the_future_is_not_published(own_data: Any, demo: Any, tmp_path: Path) -> None:
    # It orders one share in the first run and two in the second, which sees half of the data.
    strategy = own_data.configs / "hold.py"
    knowing = strategy.read_text() + (
        "\n\nclass Knowing(Strategy):\n"
        "    def on_start(self):\n"
        "        with open(__file__ + '.runs', 'a+') as runs:\n"
        "            runs.write('x')\n"
        "            self.number = runs.tell()\n\n"
        "    def on_market_data(self, event):\n"
        "        if not self.get_position(event.symbol):\n"
        "            self.buy(event.symbol, quantity=self.number)\n"
    )
    strategy.write_text(knowing)
    assert run(demo, "prepare_data", "mine", tmp_path).success
    assert run(demo, "run_backtests", "hold", tmp_path).success
    shelf = AssetShelf(tmp_path)
    before = shelf.inputs_of("backtest_run", "hold")
    config = own_data.configs / "hold.yaml"
    config.write_text(config.read_text().replace("Hold", "Knowing"))
    done = run(demo, "run_backtests", "hold", tmp_path)
    assert not done.success
    (told,) = (
        event.step_failure_data.user_failure_data.description
        for event in done.get_step_failure_events()
        if event.step_failure_data.user_failure_data
    )
    assert told.startswith("backtest_run.no_look_ahead: fills up to ")
    failed = [each.check_name for each in done.get_asset_check_evaluations() if not each.passed]
    assert failed == ["no_look_ahead"]
    assert shelf.inputs_of("backtest_run", "hold") == before
