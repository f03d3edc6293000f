"""Versioned folders of Parquet files that are either complete or invisible.

A version is written in a staging folder, its manifest last, and renamed to its content hash; then one small pointer
file `CURRENT` is replaced. A reader resolves the pointer once, opens what the manifest lists and checks it. A process
killed at any moment leaves the last published version readable.

    ROOT/NAME/versions/<content hash>/TABLE.parquet, manifest.json
    ROOT/NAME/CURRENT
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ml4t_backtest.core.schemas import SCHEMA_VERSION
from ml4t_backtest.errors import BacktestError, CorruptDatasetError, UnsafePathError

MANIFEST = "manifest.json"
POINTER = "CURRENT"
VERSIONS = "versions"
_STAGING = ".staging-"
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


@dataclass(frozen=True)
class Manifest:
    """What a version holds and what it was made from.

    Attributes:
        kind: `prepared`, `result` or another sort of data set.
        content_hash: sha256 over tables, attachments, kind and inputs; the name of the version's folder.
        files: File name -> rows and sha256 of the bytes.
        inputs: Name -> content hash of what it was made from (data, config, engine version).
        facts: Small values that belong to the data set, JSON only.
        schema_version: Version of `core.schemas` it was written with.
    """

    kind: str
    content_hash: str
    files: dict[str, dict[str, Any]]
    inputs: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION


def safe_path(root: str | Path, *names: str) -> Path:
    """Return `root` joined with names that can neither escape it nor be misread by a file system.

    Raises:
        UnsafePathError: A name is empty, too long, a device name, or has characters other than letters, digits,
            `_`, `.` and `-`.
    """
    for name in names:
        if not _SAFE_NAME.fullmatch(name) or name.endswith(".") or _DEVICES.fullmatch(name):
            raise UnsafePathError(
                f"{name[:80]!r} cannot be part of a path; use 1 to 64 letters, digits, '_', '.', '-', starting with "
                "a letter or digit"
            )
    return Path(root, *names)


def content_hash(tables: Mapping[str, pl.DataFrame]) -> str:
    """Return a sha256 over names, types and values of the tables, whatever file layout they came from.

    Text columns count by value: String, Categorical and Enum hash alike.
    """
    digest = hashlib.sha256()
    for name in sorted(tables):
        digest.update(f"{name}:{tables[name].height}".encode())
        for column in tables[name].get_columns():
            for part in _column_bytes(column):
                digest.update(part)
    return digest.hexdigest()


def _column_bytes(column: pl.Series) -> Iterator[bytes]:
    """Yield what a column says: its name and type, where it is null, and its values with nulls zeroed.

    Arrow buffers themselves will not do: equal columns may differ in chunks, offsets and unused validity bits.
    """
    if column.dtype in (pl.Categorical, pl.Enum):
        column = column.cast(pl.String)
    yield f"{column.name}:{column.dtype}".encode()
    yield np.packbits(column.is_null().to_numpy()).tobytes()
    if column.dtype == pl.String:
        text = column.fill_null("")
        yield text.str.len_bytes().to_numpy().tobytes()
        yield "".join(text).encode()
    else:
        yield column.to_physical().fill_null(0).to_numpy().tobytes()


def publish(
    root: str | Path,
    name: str,
    tables: Mapping[str, pl.DataFrame],
    *,
    kind: str,
    inputs: Mapping[str, str] | None = None,
    facts: Mapping[str, Any] | None = None,
    attachments: Mapping[str, bytes] | None = None,
) -> Manifest:
    """Write the tables as a new version of data set `name` and make it the current one.

    Args:
        root: Folder of data sets.
        name: Data set; several parts may be joined by `/`.
        tables: Table name -> frame; each becomes one Parquet file.
        kind: Sort of data set, for the manifest.
        inputs: Content hashes of what it was made from.
        facts: Small JSON values.
        attachments: File name -> bytes, stored and listed beside the tables (a report, a config).

    Raises:
        UnsafePathError: A name is no safe path.
        BacktestError: The disk is full or read-only; the version published before is still current.
    """
    home = safe_path(root, *name.split("/"))
    try:
        (home / VERSIONS).mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=home))
        try:
            manifest = _write_version(
                staging, tables, kind, dict(inputs or {}), dict(facts or {}), dict(attachments or {})
            )
            _move_into_place(staging, home / VERSIONS / manifest.content_hash)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        _replace_text(home / POINTER, manifest.content_hash)
    except OSError as error:
        raise _write_error(home, error) from error
    return manifest


def current_version(root: str | Path, name: str) -> Path:
    """Return the folder of the published version.

    Raises:
        CorruptDatasetError: Nothing was published under this name.
    """
    home = safe_path(root, *name.split("/"))
    pointer = home / POINTER
    if not pointer.is_file():
        raise CorruptDatasetError(f"nothing is published as {name!r} in {root}; materialize or run it first")
    return safe_path(home / VERSIONS, pointer.read_text(encoding="utf-8").strip())


def is_published(root: str | Path, name: str) -> bool:
    """Return whether a version of `name` can be resolved."""
    return (safe_path(root, *name.split("/")) / POINTER).is_file()


def read_manifest(version: str | Path) -> Manifest:
    """Return the manifest of a version folder.

    Raises:
        CorruptDatasetError: It is absent or unreadable, or was written by a newer schema.
    """
    path = Path(version) / MANIFEST
    if not path.is_file():
        raise CorruptDatasetError(f"{version} has no {MANIFEST}: the data set is incomplete")
    try:
        manifest = Manifest(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise CorruptDatasetError(f"{path} is damaged: {error}") from error
    if manifest.schema_version != SCHEMA_VERSION:
        raise CorruptDatasetError(
            f"{path} has schema version {manifest.schema_version}, this package reads {SCHEMA_VERSION}: write it again"
        )
    return manifest


def checked_file(version: str | Path, manifest: Manifest, file: str) -> Path:
    """Return the path of a listed file after comparing its bytes with the manifest.

    Raises:
        CorruptDatasetError: The file is not listed, absent or changed.
    """
    if file not in manifest.files:
        raise CorruptDatasetError(f"{version} lists no file {file!r}; it has {', '.join(sorted(manifest.files))}")
    path = Path(version) / file
    if not path.is_file():
        raise CorruptDatasetError(f"{path} is listed in the manifest but absent: the data set is incomplete")
    if _sha256(path) != manifest.files[file]["sha256"]:
        raise CorruptDatasetError(f"{path} differs from its manifest: the file is damaged or was changed")
    return path


def read_table(version: str | Path, manifest: Manifest, table: str) -> pl.DataFrame:
    """Return one table of a version, checked against the manifest."""
    return pl.read_parquet(checked_file(version, manifest, f"{table}.parquet"), hive_partitioning=False)


def _write_version(
    staging: Path,
    tables: Mapping[str, pl.DataFrame],
    kind: str,
    inputs: dict[str, str],
    facts: dict[str, Any],
    attachments: Mapping[str, bytes],
) -> Manifest:
    files: dict[str, dict[str, Any]] = {}
    for table, frame in tables.items():
        path = safe_path(staging, f"{table}.parquet")
        frame.write_parquet(path, compression="zstd", compression_level=3, statistics=True)
        _sync(path)
        files[path.name] = {"rows": frame.height, "sha256": _sha256(path)}
    for file, content in attachments.items():
        path = safe_path(staging, file)
        path.write_bytes(content)
        _sync(path)
        files[path.name] = {"rows": None, "sha256": _sha256(path)}
    identity = content_hash(tables)
    extra = {file: files[file]["sha256"] for file in attachments}
    version = hashlib.sha256(json.dumps([identity, kind, inputs, extra], sort_keys=True).encode()).hexdigest()
    manifest = Manifest(kind, version, files, inputs, {**facts, "tables_hash": identity})
    _replace_text(staging / MANIFEST, json.dumps(asdict(manifest), indent=1, sort_keys=True))
    return manifest


def _move_into_place(staging: Path, target: Path) -> None:
    """Rename a finished version, unless it is there already: then it stays, so that readers never miss it."""
    if _is_intact(target):
        return
    shutil.rmtree(target, ignore_errors=True)
    os.replace(staging, target)
    _sync(target.parent)


def _is_intact(version: Path) -> bool:
    try:
        manifest = read_manifest(version)
        for file in manifest.files:
            checked_file(version, manifest, file)
    except CorruptDatasetError:
        return False
    return True


def _replace_text(path: Path, text: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=_STAGING)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_error(home: Path, error: OSError) -> BacktestError:
    code = "E-FL-NOSPC" if error.errno == errno.ENOSPC else "E-FL-WRITE"
    return BacktestError(f"{code}: {home} cannot be written ({error.strerror}); what was published before is unchanged")
