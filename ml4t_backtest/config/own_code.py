"""Which code of the user's a configuration stands on: the modules it names, and those of the user's they import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ml4t_backtest.config.import_path import ImportPath, file_in_folder, parse_import_path
from ml4t_backtest.config.schema import BacktestConfig
from ml4t_backtest.data.store.version_files import sha256_of

_PACKAGE = "ml4t_backtest"


@dataclass(frozen=True)
class _Home:
    """Folders in which modules of the user's own are looked for.

    Attributes:
        roots: The folders.
        package: The only package that is looked for there; None: whatever lies in them.
    """

    roots: tuple[Path, ...]
    package: str | None = None

    def files_of(self, module: str) -> Iterator[Path]:
        """Yield the files that are run when a module is imported; none for one from elsewhere."""
        parts = module.split(".")
        if self.package not in (None, parts[0]):
            return
        for root in self.roots:
            for length in range(1, len(parts) + 1):
                place = root.joinpath(*parts[:length])
                yield from (file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file())

    def module_of(self, file: Path) -> list[str]:
        """Return the parts of the name that a file is imported by."""
        return [part for part in self._place_of(file).with_suffix("").parts if part != "__init__"]

    def name_of(self, file: Path) -> str:
        """Return what a file is called, wherever the home lies: `own.py`, or `desk.signals` for a module."""
        return self._place_of(file).as_posix() if self.package is None else ".".join(self.module_of(file))

    def _place_of(self, file: Path) -> Path:
        return next(file.relative_to(root) for root in self.roots if file.is_relative_to(root))


def own_code(config: BacktestConfig) -> dict[str, str]:
    """Return name -> sha256 of the user's modules that a configuration's classes come from.

    Followed are the import statements of a file, to files of the configuration's folder, and those of a module, to
    modules of its own package. Other packages, and what is imported by other means, are not looked at. Nothing is run.
    """
    found: dict[str, str] = {}
    execution = config.execution
    for section in (config.strategy, execution.slippage, execution.commission):
        path = parse_import_path(str(getattr(section, "path", "")))
        if path is not None and path.place.split(".")[0] != _PACKAGE:
            home, named = _home_of(path, config.folder)
            found |= {home.name_of(file): sha256_of(file) for file in _with_imports(home, named)}
    return dict(sorted(found.items()))


def _home_of(path: ImportPath, folder: Path) -> tuple[_Home, list[Path]]:
    """Return where the modules beside a named one lie, and the files of the named one."""
    if path.is_file:
        file = file_in_folder(path.place, folder)
        # What lies beside the file is found from there, or from the configuration's folder.
        return _Home((folder.resolve(), file.parent)), [file] if file.is_file() else []
    package = path.place.split(".")[0]
    # Of the package alone: to look for a module inside of it would run it.
    found = find_spec(package)
    inside = [] if found is None else found.submodule_search_locations or [found.origin or ""]
    home = _Home(tuple(Path(place).parent for place in inside if place), package)
    return home, list(home.files_of(path.place))


def _with_imports(home: _Home, named: list[Path]) -> list[Path]:
    """Return files with those of the same home that they import, one way or another, sorted."""
    found, waiting = set(named), list(named)
    while waiting:
        imported = {file for module in _imports(waiting.pop(), home) for file in home.files_of(module)}
        waiting += imported - found
        found |= imported
    return sorted(found)


def _imports(file: Path, home: _Home) -> Iterator[str]:
    """Yield the names that a file imports, wherever in it; none where it is no Python: its import will tell."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return
    inside = home.module_of(file)
    # A relative import counts from the package that the file is in.
    package = inside if file.name == "__init__.py" else inside[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = [*base, *([node.module] if node.module else [])]
            yield from (".".join([*start, alias.name]) for alias in node.names if alias.name != "*")
            yield ".".join(start)
