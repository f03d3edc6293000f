"""Whether files are still those that were looked at: a replaced one must not be mixed with what was read of the old."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ml4t_backtest.data.sources import Source
from ml4t_backtest.errors import CorruptDatasetError

_State = tuple[int, int, int]


class FileStates:
    """The files below a local path as they were when they were first looked at."""

    def __init__(self, source: Source) -> None:
        """Look at the files of a source; frames and remote addresses have none."""
        path = Path(os.path.expanduser(source)) if isinstance(source, (str, Path)) else None
        self._states: dict[Path, _State | None] = {}
        try:
            if path is not None and "://" not in str(source):
                files = path.rglob("*") if path.is_dir() else [path]
                self._states = {file: _state(file) for file in files if file.is_file()}
        except (OSError, ValueError):
            pass  # What is wrong with a path is said by whoever reads it.

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Read under it: what was read is of the files that were looked at, all of it.

        Raises:
            CorruptDatasetError: A file was replaced, changed or removed meanwhile.
        """
        self._require_same()
        try:
            yield
        finally:
            self._require_same()

    def _require_same(self) -> None:
        for file, state in self._states.items():
            if _state(file) != state:
                raise CorruptDatasetError(f"{file} was replaced or changed while it was read; start again")


def _state(file: Path) -> _State | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
