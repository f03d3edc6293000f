"""What a run's manifest says of where and with what it was made, so that the run can be made again from it alone.

Locations and versions are no part of a result's content hash: the same content made elsewhere is the same result. What
they point to is held against hashes that are.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from typing import Any

from ml4t_backtest import __version__
from ml4t_backtest.config.loader import config_hash, effective_content
from ml4t_backtest.config.own_code import own_code
from ml4t_backtest.config.schema import BacktestConfig
from ml4t_backtest.data.content_hash import content_hash, joint_hash
from ml4t_backtest.data.prepared import Prepared, PreparedFiles
from ml4t_backtest.data.provenance import library_versions, package_hash, source_hash
from ml4t_backtest.dataset_stages import all_source_paths, declared_ends
from ml4t_backtest.errors import DataValidationError, InputsChangedError

# Keys of a prepared data set's inputs that are no source.
_NO_SOURCES = ("dataset", "ml4t_backtest", "code")


def input_hashes(config: BacktestConfig, data: str) -> dict[str, str]:
    """Return the hashes of everything a run is made from: configuration, data, the user's code, package version.

    Args:
        config: What is run.
        data: Content hash of the prepared data.
    """
    ends, own = declared_ends(config.dataset), own_code(config)
    return {
        "config": config_hash(config),
        "data": data,
        **({} if ends is None else {"delistings": content_hash({"delistings": ends})}),
        **({"own_code": joint_hash(own)} if own else {}),
        "ml4t_backtest": __version__,
    }


def run_provenance(config: BacktestConfig, prepared: Prepared) -> dict[str, Any]:
    """Return the effective configuration, where its inputs lay with their hashes, and the versions that ran it.

    Data that is in memory already brings no hashes of its sources: then only the hash of the data itself tells.
    """
    made_from = prepared.manifest.inputs if isinstance(prepared, PreparedFiles) else {}
    paths = all_source_paths(config.dataset)
    return {
        **effective_content(config),
        "folder": str(config.folder.absolute()),
        "dataset_folder": str(config.dataset.folder.absolute()),
        "sources": {
            name: {"path": paths.get(name, name), "sha256": known}
            for name, known in made_from.items()
            if name not in _NO_SOURCES
        },
        "own_code": own_code(config),
        **environment(),
    }


def environment() -> dict[str, Any]:
    """Return the versions of this package, its code, Python, the platform and the libraries results depend on."""
    return {
        "ml4t_backtest": __version__,
        "code": package_hash(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": library_versions(),
    }


def require_same_inputs(provenance: Mapping[str, Any], config: BacktestConfig) -> None:
    """Refuse to go on where a source or a module of the user's is not what a run was made from.

    Raises:
        InputsChangedError: One line per input that is gone or changed.
    """
    sources = [(f"source {name!r}", entry) for name, entry in provenance["sources"].items()]
    found = [*(_changed_source(name, entry) for name, entry in sources), *_changed_code(provenance, config)]
    changed = [text for text in found if text]
    if changed:
        raise InputsChangedError("\n".join(changed))


def _changed_source(name: str, entry: Mapping[str, str]) -> str | None:
    try:
        found = source_hash(entry["path"])
    except DataValidationError as error:
        return f"{name} is gone: {error.violations[0].message} ({entry['path']})"
    # Of a remote source the rows decide, when they are read.
    if found is None or found == entry["sha256"]:
        return None
    return f"{name} changed: {entry['path']} has sha256 {found[:12]}, the run was made from {entry['sha256'][:12]}"


def _changed_code(provenance: Mapping[str, Any], config: BacktestConfig) -> Iterator[str]:
    found = own_code(config)
    for name, known in provenance["own_code"].items():
        if name not in found:
            yield f"{name}, which the run was decided by, is gone from {config.folder.absolute()} or its package"
        elif found[name] != known:
            yield f"{name} changed: it has sha256 {found[name][:12]}, the run was decided by {known[:12]}"
