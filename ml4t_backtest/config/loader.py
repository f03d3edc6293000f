"""Reads configurations: file -> checked text -> plain data -> models, with every mistake said at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ml4t_backtest.config.components import note_mistakes
from ml4t_backtest.config.dataset_schema import DatasetConfig
from ml4t_backtest.config.document import Document, Mistakes, Origin, did_you_mean, read_text
from ml4t_backtest.config.fields import unsafe_name_reason
from ml4t_backtest.config.folders import (
    config_folder,
    find_config,
    find_dataset_config,
    has_config,
    has_dataset_config,
    is_path,
)
from ml4t_backtest.config.import_path import check_allowed, parse_import_path
from ml4t_backtest.config.json_text import parse_json
from ml4t_backtest.config.messages import add_mistakes
from ml4t_backtest.config.schema import BacktestConfig
from ml4t_backtest.config.span_mistakes import note_span
from ml4t_backtest.config.yaml_text import parse_yaml
from ml4t_backtest.core.argument_types import checked_arguments
from ml4t_backtest.errors import ConfigError, UnsafePathError

_Model = TypeVar("_Model", bound=BaseModel)


@checked_arguments
def load_config(name_or_path: str | Path, *, allowed_modules: Sequence[str] = ()) -> BacktestConfig:
    """Read one backtest's configuration and that of its data set.

    Args:
        name_or_path: A name such as `simple_ml_strategy`, or the path of a YAML or JSON file.
        allowed_modules: Module prefixes that the paths of the strategy and of cost models may name besides the
            library and `$ML4T_ALLOWED_MODULES`.

    Raises:
        ConfigError: With one line per mistake: file, line, key, what was found, what is allowed.

    >>> load_config("simple_ml_strategy").backtest.initial_capital
    1000000.0
    """
    path = find_config(name_or_path)
    return load_document(read_document(path), path.stem, allowed_modules)


@checked_arguments
def load_dataset_config(name_or_path: str | Path) -> DatasetConfig:
    """Read one data set's configuration.

    Args:
        name_or_path: A name such as `us_tech_daily`, or the path of a YAML or JSON file.

    Raises:
        ConfigError: With one line per mistake: file, line, key, what was found, what is allowed.
    """
    mistakes = Mistakes()
    config = _dataset(find_dataset_config(name_or_path), mistakes)
    mistakes.raise_any()
    assert config is not None
    return config


def load_dataset_of(name_or_path: str | Path) -> DatasetConfig:
    """Read a data set's configuration: its own, or the one that a backtest's configuration names or holds.

    Args:
        name_or_path: As for `load_dataset_config`, or as for `load_config`; of two of one name the data set is meant.

    Raises:
        ConfigError: With one line per mistake; for a name that is neither's, the data sets there are.
    """
    of_backtest = (
        "data" in read_document(Path(name_or_path)).data
        if is_path(name_or_path)
        else not has_dataset_config(str(name_or_path)) and has_config(str(name_or_path))
    )
    return load_config(name_or_path).dataset if of_backtest else load_dataset_config(name_or_path)


def config_from_mapping(
    data: Mapping[str, Any], *, name: str, folder: Path | None = None, allowed_modules: Sequence[str] = ()
) -> BacktestConfig:
    """Check a configuration made in memory, by the same rules as a file.

    Args:
        data: Sections as a file has them: mappings, lists, text, numbers, booleans, None, dates.
        name: What the file would be called.
        folder: Where relative paths start from and data sets are looked for. Default: `config_folder()`.
        allowed_modules: As for `load_config`.

    Raises:
        ConfigError: With one line per mistake.
    """
    origin = Origin(f"<{name}>", folder if folder is not None else config_folder())
    return load_document(plain_document(data, origin), name, allowed_modules)


def restore_config(content: Mapping[str, Any], *, name: str, folder: Path, dataset_folder: Path) -> BacktestConfig:
    """Return a configuration from its `effective_content`, checked by the same rules as a file.

    Args:
        content: What `effective_content` returned.
        name: What the text of mistakes calls it.
        folder: Where files of strategies and cost models are looked for.
        dataset_folder: Where relative paths of sources start from.

    Raises:
        ConfigError: With one line per mistake.
    """
    origin, source = Origin(f"<{name}>", folder), Origin(f"<{name}: data set>", dataset_folder)
    mistakes = Mistakes()
    document, given = Document(_plain(content["config"], origin), origin), _plain(content["dataset"], source)
    config = validate_document(BacktestConfig, document, document.data, mistakes)
    dataset = validate_document(DatasetConfig, Document(given, source), given, mistakes)
    _check_paths(document, mistakes, ())
    mistakes.raise_any()
    assert config is not None
    assert dataset is not None
    _attach(config, dataset, origin)
    dataset._origin = source
    return config


def read_document(path: Path) -> Document:
    """Return the content of a YAML or JSON (`.json`) file, checked as text but not as a configuration.

    Raises:
        ConfigError: The file is unreadable, too large, no UTF-8, or no well-formed YAML or JSON mapping.
    """
    text = read_text(path)
    parse = parse_json if path.suffix.lower() == ".json" else parse_yaml
    document = parse(text, str(path), path.absolute().parent)
    try:
        json.dumps(document.data, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise ConfigError(f"{path}: holds half of a surrogate pair (\\ud800 to \\udfff), which is no text") from error
    return document


def config_hash(config: BacktestConfig | DatasetConfig) -> str:
    """Return the sha256 of what a configuration says, data set included.

    It does not depend on the folder, the format, comments, the order of keys, or whether a default is
    written out.
    """
    return hash_of_content(effective_content(config))


def effective_content(config: BacktestConfig | DatasetConfig) -> dict[str, Any]:
    """Return everything a configuration says as JSON, defaults written out, its data set beside it."""
    content: dict[str, Any] = {"config": config.model_dump(mode="json")}
    if isinstance(config, BacktestConfig):
        content["dataset"] = config.dataset.model_dump(mode="json")
    return content


def hash_of_content(content: Mapping[str, Any]) -> str:
    """Return the `config_hash` of a configuration by its `effective_content`.

    Raises:
        ValueError: It is no JSON.
    """
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()


def load_document(document: Document, name: str, allowed_modules: Sequence[str] = ()) -> BacktestConfig:
    """Return the configuration that a document holds; arguments and errors as for `load_config`."""
    mistakes = Mistakes()
    data = _with_names(document.data, name)
    config = validate_document(BacktestConfig, document, data, mistakes)
    allowed = _check_paths(document, mistakes, allowed_modules)
    dataset = _named_dataset(document, mistakes) or (config.data.source if config else _source_alone(data))
    if dataset is not None:
        _check_benchmark(dataset, document, mistakes)
    if mistakes and allowed:
        note_mistakes(document, allowed_modules, dataset, mistakes)
    if mistakes and dataset is not None:
        dataset._origin = dataset._origin or document.origin
        start, end = (_value(document.data, "backtest", key) for key in ("start", "end"))
        note_span(start, end, dataset, document.origin, mistakes)
    mistakes.raise_any()
    assert config is not None
    assert dataset is not None
    _attach(config, dataset, document.origin)
    config._allowed_modules = tuple(allowed_modules)
    return config


def _attach(config: BacktestConfig, dataset: DatasetConfig, origin: Origin) -> None:
    config._origin = origin
    config._dataset = dataset
    config.strategy._origin = origin
    if config.data.source is not None:
        config.data.source._origin = origin


def _dataset(path: Path, mistakes: Mistakes) -> DatasetConfig | None:
    document = read_document(path)
    config = validate_document(DatasetConfig, document, {"name": path.stem, **document.data}, mistakes)
    if config is not None:
        config._origin = document.origin
    return config


def validate_document(
    model: type[_Model], document: Document, data: Mapping[str, Any], mistakes: Mistakes
) -> _Model | None:
    """Return the model of some data, or None after noting what is wrong with it.

    Args:
        model: Model of the whole file.
        document: The file, for lines.
        data: What is validated: its content, perhaps with names filled in.
        mistakes: Where to note mistakes.
    """
    try:
        # As JSON, because only there a strict model takes lists for tuples and mappings for dataclasses.
        return model.model_validate_json(json.dumps(data))
    except ValidationError as error:
        add_mistakes(mistakes, error, document=document, data=data, model=model)
        return None


def _with_names(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the data with the file's name where the backtest or a data set in place has none."""
    named = {**data, "backtest": _named(data.get("backtest", {}), name)}
    section = data.get("data")
    if isinstance(section, Mapping) and "source" in section:
        named["data"] = {**section, "source": _named(section["source"], name)}
    return named


