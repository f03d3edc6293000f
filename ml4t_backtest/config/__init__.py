"""Configuration: one YAML or JSON file per backtest and per data set, checked before anything runs."""

from ml4t_backtest.config.components import Components, build_components, build_strategy, load_strategy_class
from ml4t_backtest.config.cost_models import OwnModel
from ml4t_backtest.config.dataset_schema import (
    ActionSource,
    ContextSource,
    DatasetConfig,
    Delisting,
    DelistingSource,
    PriceSource,
    SignalSource,
    SourceConfig,
)
from ml4t_backtest.config.document import UnsafeConfigError
from ml4t_backtest.config.folders import (
    bundled_folder,
    config_folder,
    config_names,
    dataset_names,
    find_config,
    find_dataset_config,
)
from ml4t_backtest.config.loader import config_from_mapping, config_hash, load_config, load_dataset_config
from ml4t_backtest.config.schema import (
    BacktestConfig,
    BacktestSection,
    DataSection,
    ExecutionSection,
    ReportingSection,
    StrategySection,
)

__all__ = [
    "ActionSource",
    "BacktestConfig",
    "BacktestSection",
    "Components",
    "ContextSource",
    "DataSection",
    "DatasetConfig",
    "Delisting",
    "DelistingSource",
    "ExecutionSection",
    "OwnModel",
    "PriceSource",
    "ReportingSection",
    "SignalSource",
    "SourceConfig",
    "StrategySection",
    "UnsafeConfigError",
    "build_components",
    "build_strategy",
    "bundled_folder",
    "config_folder",
    "config_from_mapping",
    "config_hash",
    "config_names",
    "dataset_names",
    "find_config",
    "find_dataset_config",
    "load_config",
    "load_dataset_config",
    "load_strategy_class",
]
