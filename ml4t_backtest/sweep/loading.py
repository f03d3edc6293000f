"""Reads a sweep: file -> models -> every variant of the backtest, with every mistake of all of them said at once."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ml4t_backtest.config.components import build_components
from ml4t_backtest.config.document import Document, KeyPath, Mistakes, Origin, shown
from ml4t_backtest.config.folders import SUFFIXES, find_config, find_sweep_config, is_path
from ml4t_backtest.config.loader import load_document, plain_document, read_document, validate_document
from ml4t_backtest.config.schema import BacktestConfig
from ml4t_backtest.core.argument_types import checked_arguments
from ml4t_backtest.errors import BacktestError, ConfigError
from ml4t_backtest.sweep.schema import SweepConfig
from ml4t_backtest.sweep.spaces import MOST_TRIALS, Point


@dataclass(frozen=True)
class Variant:
    """The backtest with one choice of values.

    Attributes:
        parameters: Dotted key -> value, the seed's key among them.
        seed: What `seed_key` was given, or None.
        config: The backtest that comes of it.
    """

    parameters: Mapping[str, Any]
    seed: int | None
    config: BacktestConfig


@dataclass(frozen=True)
class Sweep:
    """A sweep with all its variants, each checked as a configuration.

    Attributes:
        config: What the file says.
        variants: In the order they are tried. Where they are proposed while it runs: two corners of the space.
    """

    config: SweepConfig
    variants: tuple[Variant, ...]
    _base: Document = field(repr=False)
    _origin: Origin = field(repr=False)
    _allowed_modules: tuple[str, ...] = field(default=(), repr=False)

    @property
    def name(self) -> str:
        """Name of the sweep."""
        return self.config.name

    def variant(self, point: Point) -> Variant:
        """Return the variant at a point; errors as for `load_sweep`."""
        mistakes = Mistakes()
        found = _variant(self._base, point, None, self._origin, mistakes, self._allowed_modules)
        mistakes.raise_any()
        assert found is not None
        return found

    def with_variants(self, variants: Iterable[Variant]) -> Sweep:
        """Return the sweep with other variants."""
        return replace(self, variants=tuple(variants))

    def over(self, variant: Variant, first: str, last: str) -> BacktestConfig:
        """Return a variant's backtest over another span.

        Args:
            variant: One of `variants`.
            first: First session, YYYY-MM-DD.
            last: Last session.
        """
        point = {**variant.parameters, "backtest.start": first, "backtest.end": last}
        return _resolved(self._base, point, self._origin, self._allowed_modules)


@checked_arguments
def load_sweep(name_or_path: str | Path, *, allowed_modules: Sequence[str] = ()) -> Sweep:
    """Read a sweep and every variant of its backtest.

    Args:
        name_or_path: A name such as `thresholds`, or the path of a YAML or JSON file.
        allowed_modules: As for `load_config`.

    Raises:
        ConfigError: With one line per mistake: file, line, key, what was found, what is allowed; also of values that
            the backtest does not take.
        StrategyError: A class that a variant names cannot be loaded, or does not take its params.

    >>> [variant.parameters for variant in load_sweep("thresholds").variants][:2]
    [{'strategy.params.enter_above': 0.51, 'strategy.params.exit_below': 0.49}, {'strategy.params.enter_above': 0.51, \
'strategy.params.exit_below': 0.5}]
    """
    path = find_sweep_config(name_or_path)
    return _sweep(read_document(path), path.stem, allowed_modules)


def sweep_from_mapping(
    data: Mapping[str, Any], *, name: str, folder: Path, allowed_modules: Sequence[str] = ()
) -> Sweep:
    """Check a sweep made in memory by the same rules as a file.

    Args:
        data: Sections as a file has them.
        name: What the file would be called.
        folder: Where the base is looked for.
        allowed_modules: As for `load_config`.
    """
    return _sweep(plain_document(data, Origin(f"<{name}>", folder)), name, allowed_modules)


def _sweep(document: Document, name: str, allowed_modules: Sequence[str]) -> Sweep:
    mistakes = Mistakes()
    section = document.data.get("sweep", {})
    named = {"name": name, **section} if isinstance(section, Mapping) else section
    config = validate_document(SweepConfig, document, {**document.data, "sweep": named}, mistakes)
    if config is None:
        _absorb_base(document, section, mistakes)
        mistakes.raise_any()
    assert config is not None
    base = read_document(base_file(config.sweep.base, document.origin.folder))
    base = Document(_filled(base, allowed_modules), base.origin)
    origin = _lines_of(document, config, base)
    points = _points(config, document, mistakes)
    variants = [_variant(base, point, seed, origin, mistakes, allowed_modules) for point, seed in points]
    mistakes.raise_any()
    found = tuple(variant for variant in variants if variant is not None)
    return Sweep(config, found, base, origin, tuple(allowed_modules))


def base_file(base: str, folder: Path) -> Path:
    """Return the file of the backtest that a sweep varies.

    Args:
        base: A path from the sweep's folder, or a name in the folder above it, or of any configuration.
        folder: The sweep's folder.
    """
    if is_path(base):
        return folder / base
    beside = [folder.parent / f"{base}{suffix}" for suffix in SUFFIXES]
    return next((file for file in beside if file.is_file()), None) or find_config(base)


def _absorb_base(document: Document, section: Any, mistakes: Mistakes) -> None:
    """Note what is wrong with the base too, where the sweep itself is wrong already."""
    base = section.get("base") if isinstance(section, Mapping) else None
    if not isinstance(base, str):
        return
    try:
        load_document(read_document(base_file(base, document.origin.folder)), Path(base).stem)
    except ConfigError as error:
        mistakes.absorb(error)


def _filled(base: Document, allowed_modules: Sequence[str]) -> dict[str, Any]:
    """Return the data of the base, which must be right by itself, with its name in it."""
    config = load_document(base, Path(base.origin.file).stem, allowed_modules)
    return {**base.data, "backtest": {"name": config.name, **base.data.get("backtest", {})}}


def _lines_of(document: Document, config: SweepConfig, base: Document) -> Origin:
    """Return the origin of the variants: the sweep's file, with the lines on which it says what it varies."""
    lines: dict[KeyPath, int] = {}
    for key, line in document.origin.lines.items():
        named = key[2:] if key[:2] == ("space", "parameters") else key[3:] if key[:2] == ("space", "trials") else ()
        if named and isinstance(named[0], str):
            parts = named[0].split(".")
            for depth in range(len(parts), 0, -1):
                lines.setdefault(tuple(parts[:depth]), line)
    if config.seed_key is not None and ("seed_key",) in document.origin.lines:
        lines[tuple(config.seed_key.split("."))] = document.origin.lines["seed_key",]
    return Origin(document.origin.file, base.origin.folder, lines)