def _named(section: Any, name: str) -> Any:
    return {"name": name, **section} if isinstance(section, Mapping) else section


def _value(data: Mapping[str, Any], *key: str) -> Any:
    found: Any = data
    for part in key:
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _named_dataset(document: Document, mistakes: Mistakes) -> DatasetConfig | None:
    name = _value(document.data, "data", "dataset")
    if not isinstance(name, str) or unsafe_name_reason(name):
        return None
    try:
        path = find_dataset_config(name, document.origin.folder)
    except ConfigError as error:
        mistakes.add(document.origin.message(("data", "dataset"), str(error)))
        return None
    try:
        return _dataset(path, mistakes)
    except ConfigError as error:
        mistakes.absorb(error)
        return None


def _source_alone(data: Mapping[str, Any]) -> DatasetConfig | None:
    """Return the data set in place of a configuration that is wrong elsewhere; None where it is wrong itself."""
    try:
        return DatasetConfig.model_validate_json(json.dumps(_value(data, "data", "source")))
    except ValidationError:
        return None


def _check_paths(document: Document, mistakes: Mistakes, allowed_modules: Sequence[str]) -> bool:
    """Note the classes that the configuration may not name; return whether there are none."""
    sections = (("strategy",), ("execution", "slippage"), ("execution", "commission"))
    checked = [_check_path(document, (*section, "path"), mistakes, allowed_modules) for section in sections]
    return all(checked)


