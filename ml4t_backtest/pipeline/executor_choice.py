"""By which of the engine's executors the steps of a run are carried out: `$ML4T_EXECUTOR`, a name or a YAML file.

    executor: ray
    config: {ray: {num_cpus: 1}}

The content of `config` is the executor's own; the file needs none.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ml4t_backtest.config.folders import CONFIGS_VARIABLE
from ml4t_backtest.config.import_path import ALLOWED_MODULES_VARIABLE
from ml4t_backtest.config.yaml_text import parse_yaml
from ml4t_backtest.data.store.object_store import absolute, address_of
from ml4t_backtest.errors import ConfigError
from ml4t_backtest.pipeline.serving import ROOT_VARIABLE
from ml4t_backtest.runner import OUTPUT_ROOT

EXECUTOR_VARIABLE = "ML4T_EXECUTOR"
# Name -> module, attribute, and what has to be installed for it.
_EXECUTORS = {
    "in_process": ("dagster", "in_process_executor", "ml4t-backtest-pipeline[dagster]"),
    "multiprocess": ("dagster", "multiprocess_executor", "ml4t-backtest-pipeline[dagster]"),
    "ray": ("dagster_ray.core.executor", "ray_executor", "ml4t-backtest-pipeline[ray]"),
    "kubernetes": ("dagster_k8s", "k8s_job_executor", "dagster-k8s"),
}
_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class ExecutorChoice:
    """An executor and its settings.

    Attributes:
        name: `in_process`, `multiprocess`, `ray` or `kubernetes`.
        config: Settings, as the executor itself has them.
    """

    name: str
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def module(self) -> str:
        """The module it is imported from."""
        return _EXECUTORS[self.name][0]

    @property
    def attribute(self) -> str:
        """What it is called there."""
        return _EXECUTORS[self.name][1]


def executor_choice(environment: Mapping[str, str] = os.environ) -> ExecutorChoice:
    """Return what `$ML4T_EXECUTOR` says; without it, steps run one after the other in the process of their run.

    Raises:
        ConfigError: It names no executor, its file cannot be used, or what it needs is not installed.

    >>> executor_choice({}).name, executor_choice({"ML4T_EXECUTOR": "multiprocess"}).attribute
    ('in_process', 'multiprocess_executor')
    """
    named = environment.get(EXECUTOR_VARIABLE) or "in_process"
    choice = _from_file(Path(named)) if named.endswith(_SUFFIXES) else ExecutorChoice(named)
    if choice.name not in _EXECUTORS:
        raise ConfigError(
            f"{EXECUTOR_VARIABLE}: {choice.name!r} is no executor; choose {', '.join(_EXECUTORS)}, or a YAML file"
        )
    package = choice.module.split(".")[0]
    if find_spec(package) is None:
        needed = _EXECUTORS[choice.name][2]
        raise ConfigError(f'{EXECUTOR_VARIABLE}: {choice.name!r} needs {package}: pip install "{needed}"')
    return _with_variables(choice, environment) if choice.name == "ray" else choice


def _from_file(path: Path) -> ExecutorChoice:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{EXECUTOR_VARIABLE} names {path}, which cannot be read: {error}") from error
    found = parse_yaml(text, str(path), path.absolute().parent).data
    wrong = sorted(found.keys() - {"executor", "config"})
    if wrong or not isinstance(found.get("executor"), str) or not isinstance(found.get("config", {}), dict):
        told = f"unknown key {wrong[0]!r}" if wrong else "a key is absent or of the wrong type"
        raise ConfigError(f"{path}: {told}; write `executor:` with a name and, where needed, `config:` with settings")
    return ExecutorChoice(found["executor"], found.get("config", {}))


def _with_variables(choice: ExecutorChoice, environment: Mapping[str, str]) -> ExecutorChoice:
    """Return the choice with what workers elsewhere must know; they have the environment of their own machine.

    Credentials are not among it: whoever may look at a cluster's jobs could read them.
    """
    root = address_of(absolute(environment.get(ROOT_VARIABLE) or OUTPUT_ROOT))
    told = [f"{ROOT_VARIABLE}={root}"]
    for name in (CONFIGS_VARIABLE, ALLOWED_MODULES_VARIABLE):
        if environment.get(name):
            told.append(f"{name}={environment[name]}")
    settings = dict(choice.config.get("ray", {}))
    settings["env_vars"] = [*told, *settings.get("env_vars", [])]
    return ExecutorChoice(choice.name, {**choice.config, "ray": settings})
