"""Whether a part of a table keeps every rule of its schema, in as few passes as that takes.

The rules are those of the pandera schema, as the Polars expressions they are made of. Which rule is broken, and where,
is asked of `data.validation` only where the answer here is no: that takes several times as long.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from ml4t_backtest.core.columns import has_types

if TYPE_CHECKING:
    import pandera.polars as pa

_SYMBOL = "symbol"
_NO_NUMBERS = (math.inf, -math.inf)
_Rules = Sequence[tuple[str, Any]]


class QuickCheck:
    """The rules of a schema, made into expressions once and asked of part after part."""

    def __init__(self, schema: pa.DataFrameSchema) -> None:
        columns = schema.columns
        self._schema = schema
        self._filled = [name for name, each in columns.items() if not each.nullable]
        rules = [(name, check) for name, each in columns.items() for check in each.checks]
        between = [(name, check) for name, check in rules if check.statistics["between"]]
        self._extremes = _Extremes(between, [check.statistics["enclosed"] for check in schema.checks])
        self._of_symbols = [_holds(check, name) for name, check in rules if name == _SYMBOL]
        others = [_holds(check, name) for name, check in rules if not check.statistics["between"] and name != _SYMBOL]
        others += [check.statistics["strictly"].fill_null(True) for check in schema.checks]
        self._of_rows = [holds.all().alias(f"rule {number}") for number, holds in enumerate(others)]

    def holds(self, part: pl.DataFrame) -> bool:
        """Return whether every rule but those of symbols holds for every row; False too where it cannot be asked."""
        return (
            has_types(part, self._schema)
            and not part.is_empty()
            and sum(part[name].null_count() for name in self._filled) == 0
            and self._values_hold(part)
        )

    def symbols_hold(self, distinct: pl.Series) -> bool:
        """Return whether the rules of symbols hold; each distinct one needs to be asked about once only."""
        asked = distinct.alias(_SYMBOL).to_frame()
        return not self._of_symbols or bool(asked.select(pl.all_horizontal(self._of_symbols).all()).item())

    def _values_hold(self, part: pl.DataFrame) -> bool:
        asked = [*self._extremes.asked, *self._of_rows]
        answers = part.select(asked).row(0, named=True) if asked else {}
        in_order = all(answers[f"rule {number}"] for number in range(len(self._of_rows)))
        return in_order and self._extremes.hold(answers)


class _Extremes:
    """The rules of single numbers, which hold for all of a column when they do for its smallest and greatest.

    Attributes:
        asked: What has to be known of a part: the smallest of some columns, the greatest of some.
    """

    def __init__(self, rules: _Rules, enclosed: Sequence[Sequence[str]]) -> None:
        names = dict.fromkeys(name for name, _ in rules)
        self._rules = {name: [_holds(check, name) for of, check in rules if of == name] for name in names}
        # Where the rules of rows order columns, the outer ones tell the extremes of all.
        outer = {name: (name, name) for name in names}
        for ordered in filter(None, enclosed):
            outer |= dict.fromkeys(ordered, (ordered[0], ordered[-1]))
        self._outer = {name: outer[name] for name in names}
        least, greatest = (dict.fromkeys(ends[side] for ends in self._outer.values()) for side in (0, 1))
        self.asked = [pl.col(name).min().alias(f"least {name}") for name in least]
        # A NaN, greater than all in a comparison, is in the sum too: found in half the time that `nan_max` takes.
        self.asked += [pl.col(name).max().alias(f"greatest {name}") for name in greatest]
        self.asked += [pl.col(name).sum().is_nan().alias(f"NaN {name}") for name in greatest]
        self._good = dict.fromkeys(names, _NO_NUMBERS)

    def hold(self, answers: Mapping[str, Any]) -> bool:
        """Return whether the rules hold; between two numbers for which they held before, they do."""
        if any(answers[f"NaN {high}"] for _, high in self._outer.values()):
            return False
        new = {}
        for name, (low, high) in self._outer.items():
            span, good = (answers[f"least {low}"], answers[f"greatest {high}"]), self._good[name]
            if None not in span and not good[0] <= span[0] <= span[1] <= good[1]:
                new[name] = span
        if not self._hold_at(new):
            return False
        for name, (low, high) in new.items():
            self._good[name] = min(low, self._good[name][0]), max(high, self._good[name][1])
        return True

    def _hold_at(self, ends: Mapping[str, tuple[float, float]]) -> bool:
        if not ends:
            return True
        rules = [rule for name in ends for rule in self._rules[name]]
        asked = pl.DataFrame(dict(ends), schema=dict.fromkeys(ends, pl.Float64))
        return bool(asked.select(pl.all_horizontal(rules).all()).item())


def _holds(check: Any, name: str) -> pl.Expr:
    holds: pl.Expr = check.statistics["holds"](pl.col(name))
    return holds.fill_null(True)
