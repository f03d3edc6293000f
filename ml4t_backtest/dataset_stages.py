"""A data set from its configuration, stage by stage: raw tables, validated tables, prepared data.

In memory each stage is a function of the one before (`raw_tables`, `validated_tables`, `prepare_validated`), so that
each can be kept and looked at. From files to files (`prepared_dataset`) the same is done part by part, for data of any
size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from ml4t_backtest import __version__
from ml4t_backtest.config.dataset_schema import (
    ContextSource,
    DatasetConfig,
    DelistingSource,
    PriceSource,
    SignalSource,
)
from ml4t_backtest.config.loader import config_hash
from ml4t_backtest.core import schemas
from ml4t_backtest.data.all_at_once import require_all
from ml4t_backtest.data.bar_time import BarClock
from ml4t_backtest.data.files.file_places import naming_files
from ml4t_backtest.data.loading import (
    Columns,
    ValueSource,
    load_corporate_actions,
    load_delistings,
    load_prices,
    load_universe,
    load_values,
)
from ml4t_backtest.data.preparation import LoadedTables, Preparation, Recipe, prepare_tables
from ml4t_backtest.data.prepared import (
    Prepared,
    PreparedData,
    PreparedFiles,
    find_prepared,
    open_prepared,
    publish_prepared,
)
from ml4t_backtest.data.provenance import code_hash, source_hash, source_stamps
from ml4t_backtest.data.quality.data_quality import Finding
from ml4t_backtest.data.quality.inspector import Inspector
from ml4t_backtest.data.quality.scan_findings import scan_findings
from ml4t_backtest.data.safe_path import safe_path
from ml4t_backtest.data.scratch import Progress, Workplace
from ml4t_backtest.data.source_rows import LoadedPrices, LoadedRows, read_context, read_prices, read_signals
from ml4t_backtest.data.sources import collect, scan, schema_of
from ml4t_backtest.data.store.object_store import on_this_machine
from ml4t_backtest.data.validation import raise_violations, validate
from ml4t_backtest.data.zones import WrittenZone, refuse_mixed_zones, zones_of
from ml4t_backtest.errors import BacktestError, CorruptDatasetError, DataValidationError, Violation

if TYPE_CHECKING:
    import pandera.polars as pa

RawKind = Literal["prices", "signals", "context", "corporate_actions", "universe"]
RAW_KINDS: tuple[RawKind, ...] = ("prices", "signals", "context", "corporate_actions", "universe")
Tables = Mapping[str, pl.DataFrame]
ValueSection = SignalSource | ContextSource
PREPARED = "prepared"


def prepare_dataset(dataset: DatasetConfig) -> PreparedData:
    """Read, check and join the sources of a data set, and return it in memory.

    Raises:
        DataValidationError: A source or the outcome breaks a rule of its schema.
    """
    with Workplace() as workplace:
        return Preparation(read_dataset(dataset, workplace), recipe_of(dataset), workplace).data()


def prepared_dataset(dataset: DatasetConfig, root: str | Path, *, on_progress: Progress | None = None) -> PreparedFiles:
    """Return a data set as it lies under the output root, prepared anew only where something changed.

    What it is made from decides: its configuration, the bytes of its sources, the code. A data set of any size goes
    through: no more than a part of it is in memory, the rest lies in files under the output root meanwhile.

    Args:
        dataset: The data set.
        root: Output root.
        on_progress: Called with rows done and rows to do.

    Raises:
        DataValidationError: A source or the outcome breaks a rule of its schema; nothing is published.
        CorruptDatasetError: A source cannot be read, or changed while it was read.
    """
    outputs, stamps, inputs = _outputs(dataset, root), _stamps(dataset), dataset_inputs(dataset)
    found = None if inputs is None else find_prepared(*outputs, inputs)
    if found is not None:
        return found
    # Where what a killed run left behind is swept.
    with Workplace(on_this_machine(outputs[0]), on_progress=on_progress) as workplace:
        tables = read_dataset(dataset, workplace)
        if stamps != _stamps(dataset):
            raise CorruptDatasetError(f"a source of data set {dataset.name!r} changed while it was read: start again")
        unapplied = tables.corporate_actions if dataset.adjustment == "none" else None
        inspector = Inspector.at_level("standard", dataset.calendar, corporate_actions=unapplied)
        made = Preparation(tables, recipe_of(dataset), workplace, inspector=inspector)
        # The bytes of a remote source are not at hand: there its rows decide.
        made_from = inputs or {**_made_by(dataset), **tables.hashes()}
        facts = {"adjustment": dataset.adjustment, "calendar": dataset.calendar}
        # Twenty years of a few daily bars would be hundreds of files with hardly a row.
        by_month = made.height > workplace.rows_at_once
        publish_prepared(made, *outputs, inputs=made_from, facts=facts, by_month=by_month)
    return open_prepared(*outputs)


@contextmanager
def dataset_at_hand(
    dataset: DatasetConfig, root: str | Path | None = None, *, on_progress: Progress | None = None
) -> Iterator[Prepared]:
    """Give a data set as it lies under an output root, or else prepared for this once; nothing is written there.

    A data set of one part is prepared in memory, a larger one in a temporary folder.

    Args:
        dataset: The data set.
        root: Output root; None where there is none.
        on_progress: Called with rows done and rows to do.

    Raises:
        DataValidationError: A source or the outcome breaks a rule of its schema.
    """
    inputs = None if root is None else dataset_inputs(dataset)
    found = None if root is None or inputs is None else find_prepared(*_outputs(dataset, root), inputs)
    if found is not None:
        yield found
        return
    with Workplace(on_progress=on_progress) as workplace, TemporaryDirectory() as folder:
        made = Preparation(read_dataset(dataset, workplace), recipe_of(dataset), workplace)
        if made.height <= workplace.rows_at_once:
            yield made.data()
        else:
            outputs = _outputs(dataset, folder)
            publish_prepared(made, *outputs, inputs=_made_by(dataset))
            yield open_prepared(*outputs)


def zone_notes(dataset: DatasetConfig) -> list[str]:
    """Return that times of the price bars carry no zone and were read as UTC, where that is so.

    Nobody may have meant it: bars of New York are a day late then, or outside of their sessions.
    """
    path = dataset.resolve(dataset.prices.path)
    if dataset.timezone != "UTC" or dataset.bar_label == "session" or "://" in path:
        return []
    with suppress(BacktestError):
        schema = schema_of(scan(path, columns=_columns(dataset.prices.columns), dataset="prices"), file=path)
        if schema.get("timestamp") in (pl.Datetime("ms"), pl.Datetime("us"), pl.Datetime("ns")):
            return [
                "times of the prices carry no zone and were read as UTC: if they are those of a place, say so "
                "(timezone: America/New_York)"
            ]
    return []


def dataset_inputs(dataset: DatasetConfig) -> dict[str, str] | None:
    """Return the hashes of what a data set is prepared from; None where a source is remote.

    Raises:
        DataValidationError: A source does not exist.
    """
    hashes = {name: source_hash(path, name) for name, path in all_source_paths(dataset).items()}
    at_hand = {name: known for name, known in hashes.items() if known is not None}
    return {**_made_by(dataset), **at_hand} if len(at_hand) == len(hashes) else None


@naming_files
def read_dataset(dataset: DatasetConfig, workplace: Workplace) -> LoadedTables:
    """Read and check the sources of a data set, part by part.

    Raises:
        DataValidationError: A source breaks a rule of its schema; what is wrong with all sources is said at once.
    """
    clock, source, found = clock_of(dataset), dataset.prices, list[Violation]()
    with _collecting(found):
        _refuse_mixed_zones(dataset, ("signals", "context"))
    with _collecting(found):
        file, columns = dataset.resolve(source.path), _columns(source.columns)
        prices = read_prices(file, clock, workplace, columns=columns, indicators=source.indicators, form=source.form)
    signals, context = [], []
    for spec in _specs(dataset, "signals"):
        with _collecting(found):
            signals.append((spec, read_signals(spec, clock, workplace)))
    for spec in _specs(dataset, "context"):
        with _collecting(found):
            context.append((spec, read_context(spec, clock)))
    with _collecting(found):
        actions = _read_actions(dataset)
    with _collecting(found):
        universe = _read_universe(dataset)
    raise_violations(found)
    return LoadedTables(prices, signals, context, actions, universe, all_source_paths(dataset), _scan_findings(dataset))


def source_paths(dataset: DatasetConfig, kind: RawKind) -> dict[str, str]:
    """Return where the sources of a kind lie, by the names that their tables have."""
    return {name: path for name, path in all_source_paths(dataset).items() if name.startswith(kind)}


def raw_tables(dataset: DatasetConfig, kind: RawKind) -> dict[str, pl.DataFrame]:
    """Return the source's rows in the source's order under this package's column names.

    Args:
        dataset: The data set.
        kind: Which of its sources.

    Returns:
        Table name -> rows. Signals and context have one table per source (`signals_0`, ...); a data set without any
        has none.
    """
    _refuse_mixed_zones(dataset, (kind,))
    if kind == "prices":
        wanted = [*schemas.BAR_COLUMNS, *dataset.prices.indicators]
        return {kind: _read(dataset, dataset.prices.path, dataset.prices.columns, wanted, kind)}
    if kind in ("corporate_actions", "universe"):
        source = dataset.universe if kind == "universe" else dataset.corporate_actions
        if source is None:
            return {}
        return {kind: _read(dataset, source.path, source.columns, list(_schema_of(kind).columns), kind)}
    return {
        f"{kind}_{number}": _read(dataset, source.path, source.columns, _value_columns(source), kind, _known_at(source))
        for number, source in enumerate(_sources(dataset, kind))
    }


@naming_files
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
        form = dataset.prices.form
        prices = load_prices(raw["prices"], clock, indicators=dataset.prices.indicators, file=file, form=form)
        validate(prices, schemas.prices_schema(allow_nonpositive=form.allow_nonpositive), file=file)
        return {kind: prices}
    if kind == "corporate_actions":
        source = dataset.corporate_actions
        actions = load_corporate_actions(raw.get(kind))
        file_of_actions = None if source is None else dataset.resolve(source.path)
        validate(actions, schemas.corporate_actions_schema(), file=file_of_actions, allow_empty=True)
        return {kind: actions}
    if kind == "universe":
        return _validated_universe(dataset, raw)
    return {
        f"{kind}_{number}": _validated_values(dataset, kind, source, raw[f"{kind}_{number}"])
        for number, source in enumerate(_sources(dataset, kind))
    }


def prepare_validated(dataset: DatasetConfig, validated: Mapping[RawKind, Tables]) -> PreparedData:
    """Join validated tables into one prepared data set, in memory."""
    prices = validated["prices"]
    signals = _loaded(dataset, "signals", validated["signals"])
    tables = LoadedTables(
        LoadedPrices.of(prices["prices"]),
        [(spec, LoadedRows.of(rows)) for spec, rows in signals],
        _loaded(dataset, "context", validated["context"]),
        validated["corporate_actions"]["corporate_actions"],
        validated["universe"]["universe"] if dataset.universe else None,
        all_source_paths(dataset),
        _scan_findings(dataset),
    )
    return prepare_tables(tables, recipe_of(dataset))


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
    return BarClock(
        dataset.calendar,
        dataset.timezone,
        dataset.bar_label,
        dataset.frequency,
        dataset.decide_at,
        dataset.enforce_sessions,
    )


def recipe_of(dataset: DatasetConfig) -> Recipe:
    """Return what is derived from the bars of a data set."""
    return Recipe(
        clock_of(dataset),
        dataset.prices.indicators,
        dataset.indicator_requests,
        dataset.adjustment,
        dataset.prices.allow_nonpositive_prices,
    )


def all_source_paths(dataset: DatasetConfig) -> dict[str, str]:
    """Return where the sources of a data set lie, by the names that their tables have."""
    named = {"prices": dataset.prices.path}
    for kind in ("signals", "context"):
        sources = _sources(dataset, kind)
        named |= {f"{kind}_{number}": source.path for number, source in enumerate(sources)}
    others = {"corporate_actions": dataset.corporate_actions, "universe": dataset.universe}
    named |= {name: source.path for name, source in others.items() if source is not None}
    return {name: dataset.resolve(path) for name, path in named.items()}


def _sources(dataset: DatasetConfig, kind: RawKind) -> Sequence[ValueSection]:
    signals: Sequence[ValueSection] = dataset.signals
    return signals if kind == "signals" else dataset.context


def _value_columns(source: ValueSection) -> list[str]:
    keys = ["timestamp", "symbol"] if isinstance(source, SignalSource) else ["timestamp"]
    return [*keys, *source.names]


def _known_at(source: ValueSection) -> list[str]:
    """Return the column that says when a row became known, where no rule does; whether it is there is asked later."""
    return ["available_at"] if source.available_at is None else []


def _read(
    dataset: DatasetConfig,
    path: str,
    columns: Mapping[Any, str],
    wanted: list[str],
    kind: str,
    optional: Sequence[str] = (),
) -> pl.DataFrame:
    file = dataset.resolve(path)
    lazy = scan(file, columns=columns, dataset=kind)
    require_all(lazy, wanted, _schema_of(kind), file=file)
    found = schema_of(lazy, file=file).names() if optional else []
    return collect(lazy.select(*wanted, *(name for name in optional if name in found)), file=file)


def _schema_of(kind: str) -> pa.DataFrameSchema:
    """Return the schema of a source's loaded rows, without its value columns."""
    valued = {"signals": schemas.signals_schema, "context": schemas.context_schema}
    plain = {
        "prices": schemas.prices_schema,
        "corporate_actions": schemas.corporate_actions_schema,
        "universe": schemas.universe_schema,
    }
    return valued[kind](()) if kind in valued else plain[kind]()


