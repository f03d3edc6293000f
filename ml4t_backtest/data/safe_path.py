"""Every path that is built from a name: of a data set, a run, a partition, a table, an output."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from ml4t_backtest.errors import UnsafePathError

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
_LONGEST = 255
_SHOWN = 80


def safe_path(root: str | Path, *names: str) -> Path:
    """Return `root` joined with names that can neither escape it nor be misread by a file system.

    Raises:
        UnsafePathError: A name is empty, too long, a device name, or has characters other than letters, digits,
            `_`, `.` and `-`; or a link below `root` leads out of it.
    """
    for name in names:
        if not _SAFE_NAME.fullmatch(name) or name.endswith(".") or _DEVICES.fullmatch(name):
            raise UnsafePathError(
                f"{name[:_SHOWN]!r} cannot be part of a path; use 1 to 64 letters, digits, '_', '.', '-', starting "
                "with a letter or digit"
            )
    path = Path(root, *names)
    if not _is_inside(path, Path(root)):
        raise UnsafePathError(f"{path} is a link that leads out of {root}; remove the link")
    return path


def output_folder(path: str | Path) -> Path:
    """Return a folder that something is to be written into, as its caller named it, absolute.

    Its last part is a name like any other. What leads there may be any folder, but says so: it has no `..`, no `~` that
    nobody expands, no device and no character that cannot be seen.

    Raises:
        UnsafePathError: It is none of that.
    """
    text = str(path)
    given = Path(text.replace("\\", "/"))
    unsafe = [part for part in given.parts if _is_unsafe(part)]
    if not given.name or unsafe or _UNSEEN.search(text):
        what = unsafe[0] if unsafe else text
        raise UnsafePathError(
            f"{text[:_SHOWN]!r} cannot be written to because of {what[:_SHOWN]!r}: write the path out, without '..' "
            "and '~', in names of letters, digits, '_', '.', '-'"
        )
    absolute = Path(text).absolute()
    return safe_path(absolute.parent, absolute.name)


def require_apart(output: Path, inputs: Iterable[str | Path]) -> None:
    """Refuse an output that is one of the inputs, lies inside one or holds one: it would be read with them.

    Args:
        output: Folder that is to be written into.
        inputs: Local paths and remote addresses that were read.

    Raises:
        UnsafePathError: It is.
    """
    target = _resolved(output)
    for given in inputs:
        source = _resolved(Path(given).expanduser()) if "://" not in str(given) else None
        if source is not None and (source.is_relative_to(target) or target.is_relative_to(source)):
            raise UnsafePathError(f"{output} would be written where {given} was read from; choose another folder")


def _is_unsafe(part: str) -> bool:
    unportable = part.endswith((".", " ")) or len(part.encode()) > _LONGEST or _DEVICES.fullmatch(part) is not None
    return unportable or part.startswith("~")


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path.absolute()


def _is_inside(path: Path, root: Path) -> bool:
    try:
        return path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):
        # Links that lead in a circle lead nowhere inside.
        return False
