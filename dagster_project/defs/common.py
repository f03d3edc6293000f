"""What all assets share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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


def asset(group: str, *kinds: str, **arguments: Any) -> Callable[[Callable[..., Events]], dg.AssetsDefinition]:
    """Return the decorator `dagster.asset` with the arguments of a group filled in."""
    decorate: Callable[[Callable[..., Events]], dg.AssetsDefinition] = dg.asset(**about(group, *kinds), **arguments)
    return decorate
