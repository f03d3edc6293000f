"""`execution: {profile: ..., fill_at: ...}` in a configuration."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ml4t_backtest import BacktestResult, run_backtest
from ml4t_backtest.config import load_config
from ml4t_backtest.errors import ConfigError

DAYS = [date(2024, 1, 2), date(2024, 1, 3), date(2024, 1, 4), date(2024, 1, 5)]
CONFIG = """
backtest: {{initial_capital: 1000}}
data:
  source: {{bar_label: session, adjustment: none, prices: {{path: prices.parquet}}}}
strategy: {{path: "trades.py:ShortThenCover"}}
execution:
  slippage: {{model: none}}
  commission: {{model: none}}
  {execution}
"""
STRATEGY = """
from ml4t_backtest import Strategy


class ShortThenCover(Strategy):
    def on_market_data(self, event):
        if event.close == 10.0:
            self.sell("A", 5)
        elif event.close == 12.0:
            self.buy("A", 5)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    prices = {name: [10.0, 11.0, 12.0, 13.0] for name in ("open", "high", "low", "close")}
    frame = pl.DataFrame({"timestamp": DAYS, "symbol": ["A"] * 4, **prices, "volume": [1e6] * 4})
    frame.write_parquet(tmp_path / "prices.parquet")
    (tmp_path / "trades.py").write_text(STRATEGY, encoding="utf-8")
    return tmp_path


def configured(folder: Path, execution: str) -> Path:
    file = folder / "mine.yaml"
    file.write_text(CONFIG.format(execution=execution), encoding="utf-8")
    return file


def fills(result: BacktestResult) -> list[tuple[Any, ...]]:
    return list(result.fills.select("side", "raw_price").iter_rows())


def test_a_profile_brings_its_account_and_its_fill_price(folder: Path) -> None:
    # zipline fills at the next close and never asks for cash or margin.
    result = run_backtest(configured(folder, "profile: zipline@3"))
    assert fills(result) == [("sell", 11.0), ("buy", 13.0)]
    assert any(note.startswith("executed by the rules of zipline@3; it waives: ") for note in result.facts["notes"])


def test_an_account_that_is_given_wins_over_that_of_the_profile(folder: Path) -> None:
    # A cash account sells nothing short; the cover is then a buy that opens.
    result = run_backtest(configured(folder, "profile: zipline@3\n  account: {model: cash}"))
    assert fills(result) == [("buy", 13.0)]


def test_without_a_profile_nothing_is_noted_and_nothing_is_sold_short(folder: Path) -> None:
    result = run_backtest(configured(folder, "profile: null"))
    assert fills(result) == [("buy", 13.0)]
    assert not any("rules of" in note or "fill_at" in note for note in result.facts["notes"])


def test_fill_at_stands_alone_or_changes_a_profile(folder: Path) -> None:
    assert fills(run_backtest(configured(folder, "fill_at: same_close"))) == [("buy", 12.0)]
    both = run_backtest(configured(folder, "profile: zipline@3\n  fill_at: same_close"))
    assert fills(both) == [("sell", 10.0), ("buy", 12.0)]


def test_an_unknown_profile_is_refused_with_its_line_and_the_nearest_name(folder: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(configured(folder, "profile: backtrader@1.8"))
    text = str(caught.value)
    assert "execution.profile" in text
    assert "backtrader@1.9" in text.split("Did you mean", 1)[-1]
