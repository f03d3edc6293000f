"""The code blocks of a page, and what each of them has to be.

| block | what it is |
|---|---|
| `python` | runs, after the ones before it, in one session and one folder |
| `text` | follows a `python` block: what that block prints, to the letter |
| `yaml` | part of a configuration, or a whole data set |
| `sh` | commands: those of `ml4t-backtest` and the targets of `make` exist, with their options |
| without a language | a drawing, or a layout of folders; nothing that anybody types |

A comment in the line above a block says more of it: `<!-- file: NAME -->` writes the block into a file that the blocks
after it find, and `<!-- engine: NAME -->` is code of another engine, which runs in that engine's own environment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

LANGUAGES = ("", "python", "text", "yaml", "sh")
_BLOCK = re.compile(
    r"^(?:<!-- (?P<key>file|engine): (?P<value>\S+) -->\n)?(?P<indent> *)```(?P<language>[^\n]*)\n"
    r"(?P<body>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        line: Where it begins, from 1.
        language: What stands behind the fence.
        body: What it holds.
        file: Name of the file it is written to, empty for none.
        engine: Name of the engine whose code it is, empty for ours.
    """

    line: int
    language: str
    body: str
    file: str = ""
    engine: str = ""


def blocks_of(page: str) -> list[Block]:
    """Return the blocks of a page from its first to its last line."""
    found = []
    for match in _BLOCK.finditer(page):
        said = {match["key"]: match["value"]} if match["key"] else {}
        line = page[: match.start("language")].count("\n") + 1
        found.append(Block(line, match["language"].strip(), match["body"], **said))
    return found


def read(page: Path) -> list[Block]:
    """Return the blocks of a file."""
    return blocks_of(page.read_text(encoding="utf-8"))
