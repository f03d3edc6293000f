"""Cost models of the user's, watched: what they raise or answer wrongly is said where it happens.

The package's own models are used as they are; one of the user's is asked through a watcher, so that a mistake in it
ends the run with its name and the numbers, and never reaches the records.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real

from ml4t_backtest.errors import ConfigError, StrategyError
from ml4t_backtest.execution import commission, slippage
from ml4t_backtest.execution.commission import CommissionModel
from ml4t_backtest.execution.slippage import SlippageModel


def watched_slippage(model: SlippageModel) -> SlippageModel:
    """Return a slippage model that answers with believable prices only.

    Raises:
        ConfigError: It is no object with a method `fill_price`.
    """
    _require(model, "slippage", "fill_price", "PercentageSlippage(0.0005)")
    return model if type(model).__module__ == slippage.__name__ else _WatchedSlippage(model)


def watched_commission(model: CommissionModel) -> CommissionModel:
    """Return a commission model that answers with believable amounts only.

    Raises:
        ConfigError: It is no object with a method `charge`.
    """
    _require(model, "commission", "charge", "PercentageCommission(0.001)")
    return model if type(model).__module__ == commission.__name__ else _WatchedCommission(model)


@dataclass(frozen=True, slots=True)
class _WatchedSlippage:
    own: SlippageModel

    def fill_price(self, raw_price: float, signed_quantity: float, volume: float) -> float:
        """Return the model's price: NaN where it has none, else never better than the raw price."""
        asked = f"fill_price({raw_price!r}, {signed_quantity!r}, {volume!r})"
        try:
            price = _number(self.own.fill_price(raw_price, signed_quantity, volume))
        except Exception as error:
            raise _raised(self.own, asked, error) from error
        better = price < raw_price if signed_quantity > 0 else price > raw_price
        if better or math.isinf(price) or price < 0.0:
            needed = f"a finite price that is no better than {raw_price!r} for a {_side(signed_quantity)}, or NaN"
            raise _wrong(self.own, asked, price, needed)
        return price


@dataclass(frozen=True, slots=True)
class _WatchedCommission:
    own: CommissionModel

    def charge(self, quantity: float, notional: float) -> float:
        """Return the model's charge: finite and never negative."""
        asked = f"charge({quantity!r}, {notional!r})"
        try:
            amount = _number(self.own.charge(quantity, notional))
        except Exception as error:
            raise _raised(self.own, asked, error) from error
        if not 0.0 <= amount < math.inf:
            raise _wrong(self.own, asked, amount, "a finite amount >= 0")
        return amount


def _require(model: object, what: str, method: str, example: str) -> None:
    if isinstance(model, type) or not callable(getattr(model, method, None)):
        raise ConfigError(f"{what} is an object with a method {method}, for example {example}; got {model!r}")


def _number(answer: object) -> float:
    if isinstance(answer, bool) or not isinstance(answer, Real):
        raise TypeError(f"it answered {answer!r}, which is no number")
    return float(answer)


def _side(signed_quantity: float) -> str:
    return "buy" if signed_quantity > 0 else "sell"


def _raised(model: object, asked: str, error: Exception) -> StrategyError:
    return StrategyError(f"{type(model).__name__}.{asked} raised {error!r}")


def _wrong(model: object, asked: str, answer: float, needed: str) -> StrategyError:
    return StrategyError(f"{type(model).__name__}.{asked} answered {answer!r}; it must answer {needed}")
