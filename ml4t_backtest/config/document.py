"""A configuration file as plain data, with the place in the file where each key stands.

The guards that apply to every format live here: kind of file, size, encoding.
"""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ml4t_backtest.errors import ConfigError, UnsafePathError

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
_SHOWN_MISTAKES = 50
_SHOWN_VALUE = 80
_UTF16_AND_32 = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")

KeyPath = tuple[str | int, ...]


class UnsafeConfigError(ConfigError, UnsafePathError):
    """A configuration holds a name or path that is not safe to use as a file name or leaves its folder."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a configuration came from. Never part of an equality: the same content elsewhere is the same.

    Attributes:
        file: The file as given, or a word such as `<mapping>` for one made in memory.
        folder: Folder that relative input paths start from.
        lines: 1-based line of each key.
        texts: Unquoted values as they are written.
    """

    file: str = field(compare=False)
    folder: Path = field(compare=False)
    lines: Mapping[KeyPath, int] = field(default_factory=dict, compare=False)
    texts: Mapping[KeyPath, str] = field(default_factory=dict, compare=False)

    def message(self, key: KeyPath, text: str) -> str:
        """Return `file:line: dotted.key: text`, with the line of the nearest key that is in the file."""
        near = next((self.lines[key[:n]] for n in range(len(key), -1, -1) if key[:n] in self.lines), None)
        place = self.file if near is None else f"{self.file}:{near}"
        return f"{place}: {dotted(key)}: {text}" if key else f"{place}: {text}"


@dataclass(frozen=True, slots=True)
class Document:
    """The content of one configuration file: mappings, lists, text, numbers, true/false and null."""

    data: dict[str, Any]
    origin: Origin


class Mistakes:
    """What is wrong with a configuration, collected so that all of it is said at once."""

    def __init__(self) -> None:
        self._texts: dict[str, None] = {}
        self._unsafe = False

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def texts(self) -> list[str]:
        """What was noted, in the order it was, each text once."""
        return list(self._texts)

    def add(self, text: str, *, unsafe: bool = False) -> None:
        """Note one mistake; `unsafe` for a name or path that must not be used on disk."""
        self._texts[text] = None
        self._unsafe = self._unsafe or unsafe

    def absorb(self, error: ConfigError | UnsafePathError) -> None:
        """Note the mistakes of an error that was already raised."""
        self.add(str(error), unsafe=isinstance(error, UnsafePathError))

    def raise_any(self) -> None:
        """Raise if there is any mistake.

        Raises:
            ConfigError: One line per mistake; an `UnsafeConfigError` if a name or path is unsafe.
        """
        if not self._texts:
            return
        texts = self.texts
        if len(texts) > _SHOWN_MISTAKES:
            texts[_SHOWN_MISTAKES:] = [f"... and {len(texts) - _SHOWN_MISTAKES} more"]
        raise (UnsafeConfigError if self._unsafe else ConfigError)("\n".join(texts))


def dotted(key: KeyPath) -> str:
    """Return a key as one writes it.

    >>> dotted(("data", "source", "signals", 0, "path"))
    'data.source.signals[0].path'
    """
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def shown(value: object) -> str:
    """Return a value for a message: `repr` with YAML's words, cut to 80 characters.

    >>> shown(None), shown(True), shown("x")
    ('null', 'true', "'x'")
    """
    text = {"None": "null", "True": "true", "False": "false"}.get(repr(value), repr(value))
    return text if len(text) <= _SHOWN_VALUE else text[: _SHOWN_VALUE - 3] + "..."


def nearest(word: str, choices: Iterable[str], *, count: int = 3) -> list[str]:
    """Return the choices spelled most like `word`, best first, whatever their case.

    >>> nearest("intial_capitl", ["initial_capital", "end"])
    ['initial_capital']
    """
    by_lower: dict[str, str] = {}
    for choice in choices:
        by_lower.setdefault(choice.lower(), choice)
    found = difflib.get_close_matches(word.lower()[:200], list(by_lower), n=count, cutoff=0.5)
    return [by_lower[each] for each in found]


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return ` Did you mean 'x'?`, or nothing where no choice is near.

    >>> did_you_mean("paranoidd", ["fast", "paranoid"])
    " Did you mean 'paranoid'?"
    """
    near = nearest(word, choices, count=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def read_text(path: Path) -> str:
    """Return the text of a configuration file.

    Raises:
        ConfigError: The file is absent, no regular file, unreadable, larger than 1 MiB or no UTF-8 text.
    """
    content = _read_bytes(path)
    if content.startswith(_UTF16_AND_32):
        raise ConfigError(f"{path}: the encoding is UTF-16 or UTF-32; save the file as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ConfigError(
            f"{path}:{line}: the encoding is not UTF-8 (byte {error.start} is 0x{content[error.start]:02x}); "
            "save the file as UTF-8"
        ) from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise ConfigError(f"{path}:{line}: a NUL byte: the encoding is not UTF-8, or this is no text file")
    if not text.strip():
        raise ConfigError(f"{path}: the file is empty; write at least the sections it needs")
    return text


def _read_bytes(path: Path) -> bytes:
    content = b""
    try:
        status = path.stat()
        regular = stat.S_ISREG(status.st_mode)
        if regular and status.st_size <= MAX_BYTES:
            content = path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file ({os.path.abspath(path)})") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    if not regular:
        raise ConfigError(f"{path}: not a regular file; give the path of a YAML or JSON file")
    if status.st_size > MAX_BYTES:
        raise ConfigError(
            f"{path}: {status.st_size} bytes; a configuration holds at most {MAX_BYTES} "
            "(1 MiB), data belongs in Parquet files"
        )
    return content
