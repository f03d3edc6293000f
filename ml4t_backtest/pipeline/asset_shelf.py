"""Assets on disk: the versioned folders of `data.store.storage`, Parquet and text, never a pickle.

ROOT/assets/ASSET/PARTITION/versions/<content hash>/TABLE.parquet, manifest.json
ROOT/assets/ASSET/PARTITION/CURRENT
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ml4t_backtest.data.content_hash import joint_hash
from ml4t_backtest.data.store.manifest import TABLE_HASHES
from ml4t_backtest.data.store.storage import (
    Manifest,
    checked_file,
    current_version,
    is_published,
    publish,
    published_as,
    read_manifest,
    read_table,
    safe_path,
)
from ml4t_backtest.errors import CorruptDatasetError

ASSETS = "assets"
KIND = "asset"


@dataclass(frozen=True)
class Document:
    """A page of text: a report."""

    file: str
    text: str


Tables = Mapping[str, pl.DataFrame]
Value = pl.DataFrame | Tables | Document


@dataclass(frozen=True)
class AssetShelf:
    """Publishes assets and reads them back, every file checked against its manifest.

    A frame is one table of the asset's name, a mapping has several, a `Document` is a file.

    Attributes:
        root: Output root, a folder or an address.
    """

    root: Path

    def put(self, asset: str, partition: str | None, value: Value, inputs: Mapping[str, str]) -> str:
        """Publish a value as the new version of an asset and return where it lies: a document's file, or the folder.

        Args:
            asset: Name.
            partition: Key; None for an asset without partitions.
            value: Table, tables or page.
            inputs: Name -> content hash of what it was made from.

        Raises:
            UnsafePathError: A name is no safe path; nothing is written.
            BacktestError: The disk is full or read-only; the version published before is still current.
        """
        tables = value if isinstance(value, Mapping) else {asset: value} if isinstance(value, pl.DataFrame) else {}
        files = {value.file: value.text.encode()} if isinstance(value, Document) else {}
        name = self._name(asset, partition)
        publish(self._assets, name, tables, kind=KIND, inputs=inputs, attachments=files)
        version = current_version(self._assets, name)
        return published_as(version / value.file if isinstance(value, Document) else version)

    def holds(self, asset: str, partition: str | None = None) -> bool:
        """Return whether a version of an asset is published."""
        return is_published(self._assets, self._name(asset, partition))

    def read(self, asset: str, partition: str | None = None) -> Value:
        """Return the current version of an asset.

        Raises:
            CorruptDatasetError: Nothing is published, or a file differs from its manifest.
        """
        return _read(asset, *self._current(asset, partition))

    def frame_before(self, asset: str, partition: str) -> pl.DataFrame | None:
        """Return the table that is published, as long as no other takes its place; None where none is whole."""
        try:
            value = self.read(asset, partition)
        except CorruptDatasetError:
            return None
        return value if isinstance(value, pl.DataFrame) else None

    def read_together(self, assets: Sequence[str], partition: str) -> dict[str, pl.DataFrame]:
        """Return frames that were made from the same inputs, by asset.

        Raises:
            CorruptDatasetError: They were not: a run was interrupted between publishing one and the next.
        """
        current = {asset: self._current(asset, partition) for asset in assets}
        made_from = {asset: manifest.inputs for asset, (_, manifest) in current.items()}
        if any(inputs != made_from[assets[0]] for inputs in made_from.values()):
            raise CorruptDatasetError(
                f"{', '.join(assets)} of {partition!r} were made from different inputs; materialize them again. "
                f"They are: {made_from}"
            )
        return {asset: read_table(version, manifest, asset) for asset, (version, manifest) in current.items()}

    def made_from(self, assets: Sequence[str], partition: str, inputs: Mapping[str, str]) -> dict[str, Value] | None:
        """Return assets as they are published where all were made from these inputs and lie there whole; else None."""
        try:
            current = {asset: self._current(asset, partition) for asset in assets}
            if any(manifest.inputs != dict(inputs) for _, manifest in current.values()):
                return None
            return {asset: _read(asset, *found) for asset, found in current.items()}
        except CorruptDatasetError:
            return None

    def inputs_of(self, asset: str, partition: str | None = None) -> dict[str, str]:
        """Return what the current version of an asset was made from; nothing where there is none."""
        try:
            return self._current(asset, partition)[1].inputs
        except CorruptDatasetError:
            return {}

    def joint_hash(self, assets: Sequence[str], partition: str) -> str:
        """Return the content hash of several tables together, as their manifests tell it.

        Raises:
            CorruptDatasetError: One is not published.
        """
        hashes: dict[str, str] = {}
        for asset in assets:
            hashes |= self._current(asset, partition)[1].facts[TABLE_HASHES]
        return joint_hash(hashes)

    def file_of(self, asset: str, partition: str | None = None) -> Path:
        """Return the path of a document."""
        version, manifest = self._current(asset, partition)
        return checked_file(version, manifest, next(iter(manifest.files)))

    @property
    def _assets(self) -> Path:
        return self.root / ASSETS

    def _name(self, asset: str, partition: str | None) -> str:
        parts = [asset] if partition is None else [asset, partition]
        safe_path(self._assets, *parts)
        return "/".join(parts)

    def _current(self, asset: str, partition: str | None) -> tuple[Path, Manifest]:
        version = current_version(self._assets, self._name(asset, partition))
        return version, read_manifest(version)


def _read(asset: str, version: Path, manifest: Manifest) -> Value:
    tables = [file.removesuffix(".parquet") for file in manifest.files if file.endswith(".parquet")]
    if tables == [asset]:
        return read_table(version, manifest, asset)
    if tables:
        return {table: read_table(version, manifest, table) for table in tables}
    file = next(iter(manifest.files))
    return Document(file, checked_file(version, manifest, file).read_text(encoding="utf-8"))
