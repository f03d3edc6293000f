"""What the assets need from outside: where to write."""

from __future__ import annotations

import os
from pathlib import Path

from dagster_project.io_manager import AssetStore
from ml4t_backtest.data.store.object_store import absolute
from ml4t_backtest.pipeline.asset_shelf import AssetShelf
from ml4t_backtest.pipeline.serving import ROOT_VARIABLE
from ml4t_backtest.runner import OUTPUT_ROOT


def output_root() -> Path:
    """Return `$ML4T_OUTPUT_ROOT`, or `.runs` in the working folder, as an absolute path; an address as it is."""
    return absolute(os.environ.get(ROOT_VARIABLE) or OUTPUT_ROOT)


def shelf() -> AssetShelf:
    """Return where the assets are, for those who ask outside of a run."""
    return AssetShelf(output_root())


def resources(root: Path) -> dict[str, AssetStore]:
    """Return the resources of the graph for an output root; both are the same store."""
    store = AssetStore(root=str(absolute(root)))
    return {"io_manager": store, "store": store}
