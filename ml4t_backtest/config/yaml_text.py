"""YAML text into a `Document`, without YAML's traps.

Unquoted values are read by the rules everybody expects: `true`, `false`, `null` and decimal numbers are what
they look like, everything else is text. So `ON`, `NO`, `NULL`, `0700`, `12:30` and `2003-01-02` stay text,
where YAML 1.1 makes booleans, null, octal numbers, minutes and dates of them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.reader import ReaderError

from ml4t_backtest.config.document import MAX_DEPTH, Document, KeyPath, Mistakes, Origin, dotted
from ml4t_backtest.errors import ConfigError

MAX_VALUES = 100_000
_CHARACTERS_PER_VALUE = 64  # Long text counts for more than one value, or aliases could multiply it unseen.
_TAG = "tag:yaml.org,2002:"
_TEXT, _MERGE = f"{_TAG}str", f"{_TAG}merge"
_BOOLEANS = {"true": True, "True": True, "false": False, "False": False}


class _PlainLoader(yaml.SafeLoader):
    """Builds nodes only, with the plain rules of this module and a limit on nesting and number of nodes."""

    depth = 0
    nodes = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        """Compose one node, refusing it when it is too deep or one too many."""
        line = self.peek_event().start_mark.line + 1  # type: ignore[no-untyped-call]
        self.depth += 1
        self.nodes += 1
        _refuse_depth(self.name, line, self.depth)
        if self.nodes > MAX_VALUES:
            raise ConfigError(f"{self.name}:{line}: E-CF-EXPAND more than {MAX_VALUES} values in one configuration")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


_PlainLoader.yaml_implicit_resolvers = {}


def _add_rule(tag: str, pattern: str, first: str) -> None:
    rule = re.compile(rf"(?:{pattern})\Z")
    _PlainLoader.add_implicit_resolver(_TAG + tag, rule, list(first) or [""])


_add_rule("bool", "true|True|false|False", "tTfF")
_add_rule("null", "null|~", "n~")
_add_rule("null", "", "")
_add_rule("int", "[-+]?(?:0|[1-9][0-9]*)", "-+0123456789")
_add_rule("float", r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789")
_add_rule("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", "-+.")
_add_rule("merge", "<<", "<")


def parse_yaml(text: str, file: str, folder: Path) -> Document:
    """Return the content of a YAML text.

    Args:
        text: At most 1 MiB of YAML, one document.
        file: Name for messages.
        folder: Folder that relative paths in it start from.

    Raises:
        ConfigError: Syntax error, duplicate key, top level is no mapping, nested too deep, aliases that
            expand too far or contain themselves, tags.
    """
    root = _compose(text, file)
    if root is None or (isinstance(root, ScalarNode) and root.tag == f"{_TAG}null"):
        raise ConfigError(f"{file}: the file is empty; write at least the sections it needs")
    if not isinstance(root, MappingNode):
        kind = "a list" if isinstance(root, SequenceNode) else "a single value"
        raise ConfigError(f"{file}:{_line(root)}: the top level is {kind}, it must be sections (`key: value`)")
    _Measure(file).size(root, depth=1)
    builder = _Builder(file)
    data = builder.mapping(root, ())
    builder.mistakes.raise_any()
    return Document(data, Origin(file, folder, builder.lines, builder.texts))


def _compose(text: str, file: str) -> Node | None:
    try:
        loader = _PlainLoader(text)
        loader.name = file
        return loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        hint = " (indent with spaces, never tabs)" if "\\t" in (error.problem or "") else ""
        parts = [part for part in (error.context, error.problem) if part]
        raise ConfigError(f"{place}: YAML syntax: {', '.join(parts)}{hint}") from error
    except ConfigError:
        raise
    except (ValueError, OverflowError) as error:  # PyYAML lets the error of "\\UFFFFFFFF" through.
        raise ConfigError(f"{file}: YAML syntax: {error}") from error
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"{file}:{line}: YAML syntax: a control character cannot stand here") from error


class _Measure:
    """Counts the values a node stands for once its aliases are expanded, without expanding them."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._sizes: dict[Node, tuple[int, int]] = {}
        self._open: set[Node] = set()

    def size(self, node: Node, depth: int) -> tuple[int, int]:
        """Return (values, height) of a node found at `depth`."""
        if node in self._open:
            raise ConfigError(f"{self._file}:{_line(node)}: an alias (`*name`) contains itself")
        values, height = self._sizes.get(node) or self._measure(node, depth)
        _refuse_depth(self._file, _line(node), depth + height)
        if values > MAX_VALUES:
            raise ConfigError(
                f"{self._file}:{_line(node)}: E-CF-EXPAND aliases expand to {values} values, "
                f"a configuration holds at most {MAX_VALUES}"
            )
        return values, height

    def _measure(self, node: Node, depth: int) -> tuple[int, int]:
        _refuse_depth(self._file, _line(node), depth)
        self._open.add(node)
        children = [self.size(child, depth + 1) for child in _children(node)]
        self._open.discard(node)
        own = 1 if children or not isinstance(node.value, str) else 1 + len(node.value) // _CHARACTERS_PER_VALUE
        measured = own + sum(values for values, _ in children), max((h + 1 for _, h in children), default=0)
        self._sizes[node] = measured
        return measured


