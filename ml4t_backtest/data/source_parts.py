"""A source as parts of so many rows, for data that does not fit into memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from ml4t_backtest.data.all_at_once import require_all
from ml4t_backtest.data.files.file_formats import reads_anywhere
from ml4t_backtest.data.files.parquet_files import reading
from ml4t_backtest.data.loading import Columns
from ml4t_backtest.data.provenance import Stamp, source_stamps
from ml4t_backtest.data.sources import Source, collect, describe, scan, schema_of, unflagged
from ml4t_backtest.errors import CorruptDatasetError

if TYPE_CHECKING:
    import pandera.polars as pa


class SourceParts:
    """The rows of a source under this package's column names, in parts; they can be read again.

    Files are read lazily. A frame in memory is cut; a LazyFrame is collected first, because it need not give its rows
    in the same order twice.

    Attributes:
        file: Where the rows come from, for messages.
        height: Number of rows.
        are_many: Whether there is more than one part.
    """

    def __init__(
        self,
        source: Source,
        wanted: Sequence[str],
        schema: pa.DataFrameSchema,
        *,
        columns: Columns | None = None,
        optional: Sequence[str] = (),
        file: str | None,
        rows_at_once: int,
    ) -> None:
        """Open a source.

        Args:
            source: Where the rows are.
            wanted: Columns that must be there.
            schema: Of the rows once they are loaded.
            columns: This package's name -> the source's name.
            optional: Columns to take along where they are there.
            file: Where they come from, for messages; None for what the source says.
            rows_at_once: Number of rows of a part.

        Raises:
            DataValidationError: A column is absent, or the source is no source.
            CorruptDatasetError: A file cannot be read.
        """
        self.file = file or describe(source)
        lazy = scan(source, columns=columns, dataset=str(schema.name))
        require_all(lazy, wanted, schema, file=self.file)
        found = schema_of(lazy, file=self.file).names()
        lazy = lazy.select(*wanted, *(name for name in optional if name in found))
        is_path = isinstance(source, (str, Path))
        self._anywhere = not is_path or reads_anywhere(str(source))
        self._lazy = lazy if is_path else collect(lazy, file=self.file).lazy()
        self.height = int(collect(self._lazy.select(pl.len()), file=self.file).item())
        self._path = str(source) if is_path else None
        self._stamps = self._stamps_now()
        self._rows_at_once = rows_at_once
        self.are_many = self.height > rows_at_once

    def read(self, *names: str) -> Iterator[tuple[int, pl.DataFrame]]:
        """Yield each part, with the number of its first row; a source without rows has one part.

        Args:
            *names: Columns to read; none for all.

        Raises:
            CorruptDatasetError: A file cannot be read, or changed since the source was opened.
        """
        lazy = self._lazy.select(names) if names else self._lazy
        first = 0
        for part in self._parts(lazy):
            yield first, part
            first += part.height
        if first != self.height or self._stamps != self._stamps_now():
            raise CorruptDatasetError(f"{self.file or 'the data'} changed while it was read; start again")

    def _stamps_now(self) -> list[Stamp]:
        return [] if self._path is None else source_stamps(self._path)

    def _parts(self, lazy: pl.LazyFrame) -> Iterator[pl.DataFrame]:
        if not self.are_many:
            yield collect(lazy, file=self.file)
        elif self._anywhere:
            for first in range(0, self.height, self._rows_at_once):
                yield collect(lazy.slice(first, self._rows_at_once), file=self.file)
        else:
            with reading(self.file):
                for part in lazy.collect_batches(chunk_size=self._rows_at_once, maintain_order=True):
                    yield unflagged(part)
