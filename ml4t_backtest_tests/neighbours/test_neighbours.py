"""ml4t-diagnostic, pyfolio-reloaded and quantstats read what we export, in Python 3.12, and agree with our figures."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from parity.environments import ENVIRONMENTS, make_environment, works

from ml4t_backtest import BacktestResult
from ml4t_backtest.config.loader import load_config
from ml4t_backtest.reporting.pandas_export import pyfolio_inputs
from ml4t_backtest.reporting.prediction_export import prediction_table
from ml4t_backtest.runner import prepare_dataset, run_prepared

HERE = Path(__file__).parent
PYTHONS = ("python3.12", "python3.13")
CLOSE = {"rel": 1e-9}

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def python() -> Path:
    if not any(works(each) for each in PYTHONS):
        pytest.skip("ml4t-diagnostic 0.2 needs Python 3.12 or later, which is not here")
    try:
        return make_environment(ENVIRONMENTS / "neighbours", PYTHONS, (HERE / "requirements.txt").read_text())
    except subprocess.CalledProcessError as error:
        pytest.skip(f"the neighbours cannot be installed here: {error}")


@pytest.fixture(scope="module")
def result_and_bars() -> tuple[BacktestResult, Any]:
    config = load_config("simple_ml_strategy")
    prepared = prepare_dataset(config.dataset)
    return run_prepared(config, prepared), prepared.rows


@pytest.fixture(scope="module")
def predictions(result_and_bars: tuple[BacktestResult, Any]) -> pl.DataFrame:
    return prediction_table(result_and_bars[1], ["prediction"])


@pytest.fixture(scope="module")
def told(
    python: Path,
    result_and_bars: tuple[BacktestResult, Any],
    predictions: pl.DataFrame,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    result, bars = result_and_bars
    folder = tmp_path_factory.mktemp("exports")
    inputs = pyfolio_inputs(result, bars)
    assert inputs.positions is not None
    inputs.returns.to_frame().to_parquet(folder / "returns.parquet")
    inputs.positions.to_parquet(folder / "positions.parquet")
    inputs.transactions.to_parquet(folder / "transactions.parquet")
    written = result.write_diagnostic(folder / "diagnostic", predictions=predictions)
    command = [str(python), str(HERE / "read_exports.py"), str(written), str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    answer: dict[str, Any] = json.loads(ran.stdout)
    return answer


def test_the_result_loader_finds_every_row(told: dict[str, Any], result_and_bars: tuple[BacktestResult, Any]) -> None:
    result, _ = result_and_bars
    found = (told["trades"], told["fills"], told["states"], told["last_equity"])
    states = result.portfolio_states
    assert found == (result.trades.height, result.fills.height, states.height, states["equity"][-1])
    assert told["loaded_total_return"] == pytest.approx(result.metrics["total_return"], **CLOSE)


def test_the_run_artifact_reader_comes_to_our_figures(
    told: dict[str, Any], result_and_bars: tuple[BacktestResult, Any]
) -> None:
    metrics, summary = result_and_bars[0].metrics, told["summary"]
    pairs = {
        "sharpe_ratio": "sharpe_ratio",
        "sortino_ratio": "sortino_ratio",
        "max_drawdown": "max_drawdown",
        "cagr": "annual_return",
        "calmar_ratio": "calmar_ratio",
        "annualized_volatility": "annual_volatility",
        "total_return": "total_return",
        "num_trades": "num_trades",
        "win_rate": "hit_rate",
        "num_fills": "num_fills",
        "total_filled_notional": "turnover",
        "total_implementation_cost": "total_costs",
        "avg_gross_exposure": "exposure",
        "time_in_market": "time_in_market",
    }
    assert {ours: summary[theirs] for theirs, ours in pairs.items()} == pytest.approx(
        {ours: metrics[ours] for ours in pairs.values()}, **CLOSE
    )


def test_nothing_had_to_be_made_up_there(told: dict[str, Any]) -> None:
    present = {name for name, status in told["sources"].items() if status == "available"}
    assert present == {"trades", "fills", "portfolio_state", "equity"}


def test_the_model_is_judged_by_its_predictions_and_by_those_that_were_traded_on(
    told: dict[str, Any], predictions: pl.DataFrame
) -> None:
    assert set(told["sources_of_model"].values()) == {"available"}
    assert told["loaded_predictions"] == predictions.height
    model = told["model"]
    assert (model["n_signals"], model["n_prediction_assets"]) == (predictions.height, 5)
    # Every trade has the prediction it was decided on; theirs leaves out what lies before the first trade.
    assert (model["trade_prediction_coverage"], model["translation_ready"]) == (1.0, True)
    assert 0 < model["trade_link_rate"] < 1


def test_the_tear_sheet_is_drawn_and_every_trade_analysed(
    told: dict[str, Any], result_and_bars: tuple[BacktestResult, Any]
) -> None:
    assert told["page_length"] > 100_000
    assert told["drawn_from_files"] > 0
    assert told["trades_analysed"] == result_and_bars[0].trades.height


def test_pyfolio_comes_to_our_figures_and_finds_our_round_trips(
    told: dict[str, Any], result_and_bars: tuple[BacktestResult, Any]
) -> None:
    metrics, theirs = result_and_bars[0].metrics, told["pyfolio"]
    pairs = {
        "Sharpe ratio": "sharpe_ratio",
        "Sortino ratio": "sortino_ratio",
        "Max drawdown": "max_drawdown",
        "Annual return": "annual_return",
        "Calmar ratio": "calmar_ratio",
        "Skew": "skewness",
        "Kurtosis": "excess_kurtosis",
        "Tail ratio": "tail_ratio",
        "Gross leverage": "exposure",
    }
    assert {ours: theirs[name] for name, ours in pairs.items()} == pytest.approx(
        {ours: metrics[ours] for ours in pairs.values()}, **CLOSE
    )
    assert told["round_trips"] == metrics["num_trades"]


def test_quantstats_comes_to_our_figures(told: dict[str, Any], result_and_bars: tuple[BacktestResult, Any]) -> None:
    metrics = result_and_bars[0].metrics
    pairs = {
        "sharpe": "sharpe_ratio",
        "sortino": "sortino_ratio",
        "max_drawdown": "max_drawdown",
        "cagr": "annual_return",
        "calmar": "calmar_ratio",
        "tail_ratio": "tail_ratio",
        "volatility": "annual_volatility",
    }
    assert {ours: told["quantstats"][name] for name, ours in pairs.items()} == pytest.approx(
        {ours: metrics[ours] for ours in pairs.values()}, **CLOSE
    )
