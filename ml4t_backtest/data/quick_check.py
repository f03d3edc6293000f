"""Whether a part of a table keeps every rule of its schema, in as few passes as that takes.

The rules are those of the pandera schema, as the Polars expressions they are made of. Which rule is broken, and where,
is asked of `data.validation` only where the answer here is no: that takes several times as long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    import pandera.polars as pa

_SYMBOL = "symbol"


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
        across = [check.statistics["holds"].fill_null(True) for check in schema.checks]
        self._of_rows = [holds.all().alias(str(number)) for number, holds in enumerate([*others, *across])]

    def holds(self, part: pl.DataFrame) -> bool:
        """Return whether every rule but those of symbols holds for every row; False too where it cannot be asked."""
        return (
            all(part.schema.get(name) == dtype for name, dtype in self._types.items())
            and not part.is_empty()
            and sum(part[name].null_count() for name in self._filled) == 0
            and self._extremes_hold(part)
            and (not self._of_rows or all(part.select(self._of_rows).row(0)))
        )

    def symbols_hold(self, distinct: pl.Series) -> bool:
        """Return whether the rules of symbols hold; each distinct one needs to be asked about once only."""
        asked = distinct.alias(_SYMBOL).to_frame()
        return not self._of_symbols or bool(asked.select(pl.all_horizontal(self._of_symbols).all()).item())

    def _extremes_hold(self, part: pl.DataFrame) -> bool:
        """Return whether the rules of single numbers hold, asked of the smallest and the greatest of each column."""
        if not self._numbers:
            return True
        ends = [part.select(pl.col(self._numbers).nan_min()), part.select(pl.col(self._numbers).nan_max())]
        return bool(pl.concat(ends).select(pl.all_horizontal(self._of_extremes).all()).item())


def _holds(check: Any, name: str) -> pl.Expr:
    holds: pl.Expr = check.statistics["holds"](pl.col(name))
    return holds.fill_null(True)
