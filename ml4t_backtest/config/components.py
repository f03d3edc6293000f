"""Classes that a configuration names by import path: found, checked and built.

The allow-list is checked before anything is imported.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, Protocol, get_origin

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from ml4t_backtest.config.cost_models import CommissionChoice, OwnModel, SlippageChoice
from ml4t_backtest.config.document import Document, KeyPath, Mistakes, Origin, did_you_mean, shown
from ml4t_backtest.config.import_path import (
    ImportPath,
    check_allowed,
    file_in_folder,
    parse_import_path,
    require_import_path,
)
from ml4t_backtest.config.span_mistakes import note_span
from ml4t_backtest.errors import BacktestError, ConfigError, StrategyError
from ml4t_backtest.strategy.columns import ColumnOf

if TYPE_CHECKING:
    from ml4t_backtest.config.dataset_schema import DatasetConfig
    from ml4t_backtest.config.schema import BacktestConfig, StrategySection
    from ml4t_backtest.execution.commission import CommissionModel
    from ml4t_backtest.execution.slippage import SlippageModel
    from ml4t_backtest.strategy.base import Strategy

# Kind of column -> the names of those that a data set has; nothing where they are not known.
Columns = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Components:
    """What a configuration names by class: its strategy and its cost models, built."""

    strategy: Strategy
    slippage: SlippageModel
    commission: CommissionModel


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a class has to be.

    Attributes:
        plural: What its like are called.
        fits: Whether a class is one.
        likeness: What every one of them is, to follow "a class".
    """

    plural: str
    fits: Callable[[type], bool]
    likeness: str


class _Named(Protocol):
    """A section that names a class."""

    @property
    def path(self) -> str: ...

    @property
    def params(self) -> Mapping[str, Any]: ...


def build_components(config: BacktestConfig) -> Components:
    """Return a configuration's strategy and cost models, built with their params.

    Raises:
        ConfigError: A module is not allowed, or params are wrong; all mistakes of all of them at once, and beside them
            a span without data.
        UnsafePathError: A file is outside of the configuration's folder.
        StrategyError: Nothing but that a class cannot be loaded, is not what it should be, or its constructor failed.
    """
    origin = config._origin or Origin("<config>", config.folder)
    mistakes, failures = Mistakes(), list[StrategyError]()
    columns = columns_of(config.dataset)

    def build(section: _Named, key: KeyPath, kind: _Kind) -> Any:
        try:
            return _build(section, key, kind, origin, config._allowed_modules, columns)
        except ConfigError as error:
            mistakes.absorb(error)
        except StrategyError as error:
            mistakes.add(origin.message((*key, "path"), str(error)))
            failures.append(error)
        return None

    def model_of(choice: SlippageChoice | CommissionChoice, key: KeyPath, kind: _Kind) -> Any:
        return build(choice, key, kind) if isinstance(choice, OwnModel) else choice

    built = Components(
        build(config.strategy, ("strategy",), _strategies()),
        model_of(config.execution.slippage, ("execution", "slippage"), _SLIPPAGES),
        model_of(config.execution.commission, ("execution", "commission"), _COMMISSIONS),
    )
    if mistakes:
        note_span(config.backtest.start, config.backtest.end, config.dataset, origin, mistakes)
    if len(mistakes) == len(failures) == 1:
        raise StrategyError(mistakes.texts[0]) from failures[0]
    mistakes.raise_any()
    return built


def columns_of(dataset: DatasetConfig) -> Columns:
    """Return the columns that a strategy can be told to use, by their kind."""
    return {
        "signal": dataset.signal_names,
        "indicator": dataset.indicator_names,
        "context": dataset.context_names,
    }


def note_mistakes(
    document: Document, allowed: Sequence[str], dataset: DatasetConfig | None, mistakes: Mistakes
) -> None:
    """Note what is wrong with the classes that a document names and with their params.

    This imports them; the loader asks for it where something else is wrong already, so that all of it is said at once.

    Args:
        document: The configuration, whose paths are allowed.
        allowed: As for `load_strategy_class`.
        dataset: Its data set; None where that is not known.
        mistakes: Where to note them.
    """
    kinds = {("strategy",): _strategies(), ("execution", "slippage"): _SLIPPAGES}
    kinds[("execution", "commission")] = _COMMISSIONS
    columns = {} if dataset is None else columns_of(dataset)
    for key, kind in kinds.items():
        section: Any = document.data
        for part in key:
            section = section.get(part) if isinstance(section, Mapping) else None
        path, params = (section.get("path"), section.get("params", {})) if isinstance(section, Mapping) else ("", {})
        if not isinstance(path, str) or not path or not isinstance(params, Mapping) or parse_import_path(path) is None:
            continue
        try:
            found = _load_class(path, document.origin.folder, allowed, kind)
            _checked_params(found, params, document.origin, (*key, "params"), columns)
        except ConfigError as error:
            mistakes.absorb(error)
        except StrategyError as error:
            mistakes.add(document.origin.message((*key, "path"), str(error)))


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
    return _load_class(path, folder, allowed_prefixes, _strategies())


