"""The shape of `configs/NAME.yaml`: one backtest. Its defaults are the defaults of the whole package."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from ml4t_backtest.config.cost_models import AccountChoice, CommissionChoice, SlippageChoice
from ml4t_backtest.config.dataset_schema import DatasetConfig
from ml4t_backtest.config.document import Origin
from ml4t_backtest.config.fields import ColumnName, FiniteJson, IsoDate, SafeName, Section, must
from ml4t_backtest.config.import_path import ClassPath
from ml4t_backtest.data.quality.data_quality import FindingCode
from ml4t_backtest.errors import ConfigError
from ml4t_backtest.execution.accounts import CashAccount
from ml4t_backtest.execution.commission import PercentageCommission
from ml4t_backtest.execution.guard import PortfolioLimits, PositionRules
from ml4t_backtest.execution.profiles import ProfileName
from ml4t_backtest.execution.slippage import PercentageSlippage


class BacktestSection(Section):
    """What is simulated, from when to when, with how much money."""

    name: SafeName = Field(
        description="Name of the run: a-z, 0-9, '_', '.', '-', at most 64. Default: the file's name."
    )
    description: str = Field(default="", description="What it is, for people.")
    start: IsoDate | None = Field(
        default=None, description="First session with a decision, YYYY-MM-DD. null: the first of the data."
    )
    end: IsoDate | None = Field(default=None, description="Last session, YYYY-MM-DD. null: the last of the data.")
    initial_capital: float = Field(
        default=1_000_000.0, gt=0, description="Cash at the start, in account currency, greater than 0."
    )
    warm_up_days: int = Field(
        default=0,
        ge=0,
        le=36_500,
        description="Calendar days before start that the strategy is shown without trading, 0 to 36500.",
    )

    @model_validator(mode="after")
    def _start_before_end(self) -> Self:
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise must(f"must be after backtest.start, which is {self.start}", key="end")
        return self

    @model_validator(mode="after")
    def _warm_up_before_start(self) -> Self:
        if self.warm_up_days and self.start is None:
            raise must("must be 0 without backtest.start: the warm-up lies before it", key="warm_up_days")
        return self


class DataSection(Section):
    """Which data set: by name, or described in place. Exactly one of the two."""

    dataset: SafeName | None = Field(default=None, description="Name of a file in datasets/, without its ending.")
    source: DatasetConfig | None = Field(default=None, description="A data set described here, used by this file only.")
    validation: Literal["fast", "standard", "paranoid"] = Field(
        default="standard",
        description="What is looked for, on every row. fast: every broken rule. standard: doubtful data too, which is "
        "recorded with the run. paranoid: more of it, and what is found is refused.",
    )
    accept: tuple[FindingCode, ...] = Field(
        default=(), description="Codes of findings (DQ-GAP, ...) that paranoid records and does not refuse."
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.dataset is None) == (self.source is None):
            found = "neither" if self.dataset is None else "both"
            raise must(f"must have exactly one of dataset (a name) and source (a description); found {found}")
        return self


class ExecutionSection(Section):
    """How orders fill and what they cost."""

    slippage: SlippageChoice = Field(
        default_factory=PercentageSlippage,
        description="How far from the market price an order fills: a model with its parameters, or path and params "
        "of a class of your own.",
    )
    commission: CommissionChoice = Field(
        default_factory=PercentageCommission,
        description="What the broker charges for an order: a model with its parameters, or path and params of a "
        "class of your own.",
    )
    fractional: bool = Field(default=False, description="Whether fractions of a share can be held.")
    lot_size: int = Field(
        default=1,
        ge=1,
        description="Orders are for whole multiples of this many shares; closing a position closes all of it. "
        "1 where fractional is true.",
    )
    on_insufficient_cash: Literal["clip", "reject"] | None = Field(
        default=None,
        description="What happens to an order the cash does not cover: clip cuts it to what is affordable, "
        "reject refuses it. null: clip for percent, target and rebalance orders, reject for quantities.",
    )
    account: AccountChoice = Field(
        default_factory=CashAccount, description="cash, or margin with its rates (short selling, credit)."
    )
    max_volume_share: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Largest fraction of a bar's volume that a symbol's orders may fill. null: no limit.",
    )
    intrabar_path: Literal["pessimistic", "optimistic", "ohlc", "olhc"] = Field(
        default="pessimistic",
        description="Which of stop and target a bar that holds both is assumed to reach first: pessimistic the stop, "
        "optimistic the target, ohlc what lies above the open, olhc what lies below.",
    )
    end_of_data: Literal["mark", "close"] = Field(
        default="mark",
        description="Positions at the end: mark leaves them open at their last price, close closes them, with costs.",
    )
    profile: ProfileName | None = Field(
        default=None,
        description="Rules of another engine, with its version, instead of our own; account and on_insufficient_cash "
        "still hold where they are given.",
    )
    fill_at: Literal["next_open", "same_close"] | None = Field(
        default=None,
        description="What fills an order at market: next_open, or same_close, the close it was decided at, for which "
        "signals must be known before it. null: what the profile says, next_open without one.",
    )
    delisting_after: int = Field(
        default=10,
        ge=1,
        description="Sessions without a bar after which a position is settled at its last price.",
    )
    interest_rate: float = Field(default=0.0, description="Interest on cash, a fraction per year of 365 days.")

    @model_validator(mode="after")
    def _lots_or_fractions(self) -> Self:
        if self.fractional and self.lot_size > 1:
            raise must("must be 1 where fractional is true: there are lots or fractions", key="lot_size")
        return self


class RiskSection(Section):
    """Rules for the whole strategy, kept by the engine."""

    position: PositionRules = Field(
        default_factory=PositionRules,
        description="Protection for every entry that brings none of its own: stop_loss_percent, take_profit_percent, "
        "trailing_stop_percent, max_holding_bars, stop_loss_atr, take_profit_atr (with atr_column).",
    )
    portfolio: PortfolioLimits = Field(
        default_factory=PortfolioLimits,
        description="Limits of the portfolio: max_positions, max_weight, max_gross_exposure, max_net_exposure, "
        "max_drawdown, max_daily_loss; fractions of equity.",
    )


class StrategySection(Section):
    """What decides."""

    path: ClassPath = Field(
        description="Class to use: package.module.Class, package.module:Class, or file.py:Class for a file "
        "in this file's folder."
    )
    params: dict[str, FiniteJson] = Field(default={}, description="Arguments of the class, by name.")

    _origin: Origin | None = PrivateAttr(default=None)


class ReportingSection(Section):
    """What is written beside the numbers."""

    report: bool = Field(default=True, description="Whether to write the report page.")
    state_frequency: Literal["slice", "session", "week", "month"] = Field(
        default="slice",
        description="Which slices the table portfolio_states shows: every slice, or the last one of each session, "
        "week or month. Daily returns do not depend on it.",
    )
    benchmark: ColumnName | None = Field(
        default=None,
        description="Context column that holds the level of an index to compare with. null: none.",
    )
    allow_no_trades: bool = Field(
        default=False, description="Whether a run without a trade is fine; the pipeline warns of one otherwise."
    )


class BacktestConfig(Section):
    """One backtest: what, on which data, with which execution, decided by which strategy."""

    backtest: BacktestSection = Field(description="What is simulated, from when to when, with how much money.")
    data: DataSection = Field(description="Which data set: dataset (a name) or source (a description).")
    execution: ExecutionSection = Field(
        default_factory=ExecutionSection, description="How orders fill and what they cost."
    )
    risk: RiskSection = Field(
        default_factory=RiskSection, description="Rules for the whole strategy, kept by the engine."
    )
    strategy: StrategySection = Field(description="What decides: path and params.")
    reporting: ReportingSection = Field(
        default_factory=ReportingSection, description="What is written beside the numbers."
    )

    _origin: Origin | None = PrivateAttr(default=None)
    _allowed_modules: tuple[str, ...] = PrivateAttr(default=())
    _dataset: DatasetConfig | None = PrivateAttr(default=None)

    @property
    def name(self) -> str:
        """Name of the backtest."""
        return self.backtest.name

    @property
    def folder(self) -> Path:
        """Folder of the file, where strategy files are looked for."""
        return self._origin.folder if self._origin else Path()

    @property
    def allowed_modules(self) -> tuple[str, ...]:
        """Module prefixes that paths may name besides the library and `$ML4T_ALLOWED_MODULES`."""
        return self._allowed_modules

    @property
    def dataset(self) -> DatasetConfig:
        """The data set, whether named or described in place.

        Raises:
            ConfigError: The configuration was not made by the loader, so a named data set was never read.
        """
        found = self._dataset or self.data.source
        if found is None:
            raise ConfigError("data.dataset is a name; read it with load_config or config_from_mapping")
        return found

    def error_at(self, key: str, text: str) -> ConfigError:
        """Return an error about one key, with the file and line it stands on.

        Args:
            key: Dotted key, for example `backtest.start`.
            text: What is wrong and what to do.
        """
        path = tuple(key.split("."))
        return ConfigError(self._origin.message(path, text) if self._origin else f"{key}: {text}")
