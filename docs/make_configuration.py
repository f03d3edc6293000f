"""Writes docs/guides/configuration.md: every key of a configuration, from the models that read it.

`python -m docs.make_configuration` brings the page up to date; a test holds that it is.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from docs.generated_blocks import with_blocks
from ml4t_backtest.config.cost_models import models_of
from ml4t_backtest.config.dataset_schema import (
    ActionSource,
    ContextSource,
    DatasetConfig,
    Delisting,
    DelistingSource,
    PriceSource,
    SignalSource,
    UniverseSource,
)
from ml4t_backtest.config.schema import (
    BacktestSection,
    DataSection,
    ExecutionSection,
    ReportingSection,
    RiskSection,
    StrategySection,
)
from ml4t_backtest.execution import accounts, commission, slippage
from ml4t_backtest.execution.guard import PortfolioLimits, PositionRules

PAGE = Path(__file__).parent / "guides" / "configuration.md"
BACKTEST = {
    "backtest": BacktestSection,
    "data": DataSection,
    "execution": ExecutionSection,
    "risk": RiskSection,
    "strategy": StrategySection,
    "reporting": ReportingSection,
}
DATASET = {
    "a data set": DatasetConfig,
    "prices": PriceSource,
    "signals": SignalSource,
    "context": ContextSource,
    "corporate_actions": ActionSource,
    "delistings": DelistingSource,
    "a declared end": Delisting,
    "universe": UniverseSource,
}
RULES = {"risk.position": PositionRules, "risk.portfolio": PortfolioLimits}
COMPONENTS = {"slippage": slippage, "commission": commission, "account": accounts}
_WORDS = {"str": "text", "float": "number", "int": "whole number", "bool": "true or false", "date": "date"}
# Defaults of whole sections are described where the section is.
_BY_ITSELF = "as below"
_MOST_LISTED = 8


def blocks() -> dict[str, str]:
    """Return every generated block of the page, by its name."""
    found = {name: _table(_keys_of(model)) for name, model in (BACKTEST | DATASET).items()}
    found |= {name: _table(_fields_of(rules)) for name, rules in RULES.items()}
    found |= {kind: _models(module) for kind, module in COMPONENTS.items()}
    return found


def rewritten(page: str) -> str:
    """Return the page with every generated block brought up to date."""
    return with_blocks(page, blocks())


def _keys_of(model: type[BaseModel]) -> Iterator[tuple[str, str, str, str]]:
    """Yield key, what it may be, default and meaning of each key of a section."""
    for name, field in model.model_fields.items():
        yield f"`{name}`", _kind(field.annotation), _default(field), _meaning(field)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        # The loader gives a file's name to what has none of its own.
        return "the file's name" if "Default: the file's name" in (field.description or "") else "required"
    value = field.get_default(call_default_factory=True)
    name = getattr(value, "model", None)
    if isinstance(value, BaseModel) or (dataclasses.is_dataclass(value) and name is None):
        return _BY_ITSELF
    if name is not None:
        return f"`{_as_yaml(value)}`"
    return f"`{_yaml(value)}`"


def _as_yaml(component: Any) -> str:
    given = {"model": component.model, **{name: value for name, value in _values(component) if name != "model"}}
    return "{" + ", ".join(f"{name}: {_yaml(value)}" for name, value in given.items()) + "}"


def _values(component: Any) -> Iterator[tuple[str, Any]]:
    return ((each.name, getattr(component, each.name)) for each in dataclasses.fields(component))


def _meaning(field: FieldInfo) -> str:
    """Return the description; of a type that brings its own, where the field has none."""
    if field.description:
        return field.description
    described = (getattr(each, "description", None) for each in field.metadata)
    return next((text for text in described if text), "")


def _fields_of(component: type) -> Iterator[tuple[str, str, str, str]]:
    """Yield the same for a dataclass, whose meanings stand under `Attributes` of its docstring."""
    hints, meanings = get_type_hints(component), _attributes(component)
    for field in dataclasses.fields(component):
        if field.name != "model":
            yield f"`{field.name}`", _kind(hints[field.name]), f"`{_yaml(field.default)}`", meanings[field.name]


def _attributes(component: type) -> dict[str, str]:
    text = inspect.getdoc(component) or ""
    listed = text.partition("Attributes:\n")[2]
    entries = re.findall(r"^    (\w+): (.*(?:\n        .*)*)", listed, re.MULTILINE)
    return {name: " ".join(meaning.split()) for name, meaning in entries}


def _models(module: types.ModuleType) -> str:
    """Return a heading, the formula and the parameters of each model of a kind."""
    parts = []
    for name, component in models_of(module).items():
        said = (inspect.getdoc(component) or "").partition("Attributes:")[0].partition(">>>")[0].strip()
        rows = list(_fields_of(component))
        parts += [f"**`model: {name}`** {' '.join(said.split())}", *([_table(rows)] if rows else [])]
    return "\n\n".join(parts)


def _kind(annotation: Any) -> str:
    """Return what a value may be, in words."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation in (Any, inspect.Parameter.empty) or annotation is None:
        return "anything"
    if origin is Literal:
        if len(inner) > _MOST_LISTED:
            return f"codes such as `{inner[0]}`"
        return ", ".join(f"`{each}`" for each in inner)
    if origin in (Union, types.UnionType):
        kinds = dict.fromkeys("null" if each is type(None) else _kind(each) for each in inner)
        return " or ".join(sorted(kinds, key=lambda kind: kind == "null"))
    if origin is tuple:
        return f"list of {_kind(inner[0])}"
    if origin is dict:
        return f"mapping to {_kind(inner[1])}"
    if hasattr(annotation, "__metadata__"):
        return _kind(inner[0])
    if isinstance(annotation, type) and (issubclass(annotation, BaseModel) or dataclasses.is_dataclass(annotation)):
        return "a section"
    name = getattr(annotation, "__name__", str(annotation))
    return _WORDS.get(name, "any value" if name == "JsonValue" else "a section" if origin is None else name)


def _yaml(value: Any) -> str:
    if value is PydanticUndefined:
        return ""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(_yaml(each) for each in value) + "]"
    if isinstance(value, dict):
        return "{}" if not value else str(value)
    return '""' if value == "" else f"{value:.10g}" if isinstance(value, float) else str(value)


def _table(rows: Iterator[tuple[str, ...]] | list[tuple[str, ...]]) -> str:
    lines = [("key", "value", "default", "meaning"), ("---",) * 4]
    cells = (tuple(" ".join(cell.replace("|", "\\|").split()) for cell in row) for row in rows)
    return "\n".join("| " + " | ".join(line) + " |" for line in [*lines, *cells])


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
