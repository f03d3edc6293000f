"""Which data sets ship inside the package, and where their files are.

A data set is a folder beside this module that holds a `provenance.json`; adding one is adding a folder.
Only the standard library is needed to look, so that listing data sets costs nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ml4t_backtest.errors import ConfigError

_HOME = Path(__file__).resolve().parent
_PROVENANCE = "provenance.json"


@dataclass(frozen=True, slots=True)
class DatasetFile:
    """One file of an embedded data set, as recorded when it was built.

    Attributes:
        name: File name inside the data set's folder.
        rows: Number of rows.
        sha256: Hex digest of the file's bytes.
    """

    name: str
    rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """What an embedded data set holds and under which terms.

    Attributes:
        name: Name to give to `dataset_path`.
        description: One sentence.
        path: Folder of the files.
        files: The data files, sorted by name.
        licence: Terms of each part, in words; the texts are in the folder's `PROVENANCE.md`.
        start: Session label of the first bar.
        end: Session label of the last bar.
        symbols: Symbols of the prices, sorted.
    """

    name: str
    description: str
    path: Path
    files: tuple[DatasetFile, ...]
    licence: str
    start: date
    end: date
    symbols: tuple[str, ...]


def list_datasets() -> list[DatasetInfo]:
    """Return every embedded data set, sorted by name.

    >>> [found.name for found in list_datasets()]
    ['us_tech_daily']
    """
    return [_read_info(found.parent) for found in sorted(_HOME.glob(f"*/{_PROVENANCE}"))]


def dataset_path(name: str, file: str | None = None) -> Path:
    """Return the folder of an embedded data set, or the path of one of its files.

    Args:
        name: Name of the data set, as listed by `list_datasets`.
        file: Name of a data file, for example `prices.parquet`; None for the folder.

    Raises:
        ConfigError: No such data set or file; the text names the nearest one.
    """
    known = {info.name: info for info in list_datasets()}
    if name not in known:
        raise ConfigError(_unknown("embedded data set", name, known))
    info = known[name]
    if file is None:
        return info.path
    files = [each.name for each in info.files]
    if file not in files:
        raise ConfigError(_unknown(f"file of data set {name!r}", file, files))
    return info.path / file


def _read_info(folder: Path) -> DatasetInfo:
    record: dict[str, Any] = json.loads((folder / _PROVENANCE).read_text(encoding="utf-8"))
    return DatasetInfo(
        name=folder.name,
        description=record["description"],
        path=folder,
        files=tuple(DatasetFile(name, each["rows"], each["sha256"]) for name, each in sorted(record["files"].items())),
        licence=record["licence"],
        start=date.fromisoformat(record["start"]),
        end=date.fromisoformat(record["end"]),
        symbols=tuple(record["symbols"]),
    )


def _unknown(what: str, given: str, known: Iterable[str]) -> str:
    names = sorted(known)
    nearest = get_close_matches(given, names, n=1, cutoff=0.5)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    return f"there is no {what} named {given!r}.{hint} Available: {', '.join(names) or 'none'}."
