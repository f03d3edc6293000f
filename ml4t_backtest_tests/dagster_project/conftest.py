"""The graph on the sample, materialized once; and graphs over configurations that a test writes itself."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest

# No doctests here; collected as a module it would clash with the other conftest files.
collect_ignore = ["conftest.py"]
collect_ignore_glob = [] if find_spec("dagster") else ["test_*.py"]
CONFIGS = ("simple_ml_strategy", "regime_switching")
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class Sample:
    """The sample's graph and what `materialize_all` said about it."""

    root: Path
    summary: Any
    store: Any


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    from dagster_project.defs.resources import resources
    from dagster_project.demo import materialize_all

    root = tmp_path_factory.mktemp("sample")
    summary = materialize_all(CONFIGS, root)
    return Sample(root, summary, resources(root)["store"].shelf)


LoadGraph = Callable[[Path], ModuleType]


@pytest.fixture
def load_graph(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoadGraph]:
    """Load `dagster_project` afresh over a folder of configurations, as a reload of the code location does."""
    before = _forget()

    def load(configs: Path) -> ModuleType:
        monkeypatch.setenv("ML4T_CONFIGS", str(configs))
        _forget()
        return importlib.import_module("dagster_project.demo")

    yield load
    _forget()
    sys.modules.update(before)


def _forget() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name.split(".")[0] == "dagster_project"]
    return {name: sys.modules.pop(name) for name in names}


@dataclass(frozen=True)
class OwnData:
    """A folder of configurations with one data set, `mine`, of bars alone, and one backtest, `hold`."""

    configs: Path

    def write_bars(self, bars: pl.DataFrame) -> None:
        bars.write_parquet(self.configs / "bars.parquet")


@pytest.fixture
def own_data(tmp_path: Path) -> OwnData:
    configs = tmp_path / "configs"
    (configs / "datasets").mkdir(parents=True)
    (configs / "datasets" / "mine.yaml").write_text(
        "bar_label: session\nadjustment: total_return\nprices: {path: ../bars.parquet}\n"
    )
    (configs / "hold.yaml").write_text(
        "backtest: {initial_capital: 10000}\ndata: {dataset: mine}\nstrategy: {path: 'hold.py:Hold'}\n"
    )
    (configs / "hold.py").write_text(
        "from ml4t_backtest import Strategy\n\n\n"
        "class Hold(Strategy):\n"
        "    def on_market_data(self, event):\n"
        "        if not self.get_position(event.symbol):\n"
        "            self.buy(event.symbol, quantity=1)\n"
    )
    own = OwnData(configs)
    own.write_bars(ten_bars())
    return own


def ten_bars() -> pl.DataFrame:
    days = [date(2024, 1, 8) + timedelta(days=day) for day in (0, 1, 2, 3, 4)]
    price = [100.0, 101.0, 102.0, 103.0, 104.0]
    one = pl.DataFrame({"timestamp": days, "open": price, "high": price, "low": price, "close": price, "volume": price})
    return pl.concat([one.with_columns(symbol=pl.lit(symbol)) for symbol in ("A", "B")])
