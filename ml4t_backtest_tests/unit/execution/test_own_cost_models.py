"""Cost models of the user's: as arguments, by import path, and what happens when they are wrong."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from worlds import bars, run

from ml4t_backtest import ConfigError, StrategyError, UnsafePathError, run_backtest
from ml4t_backtest.config import build_components, config_from_mapping, config_hash, load_config
from ml4t_backtest.execution.accounts import MarginAccount
from ml4t_backtest.execution.slippage import PercentageSlippage

FLAT = {"A": [16, 16, 16, 16]}
ROUND_TRIP = {0: lambda s: s.buy("A", 8), 1: lambda s: s.close_position("A")}


@dataclass(frozen=True)
class SquareRootImpact:
    """`raw * (1 +- factor * sqrt(quantity / volume))`."""

    factor: float

    def fill_price(self, raw_price: float, signed_quantity: float, volume: float) -> float:
        move = self.factor * math.sqrt(abs(signed_quantity) / volume)
        return raw_price * (1.0 + move) if signed_quantity > 0 else raw_price * (1.0 - move)


@dataclass(frozen=True)
class CappedCommission:
    """`min(rate * notional, cap)` per order."""

    rate: float
    cap: float

    def charge(self, quantity: float, notional: float) -> float:
        return min(self.rate * notional, self.cap)


def test_own_models_are_plain_arguments() -> None:
    # The bars of these worlds have a volume of 1,000: sqrt(10 / 1,000) = 0.1, a quarter of it 2.5 %.
    plan = {0: lambda s: s.buy("A", 10), 1: lambda s: s.close_position("A")}
    result = run(FLAT, plan, slippage=SquareRootImpact(0.25), commission=CappedCommission(0.01, 1.61))
    assert result.fills["price"].to_list() == [pytest.approx(16.4), pytest.approx(15.6)]
    # 1 % of 164 is 1.64, capped; 1 % of 156 is 1.56.
    assert result.fills["commission"].to_list() == [1.61, pytest.approx(1.56)]


SOURCE = '''
from dataclasses import dataclass


@dataclass(frozen=True)
class Tick:
    """Two ticks against the trader: `raw + 2 * tick` or `raw - 2 * tick`."""

    tick: float = 0.25

    def __post_init__(self):
        if self.tick <= 0:
            raise ValueError(f"tick is above 0, got {self.tick}")

    def fill_price(self, raw_price, signed_quantity, volume):
        return raw_price + 2 * self.tick if signed_quantity > 0 else raw_price - 2 * self.tick


class PerTrade:
    """A flat amount per order."""

    def __init__(self, amount: float, currency: str = "USD"):
        self.amount = amount

    def charge(self, quantity, notional):
        return self.amount


class Neither:
    """Prices nothing."""
'''
STRATEGY = """
from ml4t_backtest import Strategy


class Once(Strategy):
    def on_market_data(self, event):
        if not self.get_position(event.symbol):
            self.buy(event.symbol, quantity=10)
"""
CONFIG = """\
data: {source: {adjustment: none, bar_label: session, prices: {path: prices.parquet}}}
execution:
  slippage: {path: costs.py:Tick, params: {tick: 0.5}}
  commission:
    path: costs.py:PerTrade
    params: {amount: 3}
strategy: {path: once.py:Once}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "costs.py").write_text(SOURCE)
    (tmp_path / "once.py").write_text(STRATEGY)
    (tmp_path / "mine.yaml").write_text(CONFIG)
    bars({"A": [10, 11]}).write_parquet(tmp_path / "prices.parquet")
    return tmp_path


def write(folder: Path, old: str, new: str) -> Path:
    assert old in CONFIG
    (folder / "mine.yaml").write_text(CONFIG.replace(old, new))
    return folder / "mine.yaml"


def mistake(folder: Path, old: str, new: str, error: type[Exception] = ConfigError) -> str:
    """Return what is said about a changed configuration, at the latest when it is to be run."""
    with pytest.raises(error) as caught:
        run_backtest(write(folder, old, new))
    return str(caught.value)


def test_own_models_are_found_by_path_beside_the_configuration(folder: Path) -> None:
    result = run_backtest(folder / "mine.yaml")
    # Bought at the open of 11, plus two ticks of 0.5; 3 per order.
    assert result.fills.select("raw_price", "price", "commission").rows() == [(11.0, 12.0, 3.0)]


def test_own_models_are_found_by_module_once_its_prefix_is_allowed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(folder)
    (folder / "ml4t_test_costs.py").write_text(SOURCE)
    file = write(folder, "costs.py:Tick", "ml4t_test_costs.Tick")
    with pytest.raises(ConfigError, match=r"execution\.slippage\.path: found 'ml4t_test_costs.Tick'; E-CF-IMPORT"):
        load_config(file)
    assert "ml4t_test_costs" not in sys.modules
    config = load_config(file, allowed_modules=["ml4t_test_costs"])
    assert type(build_components(config).slippage).__name__ == "Tick"


def test_a_built_in_model_goes_with_one_of_the_users(folder: Path) -> None:
    file = write(folder, "{path: costs.py:Tick, params: {tick: 0.5}}", "{model: percentage, rate: 0.25}")
    components = build_components(load_config(file))
    assert components.slippage == PercentageSlippage(0.25)
    assert vars(components.commission) == {"amount": 3.0}


def test_a_path_to_anything_else_is_refused_before_it_is_imported(folder: Path) -> None:
    text = mistake(folder, "costs.py:Tick", "os.system")
    assert "mine.yaml:3: execution.slippage.path: found 'os.system'; E-CF-IMPORT" in text
    assert "outside" in mistake(folder, "costs.py:PerTrade", "../costs.py:PerTrade", UnsafePathError)


