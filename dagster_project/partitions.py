"""Partitions are files: one per data set, per backtest configuration and per sweep.

Keys are read when the code location is loaded; a new file shows after "Reload definitions". A configuration that
cannot be read keeps its partition, and materializing it fails with the loader's text.
"""

from __future__ import annotations

import dagster as dg

from ml4t_backtest.config import config_names, dataset_names
from ml4t_backtest.config.folders import sweep_names
from ml4t_backtest.pipeline.partition_names import dataset_keys_by_config

_DATASET_OF = dataset_keys_by_config()


def configs_on(dataset: str) -> list[str]:
    """Return the configurations that run on a data set, sorted."""
    return sorted(config for config, found in _DATASET_OF.items() if found == dataset)


DATASETS = dg.StaticPartitionsDefinition(sorted({*dataset_names(), *_DATASET_OF.values()}))
CONFIGS = dg.StaticPartitionsDefinition(config_names())
SWEEPS = dg.StaticPartitionsDefinition(sweep_names())
CONFIG_TO_DATASET = dg.StaticPartitionMapping({name: configs_on(name) for name in sorted({*_DATASET_OF.values()})})
