"""Configurations made wrong by chance, from a seed: bytes, lines and structure of the shipped ones.

A number means the same text everywhere: `text_of(seed)`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from ml4t_backtest.config import bundled_folder

# What is put where something else stood.
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**63, 10**40, 0.5, -0.0, 1e308, float("nan"), float("inf")),
    *("", " ", "null", "yes", "2003-02-30", "0700", "1_000", "12:30", "~", "..", "../../x", "/etc/passwd", "a" * 300),
    *(
        "os.system",
        "subprocess:Popen",
        "__import__('os')",
        "mine.py:Mine",
        "=1+1",
        "\u202eabc",
        "\u0000",
        "\ud83d\ude80",
    ),
    *([], [[]], [None], ["a", "a"], {}, {"model": "none"}, {"path": "x"}, {"a": {"b": {"c": 1}}}),
)
_ODD_BYTES = (
    b"\0",
    b"\xff",
    b"\t",
    b"\xef\xbb\xbf",
    b"\x85",
    b"&a ",
    b"*a",
    b"<<: *a\n",
    b"!!python/object:os.system ",
)
_MORE_ODD_BYTES = (
    b"---\n",
    b"...\n",
    b"%YAML 1.1\n",
    b"? ",
    b": ",
    b"- ",
    b"{",
    b"}",
    b"[",
    b"]",
    b"'",
    b'"',
    b"|",
    b">",
    b"#",
)
_ODD_LINES = ("a: &a [*a]", "? [1, 2]", "<<: {x: 1}", "- - - -", "\tx: 1", "!!binary x: y", "'", "x: |2", "&a a: *a")

Mutator = Callable[[random.Random, bytes], bytes]


@cache
def shipped() -> dict[str, bytes]:
    """Return the shipped configurations by name; those of data sets begin with `datasets/`."""
    home = bundled_folder()
    files = sorted([*home.glob("*.yaml"), *home.glob("datasets/*.yaml")])
    return {file.relative_to(home).as_posix(): file.read_bytes() for file in files}


def text_of(seed: int) -> tuple[str, bytes]:
    """Return the name of a shipped configuration and what became of its text."""
    rng = random.Random(seed)
    name = rng.choice(sorted(shipped()))
    text = shipped()[name]
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        text = rng.choice(_MUTATORS)(rng, text)
    return name, text


def _flipped(rng: random.Random, text: bytes) -> bytes:
    """Flip one bit."""
    if not text:
        return text
    at = rng.randrange(len(text))
    return text[:at] + bytes([text[at] ^ (1 << rng.randrange(8))]) + text[at + 1 :]


def _inserted(rng: random.Random, text: bytes) -> bytes:
    at = rng.randint(0, len(text))
    return text[:at] + rng.choice((*_ODD_BYTES, *_MORE_ODD_BYTES)) * rng.choice((1, 1, 1, 40)) + text[at:]


def _cut(rng: random.Random, text: bytes) -> bytes:
    first, last = sorted((rng.randint(0, len(text)), rng.randint(0, len(text))))
    return text[:first] + text[min(last, first + rng.choice((1, 5, 50, 5_000))) :]


def _repeated(rng: random.Random, text: bytes) -> bytes:
    first, last = sorted((rng.randint(0, len(text)), rng.randint(0, len(text))))
    return text[:last] + text[first:last] * rng.choice((1, 2, 30)) + text[last:]


def _with_lines(change: Callable[[random.Random, list[str]], None]) -> Mutator:
    """Return the mutator of lines."""

    def mutate(rng: random.Random, text: bytes) -> bytes:
        lines = text.decode("utf-8", "surrogateescape").split("\n")
        change(rng, lines)
        return "\n".join(lines).encode("utf-8", "surrogateescape")

    return mutate


def _indent(rng: random.Random, lines: list[str]) -> None:
    at = rng.randrange(len(lines))
    lines[at] = rng.choice((" ", "  ", "\t", "        ")) + lines[at] if rng.random() < 0.5 else lines[at].lstrip()


def _swap(rng: random.Random, lines: list[str]) -> None:
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]


def _double(rng: random.Random, lines: list[str]) -> None:
    lines.insert(rng.randint(0, len(lines)), rng.choice(lines))


def _strange(rng: random.Random, lines: list[str]) -> None:
    lines.insert(rng.randint(0, len(lines)), rng.choice(_ODD_LINES))


def _structure(rng: random.Random, text: bytes) -> bytes:
    """Change one value, key or list of the parsed text; text that cannot be parsed any more stays as it is."""
    try:
        tree = yaml.safe_load(text)
        places = list(_places(tree)) if isinstance(tree, (dict, list)) else []
        if not places:
            return text
        holder, key = rng.choice(places)
        rng.choice(_CHANGES)(rng, holder, key)
        written: str = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
    except (yaml.YAMLError, ValueError, RecursionError, UnicodeError, TypeError, KeyError, AttributeError):
        return text
    return written.encode("utf-8", "surrogatepass")


def _places(tree: Any) -> Any:
    """Yield every (mapping or list, key or index) of a tree."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield tree, key
        if isinstance(value, (dict, list)):
            yield from _places(value)


def _set(rng: random.Random, holder: Any, key: Any) -> None:
    holder[key] = rng.choice(ODD_VALUES)


def _remove(rng: random.Random, holder: Any, key: Any) -> None:
    del holder[key]


def _rename(rng: random.Random, holder: Any, key: Any) -> None:
    if isinstance(holder, dict):
        holder[rng.choice((f"{key}x", str(key).upper(), 5, None, "", "path", "name"))] = holder.pop(key)


def _nest(rng: random.Random, holder: Any, key: Any) -> None:
    for _ in range(rng.choice((1, 2, 40))):
        holder[key] = [holder[key]] if rng.random() < 0.5 else {str(key): holder[key]}


def _move(rng: random.Random, holder: Any, key: Any) -> None:
    if isinstance(holder, dict) and len(holder) > 1:
        other = rng.choice(sorted(map(str, holder)))
        holder[key], holder[other] = holder.get(other), holder[key]


_CHANGES = (_set, _set, _set, _remove, _rename, _nest, _move)
_MUTATORS: tuple[Mutator, ...] = (
    *(_flipped, _inserted, _cut, _repeated),
    *(_with_lines(change) for change in (_indent, _swap, _double, _strange)),
    *(_structure,) * 8,
)


def write(seed: int, folder: Path) -> Path:
    """Write the configuration of a seed beside the shipped ones and return its path."""
    name, text = text_of(seed)
    if not (folder / "datasets").exists():
        (folder / "datasets").mkdir()
        for other, good in shipped().items():
            (folder / other).write_bytes(good)
    path = folder / name
    path = path.with_name(f"fuzzed{path.suffix}")
    path.write_bytes(text)
    return path
