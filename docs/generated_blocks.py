"""The parts of a page that a script writes, each between `<!-- begin: NAME -->` and `<!-- end: NAME -->`."""

from __future__ import annotations

import re
from collections.abc import Mapping


def with_blocks(page: str, blocks: Mapping[str, str]) -> str:
    """Return a page with every generated block brought up to date.

    Args:
        page: What the page says now.
        blocks: Name -> what stands between its marks.
    """
    for name, body in blocks.items():
        begin, end = f"<!-- begin: {name} -->", f"<!-- end: {name} -->"
        pattern = re.compile(re.escape(begin) + r".*?" + re.escape(end), re.DOTALL)
        if not pattern.search(page):
            raise SystemExit(f"the page has no place for {name!r}: write {begin} and {end} where it belongs")
        page = pattern.sub(lambda _, text=f"{begin}\n\n{body}\n\n{end}": text, page)
    return page
