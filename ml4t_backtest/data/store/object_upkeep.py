"""What may go from an object store: old versions, and what killed writers uploaded of versions that never were.

A store has no locks, so age decides: a manifest is written anew whenever its version is pointed to, and what is younger
than an hour (of a version without a manifest: a day) stays. The manifest goes first: half a version is never read.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path

from ml4t_backtest.data.store import object_store, upkeep
from ml4t_backtest.data.store.manifest import MANIFEST
from ml4t_backtest.data.store.upkeep import POINTER, VERSIONS, Cleaning

_VERSION = re.compile(rf"(?P<version>.+?/{VERSIONS}/[0-9a-f]{{64}})/")
_STILL_READ = 3_600.0
_LEFT_ALONE = 86_400.0
# Key -> the second in which it was written.
Objects = Mapping[str, float]


def clean(root: str | Path, *, keep: int, dry_run: bool = False) -> Cleaning:
    """Remove old versions and leftovers under an output root, a folder or an address; arguments as for `upkeep.clean`.

    Raises:
        BacktestError: The store does not answer.
    """
    if not object_store.is_remote(root):
        return upkeep.clean(root, keep=keep, dry_run=dry_run)
    done = Cleaning()
    objects = object_store.listed(object_store.address_of(root).removeprefix("s3://"))
    for home, versions in _homes(objects).items():
        for version, reason in list(_old(home, versions, max(keep, 1), done)):
            if not dry_run and not _remove(version, versions[version]):
                done.left.append((_shown(version), "it was pointed to meanwhile"))
                continue
            done.removed.append((_shown(version), reason))
    return done


def _homes(objects: Objects) -> dict[str, dict[str, Objects]]:
    """Return data sets by key; of each its versions by key, with their objects."""
    homes: dict[str, dict[str, Objects]] = {}
    by_version = ((key, place) for key in objects if (place := _VERSION.match(key)) is not None)
    for version, found in groupby(by_version, lambda each: each[1]["version"]):
        home = version.rpartition(f"/{VERSIONS}/")[0]
        homes.setdefault(home, {})[version] = {key: objects[key] for key, _ in found}
    return homes


def _old(home: str, versions: Mapping[str, Objects], keep: int, done: Cleaning) -> Iterator[tuple[str, str]]:
    """Yield versions that may go, with the reason."""
    now, pointer = time.time(), object_store.read(f"{home}/{POINTER}") or b""
    current = f"{home}/{VERSIONS}/{pointer.decode('ascii', 'replace')}"
    manifests = {version: objects.get(f"{version}/{MANIFEST}") for version, objects in versions.items()}
    whole = {version: written for version, written in manifests.items() if written is not None}
    for version in sorted(versions.keys() - whole.keys()):
        if now - max(versions[version].values()) > _LEFT_ALONE:
            yield version, "left by a writer that was killed"
        else:
            done.left.append((_shown(version), "it is being written"))
    if whole and current not in whole:
        done.left.append((_shown(home), f"{POINTER} names no version that is there, so none is taken for old"))
        return
    others = sorted((version for version in whole if version != current), key=lambda each: (-whole[each], each))
    for version in others[keep - 1 :]:
        if now - whole[version] <= _STILL_READ:
            done.left.append((_shown(version), "it was current within the last hour and may still be read"))
        else:
            yield version, f"old version, {keep} younger or current ones stay"


def _remove(version: str, objects: Objects) -> bool:
    """Remove a version, the manifest first, unless somebody pointed to it since it was listed; whether it went."""
    manifest = f"{version}/{MANIFEST}"
    if object_store.listed(version) != objects:
        return False
    object_store.delete(manifest)
    object_store.delete_under(version)
    return True


def _shown(key: str) -> Path:
    return Path(f"s3://{key}")
