"""The user's code that a configuration stands on: what is named, what that imports, and nothing beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml4t_backtest.config import BacktestConfig, load_config
from ml4t_backtest.config.own_code import own_code


def config_of(folder: Path, strategy: str, slippage: str = "{model: none}") -> BacktestConfig:
    (folder / "bars.yaml").write_text(
        "data: {source: {name: mine, adjustment: none, prices: {path: bars.parquet}}}\n"
        f"strategy: {{path: '{strategy}'}}\n"
        f"execution: {{slippage: {slippage}}}\n"
    )
    return load_config(folder / "bars.yaml")


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        file = folder / f"{name.replace('__in__', '/')}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)


def test_the_librarys_strategies_are_no_code_of_the_users(tmp_path: Path) -> None:
    assert own_code(config_of(tmp_path, "ml4t_backtest.strategy.library.BuyAndHold")) == {}


def test_a_file_counts_with_what_it_imports_however_far_and_not_with_its_neighbours(tmp_path: Path) -> None:
    write(
        tmp_path,
        own="import json\nfrom helpers import mean\n",
        helpers="def mean():\n    import desk.levels as levels\n",
        desk__in__levels="from .far import *\n",
        desk__in__far="x = 1\n",
        other="x = 1\n",
    )
    config = config_of(tmp_path, "own.py:Follow")
    before = own_code(config)
    assert list(before) == ["desk/far.py", "desk/levels.py", "helpers.py", "own.py"]
    write(tmp_path, other="x = 2\n", desk__in__far="x = 2\n")
    after = own_code(config)
    assert [name for name in after if after[name] != before[name]] == ["desk/far.py"]


def test_a_file_in_a_folder_imports_from_there_and_from_the_configurations(tmp_path: Path) -> None:
    write(tmp_path, top="", ideas__in__own="import near\nimport top\n", ideas__in__near="from ideas import own\n")
    assert list(own_code(config_of(tmp_path, "ideas/own.py:Follow"))) == ["ideas/near.py", "ideas/own.py", "top.py"]


def test_a_module_counts_with_the_modules_of_its_package_that_it_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "installed"
    (home / "alpha_desk").mkdir(parents=True)
    write(
        home / "alpha_desk",
        __init__="raise SystemExit('nothing is run')\n",
        follow="from . import levels\nimport beside\n",
        levels="",
        unused="",
    )
    write(home, beside="")
    monkeypatch.syspath_prepend(home)
    monkeypatch.setenv("ML4T_ALLOWED_MODULES", "alpha_desk")
    config = config_of(tmp_path, "alpha_desk.follow.Follow")
    assert list(own_code(config)) == ["alpha_desk", "alpha_desk.follow", "alpha_desk.levels"]


def test_cost_models_count_too(tmp_path: Path) -> None:
    write(tmp_path, own="", costs="")
    config = config_of(tmp_path, "own.py:Follow", "{path: 'costs.py:Wide'}")
    assert list(own_code(config)) == ["costs.py", "own.py"]


def test_a_file_that_is_no_python_or_is_not_there_is_left_to_its_import(tmp_path: Path) -> None:
    write(tmp_path, own="def (\n")
    assert list(own_code(config_of(tmp_path, "own.py:Follow"))) == ["own.py"]
    assert own_code(config_of(tmp_path, "gone.py:Follow")) == {}
