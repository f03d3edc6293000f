"""Versioned folders of Parquet files that are either complete or invisible.

A version is written in a staging folder, its manifest last, and renamed to its content hash; then one small pointer
file `CURRENT` is replaced. A reader resolves the pointer once, opens what the manifest lists and checks it. A process
killed at any moment leaves the last published version readable.

    ROOT/NAME/versions/<content hash>/TABLE.parquet, manifest.json
    ROOT/NAME/CURRENT

How a version lies in files: `version_files.py`. ROOT may be an address, `s3://BUCKET/PREFIX`: then all of this happens
in a mirror on this machine, and the store has the last word (`mirror.py`).
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from ml4t_backtest.data.content_hash import content_hash, refuse_foreign_types
from ml4t_backtest.data.files.parquet_files import reading
from ml4t_backtest.data.safe_path import safe_path
from ml4t_backtest.data.store import mirror
from ml4t_backtest.data.store.manifest import MANIFEST, Manifest, read_manifest
from ml4t_backtest.data.store.object_store import address_of, is_remote, key_of, on_this_machine
from ml4t_backtest.data.store.upkeep import (
    POINTER,
    VERSIONS,
    hold,
    new_staging,
    pointed_to,
    pointing,
    tidy,
    version_folders,
)
from ml4t_backtest.data.store.version_files import (
    PLAIN,
    Attachment,
    Layout,
    Table,
    VersionFiles,
    path_of,
    sha256_of,
    sync,
)
from ml4t_backtest.errors import BacktestError, CorruptDatasetError, UnsafePathError

__all__ = [
    "Attachment",
    "Layout",
    "MANIFEST",
    "POINTER",
    "VERSIONS",
    "Manifest",
    "Staged",
    "Table",
    "checked_file",
    "content_hash",
    "current_version",
    "is_published",
    "is_published_folder",
    "names_in",
    "publish",
    "published_as",
    "published_files",
    "read_manifest",
    "read_table",
    "safe_path",
    "staged",
    "table_files",
    "versions_of",
]
_NAMED_AT_MOST = 12


@dataclass(frozen=True)
class Staged:
    """A version that is written and that nobody sees yet.

    Attributes:
        manifest: What it holds.
    """

    manifest: Manifest
    _home: Path
    _folder: Path
    _keep: int

    def make_current(self) -> Manifest:
        """Move the version into place and point to it.

        Raises:
            BacktestError: The disk is full or read-only, or the store does not answer; the version published before
                is still current.
        """
        with _writing(self._home):
            with pointing(self._home):
                self._point_to(self._home / VERSIONS / self.manifest.content_hash)
            tidy(self._home, self._keep)
        if mirror.is_mirror(self._home):
            mirror.upload_version(self._home / VERSIONS / self.manifest.content_hash, self.manifest)
        return self.manifest

    def _point_to(self, version: Path) -> None:
        before = pointed_to(self._home)
        _move_into_place(self._folder, version)
        if before is not None and before != version:
            # Whoever reads the one that is replaced now has an hour for it.
            with suppress(FileNotFoundError):
                os.utime(before)
                os.utime(version)
        _replace_text(self._home / POINTER, version.name)


@contextmanager
def staged(
    root: str | Path,
    name: str,
    tables: Mapping[str, Table],
    *,
    kind: str,
    inputs: Mapping[str, str] | None = None,
    facts: Mapping[str, Any] | None = None,
    attachments: Mapping[str, Attachment] | None = None,
    layout: Layout = PLAIN,
    keep: int = 5,
    provenance: Mapping[str, Any] | None = None,
) -> Iterator[Staged]:
    """Write the tables as a version of data set `name` that becomes visible by `make_current`, or never.

    Args:
        root: Folder of data sets, or an address.
        name: Data set; several parts may be joined by `/`.
        tables: Table name -> frame, or its parts one after the other where `layout` has it by month.
        kind: Sort of data set, for the manifest.
        inputs: Content hashes of what it was made from.
        facts: Small JSON values.
        attachments: File name -> bytes, or a function that is called for them when the tables are written; they are
            stored and listed beside the tables (a report, a config).
        layout: How the tables lie in files.
        keep: Number of versions that stay, the current one among them; younger ones than an hour stay as well.
        provenance: Small JSON values that say where and with what it was made; no part of its content hash.

    Raises:
        UnsafePathError: A name is no safe path, or two files would have the same one.
        DataValidationError: A column is of a type that is not stored.
        BacktestError: The disk is full or read-only.
    """
    home = _home(root, name)
    names = [table if table in layout.by_month else f"{table}.parquet" for table in tables]
    _refuse_clashes([MANIFEST, *names, *(attachments or {})])
    for table, frame in tables.items():
        if isinstance(frame, pl.DataFrame):
            refuse_foreign_types({table: frame})
    staging, made, lock = new_staging(home), _absent(home / VERSIONS), list[int]()
    try:
        with _writing(home):
            (home / VERSIONS).mkdir(parents=True, exist_ok=True)
            staging.mkdir()
            lock.append(hold(staging))
            files = VersionFiles(staging, layout)
            files.write(tables, attachments or {})
            manifest = Manifest.of(
                kind,
                files.listed,
                inputs=inputs or {},
                facts=facts or {},
                table_hashes=files.table_hashes,
                provenance=provenance,
            )
            _replace_text(staging / MANIFEST, manifest.text())
        yield Staged(manifest, home, staging, keep)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        for descriptor in lock:
            os.close(descriptor)
        # Of a version that never was, not even the folders stay.
        for folder in made:
            with suppress(OSError):
                folder.rmdir()


def publish(
    root: str | Path,
    name: str,
    tables: Mapping[str, Table],
    *,
    kind: str,
    inputs: Mapping[str, str] | None = None,
    facts: Mapping[str, Any] | None = None,
    attachments: Mapping[str, Attachment] | None = None,
    layout: Layout = PLAIN,
    keep: int = 5,
    provenance: Mapping[str, Any] | None = None,
) -> Manifest:
    """Write the tables as a new version of data set `name` and make it the current one; arguments as for `staged`.

    Raises:
        UnsafePathError: A name is no safe path, or two files would have the same one.
        DataValidationError: A column is of a type that is not stored.
        BacktestError: The disk is full or read-only; the version published before is still current.
    """
    with staged(
        root,
        name,
        tables,
        kind=kind,
        inputs=inputs,
        facts=facts,
        attachments=attachments,
        layout=layout,
        keep=keep,
        provenance=provenance,
    ) as version:
        return version.make_current()


def current_version(root: str | Path, name: str) -> Path:
    """Return the folder of the published version.

    Raises:
        CorruptDatasetError: Nothing was published under this name, or its pointer is damaged.
    """
    home = _home(root, name)
    current = mirror.current_version(home) if is_remote(root) else pointed_to(home)
    if current is None and not is_published(root, name):
        raise CorruptDatasetError(
            f"nothing is published as {name!r} in {address_of(root)}; materialize or run it first{_also_there(root)}"
        )
    if current is None:
        raise CorruptDatasetError(f"{home / POINTER} is damaged: it names no version; publish {name!r} again")
    return current


def _also_there(root: str | Path) -> str:
    """Return the first names that are published in a folder of this machine, as the end of a sentence."""
    # A folder that may not be looked into is passed over.
    pointers = [] if is_remote(root) else sorted(Path(root).glob(f"*/{POINTER}"))
    there = [pointer.parent.name for pointer in pointers]
    more = ", ..." if len(there) > _NAMED_AT_MOST else ""
    return f". There are: {', '.join(there[:_NAMED_AT_MOST])}{more}" if there else ""


def versions_of(root: str | Path, name: str) -> list[Path]:
    """Return the folders of the versions of `name` that lie there, the youngest first."""
    home = _home(root, name)
    return mirror.versions_of(home) if is_remote(root) else version_folders(home)


def names_in(root: str | Path) -> list[str]:
    """Return the names of what lies right in a folder of data sets, sorted."""
    folder = on_this_machine(root)
    if is_remote(root):
        return mirror.names_under(folder)
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def is_published(root: str | Path, name: str) -> bool:
    """Return whether a version of `name` can be resolved."""
    home = _home(root, name)
    return mirror.is_published(home) if is_remote(root) else (home / POINTER).is_file()


def checked_file(version: str | Path, manifest: Manifest, file: str) -> Path:
    """Return the path of a listed file after comparing its bytes with the manifest.

    Raises:
        CorruptDatasetError: The file is not listed, absent or changed.
    """
    if file not in manifest.files:
        raise CorruptDatasetError(f"{version} lists no file {file!r}; it has {', '.join(sorted(manifest.files))}")
    path, expected = path_of(version, file), manifest.files[file]["sha256"]
    is_mirror = mirror.is_mirror(path)
    if not path.is_file() and not (is_mirror and mirror.fetched(Path(version), file, expected)):
        raise CorruptDatasetError(f"{path} is listed in the manifest but absent: the data set is incomplete")
    with reading(path):
        found = sha256_of(path)
    if found != expected and not (is_mirror and mirror.fetched(Path(version), file, expected)):
        raise CorruptDatasetError(f"{path} differs from its manifest: the file is damaged or was changed")
    return path


def read_table(version: str | Path, manifest: Manifest, table: str) -> pl.DataFrame:
    """Return one table of a version, checked against the manifest.

    Raises:
        CorruptDatasetError: As for `checked_file`, or it is no Parquet file of the listed number of rows.
    """
    files = table_files(manifest, table) or [f"{table}.parquet"]
    frames = [_read(checked_file(version, manifest, file), manifest.files[file]["rows"]) for file in files]
    return frames[0] if len(frames) == 1 else pl.concat(frames)


def table_files(manifest: Manifest, table: str) -> list[str]:
    """Return the files that hold a table, in the order of its rows."""
    return sorted(file for file in manifest.files if file == f"{table}.parquet" or file.startswith(f"{table}/"))


def published_as(path: Path) -> str:
    """Return where a file or folder of a version lies for everybody: its path, or its address for one of a mirror."""
    key = key_of(path)
    return str(path.absolute()) if key is None else f"s3://{key}"


def is_published_folder(folder: Path) -> bool:
    """Return whether a folder is one that `publish` writes versions into, or one of those versions."""
    try:
        return _has_versions(folder) or _is_version(folder)
    except (OSError, ValueError):
        return False


def published_files(folder: Path) -> list[Path]:
    """Return the files of the main table of a data set's current version (or of a version), checked by its manifest.

    That is the table the manifest's fact `table` names, or the only one.

    Raises:
        CorruptDatasetError: The pointer is damaged, a file is absent or changed, or there is no main table.
    """
    version = folder if _is_version(folder) else pointed_to(folder)
    if version is None:
        raise CorruptDatasetError(f"{folder / POINTER} is damaged: it names no version; publish the data set again")
    manifest = read_manifest(version)
    listed = {file.split("/")[0].removesuffix(".parquet") for file in manifest.files if file.endswith(".parquet")}
    main = manifest.facts.get("table") if len(listed) > 1 else next(iter(listed), None)
    if main not in listed:
        raise CorruptDatasetError(f"{folder} holds {len(listed)} tables and says of none that it is the one to read")
    return [checked_file(version, manifest, file) for file in table_files(manifest, str(main))]


def _has_versions(folder: Path) -> bool:
    return (folder / POINTER).is_file() and (folder / VERSIONS).is_dir()


def _is_version(folder: Path) -> bool:
    home = folder.absolute().parent
    return home.name == VERSIONS and folder.is_dir() and _has_versions(home.parent)


def _home(root: str | Path, name: str) -> Path:
    """Return the folder of a data set, which is not called like a part of one."""
    parts = name.split("/")
    for part in parts:
        if part.casefold() in (POINTER.casefold(), VERSIONS.casefold()):
            raise UnsafePathError(f"{name[:80]!r} cannot name a data set: {part!r} is a part of each")
    # The folder of versions must not lead elsewhere either.
    return safe_path(on_this_machine(root), *parts, VERSIONS).parent


def _absent(folder: Path) -> list[Path]:
    """Return a folder and those above it that do not exist, the innermost first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def _refuse_clashes(files: list[str]) -> None:
    alike = [file.casefold() for file in files]
    twice = sorted({file for file in files if alike.count(file.casefold()) > 1})
    if twice:
        raise UnsafePathError(f"two files of one version would be called {twice[0][:80]!r}; rename one")


