"""Prepared data: what it is, and how it lies on disk.

Bars and context have a versioned folder each, with a report of what was checked beside them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from ml4t_backtest.core import schemas
from ml4t_backtest.data.checked_bars import merged_slices
from ml4t_backtest.data.content_hash import content_hash, joint_hash, table_hash
from ml4t_backtest.data.files.parquet_files import scan_parquet_files
from ml4t_backtest.data.quality.data_quality import findings_frame
from ml4t_backtest.data.row_index import slices_of
from ml4t_backtest.data.sources import collect
from ml4t_backtest.data.store.manifest import TABLE_HASHES, Manifest
from ml4t_backtest.data.store.object_store import absolute, place_to_write
from ml4t_backtest.data.store.storage import (
    Attachment,
    Layout,
    Staged,
    Table,
    checked_file,
    current_version,
    read_manifest,
    read_table,
    staged,
    table_files,
    versions_of,
)
from ml4t_backtest.data.store.upkeep import mark_used
from ml4t_backtest.data.table_description import TableDescription
from ml4t_backtest.errors import ConfigError, CorruptDatasetError

KIND = "prepared"
REPORT = "validation.json"
PREPARED_TABLES = ("asset_data", "context_data", "corporate_actions", "source_quality")


class Publishable(Protocol):
    """Prepared data that can be published, however much of it is in memory."""

    @property
    def context_data(self) -> pl.DataFrame:
        """One row per slice, schema `context_data`."""

    @property
    def corporate_actions(self) -> pl.DataFrame:
        """Splits and dividends, schema `corporate_actions`."""

    @property
    def data_quality(self) -> pl.DataFrame:
        """What was found that is no error, schema `data_quality`; complete after the last batch."""

    @property
    def source_quality(self) -> pl.DataFrame:
        """The part of it that the bars alone do not show, schema `data_quality`; complete after the last batch."""

    @property
    def signals(self) -> tuple[str, ...]:
        """Names of the signal columns."""

    @property
    def indicators(self) -> tuple[str, ...]:
        """Names of the indicator columns."""

    @property
    def context(self) -> tuple[str, ...]:
        """Names of the context columns."""

    def batches(self) -> Iterator[pl.DataFrame]:
        """Yield the bars, schema `asset_data`, in (timestamp, symbol) order."""


@dataclass(frozen=True)
class PreparedData:
    """What a feed delivers, ready to be walked through, in memory.

    Attributes:
        asset_data: Bars with signals and indicators, schema `asset_data`, sorted by (timestamp, symbol).
        context_data: One row per slice, schema `context_data`; without context only its time columns.
        corporate_actions: Splits and dividends, schema `corporate_actions`; empty without any.
        source_quality: What the sources show beside the bars that is no error, schema `data_quality`.
        signals: Names of the signal columns.
        indicators: Names of the indicator columns, `in_universe` among them where there is a universe.
        context: Names of the context columns.
    """

    asset_data: pl.DataFrame
    context_data: pl.DataFrame
    corporate_actions: pl.DataFrame
    source_quality: pl.DataFrame = field(default_factory=lambda: findings_frame(()))
    signals: tuple[str, ...] = ()
    indicators: tuple[str, ...] = ()
    context: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Return a line: the tables themselves are its attributes."""
        columns = ", ".join((*self.signals, *self.indicators, *self.context)) or "none"
        symbols = self.asset_data["symbol"].n_unique()
        return f"PreparedData({self.asset_data.height} rows, {symbols} symbols, columns: {columns})"

    @property
    def rows(self) -> pl.DataFrame:
        """The bars, as a feed takes them."""
        return self.asset_data

    @property
    def data_quality(self) -> pl.DataFrame:
        """What the sources show: at the bars nobody has looked."""
        return self.source_quality

    @property
    def description(self) -> dict[str, Any]:
        """Rows, symbols and span of the bars, and how many nulls each column has."""
        described = TableDescription()
        described.see(self.asset_data)
        return described.told()

    @cached_property
    def content_hash(self) -> str:
        """Hash of all tables."""
        return content_hash(self.tables())

    def batches(self) -> Iterator[pl.DataFrame]:
        """Yield the bars."""
        yield self.asset_data

    def tables(self) -> dict[str, pl.DataFrame]:
        """Return the frames by name."""
        return {table: getattr(self, table) for table in PREPARED_TABLES}


