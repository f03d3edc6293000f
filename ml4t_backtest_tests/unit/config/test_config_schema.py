"""The models: rules across keys, defaults from one place, descriptions for the reference page."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from datetime import date
from functools import reduce
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from pydantic import BaseModel

from ml4t_backtest import BacktestEngine, BacktestResult, MarketEvent, PolarsDataFeed, Strategy
from ml4t_backtest import config as package
from ml4t_backtest.config import (
    BacktestConfig,
    DatasetConfig,
    ExecutionSection,
    build_strategy,
    bundled_folder,
    config_from_mapping,
    load_config,
    load_dataset_config,
)
from ml4t_backtest.config.cost_models import models_of
from ml4t_backtest.config.loader import read_document
from ml4t_backtest.errors import ConfigError
from ml4t_backtest.execution import accounts, commission, guard, slippage

EXAMPLES = ["simple_ml_strategy", "multi_asset_strategy", "regime_switching"]
MODELS = [each for each in vars(package).values() if isinstance(each, type) and issubclass(each, BaseModel)]


def _with_source(**source: Any) -> dict[str, Any]:
    full = {"adjustment": "none", "prices": {"path": "p"}, **source}
    return {"data": {"source": full}, "strategy": {"path": "mine.py:Mine"}}


def _mistake(**source: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        config_from_mapping(_with_source(**source), name="mine", folder=Path())
    return str(caught.value)


class _Once(Strategy):
    """Buys ten shares on the first bar."""

    def on_market_data(self, event: MarketEvent) -> None:
        if not self.get_position(event.symbol):
            self.buy(event.symbol, quantity=10)


def _run_once(**costs: Any) -> BacktestResult:
    prices = pl.DataFrame(
        {"timestamp": [date(2024, 1, 2), date(2024, 1, 3)], "symbol": ["A", "A"], "volume": [1.0, 1.0]}
    )
    bars = prices.with_columns(pl.Series(name, [10.0, 11.0]) for name in ("open", "high", "low", "close"))
    return BacktestEngine(PolarsDataFeed(bars, bar_label="session"), _Once(), **costs).run()


def _at(data: Any, key: str) -> Any:
    for part in key.split("."):
        data = data[part]
    return data


def _marked_default(file: Path) -> Iterator[str]:
    """Yield the dotted keys of the lines whose comment says `(default)`."""
    document = read_document(file)
    marked = {n for n, line in enumerate(file.read_text().splitlines(), 1) if re.search(r"#.*\(default\)", line)}
    for key, line in document.origin.lines.items():
        if line in marked and not any(other[: len(key)] == key for other in document.origin.lines if other > key):
            yield ".".join(str(part) for part in key)


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_an_example_calls_a_default_is_the_default(name: str) -> None:
    config = load_config(bundled_folder() / f"{name}.yaml")
    minimal = {"data": {"dataset": "us_tech_daily"}, "strategy": {"path": config.strategy.path}}
    defaults = config_from_mapping(minimal, name=name, folder=bundled_folder()).model_dump()
    spelled = config.model_dump()

    for key in _marked_default(bundled_folder() / f"{name}.yaml"):
        assert _at(spelled, key) == _at(defaults, key), key


def test_every_section_of_the_examples_has_defaults_marked() -> None:
    keys = {key for name in EXAMPLES for key in _marked_default(bundled_folder() / f"{name}.yaml")}

    assert {key.split(".")[0] for key in keys} == {"backtest", "data", "execution", "reporting"}


def test_what_the_example_data_set_calls_a_default_is_the_default() -> None:
    file = bundled_folder() / "datasets" / "us_tech_daily.yaml"
    spelled = load_dataset_config(file).model_dump()
    keys = [key for key in _marked_default(file) if "." not in key]

    assert keys == ["calendar", "frequency", "timezone"]
    for key in keys:
        assert spelled[key] == DatasetConfig.model_fields[key].default, key


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_strategy_of_an_example_accepts_its_params(name: str) -> None:
    config = load_config(bundled_folder() / f"{name}.yaml")

    built = vars(build_strategy(config.strategy, config.folder))
    assert {key: built[key] for key in config.strategy.params} == config.strategy.params


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_share_dates_capital_and_data(name: str) -> None:
    config = load_config(bundled_folder() / f"{name}.yaml")

    assert str(config.backtest.start) == "2003-01-02"
    assert str(config.backtest.end) == "2013-03-01"
    assert config.backtest.initial_capital == 1_000_000.0
    assert config.reporting.benchmark in config.dataset.context_names


# Argument of the engine -> where a configuration says it. All of them; what a run is handed has no place in a file.
SAID_BY = {
    "initial_capital": "backtest.initial_capital",
    "slippage": "execution.slippage",
    "commission": "execution.commission",
    "fractional": "execution.fractional",
    "lot_size": "execution.lot_size",
    "on_insufficient_cash": "execution.on_insufficient_cash",
    "account": "execution.account",
    "max_volume_share": "execution.max_volume_share",
    "intrabar_path": "execution.intrabar_path",
    "end_of_data": "execution.end_of_data",
    "position_rules": "risk.position",
    "limits": "risk.portfolio",
    "corporate_actions": "dataset.corporate_actions",
    "adjustment": "dataset.adjustment",
    "delistings": "dataset.delistings",
    "delisting_after": "execution.delisting_after",
    "interest_rate": "execution.interest_rate",
    "profile": "execution.profile",
    "fill_at": "execution.fill_at",
    "state_frequency": "reporting.state_frequency",
}
HANDED_OVER = {"feed", "strategy", "on_progress"}
# What None stands for in Python is written out in YAML.
STANDS_FOR = {
    "slippage": slippage.PercentageSlippage(),
    "commission": commission.PercentageCommission(),
    "account": accounts.CashAccount(),
    "position_rules": guard.PositionRules(),
    "limits": guard.PortfolioLimits(),
}


def test_everything_an_engine_takes_can_be_said_in_a_configuration_with_the_same_default() -> None:
    arguments = inspect.signature(BacktestEngine).parameters
    config = config_from_mapping(_with_source(), name="mine", folder=Path())

    assert set(SAID_BY) | HANDED_OVER == set(arguments)
    # `adjustment` has no default in a configuration: nothing is applied twice, or forgotten, by omission.
    for argument in set(SAID_BY) - {"adjustment"}:
        said = reduce(getattr, SAID_BY[argument].split("."), config)
        default = arguments[argument].default
        assert said == (STANDS_FOR.get(argument) if default is None else default), argument


# Key, values that are refused, and what the message allows.
REFUSED = [
    ("backtest.initial_capital", [0, -1, "1e6"], "greater than 0|number"),
    ("execution.fractional", ["yes", 1], "true or false"),
    ("execution.lot_size", [0, 1.5, True, "100"], "at least 1|whole number"),
    ("execution.on_insufficient_cash", ["shrink", 1], "clip, reject"),
    ("execution.profile", ["backtrader@1.8", "zipline"], "backtrader@1.9, vectorbt@1.2, zipline@3, backtesting.py@0.6"),
    ("execution.fill_at", ["next_close", "close"], "next_open, same_close"),
    ("execution.account", [{"model": "credit"}], "cash, margin"),
    (
        "execution.account",
        [{"model": "margin", "initial": 0}, {"model": "margin", "initial": 2}],
        r"fraction in \(0, 1\]",
    ),
    (
        "execution.account",
        [{"model": "margin", "maintenance_long": 1.5}],
        r"maintenance_long is a fraction in \(0, 1\]",
    ),
    ("execution.account", [{"model": "margin", "borrow_rate": -0.1}], "borrow_rate is a fraction per year >= 0"),
    ("execution.max_volume_share", [0, 1.5, "all"], "greater than 0|at most 1|number"),
    ("execution.intrabar_path", ["middle"], "pessimistic, optimistic, ohlc, olhc"),
    ("execution.end_of_data", ["sell"], "mark, close"),
    ("execution.delisting_after", [0, 1.5], "at least 1|whole number"),
    ("execution.interest_rate", ["5%"], "number"),
    ("risk.position", [{"stop_loss_percent": 1.5}, {"stop_loss_percent": 0}], "above 0 and below 1"),
    ("risk.position", [{"take_profit_percent": -1}], "take_profit_percent must be a number above 0"),
    ("risk.position", [{"max_holding_bars": 0}], "max_holding_bars must be a whole number from 1"),
    ("risk.portfolio", [{"max_drawdown": 20}, {"max_daily_loss": 1}], "above 0 and below 1"),
    ("risk.portfolio", [{"max_positions": 0}], "max_positions must be a whole number from 1"),
]


@pytest.mark.parametrize(
    ("key", "value", "allowed"), [(key, value, allowed) for key, values, allowed in REFUSED for value in values]
)
def test_a_wrong_value_is_refused_with_its_key_what_was_found_and_what_is_allowed(
    key: str, value: Any, allowed: str
) -> None:
    section, name = key.split(".")
    with pytest.raises(ConfigError) as caught:
        config_from_mapping({**_with_source(), section: {name: value}}, name="mine", folder=Path())
    text = str(caught.value)
    found = list(value.values())[-1] if isinstance(value, dict) else value
    assert re.search(rf"<mine>: {key}(\.\w+)?: ", text)
    assert str(found) in text or str(found).lower() in text
    assert re.search(allowed, text)


def test_all_wrong_limits_of_a_section_are_said_at_once() -> None:
    limits = {"max_drawdown": 20.0, "max_weight": -1.0, "max_positions": 0}
    with pytest.raises(ConfigError) as caught:
        config_from_mapping({**_with_source(), "risk": {"portfolio": limits}}, name="mine", folder=Path())
    assert [name for name in limits if name not in str(caught.value)] == []


def test_there_are_lots_or_fractions() -> None:
    execution = {"lot_size": 100, "fractional": True}
    with pytest.raises(ConfigError, match=r"execution\.lot_size: found 100; must be 1 where fractional is true"):
        config_from_mapping({**_with_source(), "execution": execution}, name="mine", folder=Path())


def test_an_engine_without_costs_given_charges_those_of_the_configuration() -> None:
    execution = ExecutionSection()
    configured = _run_once(slippage=execution.slippage, commission=execution.commission)

    assert_frame_equal(_run_once().fills, configured.fills)
    # Bought at the open of 11: slippage 0.0005 x 11 x 10, commission 0.001 x 10 x 11.0055.
    assert configured.fills["slippage"].to_list() == [pytest.approx(0.055)]
    assert configured.fills["commission"].to_list() == [pytest.approx(0.110055)]


def test_every_cost_model_is_a_section_by_its_name() -> None:
    for key, module in (("slippage", slippage), ("commission", commission)):
        for name, model in models_of(module).items():
            data = {**_with_source(), "execution": {key: {"model": name}}}
            config = config_from_mapping(data, name="mine", folder=Path())
            assert isinstance(getattr(config.execution, key), model)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_key_has_a_description(model: type[BaseModel]) -> None:
    missing = [name for name, field in model.model_fields.items() if not field.description]

    # A path says what it is in its own type.
    assert set(missing) <= {"path"}


def test_a_loaded_configuration_cannot_be_changed() -> None:
    config = config_from_mapping(_with_source(), name="mine", folder=Path())

    with pytest.raises(ValueError, match="frozen"):
        config.backtest.initial_capital = 5.0


def test_a_configuration_survives_dump_and_reload() -> None:
    config = load_config(bundled_folder() / "simple_ml_strategy.yaml")

    assert BacktestConfig.model_validate_json(config.model_dump_json()).model_dump() == config.model_dump()


def test_adjustment_has_no_default() -> None:
    assert DatasetConfig.model_fields["adjustment"].is_required()


def test_session_labels_are_for_daily_bars() -> None:
    assert "bar_label: found 'session'; must be close or open" in _mistake(bar_label="session", frequency="5m")


@pytest.mark.parametrize("frequency", ["1d", "5m", "2h", "390m"])
def test_a_frequency_is_a_number_and_a_unit(frequency: str) -> None:
    config = config_from_mapping(_with_source(frequency=frequency), name="mine", folder=Path())

    assert config.dataset.frequency == frequency


@pytest.mark.parametrize("frequency", ["0m", "1w", "d", "1.5h", "-1d", "1 d", "\u0661d", "99999999d"])
def test_anything_else_is_no_frequency(frequency: str) -> None:
    assert "data.source.frequency" in _mistake(frequency=frequency)


def test_a_policy_and_an_available_at_column_contradict_each_other() -> None:
    source = {"path": "s", "names": ["p"], "available_at": "next_day", "columns": {"available_at": "known"}}

    assert "signals[0].available_at: found 'next_day'; must be null" in _mistake(signals=[source])


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["close"], "'close', it is a column that every data set has"),
        (["p", "p_available_at"], "'p_available_at', it is already given by signals[0].names"),
        (["sma"], "indicators: found ['sma']; must not give the column 'sma'"),
        (["atr_9"], "prices.indicators: found ['atr_9']; must not give the column 'atr_9'"),
        (["vix"], "context[0].names: found ['vix']; must not give the column 'vix'"),
    ],
)
def test_two_values_cannot_have_the_same_column(names: list[str], said: str) -> None:
    text = _mistake(
        prices={"path": "p", "indicators": ["atr_9"]},
        signals=[{"path": "s", "names": names}],
        indicators=["sma"],
        context=[{"path": "c", "names": ["vix"]}],
    )

    assert said in text


def test_a_column_mapping_names_known_columns_and_each_source_once() -> None:
    text = _mistake(prices={"path": "p", "columns": {"tiemstamp": "date"}})
    assert "prices.columns.tiemstamp: unknown key. Did you mean 'timestamp'?" in text

    text = _mistake(prices={"path": "p", "columns": {"open": "px", "close": "px"}})
    assert "must name each once; twice: px" in text


def test_a_value_column_is_mapped_like_a_key() -> None:
    columns = {"timestamp": "Date", "vix": "VIX Close"}
    source = {"path": "c", "names": ["vix"], "columns": columns, "available_at": "next_day"}
    loaded = config_from_mapping(_with_source(context=[source]), name="mine", folder=Path())
    assert loaded.dataset.context[0].columns == columns


def test_a_name_that_no_column_may_have_is_one_mistake_which_says_how_to_map_it() -> None:
    text = _mistake(context=[{"path": "c", "names": ["VIX Close"], "available_at": "next_day"}])
    assert text.count("context[0]") == 1
    assert "context[0].names[0]: found 'VIX Close'" in text
    assert "columns: {my_name: its name}" in text


def test_context_has_no_symbol() -> None:
    text = _mistake(context=[{"path": "c", "names": ["vix"], "columns": {"symbol": "x"}}])

    assert "context[0].columns.symbol: unknown key. " in text


def test_data_is_named_or_described_never_both() -> None:
    both = _with_source()
    both["data"]["dataset"] = "us_tech_daily"
    for data, found in ((both, "both"), ({**both, "data": {}}, "neither")):
        with pytest.raises(ConfigError, match=rf"data: must have exactly one.*found {found}"):
            config_from_mapping(data, name="mine", folder=Path())


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
def test_a_time_zone_is_utc_or_a_place(zone: str) -> None:
    assert config_from_mapping(_with_source(timezone=zone), name="mine", folder=Path()).dataset.timezone == zone


@pytest.mark.parametrize("calendar", ["XNYS", "XLON", "24/7", "CMES"])
def test_calendars_of_exchange_calendars_are_known(calendar: str) -> None:
    config = config_from_mapping(_with_source(calendar=calendar), name="mine", folder=Path())

    assert config.dataset.calendar == calendar