def _refuse_mixed_zones(dataset: DatasetConfig, kinds: Sequence[RawKind]) -> None:
    refuse_mixed_zones(_zones(dataset, kinds), declared="timezone" in dataset.model_fields_set)


def _zones(dataset: DatasetConfig, kinds: Sequence[RawKind]) -> Iterator[WrittenZone]:
    """Yield the zones that the prices and the sources of some kinds are written in."""
    prices, by_day = dataset.prices, dataset.bar_label == "session"
    yield from zones_of(dataset.resolve(prices.path), _columns(prices.columns), "prices", by_day=by_day)
    for kind in kinds:
        for source in _sources(dataset, kind) if kind in ("signals", "context") else ():
            columns = _columns(getattr(source, "columns", {}))
            yield from zones_of(dataset.resolve(source.path), columns, kind, by_day=source.frequency == "1d")


def _validated_universe(dataset: DatasetConfig, raw: Tables) -> dict[str, pl.DataFrame]:
    if dataset.universe is None:
        return {}
    universe = load_universe(raw["universe"])
    validate(universe, schemas.universe_schema(), file=dataset.resolve(dataset.universe.path))
    return {"universe": universe}


def _validated_values(dataset: DatasetConfig, kind: RawKind, source: ValueSection, raw: pl.DataFrame) -> pl.DataFrame:
    file, by_symbol = dataset.resolve(source.path), kind == "signals"
    spec = _spec(source, raw)
    rows = load_values(spec, clock_of(dataset), by_symbol=by_symbol, file=file)
    validate(rows, spec.schema(by_symbol=by_symbol), file=file, allow_empty=spec.allow_empty)
    return rows


