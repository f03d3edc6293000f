"""Prepared data: what it is, and how it lies on disk.

Bars and context have a versioned folder each, with a report of what was checked beside them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from ml4t_backtest.core import schemas
from ml4t_backtest.data.manifest import Manifest
from ml4t_backtest.data.storage import Layout, current_version, publish, read_manifest, read_table
from ml4t_backtest.errors import ConfigError, CorruptDatasetError

KIND = "prepared"
REPORT = "validation.json"
PREPARED_TABLES = ("asset_data", "context_data", "corporate_actions")


@dataclass(frozen=True)
class PreparedData:
    """What a feed delivers, ready to be walked through.

    Attributes:
        asset_data: Bars with signals and indicators, schema `asset_data`, sorted by (timestamp, symbol).
        context_data: One row per slice, schema `context_data`; without context only its time columns.
        corporate_actions: Splits and dividends, schema `corporate_actions`; empty without any.
        signals: Names of the signal columns.
        indicators: Names of the indicator columns, `in_universe` among them where there is a universe.
        context: Names of the context columns.
    """

    asset_data: pl.DataFrame
    context_data: pl.DataFrame
    corporate_actions: pl.DataFrame
    signals: tuple[str, ...] = ()
    indicators: tuple[str, ...] = ()
    context: tuple[str, ...] = ()

    def tables(self) -> dict[str, pl.DataFrame]:
        """Return the frames by name."""
        return {table: getattr(self, table) for table in PREPARED_TABLES}


def publish_prepared(
    prepared: PreparedData,
    asset_output: str | Path,
    context_output: str | Path | None = None,
    *,
    inputs: Mapping[str, str],
    facts: Mapping[str, Any] | None = None,
    compression_level: int = 3,
) -> Manifest:
    """Publish bars with their corporate actions, and context, as one version each.

    Args:
        prepared: What to publish; it is checked already.
        asset_output: Folder of the bars: one file per month, `year=2024/month=01`.
        context_output: Folder of the context; needed where there is any.
        inputs: Content hashes of what the data was made from; both versions carry them, so that a reader can tell
            that they belong together.
        facts: Further small values for the manifest.
        compression_level: Of zstd.

    Returns:
        The manifest of the bars.

    Raises:
        ConfigError: An output is no local folder, or there is none for the context.
    """
    for output in (asset_output, context_output):
        if "://" in str(output):
            raise ConfigError(f"{output} is remote: prepared data is published to a local folder; copy it from there")
    names = {"signals": prepared.signals, "indicators": prepared.indicators, "context": prepared.context}
    shared = {**names, **(facts or {}), "compression_level": compression_level}
    if context_output is not None:
        # First, so that whoever finds the new bars finds their context too.
        tables = {"context_data": prepared.context_data}
        _publish(context_output, tables, inputs, {**shared, "table": "context_data"}, Layout(compression_level))
    elif prepared.context:
        raise ConfigError(f"context_output is needed for the context columns {', '.join(prepared.context)}")
    bars = {"asset_data": prepared.asset_data, "corporate_actions": prepared.corporate_actions}
    layout = Layout(compression_level, by_month=("asset_data",))
    return _publish(asset_output, bars, inputs, {**shared, "table": "asset_data"}, layout)


def read_prepared(asset_output: str | Path, context_output: str | Path | None = None) -> PreparedData:
    """Read what was published last, every file checked against its manifest.

    Raises:
        CorruptDatasetError: Nothing is published there, it is damaged or of another kind, or bars and context were
            not made together.
    """
    version, manifest = _current(asset_output)
    bars, actions = (read_table(version, manifest, table) for table in ("asset_data", "corporate_actions"))
    signals, indicators, context = (tuple(manifest.facts[group]) for group in ("signals", "indicators", "context"))
    if context_output is None and context:
        raise ConfigError(f"{asset_output} was prepared with context ({', '.join(context)}): name its folder too")
    slices = bars.group_by("timestamp", maintain_order=True).agg(pl.col("decision_instant").max())
    if context_output is not None:
        context_version, other = _current(context_output)
        if other.inputs != manifest.inputs:
            raise CorruptDatasetError(
                f"{asset_output} and {context_output} were made from different sources; prepare them again"
            )
        slices = read_table(context_version, other, "context_data")
    return PreparedData(bars, slices, actions, signals, indicators, context)


def describe_table(frame: pl.DataFrame, rules: list[str]) -> dict[str, Any]:
    """Return what a reader wants to know of a checked table: its size, its span, its rules, its nulls."""
    stamps = frame["timestamp"].sort()
    span = {"first": str(stamps[0]), "last": str(stamps[-1])} if frame.height else {}
    symbols = {"symbols": frame["symbol"].n_unique()} if "symbol" in frame.columns else {}
    nulls = {name: frame[name].null_count() for name in frame.columns}
    return {"rows": frame.height, **symbols, **span, "rules_kept_by_every_row": rules, "nulls": nulls}


def _publish(
    folder: str | Path,
    tables: Mapping[str, pl.DataFrame],
    inputs: Mapping[str, str],
    facts: Mapping[str, Any],
    layout: Layout,
) -> Manifest:
    path, main = Path(folder).absolute(), facts["table"]
    names = facts["context"] if main == "context_data" else (facts["signals"], facts["indicators"])
    report = json.dumps({main: describe_table(tables[main], _rules(main, names))}, indent=1)
    attachments = {REPORT: report.encode()}
    return publish(
        path.parent, path.name, tables, kind=KIND, inputs=inputs, facts=facts, attachments=attachments, layout=layout
    )


def _rules(table: str, names: Any) -> list[str]:
    """Return the codes of the rules that were checked."""
    schema = schemas.context_data_schema(names) if table == "context_data" else schemas.asset_data_schema(*names)
    checks = [*(check for column in schema.columns.values() for check in column.checks), *schema.checks]
    return list(dict.fromkeys(["E-KEY-DUP", *(str(check.name) for check in checks)]))


def _current(folder: str | Path) -> tuple[Path, Manifest]:
    path = Path(folder).absolute()
    version = current_version(path.parent, path.name)
    manifest = read_manifest(version)
    if manifest.kind != KIND:
        raise CorruptDatasetError(f"{version} holds a data set of kind {manifest.kind!r}, not a prepared one")
    return version, manifest
