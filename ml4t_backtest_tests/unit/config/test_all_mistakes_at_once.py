"""What is wrong with a configuration is said at once, that of the classes it names included."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ml4t_backtest import ConfigError, StrategyError, load_config
from ml4t_backtest.config.components import build_components
from ml4t_backtest.config.loader import config_from_mapping

LIBRARY = "ml4t_backtest.strategy.library.PredictionThreshold"
PREDICTIONS = {"path": "s.parquet", "names": ["score"], "available_at": "next_day"}
VIX = {"path": "v.parquet", "names": ["vix"], "available_at": "next_day"}


def told(folder: Path, **sections: Any) -> list[str]:
    """Return where each mistake is: the key behind the file."""
    source = {"adjustment": "none", "prices": {"path": "p.parquet"}, "signals": [PREDICTIONS], "context": [VIX]}
    content = {"data": {"source": source}, "strategy": {"path": LIBRARY, "params": {"signal": "score"}}, **sections}
    with pytest.raises(ConfigError) as caught:
        build_components(config_from_mapping(content, name="x", folder=folder))
    return [line.split(": ")[1] for line in str(caught.value).splitlines()]


def test_a_value_a_benchmark_a_param_and_a_signal_are_all_told(tmp_path: Path) -> None:
    params = {"signal": "scor", "enter_abve": 1.0}
    found = told(
        tmp_path,
        backtest={"initial_capital": -1},
        strategy={"path": LIBRARY, "params": params},
        reporting={"benchmark": "SPY"},
    )
    assert found == [
        "backtest.initial_capital",
        "reporting.benchmark",
        "strategy.params.enter_abve",
        "strategy.params.signal",
    ]


def test_a_strategy_that_is_not_there_is_told_beside_the_rest(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("x = 1\n", encoding="utf-8")
    found = told(tmp_path, backtest={"initial_capital": -1}, strategy={"path": "mine.py:Mine"})
    assert found == ["backtest.initial_capital", "strategy.path"]


def test_nothing_is_imported_where_one_of_the_classes_is_not_allowed(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "mine.py").write_text(f"open({str(ran)!r}, 'w')\n", encoding="utf-8")
    slippage = {"path": "os.path.Evil"}
    found = told(tmp_path, strategy={"path": "mine.py:Mine"}, execution={"slippage": slippage})
    assert found == ["execution.slippage.path"]
    assert not ran.exists()


def test_a_signal_that_is_taken_without_being_said_is_checked_too(tmp_path: Path) -> None:
    source = {"adjustment": "none", "prices": {"path": "p.parquet"}, "signals": [PREDICTIONS]}
    content = {"data": {"source": source}, "strategy": {"path": LIBRARY}}
    config = config_from_mapping(content, name="x", folder=tmp_path)
    with pytest.raises(ConfigError, match=r"takes, unless told otherwise, 'prediction'; must be a signal .*: score"):
        build_components(config)


def test_a_column_for_whole_slices_may_be_an_indicator(tmp_path: Path) -> None:
    source = {"adjustment": "none", "prices": {"path": "p.parquet"}, "indicators": ["roc:5"]}
    top = "ml4t_backtest.strategy.library.TopNByPrediction"
    content = {"data": {"source": source}, "strategy": {"path": top, "params": {"signal": "roc_5"}}}
    built = build_components(config_from_mapping(content, name="x", folder=tmp_path))
    assert vars(built.strategy)["signal"] == "roc_5"


def test_a_name_may_be_that_of_a_file_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = "data: {dataset: us_tech_daily}\nstrategy: {path: " + LIBRARY + "}\n"
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    assert load_config("mine").name == "mine"
    with pytest.raises(ConfigError, match="there is no configuration 'min'"):
        load_config("min")


def bars_of_january(folder: Path) -> None:
    days = pl.date_range(date(2024, 1, 2), date(2024, 1, 31), eager=True)
    pl.DataFrame({"timestamp": days}).write_parquet(folder / "p.parquet")


@pytest.mark.parametrize(
    ("span", "key"),
    [
        ({"start": date(2024, 3, 1)}, "backtest.start"),
        ({"end": date(2023, 12, 1)}, "backtest.end"),
        ({"start": "2024-02-01"}, None),  # a label may be of the neighbouring day: the feed tells, to the instant
        ({"start": date(2024, 1, 31), "end": date(2024, 1, 2)}, None),  # has bars at both ends; told as it is
    ],
)
def test_a_span_without_data_is_told_beside_the_rest(tmp_path: Path, span: dict[str, Any], key: str | None) -> None:
    bars_of_january(tmp_path)
    found = told(tmp_path, backtest={"initial_capital": -1, **span})
    assert "backtest.initial_capital" in found
    assert [each for each in found if each in ("backtest.start", "backtest.end")] == ([key] if key else [])


def test_a_span_without_data_is_told_beside_a_strategy_that_is_not_there(tmp_path: Path) -> None:
    bars_of_january(tmp_path)
    (tmp_path / "mine.py").write_text("x = 1\n", encoding="utf-8")
    found = told(tmp_path, backtest={"start": date(2024, 3, 1)}, strategy={"path": "mine.py:Mine"})
    assert found == ["strategy.path", "backtest.start"]


def test_a_strategy_alone_that_is_not_there_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("x = 1\n", encoding="utf-8")
    source = {"adjustment": "none", "prices": {"path": "p.parquet"}}
    config = config_from_mapping(
        {"data": {"source": source}, "strategy": {"path": "mine.py:Mine"}}, name="x", folder=tmp_path
    )
    with pytest.raises(StrategyError, match=r"^<x>: strategy.path: mine.py has no 'Mine'. Strategies there: none$"):
        build_components(config)


def test_files_where_one_stands_are_among_the_names_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("backtest: {}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"no configuration 'mien'\. Did you mean 'mine'"):
        load_config("mien")
