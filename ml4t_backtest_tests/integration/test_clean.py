"""What `clean` takes away, and what it never does."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from ml4t_backtest.cli import main
from ml4t_backtest.data.store import upkeep
from ml4t_backtest.data.store.storage import current_version, publish, read_manifest, read_table, staged, versions_of
from ml4t_backtest.data.store.upkeep import clean

DAY = 86_400


def put(root: Path, value: int, name: str = "runs/a") -> None:
    publish(root, name, {"t": pl.DataFrame({"x": [value]})}, kind="thing", keep=100)


def value(root: Path, name: str = "runs/a") -> int:
    version = current_version(root, name)
    return int(read_table(version, read_manifest(version), "t")["x"].item())


def age(path: Path, seconds: float = 2 * DAY) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then), follow_symlinks=False)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Five versions, the last one current, all two days old."""
    for number in range(5):
        put(tmp_path, number)
    for number, version in enumerate(reversed(versions_of(tmp_path, "runs/a"))):
        age(version, 2 * DAY - number)
    return tmp_path


def test_the_current_version_and_the_youngest_others_stay(root: Path) -> None:
    before = versions_of(root, "runs/a")
    done = clean(root, keep=2)
    assert versions_of(root, "runs/a") == before[:2]
    assert {path for path, _ in done.removed} == {*before[2:]}
    assert value(root) == 4


def test_an_old_version_that_is_current_again_stays(root: Path) -> None:
    put(root, 0)
    for version in versions_of(root, "runs/a"):
        age(version)
    clean(root, keep=1)
    assert value(root) == 0
    assert len(versions_of(root, "runs/a")) == 1


def test_a_version_that_was_replaced_just_now_may_still_be_read(root: Path) -> None:
    replaced = current_version(root, "runs/a")
    put(root, 9)
    done = clean(root, keep=1)
    assert replaced.is_dir()
    assert (replaced, "it was current within the last hour and may still be read") in done.left


def test_a_dry_run_lists_and_removes_nothing(root: Path) -> None:
    ran = CliRunner().invoke(main, ["clean", "--keep", "1", "--dry-run", "--output-root", str(root)])
    assert ran.exit_code == 0, ran.output
    assert ran.output.count("would go") == 4
    assert len(versions_of(root, "runs/a")) == 5
    again = CliRunner().invoke(main, ["clean", "--keep", "1", "--output-root", str(root)])
    assert again.output.splitlines()[-1] == "4 removed, 0 left"


def test_nothing_goes_where_no_pointer_says_what_is_current(root: Path) -> None:
    for text in ("", "nonsense", "0" * 64, "../../etc"):
        (root / "runs" / "a" / "CURRENT").write_text(text)
        assert clean(root, keep=1).removed == []
    (root / "runs" / "a" / "CURRENT").unlink()
    os.mkfifo(root / "runs" / "a" / "CURRENT")  # which nobody must wait for
    assert clean(root, keep=1).removed == []
    assert len(versions_of(root, "runs/a")) == 5


def test_links_are_not_followed_and_foreign_files_stay(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    for number in range(3):
        put(outside, number)
    for version in versions_of(outside, "runs/a"):
        age(version)
    (outside / "precious").write_text("x")
    (root / "runs" / "linked").symlink_to(outside / "runs" / "a")
    (root / "runs" / "b").mkdir()
    (root / "runs" / "b" / "versions").symlink_to(outside / "runs" / "a" / "versions")
    link, odd = root / "runs" / "a" / ".staging-0123456789abcdef", root / "runs" / "a" / ".staging-MINE!"
    link.symlink_to(outside)
    odd.mkdir()
    hashed, plain = (root / "runs" / "a" / "versions" / name for name in ("f" * 64, "notes\n\x1b[31m"))
    hashed.symlink_to(outside)
    plain.mkdir()
    for path in (link, odd, hashed, plain):
        age(path, 10 * DAY)
    clean(root, keep=1)
    assert len(versions_of(outside, "runs/a")) == 3
    assert (outside / "precious").exists()
    assert all(path.is_symlink() or path.exists() for path in (link, odd, hashed, plain))
    assert value(root) == 4


def test_what_a_writer_holds_stays_and_what_a_killed_one_left_goes(root: Path) -> None:
    home = root / "runs" / "a"
    code = (
        "import sys, time, polars as pl\n"
        "from ml4t_backtest.data.store.storage import staged\n"
        "with staged(sys.argv[1], 'runs/a', {'t': pl.DataFrame({'x': [7]})}, kind='thing'):\n"
        "    print('written', flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(root)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"written\n"
        (left,) = home.glob(".staging-*")
        age(left, 10 * DAY)
        assert (left, "it is being written") in clean(root, keep=5).left
        assert left.is_dir()
        writer.kill()
    age(left, 2 * 60)
    assert clean(root, keep=5).removed == [(left, "left by a writer that was killed")]
    assert not left.exists()


def test_a_writer_that_is_cleaned_beside_keeps_what_it_writes(root: Path) -> None:
    with staged(root, "runs/a", {"t": pl.DataFrame({"x": [7]})}, kind="thing") as version:
        for path in (root / "runs" / "a").glob(".staging-*"):
            age(path)
        clean(root, keep=1)
        version.make_current()
    assert value(root) == 7


def test_cleaners_killed_at_any_moment_beside_a_writer_never_touch_what_is_current(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer publishes five contents in turn, so that old versions become current again while they are taken away."""
    monkeypatch.setattr(upkeep, "_STILL_READ", 0.0)
    code = (
        "import sys, time\n"
        "from ml4t_backtest.data.store import upkeep\n"
        "upkeep._STILL_READ = -1.0\n"
        "print('go', flush=True)\n"
        "while True:\n"
        "    upkeep.clean(sys.argv[1], keep=1)\n"
        "    time.sleep(0.001)\n"
    )
    chance, removed = random.Random(20240105), 0
    for round_of in range(8):
        number = 0
        with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as cleaner:
            assert cleaner.stdout is not None
            assert cleaner.stdout.readline() == b"go\n"
            end = time.monotonic() + chance.uniform(0.1, 0.5)
            try:
                while time.monotonic() < end:
                    number += 1
                    put(tmp_path, number % 5)
                    assert value(tmp_path) == number % 5, f"round {round_of}"
            finally:
                cleaner.kill()
        assert value(tmp_path) == number % 5
        removed += len(versions_of(tmp_path, "runs/a")) < 5
    assert removed


def test_an_output_root_that_does_not_exist_has_nothing_to_clean(tmp_path: Path) -> None:
    ran = CliRunner().invoke(main, ["clean", "--output-root", str(tmp_path / "none")])
    assert (ran.exit_code, ran.output) == (0, "0 removed, 0 left\n")
    assert CliRunner().invoke(main, ["clean", "--keep", "0"]).exit_code == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_what_a_shell_reads(shell: str) -> None:
    assert "_ML4T_BACKTEST_COMPLETE" in CliRunner().invoke(main, ["completion", shell]).output


def test_names_of_configurations_and_of_runs_are_completed(root: Path) -> None:
    def completed(words: str, number: int) -> str:
        environment = {"COMP_WORDS": words, "COMP_CWORD": str(number), "_ML4T_BACKTEST_COMPLETE": "bash_complete"}
        environment["ML4T_OUTPUT_ROOT"] = str(root)
        return CliRunner().invoke(main, [], env=environment, prog_name="ml4t-backtest").output

    assert "plain,simple_ml_strategy" in completed("ml4t-backtest run sim", 2)
    assert completed("ml4t-backtest reproduce ", 2) == "plain,a\n"
