"""Finding configurations by name and by path."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml4t_backtest.config import (
    bundled_folder,
    config_folder,
    config_names,
    dataset_names,
    find_config,
    find_dataset_config,
)
from ml4t_backtest.errors import ConfigError, UnsafePathError


@pytest.fixture
def configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory with no `configs/` yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ML4T_CONFIGS", raising=False)
    return tmp_path / "configs"


def _touch(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text("a: 1\n")


def test_the_environment_goes_before_the_working_directory(
    configs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _touch(configs, "a.yaml")
    _touch(tmp_path / "other", "b.yaml")
    monkeypatch.setenv("ML4T_CONFIGS", str(tmp_path / "other"))

    assert config_folder() == tmp_path / "other"
    assert config_names() == ["b"]


def test_an_environment_that_names_no_folder_is_refused(configs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML4T_CONFIGS", str(configs / "nowhere"))

    with pytest.raises(ConfigError, match="no folder"):
        config_folder()


def test_a_local_folder_counts_only_if_it_holds_configurations(configs: Path) -> None:
    assert config_folder() == bundled_folder()
    configs.mkdir()
    assert config_folder() == bundled_folder()
    _touch(configs, "a.yaml")
    assert config_folder() == configs


def test_the_bundled_folder_holds_the_examples(configs: Path) -> None:
    assert config_names() == ["multi_asset_strategy", "regime_switching", "simple_ml_strategy"]
    assert dataset_names() == ["us_tech_daily"]


def test_names_are_sorted_stems_and_hidden_or_other_files_are_not_looked_at(configs: Path) -> None:
    _touch(configs, "b.yaml", "a.json", ".hidden.yaml", "notes.txt")

    assert config_names() == ["a", "b"]


@pytest.mark.parametrize("stem", ["My Run", "con", "a..", "ünsafe", "-x"])
def test_a_stem_that_is_no_safe_name_is_refused(configs: Path, stem: str) -> None:
    _touch(configs, "good.yaml", f"{stem}.yaml")

    with pytest.raises(UnsafePathError, match="file name"):
        config_names()


def test_one_name_for_two_files_is_refused(configs: Path) -> None:
    _touch(configs, "a.yaml", "a.json")

    with pytest.raises(ConfigError, match="same name"):
        config_names()


def test_a_name_is_found_and_a_path_is_taken_as_it_is(configs: Path) -> None:
    _touch(configs, "a.yaml")

    assert find_config("a") == configs / "a.yaml"
    assert find_config("elsewhere/b.yaml") == Path("elsewhere/b.yaml")
    assert find_dataset_config("us_tech_daily") == bundled_folder() / "datasets" / "us_tech_daily.yaml"


def test_an_unknown_name_lists_the_nearest_and_the_available(configs: Path) -> None:
    _touch(configs, "momentum.yaml", "carry.yaml")

    with pytest.raises(ConfigError, match=r"Did you mean 'momentum'\? Available: carry, momentum"):
        find_config("momentun")
