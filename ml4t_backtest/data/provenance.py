"""What prepared data was made from, as hashes: the bytes of its sources and the code that read them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path

from ml4t_backtest.data.files.file_formats import files_behind
from ml4t_backtest.data.files.parquet_files import hive_keys
from ml4t_backtest.data.store.version_files import sha256_of

_PACKAGE = Path(__file__).resolve().parents[1]
_PREPARING = ("core", "data", "dataset_stages")
# What prepared data depends on beside this package: formulas, sessions, joins.
_LIBRARIES = ("polars", "polars-talib", "exchange_calendars", "numpy")

# Name, inode, size and time of the last change of a file.
Stamp = tuple[str, int, int, int]


def source_hash(path: str, dataset: str = "data") -> str | None:
    """Return a sha256 over the bytes of the files behind a path and over where they lie in it.

    Args:
        path: File, folder or glob as a source names it; a published data set stands for its current version.
        dataset: What it is, for messages.

    Returns:
        The hash; None for a remote address, whose bytes are not at hand.

    Raises:
        DataValidationError: There is no such file.
        CorruptDatasetError: A published data set is damaged.
    """
    files = files_behind(path, dataset)
    return None if files is None else _joined((name, sha256_of(file)) for name, file in _named(files))


def text_hash(text: str) -> str:
    """Return the sha256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def source_stamps(path: str) -> list[Stamp]:
    """Return what changes when one of the files behind a path does, as far as the file system tells."""
    states = [(name, file.stat()) for name, file in _named(files_behind(path) or [])]
    return [(name, state.st_ino, state.st_size, state.st_mtime_ns) for name, state in states]


@cache
def code_hash(*rooms: str) -> str:
    """Return a sha256 over code of this package and the versions of the libraries it stands on.

    Args:
        rooms: Folders of the package, `.` for all of it. Default: those that prepare data.
    """
    modules = [file for room in rooms or _PREPARING for file in sorted((_PACKAGE / room).rglob("*.py"))]
    own = [(str(file.relative_to(_PACKAGE)), sha256_of(file)) for file in modules]
    return _joined([*own, *((library, version(library)) for library in _LIBRARIES)])


@cache
def package_hash() -> str:
    """Return a sha256 over all code of this package."""
    return _joined((str(file.relative_to(_PACKAGE)), sha256_of(file)) for file in sorted(_PACKAGE.rglob("*.py")))


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that results depend on."""
    return {library: version(library) for library in _LIBRARIES}


def _named(files: list[Path]) -> list[tuple[str, Path]]:
    """Return files with what their paths say of their rows: hive keys, order, format. A lone file has any name.

    Of what lies elsewhere than in this machine's folders there are none to tell of.
    """
    if not files:
        return []
    if len(files) == 1:
        return [(f"{hive_keys(files[0])}{files[0].suffix}", files[0])]
    above = Path(os.path.commonpath(files))
    return [(f"{hive_keys(file)}{file.relative_to(above)}", file) for file in files]


def _joined(parts: Iterable[tuple[str, str]]) -> str:
    digest = hashlib.sha256()
    for name, value in parts:
        digest.update(f"{len(name)}:{name}:{value}\n".encode())
    return digest.hexdigest()
