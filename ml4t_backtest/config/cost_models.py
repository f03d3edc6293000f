"""Slippage and commission models and accounts as config sections: dataclasses of `execution`, chosen by `model`.

A model added to `execution/slippage.py`, `commission.py` or `accounts.py` is a valid section without a change here.
A model of the user's own is named by `path`, like a strategy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import reduce
from operator import or_
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Discriminator, Field, Tag

from ml4t_backtest.config.fields import FiniteJson, Section
from ml4t_backtest.config.import_path import ClassPath
from ml4t_backtest.execution import accounts, commission, slippage


class OwnModel(Section):
    """A cost model of the user's: a class by import path, built with its params."""

    path: ClassPath = Field(
        description="Class to use: package.module.Class, package.module:Class, or file.py:Class for a file "
        "in this file's folder."
    )
    params: dict[str, FiniteJson] = Field(default={}, description="Arguments of the class, by name.")


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


def _choice_or_own(module: ModuleType) -> Any:
    return Annotated[
        Annotated[_choice(module), Tag("built_in")] | Annotated[OwnModel, Tag("own")], Discriminator(_whose)
    ]


def _whose(value: Any) -> str:
    by_path = isinstance(value, Mapping) and "path" in value and "model" not in value
    return "own" if by_path or isinstance(value, OwnModel) else "built_in"


if TYPE_CHECKING:
    SlippageChoice = slippage.SlippageModel | OwnModel
    CommissionChoice = commission.CommissionModel | OwnModel
    AccountChoice = accounts.Account
else:
    SlippageChoice = _choice_or_own(slippage)
    CommissionChoice = _choice_or_own(commission)
    AccountChoice = _choice(accounts)