def _loaded(dataset: DatasetConfig, kind: RawKind, tables: Tables) -> list[tuple[ValueSource, pl.DataFrame]]:
    named = ((source, tables[f"{kind}_{number}"]) for number, source in enumerate(_sources(dataset, kind)))
    return [(_spec(source, rows), rows) for source, rows in named]


def _specs(dataset: DatasetConfig, kind: RawKind) -> list[ValueSource]:
    """Return the sources of signals or of context where they lie."""
    return [_spec(source, dataset.resolve(source.path), _columns(source.columns)) for source in _sources(dataset, kind)]


def _spec(source: ValueSection, rows: pl.DataFrame | str, columns: Columns | None = None) -> ValueSource:
    return ValueSource(
        rows,
        source.names,
        columns or {},
        available_at=source.available_at,
        latency=source.latency,
        max_age=source.max_age,
        frequency=source.frequency,
        ranges=source.ranges,
        allow_empty=source.allow_empty,
    )


def _columns(columns: Mapping[Any, str]) -> dict[str, str]:
    return {str(ours): theirs for ours, theirs in columns.items()}


def _read_actions(dataset: DatasetConfig) -> pl.DataFrame:
    source = dataset.corporate_actions
    if source is None:
        return load_corporate_actions(None)
    file = dataset.resolve(source.path)
    actions = load_corporate_actions(file, columns=_columns(source.columns))
    validate(actions, schemas.corporate_actions_schema(), file=file, allow_empty=True)
    return actions


