"""What is to be done because files changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ml4t_backtest.config.folders import config_names, dataset_names, sweep_names
from ml4t_backtest.errors import BacktestError
from ml4t_backtest.pipeline.asset_shelf import AssetShelf
from ml4t_backtest.pipeline.fingerprints import Seen, config_changes, dataset_changes
from ml4t_backtest.pipeline.partition_names import config_of, dataset_key
from ml4t_backtest.pipeline.published_run import is_current


@dataclass(frozen=True)
class Work:
    """What is due.

    Attributes:
        datasets: To be prepared; the configurations on them come after.
        configs: To be run on what is prepared.
        seen: What every file says now, to be given back the next time.
    """

    datasets: list[str]
    configs: list[str]
    seen: dict[str, Seen]


def came_or_went(configs: Sequence[str], datasets: Sequence[str], sweeps: Sequence[str]) -> list[str]:
    """Return the names of files that came since these names were read, or went, sorted.

    A data set that has no file of its own is part of a backtest's: it cannot have gone.
    """
    named = {*config_names()} ^ {*configs}
    named |= {*dataset_names()} - {*datasets}
    named |= {*sweep_names()} ^ {*sweeps}
    return sorted(named)


def changed_work(shelf: AssetShelf, configs: Sequence[str], seen: Mapping[str, Seen]) -> Work:
    """Return what is due since somebody looked last.

    Args:
        shelf: Where assets are published.
        configs: Names of configurations.
        seen: What was seen then; nothing the first time.
    """
    told = config_changes(configs, seen.get("configs", {}))
    described = dataset_changes(dataset_names(), seen.get("datasets", {}))
    on = {name: _dataset_of(name) for name in told.changed}
    unprepared = {dataset for dataset in on.values() if not shelf.holds("asset_data", dataset)}
    datasets = sorted({*described.changed, *unprepared})
    due = [name for name in told.changed if on[name] not in datasets and not is_up_to_date(shelf, name)]
    return Work(datasets, due, {"configs": told.seen, "datasets": described.seen})


def is_up_to_date(shelf: AssetShelf, config: str) -> bool:
    """Return whether a configuration's run is published and is what a rerun would come to.

    One that cannot be read is not: its run will tell why.
    """
    try:
        return is_current(shelf, config_of(config), config, _dataset_of(config))
    except BacktestError:
        return False


def _dataset_of(config: str) -> str:
    """Return the partition of a configuration's data set; of one that cannot be read its own name."""
    try:
        return dataset_key(config_of(config), config)
    except BacktestError:
        return config
