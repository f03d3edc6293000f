"""Parameters of a strategy that name a column of the data set: a wrong name is an error of the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

ColumnKind = Literal["signal", "indicator", "context"]


@dataclass(frozen=True)
class ColumnOf:
    """Marks a parameter: its value is one of the data set's columns of these kinds.

    Attributes:
        kinds: What it may be.
    """

    kinds: tuple[ColumnKind, ...]


SignalName = Annotated[str, ColumnOf(("signal",))]
BatchColumn = Annotated[str, ColumnOf(("signal", "indicator"))]
ContextName = Annotated[str, ColumnOf(("context",))]
