"""Every path that is built from a name: of a data set, a run, a partition, a table, an output."""

from __future__ import annotations

import re
from pathlib import Path

from ml4t_backtest.errors import UnsafePathError

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
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


def _is_inside(path: Path, root: Path) -> bool:
    try:
        return path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):
        # Links that lead in a circle lead nowhere inside.
        return False
