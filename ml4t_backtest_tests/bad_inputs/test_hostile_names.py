"""Whatever a run, a data set, a symbol or an output is called: nothing is written outside its root."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner
from worlds import bars, run, run_on, script

from bad_inputs.case import listing
from bad_inputs.hostile_names import NAMES
from ml4t_backtest import BacktestError, BacktestResult, DataPreparer, PolarsDataFeed, load_config, read_result
from ml4t_backtest.cli import main
from ml4t_backtest.config import config_from_mapping
from ml4t_backtest.data.store.storage import current_version, publish
from ml4t_backtest.datasets.registry import dataset_path
from ml4t_backtest.reporting.export import read_csv_folder
from ml4t_backtest.reporting.parquet import write_result
from ml4t_backtest.reporting.tearsheet import render_report
from ml4t_backtest.runner import prepared_dataset, publish_run, run_backtest, run_inputs

BARS = bars({"A": [100, 101, 102], "B": [10, 10, 11]})
Use = Callable[[str, Path], object]


def _config(name: str, *, of: str) -> Any:
    """Return a configuration whose run or data set has a name."""
    names: dict[str, dict[str, str]] = {"run": {}, "dataset": {}, of: {"name": name}}
    source = {"prices": {"path": "../prices.parquet"}, "bar_label": "session", "adjustment": "none", **names["dataset"]}
    return config_from_mapping(
        {
            "backtest": names["run"],
            "data": {"source": source},
            "strategy": {"path": "ml4t_backtest.strategy.library.TopNByPrediction", "params": {"signal": "p"}},
            "reporting": {"report": False},
        },
        name="c",
        folder=Path("configs").absolute(),
    )


@cache
def _result() -> BacktestResult:
    return run(BARS, {0: lambda strategy: strategy.buy("A", 1)})


def _as_run(name: str, root: Path) -> object:
    config = _config(name, of="run")
    return publish_run(config, _result(), {"config": "x"}, root)


def _as_dataset(name: str, root: Path) -> object:
    return prepared_dataset(_config(name, of="dataset").dataset, root)


def _as_config(name: str, root: Path) -> object:
    """Run what may be a configuration of this name; none of them is."""
    config = load_config(name)
    return run_backtest(config), run_inputs(config, prepared_dataset(config.dataset, root))


def _by_command_line(name: str, root: Path) -> object:
    for command in (
        ["report", "--output-root", str(root), "--", name],
        ["run", "--output-root", str(root), "--", name],
    ):
        ran = CliRunner().invoke(main, command)
        assert ran.exit_code != 0
        assert "Traceback" not in ran.output
        assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
    return None


USES: dict[str, Use] = {
    "a run": _as_run,
    "a data set": _as_dataset,
    "a configuration": _as_config,
    "on the command line": _by_command_line,
    "a result's name": lambda name, root: write_result(_result(), root, name),
    "a result's folder": lambda name, root: _result().write(f"{root}/{name}"),
    "a folder of CSV files": lambda name, root: _result().write_csv(f"{root}/{name}"),
    "an output of prepared data": lambda name, root: (
        DataPreparer().add_prices(BARS, bar_label="session").validate_and_save(f"{root}/{name}")
    ),
    "what is published": lambda name, root: publish(root, name, {"x": BARS}, kind="test"),
    "a table that is published": lambda name, root: publish(root, "d", {name: BARS}, kind="test"),
    "a file beside it": lambda name, root: publish(root, "d", {"x": BARS}, kind="test", attachments={name: b"x"}),
    "what is read": lambda name, root: (current_version(root, name), read_result(root / "d" / name)),
    "an embedded file": lambda name, root: (dataset_path("us_tech_daily", name), dataset_path(name, "prices.parquet")),
}


def test_there_are_enough_of_them() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert len(NAMES) >= 60


@pytest.mark.parametrize("use", USES)
def test_a_hostile_name_writes_nothing_outside_its_root(
    use: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "a" / "b" / "home"
    home.mkdir(parents=True)
    BARS.write_parquet(home / "prices.parquet")
    (home / "configs").mkdir()
    monkeypatch.chdir(home)
    monkeypatch.setenv("HOME", str(home))
    wrong = []
    for number, name in enumerate(NAMES):
        root = home / "roots" / str(number)
        root.mkdir(parents=True)
        before = _outside(tmp_path, root)
        try:
            USES[use](name, root)
        except BacktestError:
            pass
        except Exception as error:
            wrong.append(f"{name[:40]!r}: {type(error).__name__}: {error}")
        if _outside(tmp_path, root) != before:
            wrong.append(f"{name[:40]!r}: {set(_outside(tmp_path, root)) ^ set(before)}")
    assert wrong == []


def test_hostile_symbols_write_nothing_outside_their_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are symbols at all are data: prepared, traded, written and reported under their names."""
    home, root = tmp_path / "a" / "home", tmp_path / "a" / "home" / "root"
    root.mkdir(parents=True)
    monkeypatch.chdir(home)
    symbols = [name for name in NAMES if _is_symbol(name)]
    assert len(symbols) > 60
    one = BARS.filter(pl.col("symbol") == "B")
    frame = pl.concat([one.with_columns(symbol=pl.lit(name)) for name in symbols])
    before = _outside(tmp_path, root)
    DataPreparer().add_prices(frame, bar_label="session").validate_and_save(root / "bars")
    feed = PolarsDataFeed(root / "bars", validation="fast")
    result = run_on(feed, script({0: lambda s: [s.buy(name, 1) for name in symbols]}), initial_capital=1e6)
    result.write_csv(root / "csv")
    write_result(result, root, "run", report=render_report(result, title=symbols[0]))
    assert set(result.fills["symbol"]) == set(symbols)
    assert set(read_csv_folder(root / "csv")["fills"]["symbol"]) == set(symbols)
    assert _outside(tmp_path, root) == before


def _is_symbol(name: str) -> bool:
    try:
        DataPreparer().add_prices(BARS.with_columns(symbol=pl.lit(name))[:1], bar_label="session")
    except BacktestError:
        return False
    return True


def _outside(folder: Path, root: Path) -> dict[str, tuple[int, int]]:
    inside = root.relative_to(folder).as_posix()
    return {path: state for path, state in listing(folder).items() if not path.startswith(inside)}
