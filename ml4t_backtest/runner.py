"""From a configuration to a result: the only place that wires data, engine and reports.

The data set comes from `dataset_stages`; a notebook, the command line and the Dagster assets run the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from ml4t_backtest.config.components import build_components
from ml4t_backtest.config.dataset_schema import DatasetConfig
from ml4t_backtest.config.loader import load_config
from ml4t_backtest.config.schema import BacktestConfig, ExecutionSection
from ml4t_backtest.core.argument_types import checked_arguments
from ml4t_backtest.data.polars_feed import PolarsDataFeed
from ml4t_backtest.data.prepared import Prepared
from ml4t_backtest.dataset_stages import (
    RAW_KINDS,
    RawKind,
    Tables,
    clock_of,
    dataset_at_hand,
    declared_ends,
    prepare_dataset,
    prepare_validated,
    prepared_dataset,
    raw_tables,
    validated_tables,
    zone_notes,
)
from ml4t_backtest.engine import BacktestEngine
from ml4t_backtest.errors import ConfigError, StrategyError
from ml4t_backtest.execution.accounts import Account
from ml4t_backtest.reporting.parquet import write_result
from ml4t_backtest.reporting.result import BacktestResult
from ml4t_backtest.run_provenance import environment, input_hashes, run_provenance
from ml4t_backtest.strategy.base import Strategy

__all__ = [
    "OUTPUT_ROOT",
    "RAW_KINDS",
    "RUNS",
    "RawKind",
    "Tables",
    "check_determinism",
    "dataset_at_hand",
    "dataset_notes",
    "declared_ends",
    "engine_of",
    "feed_of",
    "prepare_dataset",
    "prepare_validated",
    "prepared_dataset",
    "publish_run",
    "raw_tables",
    "report_of",
    "run_backtest",
    "run_inputs",
    "run_prepared",
    "run_provenance",
    "validated_tables",
]

OUTPUT_ROOT = Path(".runs")
RUNS = "runs"


@checked_arguments
def run_backtest(
    config: str | Path | BacktestConfig,
    *,
    output_root: str | Path | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> BacktestResult:
    """Prepare the data of a configuration, run its strategy and return the records.

    Args:
        config: Path or name of a configuration, or one that is loaded already.
        output_root: Where prepared data is kept, so that it is prepared anew only where something changed; None keeps
            nothing.
        on_progress: Called with the number of slices done.

    Raises:
        ConfigError: The configuration is wrong; all mistakes at once.
        DataValidationError: The data is; all violations at once.
        StrategyError: The strategy raised.

    >>> print(run_backtest("simple_ml_strategy"))
    BacktestResult(168 trades and 4 open, 340 fills, final equity 1,328,560.07)
    """
    loaded = config if isinstance(config, BacktestConfig) else load_config(config)
    build_components(loaded)  # Before the data: what is wrong with the configuration is said at once.
    if output_root is not None:
        return run_prepared(loaded, prepared_dataset(loaded.dataset, output_root), on_progress=on_progress)
    with dataset_at_hand(loaded.dataset) as prepared:
        return run_prepared(loaded, prepared, on_progress=on_progress)


@checked_arguments
def check_determinism(config: str | Path | BacktestConfig) -> BacktestResult:
    """Run a configuration twice, from files to records, and return the result, which is the same both times.

    A strategy that asks the clock, or draws by chance without a seed of its own, does not come to the same twice.

    Raises:
        StrategyError: The two runs differ; the text names the tables.
        BacktestError: As for `run_backtest`.
    """
    loaded = config if isinstance(config, BacktestConfig) else load_config(config)
    first, second = run_backtest(loaded), run_backtest(loaded)
    if differing := first.differences(second):
        raise StrategyError(
            f"run {loaded.name!r}: two runs of the same configuration differ in {', '.join(differing)}; the strategy "
            "asks the clock, draws by chance without a seed, or keeps something between runs"
        )
    return first


def run_prepared(
    config: BacktestConfig,
    prepared: Prepared,
    *,
    strategy: Strategy | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> BacktestResult:
    """Run a configuration's strategy, or another one in its place, over data that is prepared already."""
    engine = engine_of(config, prepared, strategy=strategy, on_progress=on_progress)
    try:
        result = engine.run()
    except StrategyError as error:
        raise StrategyError(f"run {config.name!r}: {error}") from error.__cause__
    notes = [*result.facts["notes"], *dataset_notes(config.dataset), *_late_notes(result, config.dataset)]
    return replace(result, facts={**result.facts, "notes": notes})


