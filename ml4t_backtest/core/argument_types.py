"""Arguments of entry points that are of no type these take: refused by name, before anything else happens.

Numbers and words are left to the checks of their own ranges and choices, which say more.
"""

from __future__ import annotations

import difflib
import inspect
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, wraps
from typing import Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from ml4t_backtest.errors import ConfigError

P = ParamSpec("P")
R = TypeVar("R")
_SHOWN = 80
_NUMBERS = (int, float)


def checked_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function that refuses arguments which are of none of the types it declares.

    >>> @checked_arguments
    ... def greet(names: Sequence[str]) -> str:
    ...     return " ".join(names)
    >>> greet("Ann")
    Traceback (most recent call last):
    ml4t_backtest.errors.ConfigError: names must be a list of text, got 'Ann'
    """
    return checked_arguments_but()(function)


def checked_arguments_but(*own: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return what makes a function refuse arguments of no type it declares, but for those that it checks on its own."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        return _checking(function, frozenset(own))

    return decorate


def _checking(function: Callable[P, R], own: frozenset[str]) -> Callable[P, R]:
    signature = inspect.signature(function)

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        _require_known(function, kwargs, signature)
        given = signature.bind_partial(*args, **kwargs).arguments
        wrong = [
            f"{name} must be {_described(hint)}, got {repr(value)[:_SHOWN]}"
            for name, value in given.items()
            if name not in own and not _fits(value, hint := _hints(function).get(name, Any))
        ]
        if wrong:
            raise ConfigError("\n".join(wrong))
        return function(*args, **kwargs)

    return checked


def _require_known(function: Callable[..., Any], named: Iterable[str], signature: inspect.Signature) -> None:
    """Refuse a name that no parameter has, as Python does, and say which one may be meant."""
    parameters = signature.parameters
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values()):
        return
    for name in named:
        if name not in parameters:
            near = difflib.get_close_matches(name, list(parameters), n=3, cutoff=0.5)
            asked = function.__qualname__.removesuffix(".__init__")
            hint = f"; nearest: {', '.join(near)}" if near else ""
            raise TypeError(f"{asked}() takes no argument {name!r}{hint}")


@cache
def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    return get_type_hints(function)


def _fits(value: Any, hint: Any) -> bool:
    """Return whether a value is of a type; one that cannot be asked about fits."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(_fits(value, each) for each in inner)
    if hint is None or hint is type(None):
        return value is None
    if origin is Literal:
        return isinstance(value, str)
    if origin is tuple:
        return isinstance(value, (list, tuple)) and (not inner or _each_fits(value, inner))
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return isinstance(value, Mapping) and all(
            _fits(key, inner[0]) and _fits(item, inner[1]) for key, item in value.items()
        )
    if origin is not None and isinstance(origin, type) and issubclass(origin, (Sequence, Iterable)):
        return isinstance(value, Sequence) and not isinstance(value, (str, bytes)) and _all_fit(value, inner)
    if origin is not None and origin is Callable:
        return callable(value)
    if hint is bool:
        return isinstance(value, bool)
    return hint in _NUMBERS or not _can_be_asked(hint) or isinstance(value, hint)


def _each_fits(values: Sequence[Any], hints: Sequence[Any]) -> bool:
    if hints[-1] is Ellipsis:
        return _all_fit(values, hints)
    return len(values) == len(hints) and all(map(_fits, values, hints))


def _all_fit(values: Iterable[Any], inner: Sequence[Any]) -> bool:
    return not inner or all(_fits(value, inner[0]) for value in values)


def _can_be_asked(hint: Any) -> bool:
    is_protocol = getattr(hint, "_is_protocol", False)
    return isinstance(hint, type) and (not is_protocol or getattr(hint, "_is_runtime_protocol", False))


def _described(hint: Any) -> str:
    """Return a type in words."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_described(each) for each in inner))
    if hint is None or hint is type(None):
        return "None"
    if origin is Literal or hint is str:
        return "text" if hint is str else " or ".join(map(repr, inner))
    if origin is not None and isinstance(origin, type):
        plural = [_described(each) for each in inner if each is not Ellipsis]
        return f"a mapping of {' to '.join(plural)}" if issubclass(origin, Mapping) else f"a list of {plural[0]}"
    names = {bool: "True or False", int: "a whole number", float: "a number"}
    return names.get(hint) or f"a {getattr(hint, '__name__', str(hint))}"
