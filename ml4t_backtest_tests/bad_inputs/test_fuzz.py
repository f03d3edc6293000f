"""Five thousand configurations made wrong by chance: a configuration comes out, or a ConfigError, and nothing else."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from zoneinfo import available_timezones

import pytest

from bad_inputs.case import listing
from bad_inputs.fuzz import text_of, write
from ml4t_backtest.config import BacktestConfig, DatasetConfig, load_config, load_dataset_config
from ml4t_backtest.data.calendar import calendar_names
from ml4t_backtest.errors import ConfigError

TEXTS, AT_ONCE, LONG_RUN = 5_000, 100, 200_000
SECONDS = 1.0


def _read(path: Path) -> BacktestConfig | DatasetConfig:
    return load_dataset_config(path) if path.parent.name == "datasets" else load_config(path)


def _tried(first: int, folder: Path) -> list[str]:
    """Return what went wrong with some texts."""
    wrong = []
    for seed in range(first, first + AT_ONCE):
        path = write(seed, folder)
        before, start = listing(folder), time.perf_counter()
        try:
            _read(path)
        except ConfigError:
            pass
        except BaseException as error:
            wrong.append(f"seed {seed}: {type(error).__name__}: {error}")
        if (took := time.perf_counter() - start) > SECONDS:
            wrong.append(f"seed {seed}: {took:.1f} s")
        if listing(folder) != before:
            wrong.append(f"seed {seed}: something was written")
    return wrong


def _batch(first: int, folder: Path) -> None:
    # What is asked for names that exist: calendars and zones.
    calendar_names(), available_timezones()
    home, known = listing(Path.cwd()), set(sys.modules)
    assert _tried(first, folder) == []
    foreign = [
        name for name in sorted(set(sys.modules) - known) if not name.startswith(("ml4t_backtest.", "encodings."))
    ]
    assert foreign == []
    assert listing(Path.cwd()) == home


@pytest.mark.parametrize("first", range(0, TEXTS, AT_ONCE))
def test_a_text_made_wrong_by_chance_is_a_configuration_or_a_config_error(
    first: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "configs").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    _batch(first, tmp_path / "configs")


@pytest.mark.long
@pytest.mark.parametrize("first", range(TEXTS, LONG_RUN, AT_ONCE))
def test_texts_made_wrong_by_chance_for_long(first: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    assert _tried(first, tmp_path / "configs") == []


def test_the_texts_are_of_many_kinds_and_each_is_wrong_or_right_for_a_reason(tmp_path: Path) -> None:
    """Most must be refused, some must not; otherwise the texts would be too wrong or too right to test anything."""
    refused, said = 0, set()
    for seed in range(1_000):
        try:
            _read(write(seed, tmp_path))
        except ConfigError as error:
            refused += 1
            said.add(str(error).split(": ", 1)[-1][:40])
    assert 500 < refused < 950
    assert len(said) > 150
    assert len({text_of(seed)[1] for seed in range(1_000)}) > 900
