"""From files to files, part by part: a data set of any size, prepared anew only where something changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import polars as pl

from ml4t_backtest import __version__
from ml4t_backtest.config.dataset_schema import (
    DatasetConfig,
)
from ml4t_backtest.config.loader import config_hash
from ml4t_backtest.core import schemas
from ml4t_backtest.data.files.file_places import naming_files
from ml4t_backtest.data.loading import (
    load_corporate_actions,
    load_universe,
)
from ml4t_backtest.data.preparation import LoadedTables, Preparation
from ml4t_backtest.data.prepared import (
    Prepared,
    PreparedData,
    PreparedFiles,
    find_prepared,
    open_prepared,
    publish_prepared,
)
from ml4t_backtest.data.provenance import Stamp, code_hash, source_hash, source_stamps
from ml4t_backtest.data.quality.inspector import Inspector
from ml4t_backtest.data.safe_path import safe_path
from ml4t_backtest.data.scratch import Progress, Workplace
from ml4t_backtest.data.source_rows import read_context, read_prices, read_signals
from ml4t_backtest.data.store.object_store import on_this_machine
from ml4t_backtest.data.validation import raise_violations, validate
from ml4t_backtest.dataset_stages.declared import (
    all_source_paths,
    clock_of,
    columns_of,
    findings_of,
    recipe_of,
    refuse_zones_that_differ,
    value_sources,
)
from ml4t_backtest.errors import CorruptDatasetError, DataValidationError, Violation

if TYPE_CHECKING:
    pass

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
    outputs, stamps, inputs = _outputs(dataset, root), stamps_of(dataset), dataset_inputs(dataset)
    found = None if inputs is None else find_prepared(*outputs, inputs)
    if found is not None:
        return found
    # Where what a killed run left behind is swept.
    with Workplace(on_this_machine(outputs[0]), on_progress=on_progress) as workplace:
        tables = read_dataset(dataset, workplace)
        if stamps != stamps_of(dataset):
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


def stamps_of(dataset: DatasetConfig) -> dict[str, list[Stamp]]:
    """Return what changes when a file of the sources does, by the names of the tables.

    Raises:
        DataValidationError: There is no such file.
    """
    return {name: source_stamps(path) for name, path in all_source_paths(dataset).items()}


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
        refuse_zones_that_differ(dataset, ("signals", "context"))
    with _collecting(found):
        file, columns = dataset.resolve(source.path), columns_of(source.columns)
        prices = read_prices(file, clock, workplace, columns=columns, indicators=source.indicators, form=source.form)
    signals, context = [], []
    for spec in value_sources(dataset, "signals"):
        with _collecting(found):
            signals.append((spec, read_signals(spec, clock, workplace)))
    for spec in value_sources(dataset, "context"):
        with _collecting(found):
            context.append((spec, read_context(spec, clock)))
    with _collecting(found):
        actions = _read_actions(dataset)
    with _collecting(found):
        universe = _read_universe(dataset)
    raise_violations(found)
    return LoadedTables(prices, signals, context, actions, universe, all_source_paths(dataset), findings_of(dataset))


def _read_actions(dataset: DatasetConfig) -> pl.DataFrame:
    source = dataset.corporate_actions
    if source is None:
        return load_corporate_actions(None)
    file = dataset.resolve(source.path)
    actions = load_corporate_actions(file, columns=columns_of(source.columns))
    validate(actions, schemas.corporate_actions_schema(), file=file, allow_empty=True)
    return actions


def _read_universe(dataset: DatasetConfig) -> pl.DataFrame | None:
    source = dataset.universe
    if source is None:
        return None
    file = dataset.resolve(source.path)
    universe = load_universe(file, columns=columns_of(source.columns))
    validate(universe, schemas.universe_schema(), file=file)
    return universe


@contextmanager
def _collecting(found: list[Violation]) -> Iterator[None]:
    """Go on after a source is refused, so that everything that is wrong is said at once."""
    try:
        yield
    except DataValidationError as error:
        found += error.violations


def _made_by(dataset: DatasetConfig) -> dict[str, str]:
    return {"dataset": config_hash(dataset), "ml4t_backtest": __version__, "code": code_hash()}


def _outputs(dataset: DatasetConfig, root: str | Path) -> tuple[Path, Path]:
    """Return the folders of a data set's bars and of its context."""
    home = safe_path(Path(root) / PREPARED, dataset.name)
    return home / "asset_data", home / "context_data"
