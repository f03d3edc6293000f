"""Figures for a person at a terminal."""

from __future__ import annotations

from collections.abc import Sequence


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
