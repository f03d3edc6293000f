"""Checks beyond a table's own rules: doubtful data, drift against what was there, a second look for look-ahead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal, get_args

import polars as pl

from ml4t_backtest.config.dataset_schema import DatasetConfig
from ml4t_backtest.config.schema import BacktestConfig
from ml4t_backtest.data.polars_feed import PolarsDataFeed
from ml4t_backtest.data.prepared import PreparedData
from ml4t_backtest.data.quality.data_quality import FindingCode, count_found, summarize
from ml4t_backtest.dataset_stages import RawKind, Tables
from ml4t_backtest.pipeline.checks import Outcome, rule_outcomes
from ml4t_backtest.pipeline.due import sessions_behind
from ml4t_backtest.pipeline.stage_tables import raw_violations, total_rows
from ml4t_backtest.reporting.formats import count, percent
from ml4t_backtest.reporting.result import BacktestResult
from ml4t_backtest.runner import run_prepared

_RETURN_DRIFT, _TRADES_DRIFT = 0.05, 0.2
_TO_COMPARE = ("fills", "portfolio_states")


def raw_outcomes(dataset: DatasetConfig, kind: RawKind, tables: Tables) -> list[Outcome]:
    """Return which rules the sources of a kind keep before they are loaded; broken values and keys only warn."""
    return rule_outcomes(f"raw_{kind}", raw_violations(dataset, kind, tables), total_rows(tables), warn=True)


def validated_outcomes(dataset: DatasetConfig, kind: RawKind, tables: Tables, now: datetime) -> Iterator[Outcome]:
    """Yield what is asked of validated tables, which were made by every rule of their schemas.

    Args:
        dataset: Theirs.
        kind: Of which sources.
        tables: What was made of them.
        now: Time-zone-aware; bars may be late.
    """
    yield from rule_outcomes(f"validated_{kind}", [], total_rows(tables))
    if kind == "prices":
        yield freshness_outcome(dataset, tables["prices"], now)


def prepared_outcomes(
    dataset: DatasetConfig, prepared: PreparedData, before: pl.DataFrame | None, source_rows: int
) -> Iterator[Outcome]:
    """Yield everything that is asked of prepared data, which was made by every rule of its schemas.

    Args:
        dataset: What was prepared.
        prepared: Its tables.
        before: The bars that were prepared before; None where there are none.
        source_rows: Number of rows of the sources.
    """
    for name, frame in prepared.tables().items():
        yield from rule_outcomes(name, [], frame.height)
    yield from level_outcomes(dataset, prepared)
    yield findings_outcome("source_quality", "findings", prepared.source_quality, source_rows)
    yield bars_drift(before, prepared.asset_data)


def run_outcomes(
    config: BacktestConfig,
    prepared: PreparedData,
    result: BacktestResult,
    rows: tuple[Mapping[str, Any] | None, Mapping[str, Any]],
    *,
    is_new: bool,
) -> list[Outcome]:
    """Return what is asked of a run beyond the rules of its tables.

    Args:
        config: What was run.
        prepared: What it was run on.
        result: What came out.
        rows: Row of `backtest_run` as it was published, None where there is none, and the one that takes its place.
        is_new: Whether it was computed just now; of one that was published before it was asked then.
    """
    ahead = Outcome("backtest_run", "no_look_ahead", True, text="unchanged: looked at when it was published")
    looked = look_ahead_outcome(config, prepared, result) if is_new else ahead
    return [looked, run_drift(*rows), traded(config, result.trades)]


def level_outcomes(dataset: DatasetConfig, prepared: PreparedData) -> Iterator[Outcome]:
    """Yield what the levels `standard` and `paranoid` find in prepared data; nothing of it is refused here."""
    levels: tuple[Literal["standard", "paranoid"], ...] = ("standard", "paranoid")
    for level in levels:
        feed = PolarsDataFeed(
            prepared.rows,
            prepared.context_data if prepared.context else None,
            signal_columns=prepared.signals,
            indicator_columns=prepared.indicators,
            context_columns=prepared.context,
            calendar=dataset.calendar,
            validation=level,
            accept=get_args(FindingCode),
            corporate_actions=prepared.corporate_actions if dataset.adjustment == "none" else None,
            allow_nonpositive_prices=dataset.prices.allow_nonpositive_prices,
        )
        yield findings_outcome("asset_data", level, feed.data_quality, prepared.asset_data.height)


def findings_outcome(asset: str, check: str, found: pl.DataFrame, rows: int) -> Outcome:
    """Return findings as the outcome of a check: a warning with counts and examples.

    What is only noted (severity `note`) is shown too and fails nothing.
    """
    doubtful = found.filter(pl.col("severity").cast(pl.String) != "note")
    text = "\n".join(summarize(found))
    return Outcome(asset, check, doubtful.is_empty(), text=text, rows=rows, violations=count_found(doubtful))


def freshness_outcome(dataset: DatasetConfig, prices: pl.DataFrame, now: datetime) -> Outcome:
    """Return whether the newest bar is as young as a data set asks.

    Args:
        dataset: The data set.
        prices: Its validated bars.
        now: Time-zone-aware.
    """
    asset, rows, newest = "validated_prices", prices.height, prices["timestamp"].max()
    allowed = dataset.max_sessions_behind
    if allowed is None or not isinstance(newest, datetime):
        return Outcome(asset, "fresh", True, text="not asked: the data set sets no max_sessions_behind", rows=rows)
    behind = sessions_behind(dataset.calendar, newest, now)
    text = f"{count(behind)} sessions of {dataset.calendar} closed after the newest bar, {newest.isoformat()}"
    if behind <= allowed:
        return Outcome(asset, "fresh", True, text=text, rows=rows)
    return Outcome(
        asset, "fresh", False, text=f"{text}; max_sessions_behind is {allowed}", rows=rows, violations=behind
    )


def bars_drift(before: pl.DataFrame | None, now: pl.DataFrame) -> Outcome:
    """Return whether bars that were prepared before are gone now."""
    if before is None:
        return Outcome("asset_data", "drift", True, text="nothing was prepared before", rows=now.height)
    keys = ["timestamp", "symbol"]
    old, new = (frame.select("timestamp", pl.col("symbol").cast(pl.String)) for frame in (before, now))
    gone = old.join(new, on=keys, how="anti").sort(keys)
    if gone.is_empty():
        return Outcome("asset_data", "drift", True, text=f"{now.height - before.height:+,} bars", rows=now.height)
    moment, symbol = gone.row(0)
    text = f"{gone.height:,} of {before.height:,} bars are gone; first: {symbol} {moment.isoformat()}"
    return Outcome("asset_data", "drift", False, text=text, rows=now.height, violations=gone.height)


def run_drift(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> Outcome:
    """Return whether a configuration comes to about what it came to before.

    Args:
        before: Row of `backtest_run` as it was published; None where there is none.
        now: The row that takes its place.
    """
    if before is None:
        return Outcome("backtest_run", "drift", True, text="nothing was run before", rows=1)
    if before["config_hash"] != now["config_hash"]:
        return Outcome("backtest_run", "drift", True, text="the configuration was another one before", rows=1)
    returned = abs(now["total_return"] - before["total_return"])
    traded = abs(now["num_trades"] - before["num_trades"])
    text = (
        f"total return {percent(before['total_return'])} before, {percent(now['total_return'])} now; "
        f"trades {count(before['num_trades'])} before, {count(now['num_trades'])} now"
    )
    drifted = returned > _RETURN_DRIFT or traded > _TRADES_DRIFT * max(1, before["num_trades"])
    return Outcome("backtest_run", "drift", not drifted, text=text, rows=1, violations=int(drifted))


def traded(config: BacktestConfig, trades: pl.DataFrame) -> Outcome:
    """Return whether there are trades, or none are allowed for."""
    text = "no trades: nothing was bought or sold" if trades.is_empty() else ""
    passed = config.reporting.allow_no_trades or not trades.is_empty()
    return Outcome("trades", "traded", passed, text=text, rows=trades.height)


def look_ahead_outcome(config: BacktestConfig, prepared: PreparedData, result: BacktestResult) -> Outcome:
    """Return whether a run without the later half of the data comes to the same up to there, to the bit.

    The cut is at the end of a session, so that what happens at a session's end happens in both. Only what the strategy
    is shown is cut; that the data itself knows no future is asked by `check-lookahead`.
    """
    slices = result.portfolio_states.join(result.daily_returns, on="timestamp", how="semi")["timestamp"]
    if slices.len() < 2:
        return Outcome("backtest_run", "no_look_ahead", True, text="too short to be cut")
    cut = slices[slices.len() // 2 - 1]
    known = pl.col("timestamp") <= cut
    short = replace(
        prepared, asset_data=prepared.asset_data.filter(known), context_data=prepared.context_data.filter(known)
    )
    again = run_prepared(_ending_with_the_data(config), short)
    for name in _TO_COMPARE:
        whole, part = (getattr(each, name).filter(known) for each in (result, again))
        shared = [column for column in whole.columns if column in part.columns]
        if not whole.select(shared).equals(part.select(shared), null_equal=True):
            text = (
                f"{name} up to {cut.isoformat()} are others without the data after it: "
                "the strategy knows the future, or does not decide the same twice"
            )
            return Outcome("backtest_run", "no_look_ahead", False, text=text, rows=slices.len(), violations=1)
    return Outcome("backtest_run", "no_look_ahead", True, text=f"cut at {cut.isoformat()}", rows=slices.len())


def _ending_with_the_data(config: BacktestConfig) -> BacktestConfig:
    """Return a configuration whose span ends where its data does, with open positions left open."""
    backtest = config.backtest.model_copy(update={"end": None})
    execution = config.execution.model_copy(update={"end_of_data": "mark"})
    return config.model_copy(update={"backtest": backtest, "execution": execution})