def _check_path(document: Document, key: tuple[str, ...], mistakes: Mistakes, allowed_modules: Sequence[str]) -> bool:
    """Note a class that the configuration may not name, before anything is imported."""
    path = _value(document.data, *key)
    parsed = parse_import_path(path) if isinstance(path, str) else None
    if parsed is None:
        return True
    try:
        check_allowed(parsed, document.origin.folder, allowed_modules)
    except (ConfigError, UnsafePathError) as error:
        text = document.origin.message(key, f"found {path!r}; {error}")
        mistakes.add(text, unsafe=isinstance(error, UnsafePathError))
        return False
    return True


def _check_benchmark(dataset: DatasetConfig, document: Document, mistakes: Mistakes) -> None:
    benchmark, columns = _value(document.data, "reporting", "benchmark"), dataset.context_names
    if isinstance(benchmark, str) and benchmark not in columns:
        known = ", ".join(columns) or "it has none"
        text = f"found {benchmark!r}; must be a context column of the data set: {known}."
        text += did_you_mean(benchmark, columns)
        mistakes.add(document.origin.message(("reporting", "benchmark"), text))


def plain_document(data: Mapping[str, Any], origin: Origin) -> Document:
    """Return a configuration made in memory as a document.

    Raises:
        ConfigError: It holds what no file could hold.
    """
    return Document(_plain(data, origin), origin)


def _plain(data: Mapping[str, Any], origin: Origin) -> dict[str, Any]:
    def iso(value: object) -> str:
        if type(value) is date:
            return value.isoformat()
        raise TypeError(f"{value!r} is neither a mapping, list, text, number, boolean, None nor date")

    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(data), default=iso))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{origin.file}: {error}") from error
    return plain
