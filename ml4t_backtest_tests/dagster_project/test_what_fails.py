"""What a failure leads to: errors that may pass are tried again, and what fails a grave check is never published."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
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
    from dagster_project.defs import sources

    works = sources.raw_inputs
    tried, calls = failing(works, TimeoutError("no answer"), times)
    monkeypatch.setattr(sources, "raw_inputs", lambda data, kind: (tried if kind == "prices" else works)(data, kind))
    assert run(demo, "prepare_data", "mine", tmp_path).success == ends_well
    assert len(calls) == 3


def test_a_storage_that_is_busy_is_tried_again(demo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried, _ = failing(AssetShelf.put, OSError(errno.EBUSY, "busy"), 2)
    monkeypatch.setattr(AssetShelf, "put", tried)
    assert run(demo, "prepare_data", "mine", tmp_path).success
    assert AssetShelf(tmp_path).holds("asset_data", "mine")


_IN_TROUBLE = """
import json, resource, subprocess, sys
from pathlib import Path
import dagster as dg
import polars as pl
from dagster_project import demo
from ml4t_backtest.pipeline.asset_shelf import AssetShelf

trouble, bars, root = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
shelf = AssetShelf(root)

def prepare():
    return demo.defs.resolve_job_def("prepare_data").execute_in_process(
        partition_key="mine", resources=demo.resources(root), raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )

def first_volume():
    return shelf.read("asset_data", "mine")["volume"][0]

def files():
    return {path: path.read_bytes() for path in (root / "assets").rglob("*") if path.is_file()}

def told(run):
    for event in run.get_step_failure_events():
        error = event.step_failure_data.error
        while error.cls_name != "BacktestError":
            error = error.cause
        yield event.step_key, error.message.strip()

def limit_files(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

def fill():
    with (root / "filler").open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(4096))
        except OSError:
            pass

def mounted(how):
    subprocess.run(["mount", "-o", f"remount,{how}", root], check=True)

begin, end = {
    "full": (fill, lambda: (root / "filler").unlink()),
    "read-only": (lambda: mounted("ro"), lambda: mounted("rw")),
    "limited": (lambda: limit_files(1000), lambda: limit_files(resource.RLIM_INFINITY)),
}[trouble]
assert prepare().success
pl.read_parquet(bars).with_columns(volume=pl.lit(7.0)).write_parquet(bars)
before = files()
begin()
failed = prepare()
in_trouble = {
    "success": failed.success,
    "volume": first_volume(),
    "untouched": files() == before,
    "retries": sum(event.event_type_value == "STEP_UP_FOR_RETRY" for event in failed.all_events),
    "errors": dict(told(failed)),
}
end()
after = {"success": prepare().success, "volume": first_volume(), "left over": [*root.rglob(".*")]}
print(json.dumps([in_trouble, after]))
"""
_SMALL_DISK = 'mount -t tmpfs -o size=2m tmpfs "$1" || exit 77; shift; exec "$@"'


def hold_out(trouble: str, code: str, own_data: Any, root: Path, *, mounts: bool) -> None:
    """Prepare data in a process of its own, change the bars, prepare again in trouble and once more without it.

    The run in trouble fails once, with an error of this code, and neither changes nor leaves anything; the one after it
    works.
    """
    root.mkdir()
    command: list[Any] = [sys.executable, "-W", "ignore", "-c", _IN_TROUBLE, trouble]
    command += [own_data.configs / "bars.parquet", root]
    if mounts:
        command = ["unshare", "-m", "sh", "-c", _SMALL_DISK, "sh", root, *command]
    environment = {**os.environ, "ML4T_CONFIGS": str(own_data.configs)}
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240, env=environment)
    except FileNotFoundError:
        pytest.skip("no unshare here, which mounts a disk for one process alone")
    if mounts and (ran.returncode == 77 or "unshare:" in ran.stderr):
        pytest.skip("no disk can be mounted here")
    assert ran.returncode == 0, ran.stderr
    then, after = json.loads(ran.stdout)
    errors = then.pop("errors")
    # The first bar's volume was 100.
    assert then == {"success": False, "volume": 100.0, "untouched": True, "retries": 0}
    assert after == {"success": True, "volume": 7.0, "left over": []}
    assert "raw_prices" in errors
    for error in errors.values():
        assert f"{code}: {root}" in error
        assert error.endswith("what was published before is unchanged")


def test_a_full_disk_leaves_what_was_published_and_the_next_run_goes_on(own_data: Any, tmp_path: Path) -> None:
    hold_out("full", "E-FL-NOSPC", own_data, tmp_path / "disk", mounts=True)


def test_a_read_only_disk_leaves_what_was_published_and_the_next_run_goes_on(own_data: Any, tmp_path: Path) -> None:
    hold_out("read-only", "E-FL-WRITE", own_data, tmp_path / "disk", mounts=True)


@pytest.mark.skipif(os.name == "nt", reason="limits of POSIX")
def test_a_file_cut_short_by_a_limit_leaves_what_was_published_and_the_next_run_goes_on(
    own_data: Any, tmp_path: Path
) -> None:
    """A thousand bytes, which a table of ten bars does not fit into: the write begins, and ends in the middle."""
    hold_out("limited", "E-FL-WRITE", own_data, tmp_path / "out", mounts=False)


def test_an_output_root_that_is_no_folder_is_named_and_the_next_run_goes_on(demo: Any, tmp_path: Path) -> None:
    root = tmp_path / "out"
    root.write_text("not a folder")
    done = run(demo, "prepare_data", "mine", root)
    assert not done.success
    failed = {event.step_key: event.step_failure_data.error for event in done.get_step_failure_events()}
    assert "E-FL-WRITE" in str(failed["raw_prices"])
    assert str(root) in str(failed["raw_prices"])
    assert root.read_text() == "not a folder"
    root.unlink()
    assert run(demo, "prepare_data", "mine", root).success
    assert AssetShelf(root).holds("asset_data", "mine")


def test_a_source_that_is_gone_fails_its_check_and_what_was_published_stays(
    own_data: Any, demo: Any, tmp_path: Path
) -> None:
    assert run(demo, "prepare_data", "mine", tmp_path).success
    before = AssetShelf(tmp_path).inputs_of("asset_data", "mine")
    bars = own_data.configs / "bars.parquet"
    bars.rename(own_data.configs / "elsewhere.parquet")
    done = run(demo, "prepare_data", "mine", tmp_path)
    (check,) = (each for each in done.get_asset_check_evaluations() if not each.passed)
    assert (check.asset_key.to_user_string(), check.check_name) == ("raw_prices", "schema")
    assert check.description.startswith("E-FL-MISSING prices: ")
    assert bars.name in check.description
    assert AssetShelf(tmp_path).inputs_of("asset_data", "mine") == before
    assert run(demo, "run_backtests", "hold", tmp_path).success


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
