"""Prepared data that workers share: Arrow files that each maps into its memory, so that it is decoded once for all.

A folder is named after the content it holds and appears whole or not at all. It is a copy, uncompressed, that can be
made again: what no sweep has asked for in a week is removed by the next one that shares anything.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl

from ml4t_backtest.data.prepared import PREPARED_TABLES, Prepared, PreparedData
from ml4t_backtest.data.safe_path import safe_path
from ml4t_backtest.data.store.version_files import sync
from ml4t_backtest.errors import BacktestError

_NAMES = "names.json"
# Longer than any sweep runs: workers that are started late open the folder late.
_KEPT_SECONDS = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class SharedData:
    """Where a prepared data set lies for workers.

    Attributes:
        folder: Folder of its Arrow files.
        content_hash: What it holds.
    """

    folder: Path
    content_hash: str

    def open(self) -> PreparedData:
        """Return the data, its bars mapped into memory; the same object again for the same data."""
        return _opened(self.folder)


def share(prepared: Prepared, root: str | Path) -> SharedData:
    """Write prepared data for workers, where it does not lie there yet.

    Args:
        prepared: The data.
        root: Folder of shared data.

    Raises:
        BacktestError: The disk is full or read-only.
    """
    target = safe_path(root, prepared.content_hash[:32])
    if not target.is_dir():
        staging = safe_path(root, f"staging-{uuid.uuid4().hex}")
        try:
            _write(prepared, staging)
            os.rename(staging, target)
        except OSError as error:
            shutil.rmtree(staging, ignore_errors=True)
            if not target.is_dir():  # Else somebody else was quicker: it is the same data.
                raise BacktestError(f"{target}: data for the workers cannot be written: {error}") from error
    with suppress(OSError):  # Somebody else's folder on a shared file system: its age is theirs to renew.
        os.utime(target)
    _remove_unused(Path(root))
    return SharedData(target.absolute(), prepared.content_hash)


def _remove_unused(root: Path) -> None:
    """Remove what nobody has asked for in a long time, and what killed sweeps left half-written."""
    old = time.time() - _KEPT_SECONDS
    for folder in root.iterdir():
        with suppress(FileNotFoundError):
            if folder.stat().st_mtime < old:
                shutil.rmtree(folder, ignore_errors=True)


def _write(prepared: Prepared, folder: Path) -> None:
    folder.mkdir(parents=True)
    for table in PREPARED_TABLES:
        frame: pl.DataFrame = getattr(prepared, table)
        # In one piece, so that a column that is mapped is one array.
        file, whole = folder / f"{table}.arrow", max(1, frame.height)
        frame.rechunk().write_ipc(file, compression="uncompressed", record_batch_size=whole)
        sync(file)
    names = {kind: list(getattr(prepared, kind)) for kind in ("signals", "indicators", "context")}
    (folder / _NAMES).write_text(json.dumps(names), encoding="utf-8")
    sync(folder / _NAMES)


@lru_cache(maxsize=4)
def _opened(folder: Path) -> PreparedData:
    tables: dict[str, Any] = {table: _mapped(folder / f"{table}.arrow") for table in PREPARED_TABLES}
    named = json.loads((folder / _NAMES).read_text(encoding="utf-8"))
    columns: dict[str, Any] = {kind: tuple(names) for kind, names in named.items()}
    return PreparedData(**tables, **columns)


def _mapped(file: Path) -> pl.DataFrame:
    """Return the frame in a file: its pages are those of every process that maps it, where pyarrow is installed.

    Polars reads such a file into memory of its own, which comes to the same figures.
    """
    if find_spec("pyarrow") is None:
        return pl.read_ipc(file)
    import pyarrow

    frame = pl.from_arrow(pyarrow.ipc.open_file(pyarrow.memory_map(str(file))).read_all())
    assert isinstance(frame, pl.DataFrame)
    return frame
