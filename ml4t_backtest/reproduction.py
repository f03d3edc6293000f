"""Past runs: which there are, and whether one comes to the same again, to the bit, from its manifest alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from ml4t_backtest.config.loader import hash_of_content, restore_config
from ml4t_backtest.config.schema import BacktestConfig
from ml4t_backtest.data.content_hash import table_hash
from ml4t_backtest.data.safe_path import safe_path
from ml4t_backtest.data.store.manifest import MANIFEST, TABLE_HASHES, Manifest
from ml4t_backtest.data.store.storage import (
    checked_file,
    current_version,
    names_in,
    read_manifest,
    read_table,
    versions_of,
)
from ml4t_backtest.dataset_stages import dataset_at_hand
from ml4t_backtest.errors import BacktestError, CorruptDatasetError, InputsChangedError
from ml4t_backtest.reporting.parquet import KIND, METRICS
from ml4t_backtest.reporting.prediction_export import prediction_table
from ml4t_backtest.reporting.result import TABLES, BacktestResult
from ml4t_backtest.run_provenance import environment, require_same_inputs
from ml4t_backtest.runner import RUNS, run_inputs, run_prepared

_NEEDED = ("config", "dataset", "folder", "dataset_folder", "sources", "own_code", "packages")


@dataclass(frozen=True)
class PastRun:
    """A run as it was published.

    Attributes:
        name: Of the run.
        version: Folder of the version.
        is_current: Whether the run's name stands for this version.
        written: When it was first published (UTC).
        manifest: What it holds and what it was made from.
        metrics: Its figures.
    """

    name: str
    version: Path
    is_current: bool
    written: datetime
    manifest: Manifest
    metrics: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return everything `ml4t-backtest runs --json` says of it."""
        made_by = self.manifest.provenance
        return {
            "run": self.name,
            "version": self.manifest.content_hash,
            "is_current": self.is_current,
            "written": self.written.isoformat(timespec="seconds"),
            "dataset": made_by.get("dataset", {}).get("name"),
            "code": made_by.get("code"),
            "packages": made_by.get("packages", {}),
            "inputs": self.manifest.inputs,
            "metrics": self.metrics,
            "path": str(self.version.absolute()),
        }


@dataclass(frozen=True)
class Reproduction:
    """What came out when a run was made again.

    Attributes:
        differences: What differs, the first place first; empty where all of it is the same to the bit.
        environment: What the run was made with and what it was made again with, where those differ.
    """

    differences: tuple[str, ...]
    environment: tuple[str, ...]

    @property
    def is_identical(self) -> bool:
        """Whether every table and every figure is the same."""
        return not self.differences


def past_runs(root: str | Path) -> tuple[list[PastRun], list[str]]:
    """Return the runs under an output root, the youngest first, and a line for each folder that is no whole run."""
    home, runs, broken = Path(root) / RUNS, list[PastRun](), list[str]()
    for name in names_in(home):
        try:
            versions = versions_of(home, name)
            current = current_version(home, name) if versions else None
        except (BacktestError, OSError) as error:
            broken.append(f"{name}: {error}")
            continue
        for version in versions:
            try:
                runs.append(_past_run(name, version, current))
            except (BacktestError, OSError, ValueError) as error:
                broken.append(f"{name}: {error}")
    return sorted(runs, key=lambda run: (run.written, run.name), reverse=True), broken


def find_run(run: str, root: str | Path) -> Path:
    """Return the version folder of a run.

    Args:
        run: A name (its current version), `name@version` (the first letters of a version), or a folder.
        root: Output root.

    Raises:
        CorruptDatasetError: There is none, or several versions begin like that.
    """
    name, at, start = run.partition("@")
    if not at and "/" in run:
        folder = Path(run)
        return folder if (folder / MANIFEST).is_file() else current_version(folder.parent, folder.name)
    home = Path(root) / RUNS
    safe_path(home, name)
    if not at:
        return current_version(home, name)
    found = [version for version in versions_of(home, name) if start and version.name.startswith(start)]
    if len(found) != 1:
        raise CorruptDatasetError(
            f"{len(found)} versions of run {name!r} begin with {start[:80]!r}; see the list of runs"
        )
    return found[0]


def reproduce(version: str | Path) -> Reproduction:
    """Prepare the data of a past run from its sources, run it, and compare the outcome bit for bit.

    Everything is taken from the manifest: no configuration file is read, and nothing is written.

    Args:
        version: Folder of a run's version.

    Raises:
        InputsChangedError: A source, the data made from them, or a module of the user's is gone or changed.
        CorruptDatasetError: The manifest is damaged, or is of a run that did not record where it was made.
        BacktestError: As for `run_backtest`.
    """
    manifest, config = read_manifest(version), config_as_it_was(version)
    with dataset_at_hand(config.dataset) as prepared:
        _require_same_data(manifest, run_inputs(config, prepared))
        result = run_prepared(config, prepared)
    return Reproduction(tuple(_differences(Path(version), manifest, result)), tuple(_changes(manifest.provenance)))


