"""Which keys a configuration has at a place, and what each means: read from the models."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from ml4t_backtest.config.cost_models import OwnModel, model_name
from ml4t_backtest.config.document import KeyPath


@dataclasses.dataclass(frozen=True, slots=True)
class _Key:
    annotation: Any
    description: str


def keys_at(model: type[BaseModel], key: KeyPath, data: Any) -> list[str]:
    """Return the keys allowed in the section at `key`; for a component's `model` key, the choices.

    Args:
        model: Model of the whole file.
        key: Place of the section; `()` is the top level.
        data: What the file holds, which decides between variants of a section.
    """
    annotation = _annotation_at(model, key, data)
    section = _section(annotation, _value(data, key))
    if section is not None:
        return list(_keys(section))
    if key and key[-1] == "model":
        return [name for name in map(model_name, _classes(_annotation_at(model, key[:-1], data))) if name]
    return list(_choices(annotation))


def description_at(model: type[BaseModel], key: KeyPath, data: Any) -> str:
    """Return the description of a key, empty where there is none."""
    section = _section(_annotation_at(model, key[:-1], data), _value(data, key[:-1])) if key else None
    found = _keys(section).get(str(key[-1])) if section else None
    return found.description if found else ""


def takes_own(model: type[BaseModel], key: KeyPath, data: Any) -> bool:
    """Return whether the section at `key` may also name a class of the user's by its path."""
    return OwnModel in _classes(_annotation_at(model, key, data))


@cache
def all_keys(model: type[BaseModel]) -> tuple[str, ...]:
    """Return the dotted keys of a model and its sections, those of lists and variants left out."""
    return tuple(_walk(model, ""))


def _walk(section: type, prefix: str) -> Iterator[str]:
    for name, key in _keys(section).items():
        yield prefix + name
        inner = [each for each in _classes(key.annotation) if issubclass(each, BaseModel)]
        if len(inner) == 1 and get_origin(key.annotation) is not tuple:
            yield from _walk(inner[0], f"{prefix}{name}.")


@cache
def _keys(section: type) -> dict[str, _Key]:
    if issubclass(section, BaseModel):
        fields = section.model_fields.items()
        return {name: _Key(field.annotation, field.description or "") for name, field in fields}
    return {name: _Key(hint, "") for name, hint in get_type_hints(section).items()}


def _annotation_at(model: type[BaseModel], key: KeyPath, data: Any) -> Any:
    annotation: Any = model
    for part in key:
        section = _section(annotation, data)
        if isinstance(part, str) and section is not None and part in _keys(section):
            annotation = _keys(section)[part].annotation
        elif not isinstance(part, int):
            annotation = None
        data = _value(data, (part,))
    return annotation


def _section(annotation: Any, data: Any) -> type | None:
    """Return the class of a section; among variants the one that `data` chooses, by its `model` key or its keys."""
    classes = list(_classes(annotation))
    if len(classes) == 1:
        return classes[0]
    chosen, keys = (data.get("model"), set(data)) if isinstance(data, Mapping) else (None, set())
    candidates = [each for each in classes if model_name(each) == chosen]
    return max(candidates, key=lambda each: len(keys & set(_keys(each))), default=None)


def _classes(annotation: Any) -> Iterator[type]:
    if isinstance(annotation, type) and (issubclass(annotation, BaseModel) or dataclasses.is_dataclass(annotation)):
        yield annotation
    for argument in get_args(annotation):
        yield from _classes(argument)


def _choices(annotation: Any) -> Iterator[str]:
    """Return the keys of a mapping with listed keys."""
    if get_origin(annotation) is dict:
        yield from (each for each in get_args(get_args(annotation)[0]) if isinstance(each, str))


def _value(data: Any, key: KeyPath) -> Any:
    for part in key:
        if isinstance(data, Mapping):
            data = data.get(str(part))
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            return None
    return data
