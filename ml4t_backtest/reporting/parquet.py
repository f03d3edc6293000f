"""Results on disk: one versioned folder of Parquet tables with a manifest, and the way back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml4t_backtest.core.argument_types import checked_arguments
from ml4t_backtest.data.files.parquet_files import reading
from ml4t_backtest.data.store.manifest import MANIFEST
from ml4t_backtest.data.store.storage import Manifest, checked_file, current_version, publish, read_manifest, read_table
from ml4t_backtest.errors import CorruptDatasetError
from ml4t_backtest.reporting.result import RECORDED, BacktestResult

KIND = "result"
METRICS = "metrics.json"
REPORT = "report.html"


def write_result(
    result: BacktestResult,
    root: str | Path,
    name: str,
    *,
    inputs: Mapping[str, str] | None = None,
    report: str | None = None,
    config: str | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Publish a result as the current version of `name` under `root` and return the version's folder.

    Args:
        result: What a run produced.
        root: Output root; created when absent.
        name: Run name; parts may be joined by `/`.
        inputs: Content hashes of what the run was made from.
        report: HTML page stored beside the tables.
        config: Text of the configuration, stored beside the tables.
        provenance: Where and with what it was made, for the manifest; no part of the content hash.
    """
    attachments = {METRICS: _json(result.metrics).encode()}
    if report is not None:
        attachments[REPORT] = report.encode()
    if config is not None:
        attachments["config.json"] = config.encode()
    facts = {"initial_capital": result.initial_capital, "facts": result.facts}
    tables = result.tables()
    publish(root, name, tables, kind=KIND, inputs=inputs, facts=facts, attachments=attachments, provenance=provenance)
    return current_version(root, name)


@checked_arguments
def read_result(path: str | Path) -> BacktestResult:
    """Read a result written by `write_result`.

    Args:
        path: Folder of a run (its current version is read) or of one version.

    Raises:
        CorruptDatasetError: The folder holds no complete result, or a file differs from its manifest.

    >>> from tempfile import TemporaryDirectory
    >>> from ml4t_backtest import run_backtest
    >>> result = run_backtest("simple_ml_strategy")
    >>> with TemporaryDirectory() as folder:
    ...     version = result.write(f"{folder}/my_run")
    ...     read_result(f"{folder}/my_run").differences(result)
    []
    """
    version = resolve_version(path)
    manifest = read_manifest(version)
    if manifest.kind != KIND:
        raise CorruptDatasetError(f"{version} holds a data set of kind {manifest.kind!r}, not a result")
    tables = {table: read_table(version, manifest, table) for table in RECORDED}
    return BacktestResult(**tables, initial_capital=manifest.facts["initial_capital"], facts=manifest.facts["facts"])


def resolve_version(path: str | Path) -> Path:
    """Return the version folder behind a run folder; a version folder is returned as it is."""
    folder = Path(path)
    with reading(folder):
        is_version = (folder / MANIFEST).is_file()
    return folder if is_version else current_version(folder.parent, folder.name)


def report_path(version: str | Path) -> Path | None:
    """Return the HTML report of a version, checked against its manifest; None when none was stored."""
    manifest: Manifest = read_manifest(version)
    return checked_file(version, manifest, REPORT) if REPORT in manifest.files else None


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=1, allow_nan=False)