def config_as_it_was(version: str | Path) -> BacktestConfig:
    """Return the configuration a run was made with, whose sources and modules are as they were.

    Args:
        version: Folder of the run's version.

    Raises:
        InputsChangedError: A source or a module of the user's is gone or changed.
        CorruptDatasetError: As for `reproduce`.
    """
    manifest = read_manifest(version)
    config = config_of(manifest, Path(version))
    require_same_inputs(manifest.provenance, config)
    return config


def predictions_of(config: BacktestConfig, root: str | Path) -> pl.DataFrame | None:
    """Return what the model of a run said, and what came of it; None for a data set without signals.

    Args:
        config: See `config_as_it_was`.
        root: Output root, whose prepared data is taken where it is there.
    """
    dataset = config.dataset
    if not dataset.signal_names:
        return None
    with dataset_at_hand(dataset, root) as prepared:
        return prediction_table(
            prepared.rows,
            prepared.signals,
            corporate_actions=prepared.corporate_actions,
            adjustment=dataset.adjustment,
            calendar=dataset.calendar,
        )


def config_of(manifest: Manifest, version: Path) -> BacktestConfig:
    """Return the configuration a run was made with; errors as for `reproduce`."""
    made_by = manifest.provenance
    if manifest.kind != KIND or any(key not in made_by for key in _NEEDED):
        raise CorruptDatasetError(f"{version} does not say where and with what it was made; run it again")
    content = {key: made_by[key] for key in ("config", "dataset")}
    if hash_of_content(content) != manifest.inputs.get("config"):
        raise CorruptDatasetError(f"{version / MANIFEST} is damaged: its configuration is not the one its hash is of")
    folders = {key: Path(made_by[key]) for key in ("folder", "dataset_folder")}
    return restore_config(content, name=f"manifest of {version.name[:12]}", **folders)


def _past_run(name: str, version: Path, current: Path | None) -> PastRun:
    manifest = read_manifest(version)
    written = datetime.fromtimestamp((version / MANIFEST).stat().st_mtime, UTC)
    metrics = json.loads(checked_file(version, manifest, METRICS).read_text(encoding="utf-8"))
    return PastRun(name, version, version == current, written, manifest, metrics)


def _require_same_data(manifest: Manifest, found: Mapping[str, str]) -> None:
    """Refuse data that is not what the run saw, where no source told (remote ones, data that came prepared)."""
    if _other_code(manifest.provenance):
        return  # which may prepare otherwise; the tables will tell
    for name, what in (("data", "prepared data"), ("delistings", "declared ends")):
        before, now = manifest.inputs.get(name), found.get(name)
        if before != now:
            raise InputsChangedError(
                f"{what} changed: made from its sources again it has hash {str(now)[:12]}, the run was made from "
                f"{str(before)[:12]}"
            )


def _other_code(made_by: Mapping[str, Any]) -> bool:
    return bool(made_by.get("code") != environment()["code"])


def _changes(made_by: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the run was made with and is made with now, where that differs."""
    before, now = ({**each, **each["packages"]} for each in (made_by, environment()))
    for name in ("ml4t_backtest", "code", "python", "platform", *environment()["packages"]):
        if before.get(name) != now[name]:
            yield f"{name} was {str(before.get(name))[:12]}, is {now[name][:12]}"


def _differences(version: Path, manifest: Manifest, result: BacktestResult) -> Iterator[str]:
    told, tables = manifest.facts[TABLE_HASHES], result.tables()
    for name in TABLES:
        try:
            stored = read_table(version, manifest, name)
        except CorruptDatasetError as error:
            again = "what it should hold was reproduced" if told.get(name) == table_hash(tables[name]) else "not either"
            yield f"{name}: {error}; {again}"
            continue
        if table_hash(stored) != table_hash(tables[name]):
            yield f"{name}: {_first_difference(stored, tables[name])}"
    try:
        stored_figures = json.loads(checked_file(version, manifest, METRICS).read_text(encoding="utf-8"))
    except (CorruptDatasetError, ValueError) as error:
        yield f"metrics: {error}"
        return
    for name, value in result.metrics.items():
        if stored_figures.get(name) != value:
            yield f"metrics: {name} is stored as {stored_figures.get(name)!r}, came out as {value!r}"


def _first_difference(stored: Any, found: Any) -> str:
    """Return where two tables part: columns, types, rows, or the first cell by row."""
    if stored.schema != found.schema:
        return f"the columns differ: {sorted(set(stored.schema.items()) ^ set(found.schema.items()), key=str)}"
    if stored.height != found.height:
        return f"{stored.height} rows are stored, {found.height} came out"
    cells = [
        (int(row), name) for name in stored.columns for row in stored[name].ne_missing(found[name]).arg_true().head(1)
    ]
    if not cells:
        return "the values are equal but not the same bits (the sign of a zero, or of a NaN)"
    row, name = min(cells, key=lambda cell: cell[0])
    return f"row {row}, column {name!r} is stored as {stored[name][row]!r}, came out as {found[name][row]!r}"