class _Builder:
    """Turns nodes into plain data and notes the line and the text of every key."""

    def __init__(self, file: str) -> None:
        self._file = file
        self.lines: dict[KeyPath, int] = {}
        self.texts: dict[KeyPath, str] = {}
        self.mistakes = Mistakes()

    def mapping(self, node: MappingNode, key: KeyPath) -> dict[str, Any]:
        """Return a mapping as a dict, `<<` merged in."""
        self._refuse_tag(node, "map")
        built = {}
        for name, (name_node, value_node) in self._entries(node, key).items():
            self.lines[(*key, name)] = _line(name_node)
            built[name] = self._value(value_node, (*key, name))
        return built

    def _value(self, node: Node, key: KeyPath) -> Any:
        if isinstance(node, MappingNode):
            return self.mapping(node, key)
        if isinstance(node, SequenceNode):
            self._refuse_tag(node, "seq")
            for index, item in enumerate(node.value):
                self.lines[(*key, index)] = _line(item)
            return [self._value(item, (*key, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, key)

    def _scalar(self, node: Node, key: KeyPath) -> Any:
        if getattr(node, "style", None) is None:
            self.texts[key] = node.value
        try:
            match node.tag.removeprefix(_TAG):
                case "str" | "merge":
                    return node.value
                case "null":
                    return None
                case "bool":
                    return _BOOLEANS[node.value]
                case "int":
                    return int(node.value)
                case "float":
                    return float(re.sub(r"\.(?=inf|nan)", "", node.value.lower()))
        except (KeyError, ValueError):
            self._add(node, f"{dotted(key)}: {node.value[:40]!r} cannot be read as {node.tag.removeprefix(_TAG)}")
            return None
        self._refuse_tag(node, "str")
        return None

    def _entries(self, node: MappingNode, key: KeyPath) -> dict[str, tuple[Node, Node]]:
        """Return the entries of a mapping; its own keys win over merged ones, earlier merges over later."""
        own: dict[str, tuple[Node, Node]] = {}
        merged: list[MappingNode] = []
        for name_node, value_node in node.value:
            if name_node.tag == _MERGE:
                merged.extend(self._merge_sources(value_node))
            elif (name := self._name(name_node)) in own:
                first = _line(own[name][0])
                self._add(name_node, f"{dotted((*key, name))}: duplicate key, first given on line {first}")
            else:
                own[name] = (name_node, value_node)
        for source in merged:
            own = {**self._entries(source, key), **own}
        return own

    def _merge_sources(self, node: Node) -> list[MappingNode]:
        sources = node.value if isinstance(node, SequenceNode) else [node]
        if not all(isinstance(source, MappingNode) for source in sources):
            self._add(node, "`<<` merges mappings only, for example `<<: *name`")
            return []
        return list(sources)

    def _name(self, node: Node) -> str:
        if isinstance(node, ScalarNode) and node.tag == _TEXT:
            return str(node.value)
        text = node.value if isinstance(node, ScalarNode) else "a list or mapping"
        self._add(node, f"key {text!r} is not text; put it in quotes")
        return str(text)

    def _refuse_tag(self, node: Node, allowed: str) -> None:
        if node.tag != _TAG + allowed:
            self._add(node, f"tag {node.tag.replace(_TAG, '!!')!r} is not supported; write the plain value")

    def _add(self, node: Node, text: str) -> None:
        self.mistakes.add(f"{self._file}:{_line(node)}: {text}")


def _children(node: Node) -> list[Node]:
    if isinstance(node, MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, SequenceNode) else []


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _refuse_depth(file: str, line: int, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ConfigError(f"{file}:{line}: E-CF-DEPTH nested deeper than {MAX_DEPTH} levels")
