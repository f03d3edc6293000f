"""Reading sweeps: every variant is a checked configuration, and every mistake is said at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml4t_backtest.config import config_from_mapping, config_hash, load_config
from ml4t_backtest.errors import ConfigError
from ml4t_backtest.sweep.loading import load_sweep
from ml4t_backtest_tests.sweep.projects import levels, project, sweep


def _file(configs: Path, text: str) -> Path:
    file = configs / "sweeps" / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_variant_is_the_backtest_with_the_value_written_into_it(tmp_path: Path) -> None:
    configs = project(tmp_path)
    found = load_sweep(
        _file(
            configs,
            """
sweep: {base: above}
space: {model: grid, parameters: {execution.slippage.rate: [0.001], strategy.params.level: [0.5]}}
""",
        )
    )
    base = load_config(configs / "above.yaml")
    written = {
        "backtest": {"name": "above"},
        "data": base.model_dump(mode="json")["data"],
        "execution": {"slippage": {"model": "percentage", "rate": 0.001}},
        "strategy": {"path": "above.py:Above", "params": {"level": 0.5}},
    }
    by_hand = config_from_mapping(written, name="above", folder=configs)
    assert [config_hash(variant.config) for variant in found.variants] == [config_hash(by_hand)]


def test_each_point_is_tried_with_each_seed(tmp_path: Path) -> None:
    found = sweep(project(tmp_path), levels(0.5, 1.0), seeds=[1, 2], seed_key="strategy.params.seed")
    assert [(variant.config.strategy.params["level"], variant.seed) for variant in found.variants] == [
        (0.5, 1),
        (0.5, 2),
        (1.0, 1),
        (1.0, 2),
    ]
    assert [variant.config.strategy.params["seed"] for variant in found.variants] == [1, 2, 1, 2]


def test_every_mistake_of_every_value_is_said_at_once_with_its_line(tmp_path: Path) -> None:
    file = _file(
        project(tmp_path),
        """sweep: {base: above}
space:
  model: grid
  parameters:
    execution.slippage.rate: [0.1, x]
    backtest.start: ["2020-13-01"]
    riks.position.stop_loss_percent: [0.1]
    strategy.path.deeper: [1]
""",
    )
    with pytest.raises(ConfigError) as raised:
        load_sweep(file)
    told = str(raised.value)
    for line, text in (
        (5, "execution.slippage.rate: found 'x'; must be a number"),
        (6, "backtest.start: found '2020-13-01'; must be a day that exists"),
        (7, "riks: unknown key. Did you mean 'risk'?"),
        (8, "strategy.path of the backtest is no section"),
    ):
        assert any(each.startswith(f"{file}:{line}: ") and text in each for each in told.splitlines()), (line, told)


def test_a_param_that_the_strategy_does_not_take_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="leveel"):
        sweep(project(tmp_path), levels(0.5, leveel=[1]))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sweep: {base: above}\nspace: {model: gird, parameters: {}}", "must be one of grid, random, list"),
        ("sweep: {base: above}\nspace: {model: grid, parameters: {a.b: []}}", "at least one value"),
        ("sweep: {base: above}\nspace: {model: grid, parameters: {a.b: [1, 1]}}", "twice: 1"),
        ("sweep: {base: abov}\nspace: {model: list, trials: [{a: 1}]}", "Did you mean|no configuration 'abov'"),
        ("sweep: {base: above}\nspace: {model: list, trials: []}", "at least 1 item"),
        (
            "sweep: {base: above}\nspace: {model: random, trials: 3, parameters: {a: {low: 2, high: 1}}}",
            "low below high",
        ),
        ("sweep: {base: above}\nseeds: [1]\nspace: {model: list, trials: [{}]}", "seed_key"),
        ("sweep: {base: above, objective: luck}\nspace: {model: list, trials: [{}]}", "must be one of sharpe_ratio"),
    ],
)
def test_a_wrong_sweep_says_what_is_allowed(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load_sweep(_file(project(tmp_path), text))


def test_more_trials_than_anybody_waits_for_are_refused_before_they_are_made(tmp_path: Path) -> None:
    many = levels(*range(400), seed=list(range(400)))
    with pytest.raises(ConfigError, match="160,000 trials"):
        sweep(project(tmp_path), many)
