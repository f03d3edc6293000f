"""What an indicator is: a function of its parameters that returns an expression, declared with what is true of it.

The function's name, parameters and docstring are the indicator's; `data/indicators.py` holds one per indicator.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import polars as pl

from ml4t_backtest.errors import ConfigError

Number = int | float
# What an output is measured in: money per share, shares, or nothing (a ratio, an index).
Unit = Literal["price", "shares", "none"]
Formula = Callable[..., pl.Expr]

_NUMBER = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")
_LARGEST = 100_000


@dataclass(frozen=True)
class Indicator:
    """One indicator, as declared.

    Attributes:
        name: What it is asked for by.
        formula: Parameters -> expression over the columns of one symbol's bars in time order.
        defaults: Parameter -> default, in the order they are written in.
        unit: What its outputs are measured in; `price` outputs follow a split, `none` outputs do not.
        outputs: Ending of the column's name -> field of the expression's struct; `{"": ""}` for a single column.
        warm_up: Parameters -> number of a symbol's first bars without a value.
        smallest: Smallest whole-number parameter.
    """

    name: str
    formula: Formula
    defaults: Mapping[str, Number]
    unit: Unit
    outputs: Mapping[str, str]
    warm_up: Callable[..., int]
    smallest: int

    @property
    def title(self) -> str:
        """First line of the docstring."""
        return (inspect.getdoc(self.formula) or "").partition("\n")[0]

    @property
    def notes(self) -> dict[str, str]:
        """`Formula`, `Source` and the like: the docstring's further paragraphs by their first word."""
        paragraphs = (inspect.getdoc(self.formula) or "").split("\n\n")[1:]
        pairs = (paragraph.partition(": ") for paragraph in paragraphs)
        return {label: " ".join(text.split()) for label, _, text in pairs}

    @property
    def inputs(self) -> tuple[str, ...]:
        """Columns of the bars it reads."""
        return tuple(dict.fromkeys(self.formula().meta.root_names()))


@dataclass(frozen=True)
class IndicatorRequest:
    """An indicator asked for, with its parameters.

    Attributes:
        indicator: The declaration.
        parameters: Parameter -> value.
        column: Name of its column, or what the names of its columns begin with: `rsi`, `rsi_14`, `macd_12_26_9`.
    """

    indicator: Indicator
    parameters: Mapping[str, Number] = field(default_factory=dict)
    column: str = ""

    @cached_property
    def fields(self) -> dict[str, str]:
        """Column name -> field of the expression's struct, empty for a single column."""
        return {
            f"{self.column}_{ending}" if ending else self.column: name
            for ending, name in self.indicator.outputs.items()
        }

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns it gives."""
        return tuple(self.fields)

    @property
    def warm_up(self) -> int:
        """Number of a symbol's first bars without a value."""
        return self.indicator.warm_up(**self.parameters)

    def expression(self) -> pl.Expr:
        """Return the expression over one symbol's bars."""
        return self.indicator.formula(**self.parameters)


INDICATORS: dict[str, Indicator] = {}


def indicator(
    unit: Unit, warm_up: Callable[..., int], outputs: Mapping[str, str] | None = None, *, smallest: int = 2
) -> Callable[[Formula], Formula]:
    """Declare the decorated function as the indicator of its name; see `Indicator` for the arguments."""

    def declare(formula: Formula) -> Formula:
        parameters = inspect.signature(formula).parameters.values()
        defaults = {each.name: each.default for each in parameters}
        INDICATORS[formula.__name__] = Indicator(
            formula.__name__, formula, defaults, unit, outputs or {"": ""}, warm_up, smallest
        )
        return formula

    return declare


def parse_indicator(text: str) -> IndicatorRequest:
    """Return what a text such as `rsi`, `rsi:14` or `macd:12:26:9` asks for; parameters left out are the defaults.

    Raises:
        ConfigError: There is no such indicator, it has fewer parameters, or one is not within its range.
    """
    name, *values = str(text).split(":")
    if name not in INDICATORS:
        near = difflib.get_close_matches(name, INDICATORS, n=3) or sorted(INDICATORS)
        raise ConfigError(
            f"there is no indicator {name[:80]!r}; nearest: {', '.join(near)} (a column that the price source has "
            "already is named with the prices)"
        )
    found = INDICATORS[name]
    if len(values) > len(found.defaults):
        raise ConfigError(f"{text[:80]!r} gives {len(values)} parameters; {_usage(found)}")
    given = {
        parameter: _number(text, parameter, value, found)
        for parameter, value in zip(found.defaults, values, strict=False)
    }
    column = "_".join([name, *(f"{value:g}" for value in given.values())])
    return IndicatorRequest(found, {**found.defaults, **given}, column)


def _number(text: str, parameter: str, value: str, found: Indicator) -> Number:
    whole = isinstance(found.defaults[parameter], int)
    if _NUMBER.fullmatch(value) and not (whole and "." in value):
        number: Number = int(value) if whole else float(value)
        if (found.smallest if whole else 0) <= number <= _LARGEST and number > 0:
            return number
    allowed = f"a whole number from {found.smallest}" if whole else "a number above 0"
    raise ConfigError(f"{parameter} of {text[:80]!r} must be {allowed} to {_LARGEST}, got {value!r}; {_usage(found)}")


def _usage(found: Indicator) -> str:
    parts = [found.name, *(f"{default:g}" for default in found.defaults.values())]
    names = ", ".join(found.defaults) or "none"
    return f"write {':'.join(parts)!r} (parameters: {names})"
