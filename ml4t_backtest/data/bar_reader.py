"""Reads the bars of a span of time in (timestamp, symbol) order, symbols as an Enum."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from ml4t_backtest.data.files.file_states import FileStates
from ml4t_backtest.data.sources import collect
from ml4t_backtest.errors import CorruptDatasetError

_KEY = ("timestamp", "symbol")


class BarReader:
    """Bars whose every row was checked, wherever they lie."""

    def __init__(
        self, rows: pl.LazyFrame, symbols: list[str], states: FileStates, *, file: str | None, in_memory: bool
    ) -> None:
        """Open the bars.

        Args:
            rows: The bars, in any order; only these symbols among them.
            symbols: Ascending.
            states: Of the files that were looked at.
            file: Where they lie.
            in_memory: Whether they are a frame already: then they are put in order and in one piece once, and a span is
                a view of them.
        """
        self._symbols = pl.Enum(symbols)
        self._file = file
        self._states = states
        self._rows = rows
        self._frame = in_order(self._named(collect(rows, file=file))).rechunk() if in_memory else None

    def between(self, first: datetime, last: datetime, height: int) -> pl.DataFrame:
        """Return the bars from `first` to `last`, inclusive, in one piece; `height` is how many there must be.

        In one piece each column is an array without a copy, and a slice of it a view that is found at once.

        Raises:
            CorruptDatasetError: The rows are not those that were checked.
        """
        if self._frame is not None:
            return self._frame.slice(int(self._frame["timestamp"].search_sorted(first, side="left")), height)
        with self._states.unchanged():
            rows = collect(self._rows.filter(pl.col("timestamp").is_between(first, last)), file=self._file)
        if rows.height != height:
            raise CorruptDatasetError(
                f"{self._file or 'the data'} gives {rows.height} rows from {first} to {last} where {height} were "
                "checked: it changed meanwhile, or its rows are flagged as sorted and are not"
            )
        return in_order(self._named(rows)).rechunk()

    def none(self) -> pl.DataFrame:
        """Return the columns without a row."""
        return self._named(collect(self._rows.limit(0), file=self._file))

    def _named(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.with_columns(pl.col("symbol").cast(self._symbols))


def in_order(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows by timestamp and symbol; as they are where their values say that they lie so.

    What a file or a frame claims of its order is not asked: comparing takes a tenth of the time of sorting.
    """
    stamp, symbol = pl.col("timestamp").to_physical(), pl.col("symbol").to_physical()
    same = stamp == stamp.shift(1)
    ascends = ((stamp > stamp.shift(1)) | (same & (symbol > symbol.shift(1)))).all()
    return rows if rows.select(ascends).item() else rows.sort(*_KEY)
