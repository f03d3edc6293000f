"""Data sets that ship inside the package, with where they come from and what may be done with them."""

from ml4t_backtest.datasets.registry import DatasetFile, DatasetInfo, dataset_path, list_datasets

__all__ = ["DatasetFile", "DatasetInfo", "dataset_path", "list_datasets"]
