"""Versions on an object store: uploaded when they are whole, mirrored here when they are read.

The files go first, the manifest after them, and last, in one request, the pointer. A version without a manifest is
none; a writer that is killed leaves the pointer as it was. A mirror holds a version's manifest, and of its files those
that were read; each is compared with the manifest, and fetched again where it differs. Mirrors may be deleted at any
time.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ml4t_backtest.data.store import object_store
from ml4t_backtest.data.store.manifest import MANIFEST, Manifest, read_manifest
from ml4t_backtest.data.store.upkeep import POINTER, VERSIONS, new_staging
from ml4t_backtest.data.store.version_files import path_of, sha256_of
from ml4t_backtest.errors import CorruptDatasetError

HASH = re.compile(r"[0-9a-f]{64}")


def upload_version(version: Path, manifest: Manifest) -> None:
    """Upload a version that lies whole in a mirror, and point to it.

    Raises:
        BacktestError: The store cannot be written; what it pointed to before is still current.
    """
    key = _key(version)
    held = object_store.read(f"{key}/{MANIFEST}")
    if held is None or not _is_whole(version, manifest, held):
        for file in sorted(manifest.files):
            object_store.upload(path_of(version, file), f"{key}/{file}")
        held = (version / MANIFEST).read_bytes()
    # Written again where it was there: whoever cleans up leaves alone what is younger than an hour.
    object_store.put(f"{key}/{MANIFEST}", held)
    object_store.put(f"{_key(version.parents[1])}/{POINTER}", version.name.encode())


def current_version(home: Path) -> Path | None:
    """Return the mirror of the version that the store points to; None where nothing is published.

    Raises:
        CorruptDatasetError: The pointer is damaged, or names a version that is not whole.
    """
    key = f"{_key(home)}/{POINTER}"
    pointer = object_store.read(key)
    if pointer is None:
        return None
    name = pointer.decode("ascii", "replace").strip()
    if not HASH.fullmatch(name):
        raise CorruptDatasetError(f"s3://{key} is damaged: it names no version; publish it again")
    return _mirrored(home / VERSIONS / name)


def versions_of(home: Path) -> list[Path]:
    """Return the mirrors of all versions that have a manifest, the youngest first."""
    manifests = {
        Path(key).parent.name: written
        for key, written in object_store.listed(f"{_key(home)}/{VERSIONS}").items()
        if key.endswith(f"/{MANIFEST}") and HASH.fullmatch(Path(key).parent.name)
    }
    names = sorted(manifests, key=lambda name: (-manifests[name], name))
    return [_mirrored(home / VERSIONS / name) for name in names]


def names_under(folder: Path) -> list[str]:
    """Return the names that are published right under a mirrored folder."""
    start = f"{_key(folder)}/"
    return sorted(
        key.removeprefix(start).removesuffix(f"/{POINTER}")
        for key in object_store.listed(_key(folder))
        if key.endswith(f"/{POINTER}") and key.removeprefix(start).count("/") == 1
    )


def is_published(home: Path) -> bool:
    """Return whether the store points to a version."""
    return object_store.size_of(f"{_key(home)}/{POINTER}") is not None


def fetched(version: Path, file: str, sha256: str) -> bool:
    """Fetch a listed file of a mirrored version; whether the store holds it as the manifest has it."""
    path = path_of(version, file)
    path.parent.mkdir(parents=True, exist_ok=True)
    return _fetch(f"{_key(version)}/{file}", path, sha256)


def is_mirror(path: Path) -> bool:
    """Return whether a path lies in a mirror."""
    return object_store.key_of(path) is not None


def _mirrored(version: Path) -> Path:
    """Return a version's folder in the mirror after making sure that its manifest is there, and is its own."""
    path = version / MANIFEST
    if not path.is_file():
        version.mkdir(parents=True, exist_ok=True)
        _fetch(f"{_key(version)}/{MANIFEST}", path, None)
    try:
        manifest = read_manifest(version)
    except CorruptDatasetError:
        # The next reader asks the store again.
        path.unlink(missing_ok=True)
        raise
    if manifest.content_hash != version.name:
        raise CorruptDatasetError(f"s3://{_key(path)} is that of another version: {manifest.content_hash}")
    # Whoever tidies up the mirror sees that it is in use.
    with suppress(FileNotFoundError):
        os.utime(version)
    return version


def _fetch(key: str, path: Path, sha256: str | None) -> bool:
    temporary = new_staging(path.parent)
    try:
        if not object_store.fetch(key, temporary) or (sha256 is not None and sha256_of(temporary) != sha256):
            return False
        os.replace(temporary, path)
        return True
    finally:
        temporary.unlink(missing_ok=True)


def _is_whole(version: Path, manifest: Manifest, held: bytes) -> bool:
    """Return whether the store has a version already: our files, or the same rows in the bytes of another writer."""
    files = _files_of(held, version.name)
    if files == manifest.files:
        sizes = {file: path_of(version, file).stat().st_size for file in files}
        return all(object_store.size_of(f"{_key(version)}/{file}") == size for file, size in sizes.items())
    staging = new_staging(version.parents[1])
    try:
        staging.mkdir()
        return set(files) == set(manifest.files) and all(
            _fetch(f"{_key(version)}/{file}", staging / str(number), entry["sha256"])
            for number, (file, entry) in enumerate(sorted(files.items()))
        )
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _files_of(text: bytes, name: str) -> Mapping[str, Any]:
    """Return what a stored manifest lists; nothing where it is damaged or another version's."""
    try:
        manifest = Manifest(**json.loads(text))
    except (ValueError, TypeError):
        return {}
    return manifest.files if manifest.content_hash == name else {}


def _key(path: Path) -> str:
    key = object_store.key_of(path)
    assert key is not None
    return key
