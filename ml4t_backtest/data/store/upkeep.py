"""What may go from a folder of versions: old versions, and what killed writers left. What is current never goes.

A writer holds a lock on the folder it writes into, and gives it up however it ends: a folder that nobody holds is
nobody's. While somebody points to a version, none is taken away, and the other way round.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

POINTER = "CURRENT"
VERSIONS = "versions"
_STAGING = ".staging-"
# Names that `new_staging` and `tempfile.mkdtemp` give.
_OURS = re.compile(rf"{re.escape(_STAGING)}([0-9a-f]{{16}}|[a-z0-9_]{{8}})")
_HASH = re.compile(r"[0-9a-f]{64}")
# Seconds after which a writer's leftovers are nobody's, locked or not; and those in which it has locked its folder.
_LEFT_ALONE = 86_400.0
_LOCKED_BY_THEN = 60.0
# Seconds for which a version that was replaced may still be read.
_STILL_READ = 3_600.0


@dataclass
class Cleaning:
    """What a clean-up did, or would do.

    Attributes:
        removed: Path and reason.
        left: What looks like ours and was left, and why.
    """

    removed: list[tuple[Path, str]] = field(default_factory=list)
    left: list[tuple[Path, str]] = field(default_factory=list)


def clean(root: str | Path, *, keep: int, dry_run: bool = False) -> Cleaning:
    """Remove old versions of every data set under a folder, and what killed writers left there.

    Writers and readers may be at work: what one holds, what is current, and versions that were current within the last
    hour stay. Links are not followed, and nothing goes that is not called as this package calls it.

    Args:
        root: Output root.
        keep: Number of versions of each data set that stay, the current one among them; at least 1.
        dry_run: Only say what would go.
    """
    done = Cleaning()
    for folder, inside, files in os.walk(root, followlinks=False):
        home = Path(folder)
        for name in (*inside, *files):
            if _OURS.fullmatch(name):
                _clean_leftover(home / name, done, dry_run)
        if VERSIONS in inside and not (home / VERSIONS).is_symlink():
            _clean_versions(home, max(keep, 1), done, dry_run)
        inside[:] = sorted(name for name in inside if name != VERSIONS and not name.startswith("."))
    return done


def tidy(home: Path, keep: int) -> None:
    """Remove old versions of one data set and leftovers of a day ago, as every writer does when it is done."""
    with suppress(OSError):
        _clean_versions(home, max(keep, 1), Cleaning(), dry_run=False)
        for path in home.glob(f"{_STAGING}*"):
            if _age(path) > _LEFT_ALONE and not _is_held(path):
                _remove(path)


def new_staging(folder: Path) -> Path:
    """Return a path of a name that nobody has: not of `tempfile`, whose files nobody but their user may read."""
    return folder / f"{_STAGING}{secrets.token_hex(8)}"


def version_folders(home: Path) -> list[Path]:
    """Return the folders of the versions that lie there, the youngest first."""
    folder = home / VERSIONS
    found = [path for path in folder.iterdir() if _HASH.fullmatch(path.name)] if folder.is_dir() else []
    return sorted(found, key=lambda path: path.lstat().st_mtime_ns, reverse=True)


def pointed_to(home: Path) -> Path | None:
    """Return the version that is current; None where the pointer is absent or damaged."""
    pointer = home / POINTER
    try:
        version = pointer.read_text(encoding="ascii").strip() if pointer.is_file() else ""
    except (OSError, ValueError):
        return None
    return home / VERSIONS / version if _HASH.fullmatch(version) else None


def hold(folder: Path) -> int:
    """Lock a folder that is written into until the descriptor that is returned is closed, or the process ends."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    with suppress(OSError):  # A file system without locks: leftovers go by their age there.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


@contextmanager
def pointing(home: Path) -> Iterator[None]:
    """Keep everybody from taking versions of a data set away, while one is pointed to; several may point at once."""
    with _locked(home, fcntl.LOCK_SH):
        yield


def mark_used(version: Path) -> None:
    """Let whoever cleans see that a version is still in use.

    Raises:
        FileNotFoundError: It was taken away.
    """
    with pointing(version.parents[1]):
        os.utime(version)


def _clean_versions(home: Path, keep: int, done: Cleaning, dry_run: bool) -> None:
    aside: list[Path] = []
    try:
        # Whoever points is done in a moment; it is not waited for, the next clean-up will do.
        with _locked(home, fcntl.LOCK_EX | fcntl.LOCK_NB):
            for version, reason in list(_old_versions(home, keep, done)):
                if not dry_run:
                    # Gone at once, or not at all: a half of it is never called a version.
                    aside.append(new_staging(home))
                    os.rename(version, aside[-1])
                done.removed.append((version, reason))
    except BlockingIOError:
        done.left.append((home, "it is being written"))
    except OSError as error:
        done.left.append((home, error.strerror or str(error)))
    for path in aside:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _locked(home: Path, how: int) -> Iterator[None]:
    descriptor = os.open(home / VERSIONS, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        try:
            fcntl.flock(descriptor, how)
        except OSError:
            # On a file system without locks one can point, and nothing is ever taken away.
            if how != fcntl.LOCK_SH:
                raise
        yield
    finally:
        os.close(descriptor)


def _old_versions(home: Path, keep: int, done: Cleaning) -> Iterator[tuple[Path, str]]:
    found, current = version_folders(home), pointed_to(home)
    if found and (current is None or current not in found):
        done.left.append((home, f"{POINTER} names no version that is there, so none is taken for old"))
        return
    others = [version for version in found if version != current]
    for version in others[keep - 1 :]:
        if not stat.S_ISDIR(version.lstat().st_mode):
            done.left.append((version, "it is no folder"))
        elif _age(version) <= _STILL_READ:
            done.left.append((version, "it was current within the last hour and may still be read"))
        else:
            yield version, f"old version, {keep} younger or current ones stay"


def _clean_leftover(path: Path, done: Cleaning, dry_run: bool) -> None:
    try:
        if path.is_symlink():
            done.left.append((path, "it is a link"))
        elif _age(path) <= _LOCKED_BY_THEN or _is_held(path):
            done.left.append((path, "it is being written"))
        else:
            done.removed.append((path, "left by a writer that was killed"))
            if not dry_run:
                _remove(path)
    except FileNotFoundError:
        return  # Its writer is done with it.
    except OSError as error:
        done.left.append((path, error.strerror or str(error)))


def _remove(path: Path) -> None:
    shutil.rmtree(path) if stat.S_ISDIR(path.lstat().st_mode) else path.unlink(missing_ok=True)


def _is_held(path: Path) -> bool:
    """Return whether a process holds the lock of a folder; of files, which are written in a moment, none is held."""
    if not stat.S_ISDIR(path.lstat().st_mode):
        return False
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _age(path: Path) -> float:
    return time.time() - path.lstat().st_mtime
