"""What all assets share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
from dagster._core.execution.context.invocation import DirectAssetExecutionContext

from dagster_project.io_manager import AssetStore
from ml4t_backtest import __version__
from ml4t_backtest.pipeline.asset_shelf import Value

Events = Iterator[dg.AssetCheckResult | dg.MaterializeResult[Any]]
Store = dg.ResourceParam[AssetStore]
# A run with this tag computes everything anew, whatever is published.
FULL_TAG = "ml4t/full"


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


def unchanged(
    context: dg.AssetExecutionContext, store: AssetStore, assets: Sequence[str], inputs: Mapping[str, str] | None
) -> dict[str, Any] | None:
    """Return what is published where it was made from these very inputs, so that it need not be made; else None."""
    if inputs is None or FULL_TAG in _tags(context):
        return None
    found: dict[str, Value] | None = store.shelf.made_from(assets, context.partition_key, inputs)
    context.log.info(f"{', '.join(assets)} of {context.partition_key}: {'unchanged' if found else 'computed'}")
    return found


def _tags(context: dg.AssetExecutionContext) -> Mapping[str, str]:
    """Return the tags of the run; an asset that is called as a function has none."""
    return {} if isinstance(context, DirectAssetExecutionContext) else context.run.tags


def tag_run(context: dg.AssetExecutionContext, tags: Mapping[str, str]) -> None:
    """Write into a run what it is about, so that it can be found by it."""
    if _tags(context):
        context.instance.add_run_tags(context.run.run_id, {f"ml4t/{name}": value for name, value in tags.items()})