@dataclass(frozen=True)
class PreparedFiles:
    """What a feed delivers, as it was published: every file checked, and read when somebody asks.

    Attributes:
        version: Folder of the bars' version.
        manifest: Its manifest.
        context_data: One row per slice, schema `context_data`.
        corporate_actions: Splits and dividends, schema `corporate_actions`.
        source_quality: What the sources show beside the bars that is no error, schema `data_quality`.
    """

    version: Path
    manifest: Manifest
    context_data: pl.DataFrame
    corporate_actions: pl.DataFrame
    source_quality: pl.DataFrame
    _context_hash: str

    @property
    def signals(self) -> tuple[str, ...]:
        """Names of the signal columns."""
        return tuple(self.manifest.facts["signals"])

    @property
    def indicators(self) -> tuple[str, ...]:
        """Names of the indicator columns."""
        return tuple(self.manifest.facts["indicators"])

    @property
    def context(self) -> tuple[str, ...]:
        """Names of the context columns."""
        return tuple(self.manifest.facts["context"])

    @cached_property
    def rows(self) -> pl.LazyFrame:
        """The bars as they lie, as a feed takes them."""
        files = [checked_file(self.version, self.manifest, file) for file in table_files(self.manifest, "asset_data")]
        return scan_parquet_files(files, "asset_data")

    @cached_property
    def asset_data(self) -> pl.DataFrame:
        """The bars, all of them in memory."""
        return read_table(self.version, self.manifest, "asset_data")

    @cached_property
    def report(self) -> dict[str, Any]:
        """What was checked: rows, symbols, span, rules, nulls; and what was found that is no error."""
        found: dict[str, Any] = json.loads(checked_file(self.version, self.manifest, REPORT).read_text("utf-8"))
        return found

    @property
    def description(self) -> dict[str, Any]:
        """Rows, symbols and span of the bars, the rules they keep, and how many nulls each column has."""
        return dict(self.report["asset_data"])

    @property
    def data_quality(self) -> pl.DataFrame:
        """What was found in the data that is no error, as a table of schema `data_quality`."""
        schema = schemas.empty_frame(schemas.data_quality_schema()).schema
        moments = [pl.col(name).str.to_datetime(time_zone="UTC", time_unit="us") for name in ("first", "last")]
        texts = {**schema, "first": pl.String(), "last": pl.String(), "severity": pl.String()}
        found = pl.DataFrame(self.report["data_quality"], schema=texts)
        return found.with_columns(*moments).cast(schema)

    @property
    def content_hash(self) -> str:
        """Hash of all tables, the same as that of `PreparedData`."""
        return joint_hash({**self.manifest.facts[TABLE_HASHES], "context_data": self._context_hash})

    def data(self) -> PreparedData:
        """Return all of it in memory."""
        return PreparedData(
            self.asset_data,
            self.context_data,
            self.corporate_actions,
            self.source_quality,
            self.signals,
            self.indicators,
            self.context,
        )

    def tables(self) -> dict[str, pl.DataFrame]:
        """Return the frames by name, in memory."""
        return self.data().tables()


Prepared = PreparedData | PreparedFiles


def publish_prepared(
    prepared: Publishable,
    asset_output: str | Path,
    context_output: str | Path | None = None,
    *,
    inputs: Mapping[str, str],
    facts: Mapping[str, Any] | None = None,
    compression_level: int = 3,
    by_month: bool = True,
) -> Manifest:
    """Publish bars with their corporate actions, and context, as one version each.

    Args:
        prepared: What to publish; it is checked already, or checks itself while it is written.
        asset_output: Folder of the bars: files by month, `year=2024/month=01`.
        context_output: Folder of the context; needed where there is any.
        inputs: Content hashes of what the data was made from; both versions carry them, so that a reader can tell
            that they belong together.
        facts: Further small values for the manifest.
        compression_level: Of zstd.
        by_month: Whether bars lie by month; else in one file, and they must be one batch.

    Returns:
        The manifest of the bars.

    Raises:
        ConfigError: An output is no local folder, or there is none for the context.
        DataValidationError: The data breaks a rule; nothing is published.
    """
    for output in (asset_output, context_output):
        if "://" in str(output):
            raise ConfigError(f"{output} is remote: prepared data is published to a local folder; copy it from there")
    if context_output is None and prepared.context:
        raise ConfigError(f"context_output is needed for the context columns {', '.join(prepared.context)}")
    names = {"signals": prepared.signals, "indicators": prepared.indicators, "context": prepared.context}
    shared = {**names, **(facts or {}), "compression_level": compression_level}
    described, layout = TableDescription(), Layout(compression_level, ("asset_data",) if by_month else ())
    with _staged(
        asset_output,
        {
            "asset_data": described.watch(prepared.batches()),
            "corporate_actions": prepared.corporate_actions,
            "source_quality": lambda: prepared.source_quality,
        },
        lambda: {"asset_data": described.told(_rules("asset_data", prepared)), "data_quality": _told(prepared)},
        inputs,
        {**shared, "table": "asset_data"},
        layout,
    ) as bars:
        if context_output is not None:
            # First, so that whoever finds the new bars finds their context too.
            _publish_context(prepared, context_output, inputs, shared, Layout(compression_level))
        return bars.make_current()


