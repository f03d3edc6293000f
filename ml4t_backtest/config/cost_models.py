"""Slippage and commission models and accounts as config sections: dataclasses of `execution`, chosen by `model`.

A model added to `execution/slippage.py`, `commission.py` or `accounts.py` is a valid section without a change here.
"""

from __future__ import annotations

import dataclasses
from functools import reduce
from operator import or_
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ml4t_backtest.execution import accounts, commission, slippage


def models_of(module: ModuleType) -> dict[str, type]:
    """Return the models a module defines: the value of `model` in YAML -> its dataclass.

    >>> models_of(slippage)["none"].__name__
    'NoSlippage'
    """
    classes = (each for each in vars(module).values() if isinstance(each, type) and dataclasses.is_dataclass(each))
    named = ((model_name(each), each) for each in classes if each.__module__ == module.__name__)
    return {name: each for name, each in named if name is not None}


def model_name(component: type) -> str | None:
    """Return what a component is called in YAML, or None for a class that is no component."""
    if not dataclasses.is_dataclass(component):
        return None
    return next((str(field.default) for field in dataclasses.fields(component) if field.name == "model"), None)


def _choice(module: ModuleType) -> Any:
    return Annotated[reduce(or_, models_of(module).values()), Field(discriminator="model")]


if TYPE_CHECKING:
    SlippageChoice = slippage.SlippageModel
    CommissionChoice = commission.CommissionModel
    AccountChoice = accounts.Account
else:
    SlippageChoice = _choice(slippage)
    CommissionChoice = _choice(commission)
    AccountChoice = _choice(accounts)
