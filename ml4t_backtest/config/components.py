"""Classes that a configuration names by import path: found, checked and built.

The allow-list is checked before anything is imported.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from ml4t_backtest.config.document import Mistakes, Origin, did_you_mean, shown
from ml4t_backtest.config.import_path import ImportPath, check_allowed, file_in_folder, require_import_path
from ml4t_backtest.errors import BacktestError, ConfigError, StrategyError

if TYPE_CHECKING:
    from ml4t_backtest.config.schema import StrategySection
    from ml4t_backtest.strategy.base import Strategy


def load_strategy_class(path: str, folder: Path, allowed_prefixes: Sequence[str] = ()) -> type[Strategy]:
    """Return the strategy class that a configuration names.

    Args:
        path: `package.module.Class`, `package.module:Class`, or `file.py:Class` for a file inside `folder`.
        folder: The configuration's folder.
        allowed_prefixes: Module prefixes allowed besides the library and `$ML4T_ALLOWED_MODULES`.

    Raises:
        ConfigError: No such form, or the module is not allowed (E-CF-IMPORT); nothing was imported.
        UnsafePathError: The file is outside of `folder`; nothing was read.
        StrategyError: The import failed, the class is absent, or it is no `Strategy`.
    """
    parsed = require_import_path(path)
    check_allowed(parsed, folder, allowed_prefixes)
    module = _file_module(parsed, folder) if parsed.is_file else _import(parsed.place)
    return _strategy_in(module, parsed)


def build_strategy(section: StrategySection, folder: Path, allowed_prefixes: Sequence[str] = ()) -> Strategy:
    """Return the strategy of a configuration, built with its params.

    Args:
        section: `strategy` of a configuration.
        folder: The configuration's folder.
        allowed_prefixes: As for `load_strategy_class`.

    Raises:
        ConfigError: A param is unknown, missing, of the wrong type, or refused by the class.
        StrategyError: The class cannot be loaded, or its constructor failed otherwise.
    """
    strategy_class = load_strategy_class(section.path, folder, allowed_prefixes)
    origin = section._origin or Origin("<config>", folder)
    params = _checked_params(strategy_class, section.params, origin)
    try:
        return strategy_class(**params)
    except BacktestError:
        raise
    except ValueError as error:
        raise ConfigError(origin.message(("strategy", "params"), str(error))) from error
    except Exception as error:
        raise StrategyError(f"{section.path} could not be built: {type(error).__name__}: {error}") from error


def _import(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:
        raise _import_failed(f"module {module!r}", error) from error


def _file_module(path: ImportPath, folder: Path) -> ModuleType:
    """Run a file as a module of its own name, always from its present text (no bytecode cache)."""
    file = file_in_folder(path.place, folder)
    try:
        source = file.read_bytes()
    except OSError as error:
        raise StrategyError(f"strategy file {file} cannot be read: {error.strerror or error}") from error
    digest = hashlib.sha256(str(file).encode("utf-8", "surrogateescape")).hexdigest()[:12]
    module = ModuleType(f"ml4t_strategy_file_{digest}")
    module.__file__ = str(file)
    sys.modules[module.__name__] = module  # Dataclasses look their module up.
    try:
        exec(compile(source, str(file), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        raise _import_failed(f"file {file}", error) from error
    return module


def _import_failed(what: str, error: BaseException) -> StrategyError:
    return StrategyError(f"{what} cannot be imported: {type(error).__name__}: {error}")


def _strategy_in(module: ModuleType, path: ImportPath) -> type[Strategy]:
    from ml4t_backtest.strategy.base import Strategy

    there = [name for name, each in vars(module).items() if _is_subclass(each, Strategy) and each is not Strategy]
    found = getattr(module, path.name, None)
    if found is None:
        listed = ", ".join(sorted(there)) or "none"
        raise StrategyError(
            f"{path.place} has no {path.name!r}.{did_you_mean(path.name, there)} Strategies there: {listed}"
        )
    if not _is_subclass(found, Strategy):
        kind = "a class that does not inherit from" if isinstance(found, type) else f"{type(found).__name__}, not"
        raise StrategyError(f"{path.place}:{path.name} is {kind} ml4t_backtest.Strategy")
    checked: type[Strategy] = found
    return checked


def _is_subclass(candidate: object, base: type) -> bool:
    return isinstance(candidate, type) and issubclass(candidate, base)


def _checked_params(strategy_class: type, params: Mapping[str, Any], origin: Origin) -> dict[str, Any]:
    mistakes = Mistakes()
    accepted = _parameters(strategy_class)
    takes_any = any(each.kind is each.VAR_KEYWORD for each in accepted.values())
    named = {name: each for name, each in accepted.items() if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)}
    checked = {}
    for name, value in params.items():
        key = ("strategy", "params", name)
        if name in named:
            checked[name], mistake = _checked(value, named[name].annotation)
        else:
            checked[name], mistake = value, "" if takes_any else _unknown_param(strategy_class, name, named)
        if mistake:
            mistakes.add(origin.message(key, mistake))
    for name, parameter in named.items():
        if parameter.default is parameter.empty and name not in params:
            mistakes.add(origin.message(("strategy", "params", name), f"{strategy_class.__name__} requires it"))
    mistakes.raise_any()
    return checked


def _parameters(strategy_class: type) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(strategy_class, eval_str=True).parameters
    except Exception:  # An annotation that cannot be evaluated: the names still can be checked.
        return inspect.signature(strategy_class).parameters


def _unknown_param(strategy_class: type, name: str, named: Mapping[str, object]) -> str:
    listed = ", ".join(named) or "none"
    return f"unknown param.{did_you_mean(name, named)} {strategy_class.__name__} has: {listed}"


def _checked(value: Any, annotation: Any) -> tuple[Any, str]:
    """Return the value as its annotation wants it (a list may become a tuple), and what is wrong with it."""
    if annotation is inspect.Parameter.empty or isinstance(annotation, str):
        return value, ""
    try:
        adapter = TypeAdapter(annotation, config=ConfigDict(strict=True, allow_inf_nan=False))
    except (PydanticUserError, TypeError, NameError):  # A type Pydantic cannot check: the class has to.
        return value, ""
    try:
        return adapter.validate_json(json.dumps(value)), ""
    except ValidationError as error:
        wanted = getattr(annotation, "__name__", None) if isinstance(annotation, type) else None
        return value, f"found {shown(value)}; must be {wanted or annotation} ({error.errors()[0]['msg']})"
