"""From a configuration to a result: the only place that wires data, engine and reports.

Each stage is a function of its inputs, so that a notebook, the command line and the Dagster assets run the same code:
raw tables as the source has them, validated tables on this package's clock, one prepared data set, one run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import polars as pl

from ml4t_backtest import __version__
from ml4t_backtest.config.components import build_components
from ml4t_backtest.config.dataset_schema import ContextSource, DatasetConfig, DelistingSource, SignalSource
from ml4t_backtest.config.loader import config_hash, load_config
from ml4t_backtest.config.schema import BacktestConfig, ExecutionSection
from ml4t_backtest.core import schemas
from ml4t_backtest.data.bar_time import BarClock
from ml4t_backtest.data.loading import (
    ValueSource,
    load_corporate_actions,
    load_delistings,
    load_prices,
    load_universe,
    load_values,
)
from ml4t_backtest.data.polars_feed import PolarsDataFeed
from ml4t_backtest.data.prepared import PreparedData
from ml4t_backtest.data.preparer import LoadedTables, Recipe, prepare_tables
from ml4t_backtest.data.sources import collect, require_columns, scan
from ml4t_backtest.data.storage import content_hash
from ml4t_backtest.data.validation import validate
from ml4t_backtest.engine import BacktestEngine
from ml4t_backtest.errors import ConfigError
from ml4t_backtest.execution.accounts import Account
from ml4t_backtest.reporting.parquet import write_result
from ml4t_backtest.reporting.result import BacktestResult

RawKind = Literal["prices", "signals", "context", "corporate_actions"]
Tables = Mapping[str, pl.DataFrame]
ValueSection = SignalSource | ContextSource
OUTPUT_ROOT = Path(".runs")
RUNS = "runs"


def run_backtest(
    config: str | Path | BacktestConfig, *, on_progress: Callable[[int], None] | None = None
) -> BacktestResult:
    """Prepare the data of a configuration, run its strategy and return the records.

    Args:
        config: Path or name of a configuration, or one that is loaded already.
        on_progress: Called with the number of slices done.

    Raises:
        ConfigError: The configuration is wrong; all mistakes at once.
        DataValidationError: The data is; all violations at once.
        StrategyError: The strategy raised.
    """
    loaded = config if isinstance(config, BacktestConfig) else load_config(config)
    return run_prepared(loaded, prepare_dataset(loaded.dataset), on_progress=on_progress)


def run_prepared(
    config: BacktestConfig, prepared: PreparedData, *, on_progress: Callable[[int], None] | None = None
) -> BacktestResult:
    """Run a configuration's strategy over data that is prepared already."""
    components = build_components(config)
    result = BacktestEngine(
        _feed(config, prepared),
        components.strategy,
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
    ).run()
    notes = [*result.facts["notes"], *_timing_notes(config.dataset)]
    return replace(result, facts={**result.facts, "notes": notes})


def publish_run(
    config: BacktestConfig, result: BacktestResult, inputs: Mapping[str, str], root: str | Path = OUTPUT_ROOT
) -> Path:
    """Write a result with its report under `root` and return the version's folder.

    Args:
        config: What was run.
        result: What came out.
        inputs: Hashes of what it was made from; see `run_inputs`.
        root: Output root.
    """
    report = report_of(config, result, inputs) if config.reporting.report else None
    text = config.model_dump_json(indent=1)
    return write_result(result, Path(root) / RUNS, config.name, inputs=inputs, report=report, config=text)


def report_of(config: BacktestConfig, result: BacktestResult, inputs: Mapping[str, str]) -> str:
    """Return the HTML report of a run."""
    from ml4t_backtest.reporting.tearsheet import render_report

    provenance = {**inputs, "reproduce": f"ml4t-backtest run {config.name}"}
    return render_report(result, title=config.name, benchmark=config.reporting.benchmark, provenance=provenance)


