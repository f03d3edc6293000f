"""Which executor `$ML4T_EXECUTOR` chooses, and what is said when it chooses none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ml4t_backtest import ConfigError
from ml4t_backtest.pipeline import executor_choice as module
from ml4t_backtest.pipeline.executor_choice import EXECUTOR_VARIABLE, ExecutorChoice, executor_choice

CONFIGS = Path(__file__).parents[3] / "configs" / "dagster"


@pytest.fixture
def everything_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: sys)


def chosen(value: str | Path, **more: str) -> ExecutorChoice:
    return executor_choice({EXECUTOR_VARIABLE: str(value), **more})


def test_without_a_choice_steps_run_in_the_process_of_their_run() -> None:
    assert executor_choice({}) == chosen("") == ExecutorChoice("in_process")


def test_a_file_gives_the_executor_and_its_settings(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("executor: multiprocess\nconfig: {max_concurrent: 3}\n")
    assert chosen(tmp_path / "mine.yaml") == ExecutorChoice("multiprocess", {"max_concurrent": 3})


@pytest.mark.usefixtures("everything_installed")
@pytest.mark.parametrize("name", ["multiprocess", "ray", "kubernetes"])
def test_the_files_that_are_shipped_choose_what_they_are_called(name: str) -> None:
    assert chosen(CONFIGS / f"{name}.yaml").name == name


@pytest.mark.usefixtures("everything_installed")
def test_workers_of_ray_are_told_where_everything_is_and_no_credentials(tmp_path: Path) -> None:
    (tmp_path / "ray.yaml").write_text("executor: ray\nconfig: {ray: {num_cpus: 2, env_vars: [MINE]}}\n")
    secret = {"AWS_SECRET_ACCESS_KEY": "never"}
    found = chosen(tmp_path / "ray.yaml", ML4T_OUTPUT_ROOT="s3://desk/runs", ML4T_CONFIGS="/shared/configs", **secret)
    told = ["ML4T_OUTPUT_ROOT=s3://desk/runs", "ML4T_CONFIGS=/shared/configs", "MINE"]
    assert found.config == {"ray": {"num_cpus": 2, "env_vars": told}}


@pytest.mark.usefixtures("everything_installed")
def test_workers_of_ray_are_told_an_absolute_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert chosen("ray").config == {"ray": {"env_vars": [f"ML4T_OUTPUT_ROOT={tmp_path}/.runs"]}}


def test_a_name_that_is_none_is_told_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="'dask' is no executor; choose in_process, multiprocess, ray, kubernetes"):
        chosen("dask")


def test_what_is_not_installed_is_told_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'needs dagster_ray: pip install "ml4t-backtest-pipeline\[ray\]"'):
        chosen("ray")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("executor: multiprocess\nsettings: {}\n", "unknown key 'settings'"),
        ("config: {}\n", "absent or of the wrong type"),
        ("executor: multiprocess\nconfig: 3\n", "absent or of the wrong type"),
        ("executor: nonsense\n", "is no executor"),
    ],
)
def test_a_file_that_says_something_else_is_refused(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError, match=told):
        chosen(tmp_path / "mine.yaml")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml, which cannot be read"):
        chosen(tmp_path / "absent.yaml")
