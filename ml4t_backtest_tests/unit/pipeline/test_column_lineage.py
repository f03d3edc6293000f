"""Lineage is held to what happens: a column that is changed changes those that say they come from it, and no others."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest

from ml4t_backtest import load_config
from ml4t_backtest.config import BacktestConfig
from ml4t_backtest.dataset_stages import RAW_KINDS, RawKind, prepare_validated, raw_tables, validated_tables
from ml4t_backtest.pipeline.column_lineage import prepared_lineage, run_lineage, validated_lineage
from ml4t_backtest.runner import run_prepared

CONFIG = """
data:
  source:
    name: mine
    bar_label: session
    adjustment: none
    prices: {path: prices.parquet}
    signals: [{path: signals.parquet, names: [score]}]
    indicators: ["sma:3", "atr:3", "obv"]
    context: [{path: context.parquet, names: [level], available_at: market_close}]
    corporate_actions: {path: actions.parquet}
    universe: {path: universe.parquet}
strategy: {path: "own.py:Once"}
"""
STRATEGY = """
from ml4t_backtest import Strategy


class Once(Strategy):
    def on_market_data(self, event):
        if not self.get_position(event.symbol):
            self.buy(event.symbol, quantity=10)
        else:
            self.close_position(event.symbol)
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> BacktestConfig:
    folder = tmp_path_factory.mktemp("lineage")
    days = [day for day in (date(2024, 1, 2) + timedelta(days=n) for n in range(40)) if day.weekday() < 5]
    days = [day for day in days if day != date(2024, 1, 15)]
    keys = pl.DataFrame({"timestamp": days, "number": range(len(days))})
    bars = keys.join(pl.DataFrame({"symbol": ["A", "B"], "base": [100.0, 50.0]}), how="cross")
    # Up one day, down the next.
    close = pl.col("base") + pl.col("number") * (1.0 - 2.0 * (pl.col("number") % 2))
    prices = bars.select(
        "timestamp", "symbol", open=close, high=close * 1.2, low=close * 0.8, close=close * 1.01, volume=close * 10.0
    )
    prices.write_parquet(folder / "prices.parquet")
    at = pl.col("timestamp").cast(pl.Datetime("us", "UTC")) + pl.duration(hours=9)
    bars.select("timestamp", "symbol", score=close, available_at=at).write_parquet(folder / "signals.parquet")
    keys.select("timestamp", level=pl.col("number") * 1.0).write_parquet(folder / "context.parquet")
    ex = {"symbol": ["A", "A"], "ex_date": [days[9], days[14]], "kind": ["dividend", "split"], "value": [1.0, 2.0]}
    pl.DataFrame(ex).write_parquet(folder / "actions.parquet")
    members = {"symbol": ["A", "B"], "start": [days[0]] * 2, "end": [days[7], days[11]]}
    pl.DataFrame(members).write_parquet(folder / "universe.parquet")
    (folder / "own.py").write_text(STRATEGY)
    (folder / "mine.yaml").write_text(CONFIG)
    return load_config(folder / "mine.yaml")


@pytest.fixture(scope="module")
def stages(config: BacktestConfig) -> tuple[dict[RawKind, Any], dict[RawKind, Any]]:
    raw = {kind: raw_tables(config.dataset, kind) for kind in RAW_KINDS}
    return raw, {kind: validated_tables(config.dataset, kind, raw[kind]) for kind in RAW_KINDS}


