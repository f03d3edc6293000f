"""Which code a run stands on: this package's, and the files that its strategy and its cost models come from."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from ml4t_backtest.config.import_path import ImportPath, file_in_folder, parse_import_path
from ml4t_backtest.config.schema import BacktestConfig
from ml4t_backtest.data.provenance import code_hash, files_hash

_OWN = "ml4t_backtest"


def package_code() -> str:
    """Return a sha256 over all code of this package and the libraries whose formulas it uses."""
    return code_hash(".")


def users_code(config: BacktestConfig) -> str:
    """Return a sha256 over the files that a configuration's own classes come from, their neighbours included.

    What they import from elsewhere is not looked at.
    """
    return files_hash({file for path in _own_classes(config) for file in _files(path, config.folder)})


def _own_classes(config: BacktestConfig) -> Iterator[ImportPath]:
    execution = config.execution
    for section in (config.strategy, execution.slippage, execution.commission):
        parsed = parse_import_path(str(getattr(section, "path", "")))
        if parsed is not None and parsed.place.split(".")[0] != _OWN:
            yield parsed


def _files(path: ImportPath, folder: Path) -> list[Path]:
    if path.is_file:
        return list(file_in_folder(path.place, folder).parent.glob("*.py"))
    found = find_spec(path.place.split(".")[0])
    if found is None or found.origin is None:
        return []
    home = Path(found.origin)
    return list(home.parent.rglob("*.py")) if home.name == "__init__.py" else [home]