def _read(path: Path, rows: int | None) -> pl.DataFrame:
    with reading(path):
        frame = pl.read_parquet(path, glob=False, hive_partitioning=False)
    if frame.height != rows:
        raise CorruptDatasetError(f"{path} has {frame.height} rows, its manifest says {rows}")
    return frame


def _move_into_place(staging: Path, target: Path) -> None:
    """Rename a finished version, unless it is there already: then it stays, so that readers never miss it."""
    try:
        os.replace(staging, target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        if _is_intact(target):
            return
        aside = new_staging(target.parent.parent)
        os.replace(target, aside)
        _move_into_place(staging, target)
        shutil.rmtree(aside, ignore_errors=True)
    sync(target.parent)


def _is_intact(version: Path) -> bool:
    try:
        manifest = read_manifest(version)
        for file in manifest.files:
            checked_file(version, manifest, file)
    except CorruptDatasetError:
        return False
    return True


def _replace_text(path: Path, text: str) -> None:
    temporary = new_staging(path.parent)
    try:
        with temporary.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)


@contextmanager
def _writing(home: Path) -> Iterator[None]:
    """Turn what the system says while files are written into this package's error."""
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _write_error(home, error) from error


def _write_error(home: Path, error: Exception) -> BacktestError:
    # Polars tells the system's error by its number in the text only.
    number = error.errno if isinstance(error, OSError) else None
    is_full = number == errno.ENOSPC or f"os error {errno.ENOSPC}" in str(error)
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error).splitlines()[0]
    code = "E-FL-NOSPC" if is_full else "E-FL-WRITE"
    return BacktestError(f"{code}: {home} cannot be written ({reason}); what was published before is unchanged")
