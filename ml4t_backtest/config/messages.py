"""Pydantic's errors as sentences: where, what was found, what is allowed, and the nearest name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ml4t_backtest.config.document import Document, KeyPath, Mistakes, did_you_mean, shown
from ml4t_backtest.config.fields import MUST, UNKNOWN_KEY, UNSAFE_NAME
from ml4t_backtest.config.keys import all_keys, description_at, keys_at, takes_own

_A_SECTION = "a section of keys (`key: value`)"
_KINDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list (`[a, b]`)",
    "dict_type": _A_SECTION,
    "model_type": _A_SECTION,
    "model_attributes_type": _A_SECTION,
    "dataclass_type": _A_SECTION,
    "dataclass_exact_type": _A_SECTION,
    "finite_number": "a finite number",
    "greater_than": "greater than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
    "too_short": "a list of at least {min_length:d} item",
}
_CHOICES = {"literal_error": "expected", "union_tag_invalid": "expected_tags"}
_UNKNOWN = {"extra_forbidden", "unexpected_keyword_argument"}
_MISSING = {"missing", "missing_argument", "union_tag_not_found"}
_PYTHON_NUMBER = re.compile(r"[-+]?\d+(_\d+)+(\.\d+)?")


def add_mistakes(
    mistakes: Mistakes,
    error: ValidationError,
    *,
    document: Document,
    data: Mapping[str, Any],
    model: type[BaseModel],
) -> None:
    """Note every error of a validation as one line.

    Args:
        mistakes: Where to note them.
        error: What Pydantic raised.
        document: The file, for lines.
        data: What was validated.
        model: The model it was validated by, for names and descriptions.
    """
    found = error.errors(include_url=False)
    for each in found:
        # What is refused item by item is not too short besides.
        if each["type"] == "too_short" and any(_is_below(other["loc"], each["loc"]) for other in found):
            continue
        key, text = _explain(each, document, data, model)
        mistakes.add(document.origin.message(key, text), unsafe=each["type"] == UNSAFE_NAME)


def _is_below(loc: tuple[str | int, ...], other: tuple[str | int, ...]) -> bool:
    return len(loc) > len(other) and loc[: len(other)] == other


def _explain(
    error: ErrorDetails, document: Document, data: Mapping[str, Any], model: type[BaseModel]
) -> tuple[KeyPath, str]:
    kind, context = error["type"], error.get("ctx", {})
    key = _real_key(error["loc"], data, missing=kind in _MISSING and kind != "union_tag_not_found")
    if kind in {MUST, UNSAFE_NAME}:
        key = (*key, *_sub_key(context["key"]))
        return key, f"{_found(key, data, document)}{context['text']}"
    if kind == UNKNOWN_KEY:
        return (*key, *_sub_key(context["key"])), str(context["text"])
    if kind == "value_error":
        return key, str(context["error"])
    if kind in _UNKNOWN or error["loc"][-1:] == ("[key]",):
        return key, _unknown_key(key, data, model)
    if kind == "union_tag_not_found":
        key = (*key, "model")
        return key, f"required, but missing; {_allowed_here(key, data, model)}{_or_own(key, data, model)}"
    if kind in _MISSING:
        return key, f"required, but missing{_described(key, data, model)}"
    if kind in _CHOICES:
        key = (*key, "model") if kind == "union_tag_invalid" else key
        own = _or_own(key, data, model) if kind == "union_tag_invalid" else ""
        return key, _found(key, data, document) + _choice(key, data, context[_CHOICES[kind]]) + own
    if kind not in _KINDS:
        return key, _found(key, data, document) + error["msg"]
    allowed = _KINDS[kind].format_map(context)
    hint = _hint(kind, _value(key, data), document.origin.texts.get(key))
    return key, f"{_found(key, data, document)}must be {allowed}{hint}{_described(key, data, model)}"


def _real_key(loc: tuple[str | int, ...], data: Any, *, missing: bool) -> KeyPath:
    """Drop from Pydantic's location what is no key of the data: the chosen variant, `[key]`, type names."""
    key: list[str | int] = []
    for position, part in enumerate(loc):
        is_key = isinstance(data, dict) and part in data
        if is_key or (isinstance(data, list) and isinstance(part, int)):
            key.append(part)
            data = data[part]
        elif missing and position == len(loc) - 1:
            key.append(part)
    return tuple(key)


def _sub_key(text: str) -> KeyPath:
    parts = re.findall(r"[^.\[\]]+", text)
    return tuple(int(part) if part.isdigit() else part for part in parts)


def _value(key: KeyPath, data: Any) -> Any:
    for part in key:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _found(key: KeyPath, data: Mapping[str, Any], document: Document) -> str:
    value = _value(key, data)
    if isinstance(value, dict):
        return ""
    text = document.origin.texts.get(key)
    return f"found {shown(value) if isinstance(value, str) or not text else shown(text)[1:-1]}; "


def _described(key: KeyPath, data: Mapping[str, Any], model: type[BaseModel]) -> str:
    text = description_at(model, key, data)
    return f" ({text.rstrip('.')})" if text else ""


def _choice(key: KeyPath, data: Mapping[str, Any], expected: str) -> str:
    choices = re.findall(r"'([^']*)'", expected)
    return f"must be one of {', '.join(choices)}.{did_you_mean(str(_value(key, data)), choices)}"


def _unknown_key(key: KeyPath, data: Mapping[str, Any], model: type[BaseModel]) -> str:
    name = str(key[-1])
    known = keys_at(model, key[:-1], data)
    hint = did_you_mean(name, known)
    elsewhere = [path for path in all_keys(model) if path.split(".")[-1] == name]
    if elsewhere:
        hint = f" It belongs at {' or '.join(elsewhere)}."
    return f"unknown key.{hint} Allowed here: {', '.join(known) or 'nothing'}"


def _allowed_here(key: KeyPath, data: Mapping[str, Any], model: type[BaseModel]) -> str:
    return f"must be one of {', '.join(keys_at(model, key, data))}"


def _or_own(key: KeyPath, data: Mapping[str, Any], model: type[BaseModel]) -> str:
    return " (or path and params, for a class of your own)" if takes_own(model, key[:-1], data) else ""


def _hint(kind: str, value: object, written: str | None) -> str:
    text = value if isinstance(value, str) else ""
    if kind == "string_type" and written and not isinstance(value, (dict, list)):
        return f', put it in quotes: "{written}"'
    if kind in {"int_type", "float_type"} and _PYTHON_NUMBER.fullmatch(text):
        return f", written without underscores: {text.replace('_', '')}"
    if kind == "bool_type" and text.lower() in {"yes", "on", "true", "y"}:
        return ", write true"
    if kind == "bool_type" and text.lower() in {"no", "off", "false", "n"}:
        return ", write false"
    return ""
