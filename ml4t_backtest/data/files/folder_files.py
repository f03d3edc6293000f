"""The data files of a folder: all of them, none from elsewhere, and what lies beside them unread."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ml4t_backtest.errors import CorruptDatasetError, UnsafePathError

_WRITERS_OWN = (".", "_")


@dataclass(frozen=True)
class FolderFiles:
    """What is in a folder.

    Attributes:
        files: Data files, sorted.
        strays: Files that are called like data and are not read: some writer has not finished them.
    """

    files: tuple[Path, ...]
    strays: tuple[Path, ...]


def files_in(folder: Path, endings: Sequence[str]) -> FolderFiles:
    """Return the data files of a folder and of those below it; what begins with a dot or `_` is a writer's own.

    Args:
        folder: Where to look.
        endings: Endings of data files.

    Raises:
        UnsafePathError: A link leads out of the folder (code E-FL-ESCAPE).
        CorruptDatasetError: A folder below cannot be listed.
    """
    found = sorted(path for path in _below(folder, folder.resolve()) if any(end in path.name for end in endings))
    files = tuple(path for path in found if _is_data(path, folder, endings))
    return FolderFiles(files, tuple(path for path in found if path not in files))


def _is_data(path: Path, folder: Path, endings: Sequence[str]) -> bool:
    public = not any(part.startswith(_WRITERS_OWN) for part in path.relative_to(folder).parts)
    return public and path.suffix in endings and path.is_file()


def _below(folder: Path, root: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise CorruptDatasetError(
            f"{error.filename} cannot be listed ({error.strerror}, errno {error.errno}): rows may be missing"
        ) from error

    for home, folders, files in os.walk(folder, onerror=refuse):
        for name in [*folders, *files]:
            path = Path(home, name)
            if path.is_symlink() and not name.startswith(_WRITERS_OWN):
                _refuse_escape(path, root)
        yield from (Path(home, name) for name in files)


def _refuse_escape(link: Path, root: Path) -> None:
    try:
        inside = link.resolve(strict=True).is_relative_to(root)
    except (OSError, RuntimeError):
        inside = False
    if not inside:
        raise UnsafePathError(
            f"E-FL-ESCAPE: {link} is a link that leads out of {root}, or nowhere; copy the file, or give its own path"
        )
