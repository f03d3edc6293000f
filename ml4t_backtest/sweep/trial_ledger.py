"""The trial ledger: a row for every trial that was ever run.

It is a folder of Parquet files that are only ever added to. Whoever finished trials writes a file of their rows under
a hidden name, waits until it has reached the disk and renames it: several may write at once, and one that is killed
leaves all rows or none. Readers take what is there. Many small files are merged into one now and then; a row that is
met twice meanwhile is known by its `attempt`.
"""

from __future__ import annotations

import fcntl
import os
import time
import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import polars as pl

from ml4t_backtest.core.instants import UTC_MICROSECONDS
from ml4t_backtest.data.safe_path import output_folder
from ml4t_backtest.data.store.object_store import address_of, is_remote
from ml4t_backtest.data.store.version_files import sync
from ml4t_backtest.errors import BacktestError, ConfigError

STATUSES = ("completed", "failed")
# Columns of every row; the figures of a run follow, one column each.
COLUMNS: dict[str, Any] = {
    "attempt": pl.String(),
    "trial": pl.String(),
    "sweep": pl.String(),
    "parameters": pl.List(pl.Struct({"key": pl.String(), "value": pl.String()})),
    "seed": pl.Int64(),
    "first_session": pl.Date(),
    "last_session": pl.Date(),
    "config_hash": pl.String(),
    "variant_hash": pl.String(),
    "data_hash": pl.String(),
    "code_hash": pl.String(),
    "status": pl.Enum(STATUSES),
    "error": pl.String(),
    "finished": UTC_MICROSECONDS,
    "duration_seconds": pl.Float64(),
    "sessions": pl.List(pl.Date()),
    "daily_returns": pl.List(pl.Float64()),
}
_MANY = 64
_LEFTOVER_SECONDS = 3600.0
_TRIES = 20


class TrialLedger:
    """Adds to and reads the ledger in a folder, which is made when the first row is written.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     ledger = TrialLedger(f"{folder}/ledger")
    ...     ledger.add([{"trial": "a", "status": "completed", "sharpe_ratio": 0.5}])
    ...     ledger.read().select("trial", "status", "sharpe_ratio").rows()
    [('a', 'completed', 0.5)]
    """

    def __init__(self, folder: str | Path) -> None:
        if is_remote(folder):
            raise ConfigError(
                f"{address_of(folder)}: the trial ledger needs a folder; for sweeps take an output root on "
                "this machine or on a file system that is shared"
            )
        self.folder = output_folder(folder)

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write rows: all of them are there afterwards, or none.

        Args:
            rows: Columns of `COLUMNS`, what is not given is null, and figures by name.

        Raises:
            BacktestError: The disk is full or read-only.
        """
        if not rows:
            return
        own = uuid.uuid4().hex
        known = [{**row, "attempt": f"{own}-{number}"} for number, row in enumerate(rows)]
        figures = dict.fromkeys(name for row in known for name in row if name not in COLUMNS)
        schema = {**COLUMNS, **dict.fromkeys(figures, pl.Float64())}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._write(pl.DataFrame(known, schema=schema), f"{own}.parquet")
        except OSError as error:
            raise BacktestError(f"{self.folder}: the trial ledger cannot be written: {error}") from error

    def read(self, *, returns: bool = True) -> pl.DataFrame:
        """Return all rows, in the order they were finished.

        Args:
            returns: Whether to read the daily returns too, which are most of the bytes.
        """
        for _ in range(_TRIES):
            try:
                return self._read(self._files(), returns)
            except FileNotFoundError:
                continue  # It was merged into another one meanwhile.
        raise BacktestError(f"{self.folder}: the trial ledger changes quicker than it can be read; try again")

    def completed_trials(self) -> set[str]:
        """Return every trial that was completed."""
        return set(self.read(returns=False).filter(pl.col("status") == "completed")["trial"])

    def tried(self, data_hashes: Sequence[str]) -> int:
        """Return how many variants were ever completed on some data, whichever sweep ran them over whichever span."""
        rows = self.read(returns=False).filter(pl.col("status") == "completed", pl.col("data_hash").is_in(data_hashes))
        return rows["variant_hash"].n_unique()

    def returns_of_others(self, data_hashes: Sequence[str], variants: Collection[str]) -> list[list[float]]:
        """Return the daily returns of every variant ever completed on some data but for `variants`.

        A session counts once: of several spans that hold it the whole one tells, else the one that began first.
        """
        done = self.read().filter(pl.col("status") == "completed", pl.col("data_hash").is_in(data_hashes))
        others = done.filter(~pl.col("variant_hash").is_in(list(variants)))
        days = (
            others.sort("variant_hash", "first_session", "last_session", "trial", nulls_last=False, maintain_order=True)
            .select("variant_hash", "sessions", "daily_returns")
            .explode("sessions", "daily_returns")
            .drop_nulls()
            .unique(["variant_hash", "sessions"], keep="first", maintain_order=True)
        )
        return days.group_by("variant_hash", maintain_order=True).agg("daily_returns")["daily_returns"].to_list()

    def compact(self, *, at_least: int = _MANY) -> bool:
        """Merge files into one where there are many, and take away what killed writers left.

        Args:
            at_least: Number of files from which on they are merged.

        Returns:
            Whether it was done: not where there are few, or somebody else does it just now.
        """
        if not self.folder.is_dir() or len(self._files()) < at_least:
            return False
        with self._alone() as alone:
            if not alone:
                return False
            files = self._files()
            self._write(self._read(files, returns=True), f"{uuid.uuid4().hex}.parquet")
            for file in files:
                file.unlink()
            self._remove_leftovers()
        return True

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("[0-9a-f]*.parquet"))

    def _read(self, files: Sequence[Path], returns: bool) -> pl.DataFrame:
        left_out = () if returns else ("sessions", "daily_returns")
        frames = [pl.DataFrame(schema=COLUMNS).drop(left_out)]
        for file in files:
            # Opened here, so that one that is gone is a FileNotFoundError for sure.
            with file.open("rb") as opened:
                frame = pl.read_parquet(opened)
            frames.append(frame.drop(left_out, strict=False))
        joined = pl.concat(frames, how="diagonal")
        return joined.unique("attempt", keep="first", maintain_order=True).sort("finished", "attempt")

    def _write(self, rows: pl.DataFrame, name: str) -> None:
        hidden = self.folder / f".{name}"
        try:
            rows.write_parquet(hidden)
            sync(hidden)
            os.replace(hidden, self.folder / name)
            sync(self.folder)
        finally:
            with suppress(FileNotFoundError):
                hidden.unlink()

    def _remove_leftovers(self) -> None:
        old = time.time() - _LEFTOVER_SECONDS
        for file in self.folder.glob(".*.parquet"):
            with suppress(FileNotFoundError):
                if file.stat().st_mtime < old:
                    file.unlink()

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Tell whether nobody else merges; a process that is killed lets go."""
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
                return
            yield True
        finally:
            os.close(descriptor)
