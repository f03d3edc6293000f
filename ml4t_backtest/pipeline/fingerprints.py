"""Which configurations changed since somebody looked last."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ml4t_backtest.config.loader import config_hash, load_config, load_dataset_config
from ml4t_backtest.config.own_code import own_code
from ml4t_backtest.data.content_hash import joint_hash
from ml4t_backtest.data.provenance import text_hash
from ml4t_backtest.errors import BacktestError

Seen = Mapping[str, str]


@dataclass(frozen=True)
class Changes:
    """What is different.

    Attributes:
        changed: Names that were known and say something else now, or that are seen for the first time.
        seen: Name -> hash of what each says now.
    """

    changed: list[str]
    seen: dict[str, str]


def config_changes(names: Iterable[str], before: Seen) -> Changes:
    """Return which backtests say something else than before: the file, its data set's, or its strategy's."""
    return _changes(names, before, _config_says)


def dataset_changes(names: Iterable[str], before: Seen) -> Changes:
    """Return which data sets are described otherwise than before."""
    return _changes(names, before, lambda name: config_hash(load_dataset_config(name)))


def _changes(names: Iterable[str], before: Seen, says: Callable[[str], str]) -> Changes:
    seen = {name: _said(says, name) for name in names}
    return Changes(sorted(name for name, said in seen.items() if before.get(name) != said), seen)


def _config_says(name: str) -> str:
    config = load_config(name)
    return joint_hash({"config": config_hash(config), **own_code(config)})


def _said(says: Callable[[str], str], name: str) -> str:
    """Return what a configuration says; one that cannot be read says its error, which its run will tell."""
    try:
        return says(name)
    except BacktestError as error:
        return text_hash(str(error))
