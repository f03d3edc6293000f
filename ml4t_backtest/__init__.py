"""Backtests of machine-learning predictions over Polars that are honest about time, fills and data.

Names are loaded on first use, so that importing the package stays quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ml4t_backtest.config.loader import load_config
    from ml4t_backtest.core.event import MarketEvent
    from ml4t_backtest.core.position import Position
    from ml4t_backtest.core.trade import Trade
    from ml4t_backtest.core.views import FillView, OrderView
    from ml4t_backtest.data.polars_feed import DataFeed, PolarsDataFeed
    from ml4t_backtest.data.preparer import DataPreparer
    from ml4t_backtest.datasets.registry import list_datasets
    from ml4t_backtest.engine import BacktestEngine
    from ml4t_backtest.errors import (
        AccountingError,
        BacktestError,
        ConfigError,
        CorruptDatasetError,
        DataValidationError,
        SignalTimingError,
        StrategyError,
        UnsafePathError,
        Violation,
    )
    from ml4t_backtest.execution.accounts import CashAccount, MarginAccount
    from ml4t_backtest.execution.commission import (
        CommissionModel,
        NoCommission,
        PercentageCommission,
        PerOrderCommission,
        PerShareCommission,
        TieredCommission,
    )
    from ml4t_backtest.execution.guard import PortfolioLimits, PositionRules
    from ml4t_backtest.execution.profiles import Profile
    from ml4t_backtest.execution.slippage import (
        FixedSlippage,
        NoSlippage,
        PercentageSlippage,
        SlippageModel,
        SpreadSlippage,
        VolumeShareSlippage,
    )
    from ml4t_backtest.lookahead.check import check_lookahead
    from ml4t_backtest.lookahead.report import Leak, LookaheadReport
    from ml4t_backtest.one_pass import run_many
    from ml4t_backtest.reporting.parquet import read_result
    from ml4t_backtest.reporting.result import BacktestResult
    from ml4t_backtest.runner import run_backtest
    from ml4t_backtest.strategy.base import Strategy
    from ml4t_backtest.sweep.run import SweepResult, run_sweep

__version__ = "0.1.0"

_HOMES = {
    "config.loader": ("load_config",),
    "core.event": ("MarketEvent",),
    "core.position": ("Position",),
    "core.trade": ("Trade",),
    "core.views": ("FillView", "OrderView"),
    "data.polars_feed": ("DataFeed", "PolarsDataFeed"),
    "data.preparer": ("DataPreparer",),
    "datasets.registry": ("list_datasets",),
    "engine": ("BacktestEngine",),
    "errors": (
        "AccountingError",
        "BacktestError",
        "ConfigError",
        "CorruptDatasetError",
        "DataValidationError",
        "SignalTimingError",
        "StrategyError",
        "UnsafePathError",
        "Violation",
    ),
    "execution.accounts": ("CashAccount", "MarginAccount"),
    "execution.commission": (
        "CommissionModel",
        "NoCommission",
        "PerOrderCommission",
        "PerShareCommission",
        "PercentageCommission",
        "TieredCommission",
    ),
    "execution.guard": ("PortfolioLimits", "PositionRules"),
    "execution.profiles": ("Profile",),
    "execution.slippage": (
        "FixedSlippage",
        "NoSlippage",
        "PercentageSlippage",
        "SlippageModel",
        "SpreadSlippage",
        "VolumeShareSlippage",
    ),
    "lookahead.check": ("check_lookahead",),
    "lookahead.report": ("Leak", "LookaheadReport"),
    "one_pass": ("run_many",),
    "reporting.parquet": ("read_result",),
    "reporting.result": ("BacktestResult",),
    "runner": ("run_backtest",),
    "strategy.base": ("Strategy",),
    "sweep.run": ("SweepResult", "run_sweep"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AccountingError",
    "BacktestEngine",
    "BacktestError",
    "BacktestResult",
    "CashAccount",
    "CommissionModel",
    "ConfigError",
    "CorruptDatasetError",
    "DataFeed",
    "DataPreparer",
    "DataValidationError",
    "FillView",
    "FixedSlippage",
    "Leak",
    "LookaheadReport",
    "MarginAccount",
    "MarketEvent",
    "NoCommission",
    "NoSlippage",
    "OrderView",
    "PerOrderCommission",
    "PerShareCommission",
    "PercentageCommission",
    "PercentageSlippage",
    "PolarsDataFeed",
    "PortfolioLimits",
    "Position",
    "PositionRules",
    "Profile",
    "SignalTimingError",
    "SlippageModel",
    "SpreadSlippage",
    "Strategy",
    "StrategyError",
    "SweepResult",
    "TieredCommission",
    "Trade",
    "UnsafePathError",
    "Violation",
    "VolumeShareSlippage",
    "check_lookahead",
    "list_datasets",
    "load_config",
    "read_result",
    "run_backtest",
    "run_many",
    "run_sweep",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
