"""Whether a part of a table keeps every rule of its schema, in as few passes as that takes.

The rules are those of the pandera schema, as the Polars expressions they are made of. Which rule is broken, and where,
is asked of `data.validation` only where the answer here is no: that takes several times as long.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    import pandera.polars as pa

_SYMBOL = "symbol"
_NOTHING = (math.inf, -math.inf)


class QuickCheck:
    """The rules of a schema, made into expressions once and asked of part after part."""

    def __init__(self, schema: pa.DataFrameSchema) -> None:
        columns = schema.columns
        self._types = {name: each.dtype.type for name, each in columns.items()}
        self._filled = [name for name, each in columns.items() if not each.nullable]
        rules = [(name, check) for name, each in columns.items() for check in each.checks]
        ranged = [(name, check) for name, check in rules if check.statistics["between"]]
        self._numbers = list(dict.fromkeys(name for name, _ in ranged))
        self._of_extremes = [_holds(check, name) for name, check in ranged]
        self._of_symbols = [_holds(check, name) for name, check in rules if name == _SYMBOL]
        others = [_holds(check, name) for name, check in rules if not check.statistics["between"] and name != _SYMBOL]
        across = [check.statistics["strictly"].fill_null(True) for check in schema.checks]
        of_rows = [holds.all().alias(str(number)) for number, holds in enumerate([*others, *across])]
        # One NaN is enough to be the smallest; the greatest is found in half the time without asking for it.
        least = [pl.col(name).nan_min().alias(f"least {name}") for name in self._numbers]
        greatest = [pl.col(name).max().alias(f"greatest {name}") for name in self._numbers]
        self._asked = [*least, *greatest, *of_rows]
        self._good: list[tuple[float, float]] = [_NOTHING] * len(self._numbers)

    def holds(self, part: pl.DataFrame) -> bool:
        """Return whether every rule but those of symbols holds for every row; False too where it cannot be asked."""
        found = part.schema
        return (
            all(found.get(name) == dtype for name, dtype in self._types.items())
            and not part.is_empty()
            and sum(part[name].null_count() for name in self._filled) == 0
            and (not self._asked or self._answers_hold(part.select(self._asked).row(0)))
        )

    def symbols_hold(self, distinct: pl.Series) -> bool:
        """Return whether the rules of symbols hold; each distinct one needs to be asked about once only."""
        asked = distinct.alias(_SYMBOL).to_frame()
        return not self._of_symbols or bool(asked.select(pl.all_horizontal(self._of_symbols).all()).item())

    def _answers_hold(self, answers: Sequence[Any]) -> bool:
        numbers = len(self._numbers)
        least, greatest, rows = answers[:numbers], answers[numbers : 2 * numbers], answers[2 * numbers :]
        return all(rows) and self._extremes_hold(least, greatest)

    def _extremes_hold(self, least: Sequence[float | None], greatest: Sequence[float | None]) -> bool:
        """Return whether the rules of single numbers hold, asked of the smallest and the greatest of each column.

        They hold between two numbers for which they held before.
        """
        spans = [_NOTHING if low is None or high is None else (low, high) for low, high in zip(least, greatest, strict=True)]
        if all(good[0] <= low and high <= good[1] for (low, high), good in zip(spans, self._good, strict=True)):
            return True
        schema = dict.fromkeys(self._numbers, pl.Float64)
        asked = pl.DataFrame([least, greatest], schema=schema, orient="row")
        if not asked.select(pl.all_horizontal(self._of_extremes).all()).item():
            return False
        self._good = [(min(low, good[0]), max(high, good[1])) for (low, high), good in zip(spans, self._good, strict=True)]
        return True


def _holds(check: Any, name: str) -> pl.Expr:
    holds: pl.Expr = check.statistics["holds"](pl.col(name))
    return holds.fill_null(True)
