"""The doors a world goes in by: every one must say the same about the same data."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from click.testing import CliRunner

from bad_inputs.case import COMMAND_LINE
from bad_inputs.good import World
from ml4t_backtest import BacktestEngine, BacktestResult, DataPreparer, PolarsDataFeed, run_backtest
from ml4t_backtest.cli import main
from ml4t_backtest.core import schemas
from ml4t_backtest.data.content_hash import content_hash
from ml4t_backtest.strategy.library import PredictionThreshold

Attempt = Callable[[], Any]
FEED, PREPARER, RUN = "feed", "preparer", "run"
THRESHOLDS = {"enter_above": 0.7, "exit_below": 0.3, "position_percent": 0.3}
_FEED_TAKES = (
    "calendar",
    "timezone",
    "bar_label",
    "frequency",
    "decide_at",
    "enforce_sessions",
)
_PREPARER_TAKES = ("calendar", "timezone", "decide_at", "enforce_sessions")
_RESULTS = ("trades", "fills", "orders", "cash_flows", "portfolio_states", "daily_returns")


def attempts(world: World, folder: Path, validation: str = "standard") -> dict[str, Attempt]:
    """Write a world and return door -> how it is tried there."""
    paths = world.write(folder)
    config = write_config(world, paths, folder, validation)
    return {
        FEED: lambda: by_feed(world, paths, validation),
        PREPARER: lambda: by_preparer(world, paths, validation),
        RUN: lambda: run_backtest(config),
        COMMAND_LINE: lambda: CliRunner().invoke(main, ["run", str(config), "--output-root", str(folder / "out")]),
    }


def by_feed(world: World, paths: Mapping[str, str], validation: str = "standard") -> BacktestResult:
    """Run a world through a feed over raw files."""
    declared = world.declared
    signals, context = _names(world, "signals"), _names(world, "context")
    feed = PolarsDataFeed(
        paths["prices"],
        paths.get("context") if context else None,
        paths.get("signals") if signals else None,
        signal_columns=signals,
        context_columns=context,
        signal_available_at=declared["signals"].get("available_at") if signals else None,
        context_available_at=declared["context"].get("available_at") if context else None,
        validation=validation,  # type: ignore[arg-type]
        corporate_actions=_actions(world),
        allow_nonpositive_prices=declared["prices"].get("allow_nonpositive_prices", False),
        **{key: declared[key] for key in _FEED_TAKES if key in declared},
    )
    return _run(feed, world)


def by_preparer(world: World, paths: Mapping[str, str], validation: str = "standard") -> BacktestResult:
    """Prepare a world step by step and run it."""
    prepared = _preparer(world, paths).prepare()
    feed = PolarsDataFeed(
        prepared.asset_data,
        prepared.context_data if prepared.context else None,
        signal_columns=prepared.signals,
        indicator_columns=prepared.indicators,
        context_columns=prepared.context,
        validation=validation,  # type: ignore[arg-type]
        corporate_actions=prepared.corporate_actions,
        source_quality=prepared.source_quality,
        calendar=world.declared["calendar"],
        allow_nonpositive_prices=world.declared["prices"].get("allow_nonpositive_prices", False),
    )
    return _run(feed, world)


def outcome(result: BacktestResult) -> str:
    """Return one hash of everything a run did; what was found in the data is no part of it."""
    return content_hash({name: getattr(result, name) for name in _RESULTS})


def write_config(world: World, paths: Mapping[str, str], folder: Path, validation: str) -> Path:
    """Write a world as a configuration (JSON, which is YAML too) and return its path."""
    declared = {key: value for key, value in world.declared.items() if key not in ("prices", "signals", "context")}
    source: dict[str, Any] = {**declared, "prices": {"path": paths["prices"], **world.declared["prices"]}}
    for kind in ("signals", "context"):
        of = world.declared[kind]
        if isinstance(of, list) or _names(world, kind):
            source[kind] = of if isinstance(of, list) else [{"path": paths[kind], **of}]
    if "actions" in paths:
        source["corporate_actions"] = {"path": paths["actions"]}
    if "universe" in paths:
        source["universe"] = {"path": paths["universe"]}
    strategy = {"path": "ml4t_backtest.strategy.library.PredictionThreshold", "params": THRESHOLDS}
    content = {
        "backtest": {"initial_capital": 1_000_000.0},
        "data": {"source": source, "validation": validation},
        "strategy": strategy,
        "reporting": {"report": False},
        **world.backtest,
    }
    path = folder / "config.yaml"
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return path


def _preparer(world: World, paths: Mapping[str, str]) -> DataPreparer:
    declared = world.declared
    preparer = DataPreparer(**{key: declared[key] for key in _PREPARER_TAKES if key in declared})
    bar_label, freq = declared["bar_label"], declared["frequency"]
    preparer.add_prices(paths["prices"], freq=freq, bar_label=bar_label, **declared["prices"])
    if signals := dict(declared["signals"]) if _names(world, "signals") else {}:
        preparer.add_signals(paths["signals"], valid_from=signals.pop("available_at", None), **_renamed(signals))
    if context := dict(declared["context"]) if _names(world, "context") else {}:
        preparer.add_context(paths["context"], **_renamed(context))
    if "indicators" in declared:
        preparer.add_indicators(declared["indicators"])
    if "actions" in paths:
        preparer.add_corporate_actions(paths["actions"], adjustment=declared["adjustment"])
    if "universe" in paths:
        preparer.add_universe(paths["universe"])
    return preparer


def _renamed(source: dict[str, Any]) -> dict[str, Any]:
    return {"freq" if key == "frequency" else key: value for key, value in source.items()}


def _run(feed: PolarsDataFeed, world: World) -> BacktestResult:
    actions = _actions(world)
    strategy = PredictionThreshold(**THRESHOLDS)
    return BacktestEngine(
        feed,
        strategy,
        corporate_actions=actions,
        adjustment=world.declared["adjustment"],
        **world.backtest.get("execution", {}),
    ).run()


def _actions(world: World) -> pl.DataFrame:
    return world.tables.get("actions", schemas.empty_frame(schemas.corporate_actions_schema()))


def _names(world: World, kind: str) -> Sequence[str]:
    return world.declared[kind]["names"] if kind in world.tables and kind in world.declared else ()