@pytest.mark.parametrize(
    ("kind", "column", "other"),
    [
        ("prices", "open", pl.col("open") * 1.001),
        ("prices", "high", pl.col("high") * 1.01),
        ("prices", "low", pl.col("low") * 0.99),
        ("prices", "close", pl.col("close") * (1.0 - 0.15 * (pl.int_range(pl.len()) % 4 == 0))),
        ("prices", "volume", pl.col("volume") + 7.0),
        ("signals", "score", pl.col("score") + 1.0),
        ("signals", "available_at", pl.col("available_at") + pl.duration(days=1)),
        ("context", "level", pl.col("level") + 1.0),
        ("context", "available_at", pl.col("available_at") + pl.duration(days=1)),
        ("corporate_actions", "value", pl.col("value") * 1.5),
        ("corporate_actions", "ex_date", pl.col("ex_date") + pl.duration(days=1)),
        ("universe", "start", pl.col("start") + pl.duration(days=1)),
        ("universe", "end", pl.col("end") + pl.duration(days=1)),
    ],
)
def test_a_changed_column_changes_those_that_come_from_it_and_no_others(
    kind: RawKind, column: str, other: pl.Expr, config: BacktestConfig, stages: Any
) -> None:
    validated = stages[1]
    changed = {name: frame.with_columns(other.alias(column)) for name, frame in validated[kind].items()}
    before = prepare_validated(config.dataset, validated).tables()
    after = prepare_validated(config.dataset, validated | {kind: changed}).tables()
    lineage = prepared_lineage(config.dataset)
    for table in ("asset_data", "context_data", "corporate_actions"):
        differ = {name for name in before[table].columns if not before[table][name].equals(after[table][name])}
        told = {name for name, origins in lineage[table].items() if (f"validated_{kind}", column) in origins}
        assert differ == told, table


def test_every_column_of_prepared_data_comes_from_somewhere(config: BacktestConfig, stages: Any) -> None:
    tables = prepare_validated(config.dataset, stages[1]).tables()
    lineage = prepared_lineage(config.dataset)
    for table in ("asset_data", "context_data", "corporate_actions"):
        assert set(lineage[table]) == set(tables[table].columns)
    for origins in (origin for columns in lineage.values() for origin in columns.values()):
        for asset, column in origins:
            assert any(column in frame.columns for frame in stages[1][asset.removeprefix("validated_")].values())


def test_what_a_source_does_not_hold_comes_from_its_timestamp(stages: Any) -> None:
    raw, validated = stages
    prices = validated_lineage("prices", raw["prices"], validated["prices"])
    assert prices["close"] == [("raw_prices", "close")]
    assert prices["open_instant"] == [("raw_prices", "timestamp")]
    signals = validated_lineage("signals", raw["signals"], validated["signals"])
    assert signals["available_at"] == [("raw_signals", "available_at")]
    context = validated_lineage("context", raw["context"], validated["context"])
    assert context["available_at"] == [("raw_context", "timestamp")]


def test_trades_show_what_their_lineage_names(config: BacktestConfig, stages: Any) -> None:
    prepared = prepare_validated(config.dataset, stages[1])
    tables = run_prepared(config, prepared).tables()
    lineage, sources = run_lineage(config.dataset, tables), prepared.tables()
    trades = tables["trades"]
    assert trades.height > 10
    shown = [name for name in trades.columns if name.partition("_")[0] in ("decision", "entry", "exit")]
    shown = [name for name in shown if name.endswith(("score", "sma_3", "atr_3", "obv", "in_universe", "level"))]
    assert len(shown) == 3 * 6
    for name in shown:
        ((asset, column),) = lineage["trades"][name]
        at = f"{name.partition('_')[0]}_timestamp"
        keys = ["timestamp", "symbol"] if asset == "asset_data" else ["timestamp"]
        there = (
            sources[asset].select(*keys, pl.col(column).alias("there")).with_columns(pl.col(pl.Enum).cast(pl.String))
        )
        seen = trades.select(timestamp=at, symbol=pl.col("symbol").cast(pl.String), here=name)
        assert seen.join(there, on=keys, how="left", maintain_order="left")["there"].equals(seen["here"])


def test_lineage_of_a_run_names_columns_that_exist(config: BacktestConfig, stages: Any) -> None:
    from ml4t_backtest.pipeline.published_run import made_from, run_tables

    prepared = prepare_validated(config.dataset, stages[1])
    inputs = made_from(config, prepared.content_hash)
    tables = run_tables("mine", config, run_prepared(config, prepared), inputs)
    everything = {**prepared.tables(), **tables}
    lineage = run_lineage(config.dataset, tables)
    assert lineage["backtest_run"]["sharpe_ratio"] == (("daily_returns", "equity"),)
    assert set(lineage["portfolio_states"]) >= {"equity", "cash", "daily_return", "level"}
    for asset, column in (origin for columns in lineage.values() for told in columns.values() for origin in told):
        assert column in everything[asset].columns, (asset, column)
