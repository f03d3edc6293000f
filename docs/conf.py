"""How Sphinx builds these pages: `make docs`, with every warning an error."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ml4t_backtest import __version__

project = "ml4t_backtest"
author = "The ml4t_backtest authors"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"{project} {version}"
html_show_sphinx = False

myst_heading_anchors = 4
# A single backtick is code in this project's docstrings.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "undoc-members": False, "show-inheritance": False}
python_use_unqualified_type_names = True
napoleon_use_ivar = True
napoleon_use_rtype = False

_PAGE = re.compile(r"docs/((?:concepts|guides)/\w+)\.md")
_HERE = Path(__file__).parent


def link_pages(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Turn the path of a page in a docstring, which is what `help()` can show, into a link."""
    for number, line in enumerate(lines):
        # Bars of an absolute value would be a substitution.
        said = line if "`" in line or line.lstrip().startswith((">>>", "...")) else line.replace("|", r"\|")
        lines[number] = _PAGE.sub(_link, said)


def _link(found: re.Match[str]) -> str:
    page = found[1]
    if not (_HERE / f"{page}.md").exists():
        raise FileNotFoundError(f"a docstring names docs/{page}.md, which is not there")
    return f":doc:`/{page}`"


def setup(app: Any) -> None:
    """Connect what this file defines."""
    app.connect("autodoc-process-docstring", link_pages)
