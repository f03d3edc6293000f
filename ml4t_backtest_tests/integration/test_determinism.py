"""One input, one answer: whatever the order of rows, the process, its threads, the type of text, the Python."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import one_answer
import polars as pl
import pytest
from one_answer import STRATEGIES, SYMBOLS, answer_hash
from parity.environments import ENVIRONMENTS, make_environment, works

from ml4t_backtest import run_backtest
from ml4t_backtest.data import scratch

ROOT = Path(__file__).parents[2]
CONFIGS = [f"{strategy.lower()}.yaml" for strategy in STRATEGIES]


def write(folder: Path, tables: Mapping[str, pl.DataFrame]) -> Path:
    """Write a world with these raw tables."""
    one_answer.write_world(folder)
    for name, table in tables.items():
        table.write_parquet(folder / f"{name}.parquet")
    return folder


def answers(folder: Path) -> list[str]:
    """Return the answers of all strategies, in this process."""
    return [answer_hash(run_backtest(folder / config)) for config in CONFIGS]


def answers_of(python: Path | str, folder: Path, **variables: str) -> list[str]:
    """Return the answers of all strategies, in a process of its own."""
    paths = os.pathsep.join((str(ROOT), str(ROOT / "ml4t_backtest_tests")))
    command = [str(python), "-W", "ignore", str(Path(one_answer.__file__)), *(str(folder / name) for name in CONFIGS)]
    here = {**os.environ, "PYTHONPATH": paths, **variables}
    done = subprocess.run(command, capture_output=True, text=True, env=here, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("world"), one_answer.tables().by_name())


@pytest.fixture(scope="module")
def expected(world: Path) -> list[str]:
    found = answers(world)
    assert len(set(found)) == len(STRATEGIES)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_rows_changes_nothing(
    seed: int, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = one_answer.tables().by_name()
    shuffled = {name: table.sample(fraction=1.0, shuffle=True, seed=seed) for name, table in tables.items()}
    monkeypatch.setattr(scratch, "ROWS_AT_ONCE", (100, 500, 1_000, 2_000)[seed])
    assert answers(write(tmp_path, shuffled)) == expected


@pytest.mark.parametrize(
    ("seed", "threads"), [("0", "1"), ("1", "2"), ("20240102", "1"), ("random", "2")], ids=lambda value: value
)
def test_hash_seed_and_number_of_threads_change_nothing(
    seed: str, threads: str, world: Path, expected: list[str]
) -> None:
    assert answers_of(sys.executable, world, PYTHONHASHSEED=seed, POLARS_MAX_THREADS=threads) == expected


@pytest.mark.parametrize("at_once", [150, 10_000])
@pytest.mark.parametrize("text", ["categorical", "enum", "enum backwards", "mixed"])
def test_how_symbols_are_stored_changes_nothing(
    text: str, at_once: int, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = {
        "categorical": pl.Categorical(),
        "enum": pl.Enum(SYMBOLS),
        # Its order by number is the opposite of that by name.
        "enum backwards": pl.Enum(SYMBOLS[::-1]),
    }
    tables = one_answer.tables().by_name()
    stored = {
        name: table.with_columns(pl.col("symbol").cast(kinds["enum backwards" if text == "mixed" else text]))
        for name, table in tables.items()
        if "symbol" in table.columns and not (text == "mixed" and name != "fast")
    }
    monkeypatch.setattr(scratch, "ROWS_AT_ONCE", at_once)
    assert answers(write(tmp_path, tables | stored)) == expected


@pytest.mark.long
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_the_python_changes_nothing(version: str, world: Path, expected: list[str]) -> None:
    name = f"python{version}"
    if not works(name):
        pytest.skip(f"{name} does not run here")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    constraints = ROOT / "constraints.txt"
    # The digest makes it anew where the pinned versions change.
    pinned = hashlib.sha256(constraints.read_bytes()).hexdigest()
    requirements = "\n".join([f"-c {constraints}", *project["dependencies"], f"# {pinned}"])
    python = make_environment(ENVIRONMENTS / name, [name], requirements)
    told = subprocess.run([str(python), "--version"], capture_output=True, text=True, check=True).stdout
    assert told.startswith(f"Python {version}.")
    assert answers_of(python, world) == expected