def run_inputs(config: BacktestConfig, prepared: PreparedData) -> dict[str, str]:
    """Return the hashes of everything a run is made from: configuration, prepared data, package version."""
    ends = declared_ends(config.dataset)
    return {
        "config": config_hash(config),
        "data": content_hash(prepared.tables()),
        **({} if ends is None else {"delistings": content_hash({"delistings": ends})}),
        "ml4t_backtest": __version__,
    }


def prepare_dataset(dataset: DatasetConfig) -> PreparedData:
    """Read, check and join the sources of a data set.

    Raises:
        DataValidationError: A source or the outcome breaks a rule of its schema.
    """
    validated = {kind: validated_tables(dataset, kind, raw_tables(dataset, kind)) for kind in RAW_KINDS}
    return prepare_validated(dataset, validated)


RAW_KINDS: tuple[RawKind, ...] = ("prices", "signals", "context", "corporate_actions")


def raw_tables(dataset: DatasetConfig, kind: RawKind) -> dict[str, pl.DataFrame]:
    """Return the source's rows in the source's order under this package's column names.

    Args:
        dataset: The data set.
        kind: Which of its sources.

    Returns:
        Table name -> rows. Signals and context have one table per source (`signals_0`, ...); a data set without any
        has none. Prices come with the universe, where there is one.
    """
    if kind == "prices":
        wanted = [*schemas.BAR_COLUMNS, *dataset.prices.indicators]
        prices = _read(dataset, dataset.prices.path, dataset.prices.columns, wanted, kind)
        return {"prices": prices, **_raw_universe(dataset)}
    if kind == "corporate_actions":
        source = dataset.corporate_actions
        if source is None:
            return {}
        wanted = list(schemas.corporate_actions_schema().columns)
        return {kind: _read(dataset, source.path, source.columns, wanted, kind)}
    return {
        f"{kind}_{number}": _read(dataset, source.path, source.columns, _value_columns(source), kind)
        for number, source in enumerate(_sources(dataset, kind))
    }


def validated_tables(dataset: DatasetConfig, kind: RawKind, raw: Tables) -> dict[str, pl.DataFrame]:
    """Put raw tables on this package's clock and check every row.

    Args:
        dataset: The data set.
        kind: Which of its sources.
        raw: What `raw_tables` returned.

    Returns:
        The tables under the same names; an empty table of the right columns where the data set has no such source.

    Raises:
        DataValidationError: A row breaks a rule; file and physical row are named.
    """
    clock = clock_of(dataset)
    if kind == "prices":
        file = dataset.resolve(dataset.prices.path)
        prices = load_prices(raw["prices"], clock, indicators=dataset.prices.indicators, file=file)
        validate(prices, schemas.prices_schema(), file=file)
        return {"prices": prices, **_validated_universe(dataset, raw)}
    if kind == "corporate_actions":
        source = dataset.corporate_actions
        actions = load_corporate_actions(raw.get(kind))
        file_of_actions = None if source is None else dataset.resolve(source.path)
        validate(actions, schemas.corporate_actions_schema(), file=file_of_actions, allow_empty=True)
        return {kind: actions}
    return {
        f"{kind}_{number}": _validated_values(dataset, kind, source, raw[f"{kind}_{number}"])
        for number, source in enumerate(_sources(dataset, kind))
    }


def prepare_validated(dataset: DatasetConfig, validated: Mapping[RawKind, Tables]) -> PreparedData:
    """Join validated tables into one prepared data set."""
    prices = validated["prices"]
    tables = LoadedTables(
        prices["prices"],
        _loaded(dataset, "signals", validated["signals"]),
        _loaded(dataset, "context", validated["context"]),
        validated["corporate_actions"]["corporate_actions"],
        prices["universe"] if dataset.universe else None,
    )
    recipe = Recipe(clock_of(dataset), dataset.prices.indicators, dataset.indicator_requests, dataset.adjustment)
    return prepare_tables(tables, recipe)


