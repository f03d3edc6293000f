"""What all assets share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg

from ml4t_backtest import __version__

Events = Iterator[dg.AssetCheckResult | dg.MaterializeResult[Any]]


def about(group: str, *kinds: str) -> dict[str, Any]:
    """Return the arguments of every asset of a group: group, kinds, code version, owner."""
    return {
        "group_name": group,
        "kinds": {*kinds} or {"polars", "parquet"},
        "code_version": __version__,
        "owners": ["team:research"],
    }