def test_all_paths_that_are_not_allowed_are_said_at_once(folder: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        config_from_mapping(
            {
                "data": {"dataset": "us_tech_daily"},
                "strategy": {"path": "os.path.join"},
                "execution": {"slippage": {"path": "os.system"}, "commission": {"path": "subprocess:Popen"}},
            },
            name="mine",
            folder=folder,
        )
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[1] for line in lines] == [
        "strategy.path",
        "execution.slippage.path",
        "execution.commission.path",
    ]


def test_all_wrong_params_of_all_classes_are_said_at_once(folder: Path) -> None:
    text = CONFIG.replace("tick: 0.5", "tik: 0.5").replace("amount: 3", "currency: 5")
    (folder / "mine.yaml").write_text(text.replace("once.py:Once", "once.py:Once, params: {x: 1}"))
    with pytest.raises(ConfigError) as caught:
        build_components(load_config(folder / "mine.yaml"))
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == [
        "strategy.params.x",
        "execution.slippage.params.tik",
        "execution.commission.params.currency",
        "execution.commission.params.amount",
    ]
    assert "Did you mean 'tick'?" in str(caught.value)


def test_what_a_model_says_of_its_params_is_told_with_their_place(folder: Path) -> None:
    text = mistake(folder, "tick: 0.5", "tick: -1")
    assert text == f"{folder / 'mine.yaml'}:3: execution.slippage.params: tick is above 0, got -1.0"


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ("costs.py:Neither", "is a class, but not one with a method fill_price(raw_price, quantity, volume)"),
        ("costs.py:dataclass", "is function, not a class with a method fill_price"),
        ("costs.py:Tik", "has no 'Tik'. Did you mean 'Tick'? Slippage models there: Tick"),
        ("absent.py:Tick", "cannot be read"),
    ],
)
def test_what_is_no_slippage_model_is_refused(folder: Path, found: str, said: str) -> None:
    assert said in mistake(folder, "costs.py:Tick", found, StrategyError)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("path: costs.py:Tick, params", "path: costs.py:Tick, parms", "execution.slippage.parms: unknown key."),
        ("path: costs.py:Tick, params: {tick: 0.5}", "params: {}", "none, percentage, fixed, spread, volume_share"),
        ("path: costs.py:Tick, params: {tick: 0.5}", "model: cubic", "or path and params, for a class of your own"),
        ("costs.py:Tick", "costs", "execution.slippage.path: found 'costs'; must be package.module.Class"),
        ("tick: 0.5", "tick: .inf", "execution.slippage.params.tick: found .inf; must hold finite numbers"),
    ],
)
def test_a_section_that_names_no_model_is_refused_with_what_it_may_hold(
    folder: Path, old: str, new: str, said: str
) -> None:
    assert said in mistake(folder, old, new)


def test_own_models_belong_to_the_hash_and_survive_dump_and_reload(folder: Path) -> None:
    config = load_config(folder / "mine.yaml")
    other = load_config(write(folder, "tick: 0.5", "tick: 0.75"))
    assert config_hash(config) != config_hash(other)
    assert type(config).model_validate_json(config.model_dump_json()).model_dump() == config.model_dump()


# What a model answers


class Answers:
    """Answers whatever it was built with."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def fill_price(self, raw_price: float, signed_quantity: float, volume: float) -> Any:
        return self.answer(signed_quantity) if callable(self.answer) else self.answer

    def charge(self, quantity: float, notional: float) -> Any:
        return self.answer(quantity) if callable(self.answer) else self.answer


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (15.0, r"fill_price\(16.0, 8.0, 1000.0\) answered 15.0; .* no better than 16.0 for a buy"),
        (math.inf, "answered inf"),
        (None, "answered None, which is no number"),
        ("17", "answered '17', which is no number"),
        (lambda quantity: 1 / 0, "raised ZeroDivisionError"),
    ],
)
def test_a_price_nobody_can_believe_ends_the_run_with_its_numbers(answer: Any, said: str) -> None:
    with pytest.raises(StrategyError, match=rf"Answers\.{said}" if said.startswith("fill") else said):
        run(FLAT, ROUND_TRIP, slippage=Answers(answer))


def test_a_sell_above_the_market_is_no_slippage_either() -> None:
    with pytest.raises(StrategyError, match=r"answered 17\.0; .* for a sell"):
        run(FLAT, {0: lambda s: s.sell("A", 8)}, slippage=Answers(17.0), account=MarginAccount())


def test_a_model_without_a_price_fills_nothing() -> None:
    result = run(FLAT, {0: lambda s: s.buy("A", 8)}, slippage=Answers(math.nan))
    assert result.orders["status"].to_list() == ["rejected"]
    assert result.fills.is_empty()


@pytest.mark.parametrize("answer", [-0.01, math.nan, math.inf, None, "1", True, lambda quantity: {}["x"]])
def test_a_commission_nobody_can_believe_ends_the_run(answer: Any) -> None:
    with pytest.raises(StrategyError, match=r"^at 2024-01-03 21:00 UTC: Answers\.charge\(8\.0, 128\.0\)"):
        run(FLAT, ROUND_TRIP, commission=Answers(answer))


@pytest.mark.parametrize("model", [0.001, PercentageSlippage, "percentage", object()])
def test_what_is_no_model_is_refused_when_the_engine_is_built(model: Any) -> None:
    with pytest.raises(ConfigError, match=r"slippage is an object with a method fill_price, for example"):
        run(FLAT, {}, slippage=model)
    with pytest.raises(ConfigError, match=r"commission is an object with a method charge, for example"):
        run(FLAT, {}, commission=model)
