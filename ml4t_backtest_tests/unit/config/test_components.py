"""Strategies by import path."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml4t_backtest.config import StrategySection, build_strategy, load_strategy_class
from ml4t_backtest.errors import ConfigError, StrategyError
from ml4t_backtest.strategy.base import Strategy

SOURCE = '''
from __future__ import annotations

from dataclasses import dataclass

from ml4t_backtest.strategy.base import Strategy


@dataclass
class Mine(Strategy):
    signal: str
    threshold: float = 0.5
    symbols: tuple[str, ...] = ()
    limit: int | None = None

    def on_timestamp_batch(self, timestamp, asset_batch, context):
        """Does nothing."""


class Loose(Strategy):
    def __init__(self, first, *, unknown: "NoSuchType" = None, **rest):
        self.first, self.rest = first, rest

    def on_timestamp_batch(self, timestamp, asset_batch, context):
        """Does nothing."""


class Failing(Strategy):
    def __init__(self):
        raise KeyError("inside")

    def on_timestamp_batch(self, timestamp, asset_batch, context):
        """Does nothing."""
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(SOURCE)
    return tmp_path


def _section(name: str, **params: object) -> StrategySection:
    return StrategySection.model_validate({"path": f"mine.py:{name}", "params": params})


def test_a_class_in_a_file_beside_the_configuration_is_loaded(folder: Path) -> None:
    assert issubclass(load_strategy_class("mine.py:Mine", folder), Strategy)


def test_a_changed_file_is_read_anew(folder: Path) -> None:
    load_strategy_class("mine.py:Mine", folder)
    (folder / "mine.py").write_text(SOURCE.replace("threshold: float = 0.5", "threshold: float = 0.7"))

    assert vars(build_strategy(_section("Mine", signal="p"), folder))["threshold"] == 0.7
    assert not (folder / "__pycache__").exists()


def test_a_module_is_loaded_once_its_prefix_is_allowed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "ml4t_test_pack").mkdir()
    (folder / "ml4t_test_pack" / "strategies.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(folder)

    for path in ("ml4t_test_pack.strategies.Mine", "ml4t_test_pack.strategies:Mine"):
        with pytest.raises(ConfigError, match="E-CF-IMPORT"):
            load_strategy_class(path, folder, ["ml4t_test"])
        assert load_strategy_class(path, folder, ["ml4t_test_pack"]).__name__ == "Mine"


def test_params_become_what_the_annotations_say(folder: Path) -> None:
    built = vars(build_strategy(_section("Mine", signal="p", threshold=1, symbols=["A", "B"]), folder))

    assert (built["threshold"], type(built["threshold"])) == (1.0, float)
    assert built["symbols"] == ("A", "B")
    assert built["limit"] is None


def test_a_missing_param_is_named(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"strategy\.params\.signal: Mine requires it"):
        build_strategy(_section("Mine"), folder)


def test_all_wrong_params_are_named_at_once(folder: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        build_strategy(_section("Mine", signal=1, treshold=2, limit="x"), folder)

    assert len(str(caught.value).splitlines()) == 3


def test_what_cannot_be_checked_is_left_to_the_class(folder: Path) -> None:
    built = vars(build_strategy(_section("Loose", first=[1], anything=2), folder))

    assert (built["first"], built["rest"]) == ([1], {"anything": 2})


def test_a_constructor_that_fails_is_a_strategy_error(folder: Path) -> None:
    with pytest.raises(StrategyError, match="KeyError") as caught:
        build_strategy(_section("Failing"), folder)

    assert isinstance(caught.value.__cause__, KeyError)


def test_an_absent_class_lists_those_there_are(folder: Path) -> None:
    with pytest.raises(StrategyError, match=r"Did you mean 'Mine'\? Strategies there: Failing, Loose, Mine"):
        load_strategy_class("mine.py:Mina", folder)


def test_a_file_that_exits_or_is_absent_is_a_strategy_error(folder: Path) -> None:
    (folder / "exits.py").write_text("raise SystemExit(3)")

    with pytest.raises(StrategyError, match="SystemExit"):
        load_strategy_class("exits.py:Mine", folder)
    with pytest.raises(StrategyError, match="No such file"):
        load_strategy_class("absent.py:Mine", folder)


@pytest.mark.parametrize("path", ["Mine", "a b.Mine", "mine.py", "mine.py:", "https://x/mine.py:Mine", ""])
def test_a_path_of_another_form_is_refused(folder: Path, path: str) -> None:
    with pytest.raises((ConfigError, StrategyError)):
        load_strategy_class(path, folder)
