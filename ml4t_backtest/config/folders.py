"""Where configurations are, and what they are called."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from ml4t_backtest.config.fields import check_safe_name, unknown, unsafe_name_reason
from ml4t_backtest.errors import ConfigError

CONFIGS_VARIABLE: Final = "ML4T_CONFIGS"
SUFFIXES: Final = (".yaml", ".yml", ".json")
DATASETS: Final = "datasets"
SWEEPS: Final = "sweeps"

_PACKAGE = Path(__file__).resolve().parents[1]


def config_folder() -> Path:
    """Return the folder of configurations.

    It is `$ML4T_CONFIGS` if that is set, else `./configs` if it holds any, else the one that comes with the
    package.

    Raises:
        ConfigError: `$ML4T_CONFIGS` is no folder.
    """
    chosen = os.environ.get(CONFIGS_VARIABLE)
    if chosen:
        if not Path(chosen).is_dir():
            raise ConfigError(f"{CONFIGS_VARIABLE} names {chosen!r}, which is no folder")
        return Path(chosen).absolute()
    local = Path("configs").absolute()
    return local if _files(local) else bundled_folder()


def bundled_folder() -> Path:
    """Return the folder of the configurations that come with the package."""
    installed = _PACKAGE / "configs"
    return installed if installed.is_dir() else _PACKAGE.parent / "configs"


def config_names() -> list[str]:
    """Return the names of all backtest configurations, sorted.

    Raises:
        UnsafeConfigError: A file's name is no safe name.
        ConfigError: Two files have the same name.
    """
    return sorted(_named(config_folder()))


def dataset_names() -> list[str]:
    """Return the names of all data set configurations, sorted; errors as `config_names`."""
    return sorted(_named(config_folder() / DATASETS))


def find_config(name_or_path: str | Path) -> Path:
    """Return the file of a configuration, given by name or by path.

    Args:
        name_or_path: A name such as `simple_ml_strategy`, or a path to a YAML or JSON file. A name that the folder
            of configurations does not have may be that of a file where one stands.

    Raises:
        ConfigError: No such name; the text lists those that exist. (A path is not looked at.)
    """
    if is_path(name_or_path):
        return Path(name_or_path)
    found = _at_hand(str(name_or_path))
    if name_or_path not in found:
        raise unknown("configuration", str(name_or_path), {**found, **_where_one_stands()})
    return found[str(name_or_path)]


def has_config(name: str) -> bool:
    """Return whether a name is that of a backtest's configuration; see `find_config`."""
    return name in _at_hand(name)


def _at_hand(name: str) -> dict[str, Path]:
    """Return the configurations of the folder by name, and the file of that name where one stands."""
    found = _named(config_folder())
    if name not in found and unsafe_name_reason(name) is None:
        found.update((name, file) for suffix in SUFFIXES if (file := Path(f"{name}{suffix}")).is_file())
    return found


def _where_one_stands() -> dict[str, Path]:
    """Return the files where one stands that may be configurations, by the names they would have."""
    return {file.stem: file for file in _files(Path()) if unsafe_name_reason(file.stem) is None}


def sweep_names() -> list[str]:
    """Return the names of all sweeps, sorted; errors as `config_names`."""
    return sorted(_named(config_folder() / SWEEPS))


def find_sweep_config(name_or_path: str | Path) -> Path:
    """Return the file of a sweep, given by name or by path; arguments and errors as for `find_config`."""
    if is_path(name_or_path):
        return Path(name_or_path)
    found = _named(config_folder() / SWEEPS)
    if name_or_path not in found:
        raise unknown("sweep", str(name_or_path), found)
    return found[str(name_or_path)]


def find_dataset_config(name_or_path: str | Path, folder: Path | None = None) -> Path:
    """Return the file of a data set configuration, given by name or by path.

    Args:
        name_or_path: A name such as `us_tech_daily`, or a path to a YAML or JSON file.
        folder: Folder whose `datasets/` comes first; after it the bundled one. Default: `config_folder()`, or
            `./configs` where it holds data sets only.

    Raises:
        ConfigError: No such name; the text lists those that exist.
    """
    if is_path(name_or_path):
        return Path(name_or_path)
    found = _datasets(folder)
    if str(name_or_path) not in found:
        raise unknown("data set", str(name_or_path), found)
    return found[str(name_or_path)]


def has_dataset_config(name: str) -> bool:
    """Return whether a name is that of a data set's configuration; see `find_dataset_config`."""
    return name in _datasets(None)


def _datasets(folder: Path | None) -> dict[str, Path]:
    home = folder if folder is not None else _home_of_datasets()
    return {**_named(bundled_folder() / DATASETS), **_named(home / DATASETS)}


def _home_of_datasets() -> Path:
    """Return the folder whose `datasets/` are meant; a data set may be written before the first backtest is."""
    local = Path("configs").absolute()
    return local if not os.environ.get(CONFIGS_VARIABLE) and _files(local / DATASETS) else config_folder()


def is_path(name_or_path: str | Path) -> bool:
    """Return whether a configuration is given by its path, not by its name."""
    text = str(name_or_path)
    return isinstance(name_or_path, Path) or "/" in text or os.sep in text or text.endswith(SUFFIXES)


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    visible = (each for each in sorted(folder.iterdir()) if not each.name.startswith("."))
    return [each for each in visible if each.suffix in SUFFIXES and each.is_file()]


def _named(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for file in _files(folder):
        name = check_safe_name(file.stem, f"{folder}: the file name")
        if name in found:
            raise ConfigError(f"{folder}: {file.name} and {found[name].name} have the same name; rename one")
        found[name] = file
    return found
