"""Figures for a person at a terminal."""

from __future__ import annotations

from collections.abc import Sequence

# What is read by a program, or from a file, has as much room as it needs.
_WIDE = 240


def show_table(title: str, rows: Sequence[tuple[str, str]]) -> None:
    """Print label and value pairs under a title.

    Args:
        title: What the figures are of.
        rows: Label and value, as `tearsheet.summary_rows` gives them.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), show_header=False, title_justify="left", box=None, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(justify="right")
    for label, value in rows:
        table.add_row(Text(label), Text(value))
    Console().print(table)


def show_columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of text under a header; cells that are too long go on below, and no word is lost.

    Args:
        header: Names of the columns.
        rows: One cell per column.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in header:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    (console if console.is_terminal else Console(width=_WIDE)).print(table)