def _read_universe(dataset: DatasetConfig) -> pl.DataFrame | None:
    source = dataset.universe
    if source is None:
        return None
    file = dataset.resolve(source.path)
    universe = load_universe(file, columns=_columns(source.columns))
    validate(universe, schemas.universe_schema(), file=file)
    return universe


@contextmanager
def _collecting(found: list[Violation]) -> Iterator[None]:
    """Go on after a source is refused, so that everything that is wrong is said at once."""
    try:
        yield
    except DataValidationError as error:
        found += error.violations


def _scan_findings(dataset: DatasetConfig) -> list[Finding]:
    """Return what the files and the types of a data set's sources show."""
    sources: list[tuple[RawKind, PriceSource | ValueSection]] = [("prices", dataset.prices)]
    sources += [(kind, source) for kind in ("signals", "context") for source in _sources(dataset, kind)]
    return [
        finding
        for kind, source in sources
        for finding in scan_findings(dataset.resolve(source.path), _columns(source.columns), kind)
    ]


def _stamps(dataset: DatasetConfig) -> dict[str, object]:
    return {name: source_stamps(path) for name, path in all_source_paths(dataset).items()}


def _made_by(dataset: DatasetConfig) -> dict[str, str]:
    return {"dataset": config_hash(dataset), "ml4t_backtest": __version__, "code": code_hash()}


def _outputs(dataset: DatasetConfig, root: str | Path) -> tuple[Path, Path]:
    """Return the folders of a data set's bars and of its context."""
    home = safe_path(Path(root) / PREPARED, dataset.name)
    return home / "asset_data", home / "context_data"
