"""Assets on disk: the versioned folders of `ml4t_backtest.data.storage`, Parquet and text, never a pickle.

ROOT/assets/ASSET/PARTITION/versions/<content hash>/TABLE.parquet, manifest.json
ROOT/assets/ASSET/PARTITION/CURRENT
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import polars as pl

from ml4t_backtest.data.storage import (
    Manifest,
    checked_file,
    current_version,
    is_published,
    publish,
    read_manifest,
    read_table,
    safe_path,
)
from ml4t_backtest.errors import CorruptDatasetError

ASSETS = "assets"
KIND = "asset"
INPUTS = "inputs"
EVERY_PARTITION = {"every_partition": True}


@dataclass(frozen=True)
class Document:
    """A page of text: a report."""

    file: str
    text: str


Tables = Mapping[str, pl.DataFrame]
Value = pl.DataFrame | Tables | Document


class AssetStore(dg.ConfigurableIOManager):
    """Publishes what assets return and reads it back, every file checked against its manifest.

    A frame is one table of the asset's name, a mapping has several, a `Document` is a file. The metadata entry `inputs`
    of an output (name -> content hash) goes into the manifest.

    Attributes:
        root: Output root.
    """

    root: str

    def handle_output(self, context: dg.OutputContext, obj: Value) -> None:
        """Publish a value as the new version of its asset and partition."""
        asset = context.asset_key.to_user_string()
        partition = _partition(context)
        tables: Tables = {asset: obj} if isinstance(obj, pl.DataFrame) else obj if isinstance(obj, Mapping) else {}
        files = {obj.file: obj.text.encode()} if isinstance(obj, Document) else {}
        recorded = context.output_metadata.get(INPUTS)
        inputs = dict(recorded.data) if isinstance(recorded, dg.JsonMetadataValue) else {}  # type: ignore[arg-type]
        name = self._name(asset, partition)
        publish(self._assets, name, tables, kind=KIND, inputs=inputs, attachments=files)
        version = current_version(self._assets, name)
        path = version / obj.file if isinstance(obj, Document) else version
        context.add_output_metadata({"path": dg.MetadataValue.path(path.absolute())})

    def load_input(self, context: dg.InputContext) -> Value | dict[str, Value]:
        """Read an asset; a dict by partition key for an input that asks for every partition."""
        asset = context.asset_key.to_user_string()
        if EVERY_PARTITION.items() <= (context.definition_metadata or {}).items():
            keys = [key for key in context.asset_partition_keys if self.holds(asset, key)]
            return {key: self.read(asset, key) for key in keys}
        return self.read(asset, context.asset_partition_key if context.has_asset_partitions else None)

    def holds(self, asset: str, partition: str | None = None) -> bool:
        """Return whether a version of an asset is published."""
        return is_published(self._assets, self._name(asset, partition))

    def read(self, asset: str, partition: str | None = None) -> Value:
        """Return the current version of an asset.

        Raises:
            CorruptDatasetError: Nothing is published, or a file differs from its manifest.
        """
        return self._read(asset, *self._current(asset, partition))

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

    def file_of(self, asset: str, partition: str | None = None) -> Path:
        """Return the path of a document."""
        version, manifest = self._current(asset, partition)
        return checked_file(version, manifest, next(iter(manifest.files)))

    @property
    def _assets(self) -> Path:
        return Path(self.root) / ASSETS

    def _name(self, asset: str, partition: str | None) -> str:
        parts = [asset] if partition is None else [asset, partition]
        safe_path(self._assets, *parts)
        return "/".join(parts)

    def _current(self, asset: str, partition: str | None) -> tuple[Path, Manifest]:
        version = current_version(self._assets, self._name(asset, partition))
        return version, read_manifest(version)

    def _read(self, asset: str, version: Path, manifest: Manifest) -> Value:
        tables = [file.removesuffix(".parquet") for file in manifest.files if file.endswith(".parquet")]
        if tables == [asset]:
            return read_table(version, manifest, asset)
        if tables:
            return {table: read_table(version, manifest, table) for table in tables}
        file = next(iter(manifest.files))
        return Document(file, checked_file(version, manifest, file).read_text(encoding="utf-8"))


def _partition(context: dg.OutputContext) -> str | None:
    """Return the partition of the asset, not of the run: an unpartitioned asset may be part of a partitioned run."""
    if context.has_asset_partitions:
        return context.asset_partition_key
    # An empty key counts as none in Dagster; here it is a name, and refused as one.
    return None if context.asset_spec.partitions_def is None else ""