def load_function(path: str, folder: Path, allowed_prefixes: Sequence[str] = ()) -> Callable[..., Any]:
    """Return a user's function by its import path; the forms and the allow-list are those of strategies.

    Args:
        path: `package.module.function`, `package.module:function`, or `file.py:function` for a file inside `folder`.
        folder: The configuration's folder.
        allowed_prefixes: As for `load_strategy_class`.

    Raises:
        ConfigError: No such form, or the module is not allowed (E-CF-IMPORT); nothing was imported.
        UnsafePathError: The file is outside of `folder`; nothing was read.
        StrategyError: The import failed, or there is nothing of this name that can be called.
    """
    parsed = require_import_path(path)
    check_allowed(parsed, folder, allowed_prefixes)
    module = _file_module(parsed, folder) if parsed.is_file else _import(parsed.place)
    found = getattr(module, parsed.name, None)
    if not callable(found):
        there = [name for name, each in vars(module).items() if inspect.isfunction(each) and not name.startswith("_")]
        hint = did_you_mean(parsed.name, there)
        raise StrategyError(f"{path} is no function.{hint} Functions there: {', '.join(sorted(there)) or 'none'}")
    function: Callable[..., Any] = found
    return function


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
    origin = section._origin or Origin("<config>", folder)
    built: Strategy = _build(section, ("strategy",), _strategies(), origin, allowed_prefixes, {})
    return built


def _has(method: str) -> Callable[[type], bool]:
    return lambda candidate: callable(getattr(candidate, method, None))


_SLIPPAGES = _Kind("Slippage models", _has("fill_price"), "with a method fill_price(raw_price, quantity, volume)")
_COMMISSIONS = _Kind("Commission models", _has("charge"), "with a method charge(quantity, notional)")


def _strategies() -> _Kind:
    from ml4t_backtest.strategy.base import Strategy

    def fits(candidate: type) -> bool:
        return issubclass(candidate, Strategy) and candidate is not Strategy

    return _Kind("Strategies", fits, "derived from ml4t_backtest.Strategy")


def _build(section: _Named, key: KeyPath, kind: _Kind, origin: Origin, allowed: Sequence[str], columns: Columns) -> Any:
    found = _load_class(section.path, origin.folder, allowed, kind)
    params = _checked_params(found, section.params, origin, (*key, "params"), columns)
    try:
        return found(**params)
    except BacktestError:
        raise
    except ValueError as error:
        raise ConfigError(origin.message((*key, "params"), str(error))) from error
    except Exception as error:
        raise StrategyError(f"{section.path} could not be built: {type(error).__name__}: {error}") from error


def _load_class(path: str, folder: Path, allowed: Sequence[str], kind: _Kind) -> type[Any]:
    parsed = require_import_path(path)
    check_allowed(parsed, folder, allowed)
    module = _file_module(parsed, folder) if parsed.is_file else _import(parsed.place)
    return _class_in(module, parsed, kind)


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
        raise StrategyError(f"file {file} cannot be read: {error.strerror or error}") from error
    digest = hashlib.sha256(str(file).encode("utf-8", "surrogateescape")).hexdigest()[:12]
    module = ModuleType(f"ml4t_file_{digest}")
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


def _class_in(module: ModuleType, path: ImportPath, kind: _Kind) -> type[Any]:
    found = getattr(module, path.name, None)
    if found is None:
        there = [name for name, each in vars(module).items() if isinstance(each, type) and kind.fits(each)]
        listed = ", ".join(sorted(there)) or "none"
        hint = did_you_mean(path.name, there)
        raise StrategyError(f"{path.place} has no {path.name!r}.{hint} {kind.plural} there: {listed}")
    if not (isinstance(found, type) and kind.fits(found)):
        what = "a class, but not one" if isinstance(found, type) else f"{type(found).__name__}, not a class"
        raise StrategyError(f"{path.place}:{path.name} is {what} {kind.likeness}")
    return found


def _checked_params(
    wanted: type, params: Mapping[str, Any], origin: Origin, section: KeyPath, columns: Columns
) -> dict[str, Any]:
    mistakes = Mistakes()
    accepted = _parameters(wanted)
    takes_any = any(each.kind is each.VAR_KEYWORD for each in accepted.values())
    named = {name: each for name, each in accepted.items() if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)}
    checked = {}
    for name, value in params.items():
        if name in named:
            checked[name], mistake = _checked(value, named[name].annotation)
        else:
            checked[name], mistake = value, "" if takes_any else _unknown_param(wanted, name, named)
        if mistake:
            mistakes.add(origin.message((*section, name), mistake))
    for name, parameter in named.items():
        if parameter.default is parameter.empty and name not in params:
            mistakes.add(origin.message((*section, name), f"{wanted.__name__} requires it"))
        elif mistake := _no_such_column(checked.get(name, parameter.default), parameter.annotation, columns):
            said = "found" if name in params else f"{wanted.__name__} takes, unless told otherwise,"
            mistakes.add(origin.message((*section, name), f"{said} {mistake}"))
    mistakes.raise_any()
    return checked


def _no_such_column(value: Any, annotation: Any, columns: Columns) -> str:
    """Return what is wrong with the value of a parameter that names a column; nothing where columns are not known."""
    marks = [each for each in getattr(annotation, "__metadata__", ()) if isinstance(each, ColumnOf)]
    if not marks or not columns or not isinstance(value, str):
        return ""
    there = [name for kind in marks[0].kinds for name in columns[kind]]
    if value in there:
        return ""
    allowed = f"a {' or '.join(marks[0].kinds)} of the data set: {', '.join(there) or 'it has none'}"
    return f"{shown(value)}; must be {allowed}.{did_you_mean(value, there)}"


def _parameters(wanted: type) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(wanted, eval_str=True).parameters
    except Exception:  # An annotation that cannot be evaluated: the names still can be checked.
        return inspect.signature(wanted).parameters


def _unknown_param(wanted: type, name: str, named: Mapping[str, object]) -> str:
    listed = ", ".join(named) or "none"
    return f"unknown param.{did_you_mean(name, named)} {wanted.__name__} has: {listed}"


def _checked(value: Any, annotation: Any) -> tuple[Any, str]:
    """Return the value as its annotation wants it (a list may become a tuple), and what is wrong with it."""
    if get_origin(annotation) is Annotated:
        annotation = annotation.__origin__
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
