"""The land around the best variant: how the figure changes with the values that were varied."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ml4t_backtest.sweep.run import SweepResult

_MOST_VALUES = 40


@dataclass(frozen=True)
class HeatMap:
    """The figure by two of the keys; over the others it is the mean.

    Attributes:
        x: Key across.
        y: Key upwards.
        across: Values of `x` in order.
        upwards: Values of `y` in order.
        cells: Per value of `y` a row of figures, None where nothing was tried.
    """

    x: str
    y: str
    across: Sequence[Any]
    upwards: Sequence[Any]
    cells: Sequence[Sequence[float | None]]


@dataclass(frozen=True)
class Neighbourhood:
    """The best variant and those one step away from it.

    Attributes:
        best: Its number.
        score: Its figure.
        neighbours: Number and figure of every variant that differs in one key by one step.
    """

    best: int
    score: float
    neighbours: Sequence[tuple[int, float]]

    @property
    def mean(self) -> float | None:
        """Mean figure of the neighbours; near that of the best the region is flat, far below it the best is a spike."""
        values = [score for _, score in self.neighbours]
        return math.fsum(values) / len(values) if values else None


def heat_maps(result: SweepResult, most: int = 6) -> list[HeatMap]:
    """Return a map for each pair of keys that have few enough values to be seen, at most so many maps."""
    scores = {variant: score for variant, score in result.ranking if score is not None}
    keys = [key for key in _keys(result) if 2 <= len(_values(result, key)) <= _MOST_VALUES]
    return [_heat_map(result, scores, x, y) for x, y in itertools.combinations(keys, 2)][:most]


def neighbourhood(result: SweepResult) -> Neighbourhood | None:
    """Return how well the best variant's neighbours do; None where nothing was completed."""
    scores = [(variant, score) for variant, score in result.ranking if score is not None]
    if not scores:
        return None
    best, score = scores[0]
    places = _places(result)
    near = [(variant, each) for variant, each in scores if _steps(places[best], places[variant]) == 1]
    return Neighbourhood(best, score, near)


def _keys(result: SweepResult) -> list[str]:
    varied = [*result.sweep.config.space.varied()]
    return [*varied, *([result.sweep.config.seed_key] if result.sweep.config.seed_key else [])]


def _values(result: SweepResult, key: str) -> list[Any]:
    """Return the values of a key in order: numbers by size, others as they came."""
    found: dict[str, Any] = {}
    for variant in result.sweep.variants:
        if key in variant.parameters:
            found.setdefault(repr(variant.parameters[key]), variant.parameters[key])
    values = list(found.values())
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    return sorted(values) if numbers else values


def _places(result: SweepResult) -> list[Mapping[str, int]]:
    """Return per variant which value of each key it has, counted from 0; -1 for none."""
    order = {
        key: {repr(value): place for place, value in enumerate(_values(result, key))}
        for key in result.sweep.config.space.varied()
    }
    return [
        {key: places[repr(each.parameters[key])] if key in each.parameters else -1 for key, places in order.items()}
        for each in result.sweep.variants
    ]


def _steps(one: Mapping[str, int], other: Mapping[str, int]) -> int:
    return sum(abs(one[key] - other[key]) for key in one)


def _heat_map(result: SweepResult, scores: Mapping[int, float], x: str, y: str) -> HeatMap:
    across, upwards = _values(result, x), _values(result, y)
    found: dict[tuple[str, str], list[float]] = {}
    for variant, score in scores.items():
        parameters = result.sweep.variants[variant].parameters
        if x in parameters and y in parameters:
            found.setdefault((repr(parameters[x]), repr(parameters[y])), []).append(score)
    cells = [[_mean(found.get((repr(left), repr(up)))) for left in across] for up in upwards]
    return HeatMap(x, y, across, upwards, cells)


def _mean(values: Sequence[float] | None) -> float | None:
    return math.fsum(values) / len(values) if values else None
