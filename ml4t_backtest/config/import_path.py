"""How a configuration names a class, and which modules it may name. Nothing is imported here."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator

from ml4t_backtest.config.fields import must
from ml4t_backtest.errors import ConfigError, UnsafePathError

ALLOWED_MODULES_VARIABLE: Final = "ML4T_ALLOWED_MODULES"
LIBRARY: Final = "ml4t_backtest.strategy.library"

_NAME = r"[^\W\d]\w*"
_IN_FILE = re.compile(rf"(?P<place>[^:\x00-\x1f]+\.py):(?P<name>{_NAME})")
_IN_MODULE = re.compile(rf"(?P<place>{_NAME}(?:\.{_NAME})*)[.:](?P<name>{_NAME})")
_FORMS = "must be package.module.Class, package.module:Class or file.py:Class"


@dataclass(frozen=True, slots=True)
class ImportPath:
    """A class by place and name.

    Attributes:
        place: Dotted module, or path of a `.py` file.
        name: Name of the class.
        is_file: Whether `place` is a file.
    """

    place: str
    name: str
    is_file: bool


def parse_import_path(path: str) -> ImportPath | None:
    """Return what a path names, or None if it has none of the three forms.

    >>> parse_import_path("package.module.Class")
    ImportPath(place='package.module', name='Class', is_file=False)
    """
    if found := _IN_FILE.fullmatch(path):
        return ImportPath(found["place"], found["name"], True)
    found = _IN_MODULE.fullmatch(path)
    return ImportPath(found["place"], found["name"], False) if found else None


def require_import_path(path: str) -> ImportPath:
    """Return what a path names.

    Raises:
        ConfigError: It has none of the three forms.
    """
    parsed = parse_import_path(path)
    if parsed is None:
        raise ConfigError(f"{path[:80]!r} {_FORMS}")
    return parsed


def allowed_modules(extra: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the module prefixes a configuration may name: the library, the environment's, and `extra`."""
    listed = os.environ.get(ALLOWED_MODULES_VARIABLE, "").split(",")
    return (LIBRARY, *(each.strip() for each in listed if each.strip()), *extra)


def check_allowed(path: ImportPath, folder: Path, extra: Sequence[str] = ()) -> None:
    """Refuse a class that a configuration in `folder` may not name. Imports and opens nothing.

    Raises:
        ConfigError: The module is not on the allow-list (code E-CF-IMPORT).
        UnsafePathError: The file is outside of `folder`, also by a symbolic link.
    """
    if path.is_file:
        file_in_folder(path.place, folder)
        return
    allowed = allowed_modules(extra)
    if not any(path.place == prefix or path.place.startswith(f"{prefix}.") for prefix in allowed):
        raise ConfigError(
            f"E-CF-IMPORT module {path.place!r} is not allowed; allowed are {', '.join(allowed)}. To allow a "
            f"module of your own, set {ALLOWED_MODULES_VARIABLE}=package.module in the environment, or put "
            "the class in a file beside the configuration and write file.py:Class"
        )


def file_in_folder(file: str, folder: Path) -> Path:
    """Return the real path of a file that must be inside `folder`.

    Raises:
        UnsafePathError: It is outside, also by a symbolic link.
    """
    home = folder.resolve()
    found = (home / file).resolve()
    if not found.is_relative_to(home):
        raise UnsafePathError(f"E-CF-IMPORT file {file!r} is outside of the configuration's folder {home}")
    return found


def _import_path(path: str) -> str:
    if parse_import_path(path) is None:
        raise must(_FORMS)
    return path


ClassPath = Annotated[str, AfterValidator(_import_path)]
