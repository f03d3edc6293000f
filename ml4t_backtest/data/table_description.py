"""What a reader wants to know of a checked table, collected while it is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import polars as pl


class TableDescription:
    """What a reader wants to know of a checked table: its size, its span, its nulls; it may come in parts."""

    def __init__(self) -> None:
        self.rows = 0
        self._ends: list[Any] = []
        self._symbols: set[str] | None = None
        self._nulls: Counter[str] = Counter()

    def watch(self, parts: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """Yield parts after having looked at them."""
        for part in parts:
            self.see(part)
            yield part

    def see(self, part: pl.DataFrame) -> None:
        """Take in the next rows."""
        self.rows += part.height
        if part.height:
            self._ends += [part["timestamp"].min(), part["timestamp"].max()]
        if "symbol" in part.columns:
            self._symbols = (self._symbols or set()) | set(part["symbol"].unique())
        self._nulls.update({name: part[name].null_count() for name in part.columns})

    def told(self, rules: Sequence[str] = ()) -> dict[str, Any]:
        """Return all that as JSON has it; `rules` are the codes of the rules that every row keeps."""
        span = {"first": str(min(self._ends)), "last": str(max(self._ends))} if self._ends else {}
        symbols = {} if self._symbols is None else {"symbols": len(self._symbols)}
        return {"rows": self.rows, **symbols, **span, "rules_kept_by_every_row": [*rules], "nulls": dict(self._nulls)}