def open_prepared(asset_output: str | Path, context_output: str | Path | None = None) -> PreparedFiles:
    """Open what was published last.

    Raises:
        CorruptDatasetError: Nothing is published there, it is damaged or of another kind, or bars and context were
            not made together.
    """
    version, manifest = _current(asset_output)
    if context_output is None and manifest.facts["context"]:
        names = ", ".join(manifest.facts["context"])
        raise ConfigError(f"{asset_output} was prepared with context ({names}): name its folder too")
    if context_output is None:
        slices = _slices(version, manifest)
        actions, quality = (read_table(version, manifest, table) for table in ("corporate_actions", "source_quality"))
        return PreparedFiles(version, manifest, slices, actions, quality, table_hash(slices))
    context_version, other = _current(context_output)
    if other.inputs != manifest.inputs:
        raise CorruptDatasetError(
            f"{asset_output} and {context_output} were made from different sources; prepare them again"
        )
    return _opened(version, manifest, context_version, other)


def find_prepared(
    asset_output: str | Path, context_output: str | Path, inputs: Mapping[str, str]
) -> PreparedFiles | None:
    """Return the version that was made from these inputs, current or not, where it lies whole; else None."""
    bars, context = (_made_from(output, inputs) for output in (asset_output, context_output))
    if bars is None or context is None:
        return None
    # One that is taken away meanwhile is as good as none.
    with suppress(CorruptDatasetError, FileNotFoundError):
        found = _opened(*bars, *context)
        if found.rows is not None and found.report:
            # Whoever tidies up sees that they are still in use.
            for version, _ in (bars, context):
                mark_used(version)
            return found
    return None


def read_prepared(asset_output: str | Path, context_output: str | Path | None = None) -> PreparedData:
    """Read what was published last into memory; errors as for `open_prepared`."""
    return open_prepared(asset_output, context_output).data()


def _publish_context(
    prepared: Publishable, output: str | Path, inputs: Mapping[str, str], facts: Mapping[str, Any], layout: Layout
) -> None:
    table, described = prepared.context_data, TableDescription()
    described.see(table)
    told = {"context_data": described.told(_rules("context_data", prepared))}
    tables = {"context_data": table}
    with _staged(output, tables, lambda: told, inputs, {**facts, "table": "context_data"}, layout) as version:
        version.make_current()


def _staged(
    folder: str | Path,
    tables: Mapping[str, Table],
    report: Callable[[], dict[str, Any]],
    inputs: Mapping[str, str],
    facts: Mapping[str, Any],
    layout: Layout,
) -> AbstractContextManager[Staged]:
    path = place_to_write(folder)
    attachments: dict[str, Attachment] = {REPORT: lambda: json.dumps(report(), indent=1).encode()}
    return staged(
        path.parent, path.name, tables, kind=KIND, inputs=inputs, facts=facts, attachments=attachments, layout=layout
    )


def _told(prepared: Publishable) -> list[dict[str, Any]]:
    """Return what was found in the data as JSON has it."""
    moments = pl.col("first", "last").dt.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00")
    return prepared.data_quality.with_columns(moments, pl.col("severity").cast(pl.String)).to_dicts()


def _rules(table: str, prepared: Publishable) -> list[str]:
    """Return the codes of the rules that were checked."""
    bars = schemas.asset_data_schema(prepared.signals, prepared.indicators)
    schema = schemas.context_data_schema(prepared.context) if table == "context_data" else bars
    checks = [*(check for column in schema.columns.values() for check in column.checks), *schema.checks]
    return list(dict.fromkeys(["E-KEY-DUP", *(str(check.name) for check in checks)]))


def _slices(version: Path, manifest: Manifest) -> pl.DataFrame:
    """Return the time columns of the slices of some bars, which are read file by file."""
    parts: list[pl.DataFrame] = []
    for file in table_files(manifest, "asset_data"):
        rows = pl.scan_parquet(checked_file(version, manifest, file), glob=False, hive_partitioning=False)
        parts.append(slices_of(collect(rows.select("timestamp", "decision_instant"))))
    return merged_slices(parts).drop("rows")


def _opened(version: Path, manifest: Manifest, context_version: Path, context: Manifest) -> PreparedFiles:
    return PreparedFiles(
        version,
        manifest,
        read_table(context_version, context, "context_data"),
        read_table(version, manifest, "corporate_actions"),
        read_table(version, manifest, "source_quality"),
        str(context.facts[TABLE_HASHES]["context_data"]),
    )


def _made_from(folder: str | Path, inputs: Mapping[str, str]) -> tuple[Path, Manifest] | None:
    path = absolute(folder)
    for version in versions_of(path.parent, path.name):
        with suppress(CorruptDatasetError):
            manifest = read_manifest(version)
            if manifest.kind == KIND and manifest.inputs == inputs:
                return version, manifest
    return None


def _current(folder: str | Path) -> tuple[Path, Manifest]:
    path = absolute(folder)
    version = current_version(path.parent, path.name)
    manifest = read_manifest(version)
    if manifest.kind != KIND:
        raise CorruptDatasetError(f"{version} holds a data set of kind {manifest.kind!r}, not a prepared one")
    return version, manifest