def _points(config: SweepConfig, document: Document, mistakes: Mistakes) -> Iterator[tuple[Point, int | None]]:
    """Yield each point with each seed."""
    number = len(config.space) * max(1, len(config.seeds))
    if number > MOST_TRIALS:
        text = f"{number:,} trials; a sweep has at most {MOST_TRIALS:,}: name fewer values, or draw at random"
        mistakes.add(document.origin.message(("space",), text))
        return
    for point in config.space.points():
        for seed in config.seeds:
            yield {**point, str(config.seed_key): seed}, seed
        if not config.seeds:
            yield point, None


def _variant(
    base: Document,
    point: Point,
    seed: int | None,
    origin: Origin,
    mistakes: Mistakes,
    allowed_modules: Sequence[str],
) -> Variant | None:
    try:
        config = _resolved(base, point, origin, allowed_modules)
        build_components(config)
    except ConfigError as error:
        for line in str(error).splitlines():
            mistakes.add(line)
        return None
    except BacktestError as error:
        told = ", ".join(f"{key}: {shown(value)}" for key, value in point.items())
        raise type(error)(f"{origin.file}: with {told}: {error}") from error
    return Variant(point, seed, config)


def _resolved(base: Document, point: Point, origin: Origin, allowed_modules: Sequence[str]) -> BacktestConfig:
    data = copy.deepcopy(base.data)
    mistakes = Mistakes()
    for key, value in point.items():
        _put(data, key, value, origin, mistakes)
    try:
        config = load_document(Document(data, origin), base.data["backtest"]["name"], allowed_modules)
    except ConfigError as error:
        mistakes.absorb(error)
    mistakes.raise_any()
    return config


def _put(data: dict[str, Any], key: str, value: Any, origin: Origin, mistakes: Mistakes) -> None:
    """Put a value where its dotted key says; sections that the base leaves out are made on the way."""
    *sections, last = key.split(".")
    place: Any = data
    for number, section in enumerate(sections):
        if section not in place:
            place[section] = _default_section(sections[: number + 1])
        place = place[section]
        if not isinstance(place, dict):
            at = ".".join(sections[: number + 1])
            mistakes.add(origin.message(tuple(key.split(".")), f"{at} of the backtest is no section of keys"))
            return
    place[last] = copy.deepcopy(value)


def _default_section(key: Sequence[str]) -> dict[str, Any]:
    """Return the model that stands where the base says nothing, so that one of its parameters can be varied."""
    model = _DEFAULT_MODELS.get(key[1]) if key[0] == "execution" and len(key) == 2 else None
    return {} if model is None else {"model": model}


# Those of the schema.
_DEFAULT_MODELS = {"slippage": "percentage", "commission": "percentage", "account": "cash"}
