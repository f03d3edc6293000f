"""Which values are tried: every combination, draws by chance, a list, or what Optuna proposes.

A space is one frozen dataclass with one method, and its own config section. Keys are the dotted keys of a backtest's
configuration, values are what would stand there.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field

from ml4t_backtest.config.document import shown
from ml4t_backtest.config.fields import FiniteJson, must

# More than anybody waits for; a grid of six keys with ten values each is a mistake.
MOST_TRIALS = 100_000
_RANGE = {"low", "high", "scale", "whole"}

Point = Mapping[str, Any]


def _values(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not values:
        raise must("must hold at least one value")
    twice = [shown(value) for number, value in enumerate(values) if _text(value) in map(_text, values[:number])]
    if twice:
        raise must(f"must name each value once; twice: {', '.join(twice)}")
    return values


def _drawn(spec: Any) -> Any:
    """Return what a value is drawn from: a list of choices, or a range."""
    if isinstance(spec, list):
        _values(tuple(spec))
        return spec
    if not isinstance(spec, dict) or not {"low", "high"} <= set(spec) <= _RANGE:
        raise must(
            "must be a list of values, or {low, high} with scale (linear, log) and whole (true, false) as wanted"
        )
    low, high, whole = spec["low"], spec["high"], spec.get("whole", False)
    if any(isinstance(each, bool) or not isinstance(each, (int, float)) for each in (low, high)) or low >= high:
        raise must("must have numbers as low and high, low below high")
    if spec.get("scale", "linear") not in ("linear", "log") or not isinstance(whole, bool):
        raise must("must have a scale of linear or log, and whole true or false")
    if spec.get("scale") == "log" and low <= 0:
        raise must("must have a low above 0 for scale: log")
    if whole and not (float(low).is_integer() and float(high).is_integer()):
        raise must("must have whole numbers as low and high where whole is true")
    return spec


Values = Annotated[tuple[FiniteJson, ...], AfterValidator(_values)]
Drawn = Annotated[FiniteJson, AfterValidator(_drawn)]
Count = Annotated[int, Field(ge=1, le=MOST_TRIALS)]


@dataclass(frozen=True)
class Grid:
    """Every combination of the values; the last key changes quickest.

    >>> Grid({"a": (1, 2), "b": ("x", "y")}).points()
    [{'a': 1, 'b': 'x'}, {'a': 1, 'b': 'y'}, {'a': 2, 'b': 'x'}, {'a': 2, 'b': 'y'}]
    """

    parameters: dict[str, Values]
    model: Literal["grid"] = "grid"

    def __len__(self) -> int:
        return math.prod(len(values) for values in self.parameters.values())

    def varied(self) -> list[str]:
        """Return the dotted keys that are varied."""
        return list(self.parameters)

    def points(self) -> list[Point]:
        """Return the points in the order they are tried."""
        names = list(self.parameters)
        return [dict(zip(names, values, strict=True)) for values in itertools.product(*self.parameters.values())]


@dataclass(frozen=True)
class Random:
    """Draws by chance: from a list of values, or between `low` and `high`, both included, `whole` or on a `log` scale.

    A key's draws depend on the seed and on the key alone: with more trials, or another key, the first ones stay.

    >>> few, more = (Random({"a": {"low": 0.0, "high": 1.0}}, trials, seed=7).points() for trials in (2, 3))
    >>> few == more[:2]
    True
    """

    parameters: dict[str, Drawn]
    trials: Count
    seed: Annotated[int, Field(ge=0)] = 0
    model: Literal["random"] = "random"

    def __len__(self) -> int:
        return self.trials

    def varied(self) -> list[str]:
        """Return the dotted keys that are varied."""
        return list(self.parameters)

    def points(self) -> list[Point]:
        """Return the points in the order they are drawn."""
        columns = {key: self._draws(key, spec) for key, spec in self.parameters.items()}
        return [{key: column[number] for key, column in columns.items()} for number in range(self.trials)]

    def _draws(self, key: str, spec: Any) -> list[Any]:
        own = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little")
        uniform = np.random.default_rng([self.seed, own]).random(self.trials).tolist()
        return [_at(spec, share) for share in uniform]


@dataclass(frozen=True)
class Optuna:
    """What Optuna proposes from what came of the proposals before; values as for `Random`.

    Of `at_once` proposals none knows what comes of the others: they are shared by workers and ride one pass. Who does
    the work does not show in what is proposed.
    """

    parameters: dict[str, Drawn]
    trials: Count
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    at_once: Count = 1
    model: Literal["optuna"] = "optuna"

    def __len__(self) -> int:
        return self.trials

    def varied(self) -> list[str]:
        """Return the dotted keys that are varied."""
        return list(self.parameters)

    def points(self) -> list[Point]:
        """Return the two ends of every key: what can be checked before anything is proposed.

        >>> Optuna({"a": [1, 2, 3], "b": {"low": 1, "high": 9, "whole": True}}, trials=50).points()
        [{'a': 1, 'b': 1}, {'a': 3, 'b': 9}]
        """
        return [{key: _ends(spec)[end] for key, spec in self.parameters.items()} for end in (0, 1)]


@dataclass(frozen=True)
class Listed:
    """The points as they are listed.

    >>> Listed(({"a": 1}, {"a": 2, "b": 3})).varied()
    ['a', 'b']
    """

    trials: Annotated[tuple[dict[str, FiniteJson], ...], Field(min_length=1)]
    model: Literal["list"] = "list"

    def __len__(self) -> int:
        return len(self.trials)

    def varied(self) -> list[str]:
        """Return the dotted keys that are varied."""
        return list(dict.fromkeys(key for point in self.trials for key in point))

    def points(self) -> list[Point]:
        """Return the points as they are listed."""
        return [dict(point) for point in self.trials]


def _at(spec: Any, share: float) -> Any:
    """Return the value that lies at a share, from 0 up to 1, of what is drawn from."""
    if isinstance(spec, list):
        return spec[int(share * len(spec))]
    low, high = float(spec["low"]), float(spec["high"])
    if spec.get("whole"):
        if spec.get("scale") != "log":
            return int(low) + int(share * (high - low + 1.0))
        return min(max(round(low * (high / low) ** share), int(low)), int(high))
    if spec.get("scale") == "log":
        return float(low * (high / low) ** share)
    return low + share * (high - low)


def _ends(spec: Any) -> tuple[Any, Any]:
    if isinstance(spec, list):
        return spec[0], spec[-1]
    kind = int if spec.get("whole") else float
    return kind(spec["low"]), kind(spec["high"])


def _text(value: Any) -> str:
    """Return what tells values apart; 1, 1.0 and true are three."""
    return repr(value)


Space = Grid | Random | Listed | Optuna
SpaceChoice = Annotated[Space, Field(discriminator="model")]
