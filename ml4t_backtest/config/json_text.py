"""JSON text into a `Document`: strict JSON, with the line of every key.

The standard library reads NaN, keeps the last of two equal keys and does not say where a key stands; this
reader walks the structure itself and leaves text and numbers to the standard library.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from pathlib import Path
from typing import Any, Never

from ml4t_backtest.config.document import MAX_DEPTH, Document, KeyPath, Origin, dotted
from ml4t_backtest.errors import ConfigError

_BLANKS = re.compile(r"[ \t\n\r]*")
_NO_JSON = re.compile(r"-?(?:NaN|Infinity)")


def parse_json(text: str, file: str, folder: Path) -> Document:
    """Return the content of a JSON text.

    Args:
        text: At most 1 MiB of JSON.
        file: Name for messages.
        folder: Folder that relative paths in it start from.

    Raises:
        ConfigError: Syntax error, NaN or Infinity, duplicate key, top level is no object, nested too deep;
            with line and column.
    """
    reader = _Reader(text, file)
    data = reader.document()
    return Document(data, Origin(file, folder, reader.lines, {}))


class _Reader:
    """Walks a JSON text once, from left to right."""

    def __init__(self, text: str, file: str) -> None:
        self._text = text
        self._file = file
        self._at = 0
        self._decoder = json.JSONDecoder()
        self._line_ends = [found.start() for found in re.finditer("\n", text)]
        self.lines: dict[KeyPath, int] = {}

    def document(self) -> dict[str, Any]:
        """Return the whole text, which is one object."""
        if self._peek() != "{":
            self._fail("the top level must be an object `{...}` of sections")
        data = self._object((), 1)
        if self._peek():
            self._fail("text after the end of the object")
        return data

    def _value(self, key: KeyPath, depth: int) -> Any:
        if depth > MAX_DEPTH:
            self._fail(f"E-CF-DEPTH nested deeper than {MAX_DEPTH} levels")
        start = self._peek()
        if start == "{":
            return self._object(key, depth)
        return self._array(key, depth) if start == "[" else self._scalar()

    def _object(self, key: KeyPath, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self._take("{")
        while self._more("}", first=not found):
            if self._peek() != '"':
                self._fail("expected a key in double quotes" + ("; JSON has no trailing comma" if found else ""))
            at = self._at
            name = self._scalar()
            here = (*key, name)
            if name in found:
                self._at = at
                self._fail(f"{dotted(here)}: duplicate key, first given on line {self.lines[here]}")
            self.lines[here] = self._line_of(at)
            self._take(":")
            found[name] = self._value(here, depth + 1)
        return found

    def _array(self, key: KeyPath, depth: int) -> list[Any]:
        found: list[Any] = []
        self._take("[")
        while self._more("]", first=not found):
            if found and self._peek() == "]":
                self._fail("expected a value; JSON has no trailing comma")
            here = (*key, len(found))
            self.lines[here] = self._line_of(self._at)
            found.append(self._value(here, depth + 1))
        return found

    def _scalar(self) -> Any:
        if _NO_JSON.match(self._text, self._at):
            self._fail("NaN and Infinity are no JSON; write null or a finite number")
        try:
            value, self._at = self._decoder.raw_decode(self._text, self._at)
        except json.JSONDecodeError as error:
            self._at = error.pos
            self._fail(error.msg)
        except ValueError as error:
            self._fail(str(error))
        return value

    def _more(self, end: str, *, first: bool) -> bool:
        """Step over a comma, or over `end` and return False."""
        if self._peek() == end:
            self._at += 1
            return False
        if not first:
            self._take(",")
            self._peek()
        return True

    def _take(self, mark: str) -> None:
        if self._peek() != mark:
            self._fail(f"expected {mark!r}")
        self._at += 1

    def _peek(self) -> str:
        """Skip blanks and return the next character, empty at the end."""
        blanks = _BLANKS.match(self._text, self._at)
        self._at = blanks.end() if blanks else self._at
        return self._text[self._at : self._at + 1]

    def _line_of(self, at: int) -> int:
        return bisect_left(self._line_ends, at) + 1

    def _fail(self, text: str) -> Never:
        column = self._at - self._text.rfind("\n", 0, self._at)
        raise ConfigError(f"{self._file}:{self._line_of(self._at)}:{column}: JSON: {text}")
