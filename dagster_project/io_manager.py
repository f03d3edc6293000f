"""The IO manager: a thin coat over `ml4t_backtest.pipeline.asset_shelf`."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from dagster_project.contracts import tried_again
from ml4t_backtest.pipeline.asset_shelf import AssetShelf, Value

INPUTS = "inputs"
EVERY_PARTITION = {"every_partition": True}


class AssetStore(dg.ConfigurableIOManager):
    """Publishes what assets return and reads it back.

    The metadata entry `inputs` of an output (name -> content hash) goes into the manifest.

    Attributes:
        root: Output root.
    """

    root: str

    @property
    def shelf(self) -> AssetShelf:
        """The same without Dagster."""
        return AssetShelf(Path(self.root))

    def handle_output(self, context: dg.OutputContext, obj: Value) -> None:
        """Publish a value as the new version of its asset and partition."""
        recorded = context.output_metadata.get(INPUTS)
        inputs = dict(recorded.data) if isinstance(recorded, dg.JsonMetadataValue) else {}  # type: ignore[arg-type]
        with tried_again():
            path = self.shelf.put(context.asset_key.to_user_string(), _partition(context), obj, inputs)
        context.add_output_metadata({"path": dg.MetadataValue.path(path)})

    def load_input(self, context: dg.InputContext) -> Value | dict[str, Value]:
        """Read an asset; a dict by partition key for an input that asks for every partition."""
        asset, shelf = context.asset_key.to_user_string(), self.shelf
        if EVERY_PARTITION.items() <= (context.definition_metadata or {}).items():
            return {key: shelf.read(asset, key) for key in context.asset_partition_keys if shelf.holds(asset, key)}
        return shelf.read(asset, context.asset_partition_key if context.has_asset_partitions else None)


def _partition(context: dg.OutputContext) -> str | None:
    """Return the partition of the asset, not of the run: an unpartitioned asset may be part of a partitioned run."""
    if context.has_asset_partitions:
        return context.asset_partition_key
    # An empty key counts as none in Dagster; here it is a name, and refused as one.
    return None if context.asset_spec.partitions_def is None else ""