def engine_of(
    config: BacktestConfig,
    prepared: Prepared,
    *,
    feed: PolarsDataFeed | None = None,
    strategy: Strategy | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> BacktestEngine:
    """Return the engine of a configuration over data that is prepared already.

    Args:
        config: What is run.
        prepared: Its data.
        feed: That of another configuration which says the same of data and span, to ride along with its engine; see
            `one_pass.run_together`. Default: one of its own.
        strategy: In the place of the configuration's.
        on_progress: Called with the number of slices done.
    """
    components = build_components(config)
    return BacktestEngine(
        feed_of(config, prepared) if feed is None else feed,
        components.strategy if strategy is None else strategy,
        initial_capital=config.backtest.initial_capital,
        slippage=components.slippage,
        commission=components.commission,
        fractional=config.execution.fractional,
        lot_size=config.execution.lot_size,
        on_insufficient_cash=config.execution.on_insufficient_cash,
        account=_account(config.execution),
        max_volume_share=config.execution.max_volume_share,
        intrabar_path=config.execution.intrabar_path,
        end_of_data=config.execution.end_of_data,
        position_rules=config.risk.position,
        limits=config.risk.portfolio,
        delisting_after=config.execution.delisting_after,
        interest_rate=config.execution.interest_rate,
        profile=config.execution.profile,
        fill_at=config.execution.fill_at,
        state_frequency=config.reporting.state_frequency,
        corporate_actions=prepared.corporate_actions,
        adjustment=config.dataset.adjustment,
        delistings=declared_ends(config.dataset),
        on_progress=on_progress,
    )


def publish_run(
    config: BacktestConfig,
    result: BacktestResult,
    inputs: Mapping[str, str],
    root: str | Path = OUTPUT_ROOT,
    *,
    provenance: Mapping[str, Any] | None = None,
    bars: pl.DataFrame | pl.LazyFrame | None = None,
) -> Path:
    """Write a result with its report under `root` and return the version's folder.

    Args:
        config: What was run.
        result: What came out.
        inputs: Hashes of what it was made from; see `run_inputs`.
        root: Output root.
        provenance: See `run_provenance`; without it the run cannot be made again from its manifest alone.
        bars: What it was run over, `prepared.rows`, for the price charts of the report.
    """
    report = report_of(config, result, inputs, bars) if config.reporting.report else None
    text, runs = config.model_dump_json(indent=1), Path(root) / RUNS
    return write_result(result, runs, config.name, inputs=inputs, report=report, config=text, provenance=provenance)


def report_of(
    config: BacktestConfig,
    result: BacktestResult,
    inputs: Mapping[str, str],
    bars: pl.DataFrame | pl.LazyFrame | None = None,
) -> str:
    """Return the HTML report of a run; see `render_report`."""
    from ml4t_backtest.reporting.tearsheet import render_report

    provenance = {
        **inputs,
        **_made_with(),
        "configuration": config.model_dump_json(indent=1, exclude_defaults=True),
        "reproduce": f"ml4t-backtest reproduce {config.name}",
    }
    return render_report(
        result, title=config.name, benchmark=config.reporting.benchmark, provenance=provenance, bars=bars
    )


def _made_with() -> dict[str, str]:
    """Return the versions that numbers depend on, in few words."""
    made = environment()
    libraries = ", ".join(f"{name} {version}" for name, version in made["packages"].items())
    return {"python": f"{made['python']} on {made['platform']}", "libraries": libraries, "code": made["code"]}


def run_inputs(config: BacktestConfig, prepared: Prepared) -> dict[str, str]:
    """Return the hashes of everything a run is made from; see `input_hashes`."""
    return input_hashes(config, prepared.content_hash)


def feed_of(config: BacktestConfig, prepared: Prepared) -> PolarsDataFeed:
    """Return the feed of a configuration over its prepared data, every row checked at the level it asks for.

    Raises:
        ConfigError: The span of the backtest lies outside the data.
        DataValidationError: The data breaks a rule, or `paranoid` found what is not accepted.
    """
    span = config.backtest
    try:
        return PolarsDataFeed(
            prepared.rows,
            prepared.context_data if prepared.context else None,
            signal_columns=prepared.signals,
            indicator_columns=prepared.indicators,
            context_columns=prepared.context,
            calendar=config.dataset.calendar,
            start=span.start,
            end=span.end,
            warm_up_days=span.warm_up_days,
            validation=config.data.validation,
            accept=config.data.accept,
            corporate_actions=prepared.corporate_actions if config.dataset.adjustment == "none" else None,
            allow_nonpositive_prices=config.dataset.prices.allow_nonpositive_prices,
            source_quality=prepared.source_quality,
        )
    except ConfigError as error:
        raise config.error_at("backtest.start", str(error)) from error


def _account(execution: ExecutionSection) -> Account | None:
    """Return the account a configuration asks for; None where it asks for nothing and a profile brings its own."""
    own = execution.profile is not None and "account" not in execution.model_fields_set
    return None if own else execution.account


def dataset_notes(dataset: DatasetConfig) -> list[str]:
    """Return what a user should know about when a data set's bars and signals are known, as it is declared."""
    return [*_timing_notes(dataset), *zone_notes(dataset)]


def _late_notes(result: BacktestResult, dataset: DatasetConfig) -> list[str]:
    """Return that a symbol was traded after its declared end, where its bars go on and somebody did."""
    settled = result.trades.filter(pl.col("exit_reason") == "delisted")
    ends = None if settled.is_empty() else declared_ends(dataset)
    if ends is None:
        return []
    clock = clock_of(dataset)
    session = clock.sessions_around(settled["entry_timestamp"]).session_at(settled["entry_timestamp"])["session"]
    late = settled.with_columns(session).join(ends, on="symbol").filter(pl.col("session") > pl.col("date"))
    return [
        f"{symbol} has bars after its declared end on {day}: what was bought there was settled at {price:g} on the "
        "same day; correct the end, or leave the later bars out"
        for symbol, day, price in late.select("symbol", "date", "price").unique(maintain_order=True).rows()
    ]


def _timing_notes(dataset: DatasetConfig) -> list[str]:
    """Return what a user should know about when this data set's signals can be traded on."""
    early = [
        name
        for source in dataset.signals
        if source.available_at in ("market_open", "next_day")
        for name in source.names
    ]
    if not early or dataset.frequency != "1d" or dataset.decide_at == "next_open":
        return []
    return [
        f"{', '.join(early)} are known at an open but decided on at the close: they trade a bar late "
        "(decide_at: next_open decides on them at that open)"
    ]