def declared_ends(dataset: DatasetConfig) -> pl.DataFrame | None:
    """Return the declared ends of a data set's symbols, checked; None where it declares none.

    Raises:
        DataValidationError: A row breaks a rule; file and physical row are named.
    """
    declared = dataset.delistings
    if declared is None:
        return None
    schema = schemas.delistings_schema()
    if isinstance(declared, DelistingSource):
        file = dataset.resolve(declared.path)
        ends = load_delistings(file, columns={str(ours): theirs for ours, theirs in declared.columns.items()})
        validate(ends, schema, file=file, allow_empty=True)
        return ends
    rows = [each.model_dump() for each in declared]
    ends = pl.DataFrame(rows, schema=schemas.empty_frame(schema).schema)
    validate(ends, schema, allow_empty=True)
    return ends


def clock_of(dataset: DatasetConfig) -> BarClock:
    """Return how a data set tells time."""
    return BarClock(dataset.calendar, dataset.timezone, dataset.bar_label, dataset.frequency, dataset.decide_at)


def _account(execution: ExecutionSection) -> Account | None:
    """Return the account a configuration asks for; None where it asks for nothing and a profile brings its own."""
    own = execution.profile is not None and "account" not in execution.model_fields_set
    return None if own else execution.account


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


def _feed(config: BacktestConfig, prepared: PreparedData) -> PolarsDataFeed:
    span = config.backtest
    try:
        return PolarsDataFeed(
            prepared.asset_data,
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
            corporate_actions=prepared.corporate_actions,
        )
    except ConfigError as error:
        raise config.error_at("backtest.start", str(error)) from error


def _sources(dataset: DatasetConfig, kind: RawKind) -> Sequence[ValueSection]:
    signals: Sequence[ValueSection] = dataset.signals
    return signals if kind == "signals" else dataset.context


def _value_columns(source: ValueSection) -> list[str]:
    keys = ["timestamp", "symbol"] if isinstance(source, SignalSource) else ["timestamp"]
    return [*keys, *(["available_at"] if source.available_at is None else []), *source.names]


def _read(dataset: DatasetConfig, path: str, columns: Mapping[Any, str], wanted: list[str], kind: str) -> pl.DataFrame:
    file = dataset.resolve(path)
    lazy = scan(file, columns=columns, dataset=kind)
    require_columns(lazy, wanted, dataset=kind, file=file)
    return collect(lazy.select(wanted), file=file)


def _raw_universe(dataset: DatasetConfig) -> dict[str, pl.DataFrame]:
    source = dataset.universe
    if source is None:
        return {}
    wanted = list(schemas.universe_schema().columns)
    return {"universe": _read(dataset, source.path, source.columns, wanted, "universe")}


def _validated_universe(dataset: DatasetConfig, raw: Tables) -> dict[str, pl.DataFrame]:
    if dataset.universe is None:
        return {}
    universe = load_universe(raw["universe"])
    validate(universe, schemas.universe_schema(), file=dataset.resolve(dataset.universe.path))
    return {"universe": universe}


def _validated_values(dataset: DatasetConfig, kind: RawKind, source: ValueSection, raw: pl.DataFrame) -> pl.DataFrame:
    file, by_symbol = dataset.resolve(source.path), kind == "signals"
    rows = load_values(_spec(source, raw), clock_of(dataset), by_symbol=by_symbol, file=file)
    schema = schemas.signals_schema(source.names) if by_symbol else schemas.context_schema(source.names)
    validate(rows, schema, file=file)
    return rows


def _loaded(dataset: DatasetConfig, kind: RawKind, tables: Tables) -> list[tuple[ValueSource, pl.DataFrame]]:
    named = ((source, tables[f"{kind}_{number}"]) for number, source in enumerate(_sources(dataset, kind)))
    return [(_spec(source, rows), rows) for source, rows in named]


def _spec(source: ValueSection, rows: pl.DataFrame) -> ValueSource:
    return ValueSource(
        rows,
        source.names,
        available_at=source.available_at,
        latency=source.latency,
        max_age=source.max_age,
        frequency=source.frequency,
    )
