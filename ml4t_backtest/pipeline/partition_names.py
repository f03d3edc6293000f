"""Partitions are files: one per data set and one per backtest configuration."""

from __future__ import annotations

from ml4t_backtest.config.dataset_schema import DatasetConfig
from ml4t_backtest.config.fields import check_safe_name
from ml4t_backtest.config.folders import config_names, dataset_names
from ml4t_backtest.config.loader import load_config, load_dataset_config
from ml4t_backtest.config.schema import BacktestConfig
from ml4t_backtest.errors import ConfigError


def config_of(key: str) -> BacktestConfig:
    """Return the configuration behind a partition key.

    Raises:
        ConfigError: The key is no safe name, or the configuration is wrong.
    """
    return load_config(check_safe_name(key, "partition key"))


def dataset_of(key: str) -> DatasetConfig:
    """Return the data set behind a partition key: one of its own file, or the one described inside a configuration.

    Raises:
        ConfigError: The key is no safe name, or the configuration is wrong.
    """
    check_safe_name(key, "partition key")
    if key not in dataset_names() and key in config_names():
        return config_of(key).dataset
    return load_dataset_config(key)


def dataset_key(config: BacktestConfig, key: str) -> str:
    """Return the partition of the data set that a configuration runs on; one described in place has its stem."""
    return config.data.dataset or key


def dataset_keys_by_config() -> dict[str, str]:
    """Return config -> data set, without the configurations that cannot be read."""
    found = {}
    for key in config_names():
        try:
            found[key] = dataset_key(load_config(key), key)
        except ConfigError:
            continue
    return found
