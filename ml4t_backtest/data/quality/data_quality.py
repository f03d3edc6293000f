"""What was found in data that is no error: a typed table, recorded with the run and shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from ml4t_backtest.core import schemas
from ml4t_backtest.core.instants import to_datetime, to_instant
from ml4t_backtest.errors import Violation

_SAMPLES = 5
FindingCode = Literal[
    "DQ-ASSUMED",
    "DQ-CADATE",
    "DQ-CASE",
    "DQ-CLOCK",
    "DQ-COPY",
    "DQ-CXWARM",
    "DQ-DOUBLEADJ",
    "DQ-DRIFT",
    "DQ-EMPTY",
    "DQ-F32",
    "DQ-GAP",
    "DQ-GRID",
    "DQ-LABEL",
    "DQ-LAST",
    "DQ-MATCH",
    "DQ-REPEAT",
    "DQ-REUSE",
    "DQ-REVISED",
    "DQ-SCALE",
    "DQ-SESSION",
    "DQ-SHIFT",
    "DQ-SPIKE",
    "DQ-SPLIT?",
    "DQ-STALE",
    "DQ-STRAY",
    "DQ-UNIVERSE",
    "DQ-WHOLE",
    "DQ-ZEROVOL",
    "E-SG-ORPHAN",
    "E-SG-STALE",
    "E-TS-ORDER",
]


@dataclass(frozen=True)
class Finding:
    """Something about one symbol, or about all of them, that somebody should know of.

    Attributes:
        what: Stable code, for example `DQ-GAP`.
        symbol: Instrument; None for the data as a whole.
        first: First instant concerned, microseconds since 1970 UTC; None where no instant is.
        last: Last instant concerned.
        count: How often.
        example: The first of them, with its numbers.
        severity: `note`, `doubt` (it may be right) or `defect` (it hardly is).
        meaning: What it may mean.
        hint: What to do about it.
        row: Physical row of the example, where there is one.
        file: Where the example lies; None for where the bars lie.
    """

    what: str
    symbol: str | None
    first: int | None
    last: int | None
    count: int
    example: str
    severity: str
    meaning: str
    hint: str = ""
    row: int | None = None
    file: str | None = None


def findings_frame(findings: Iterable[Finding]) -> pl.DataFrame:
    """Return findings as a table of schema `data_quality`, the gravest first."""
    schema = schemas.empty_frame(schemas.data_quality_schema()).schema
    rows = [
        {
            "what": each.what,
            "symbol": each.symbol,
            "first": None if each.first is None else to_datetime(each.first),
            "last": None if each.last is None else to_datetime(each.last),
            "count": each.count,
            "example": each.example,
            "severity": each.severity,
            "meaning": each.meaning,
        }
        for each in findings
    ]
    gravest = pl.col("severity").to_physical()
    return pl.DataFrame(rows, schema=schema).sort(gravest, "what", "symbol", descending=[True, False, False])


def findings_of(quality: pl.DataFrame) -> list[Finding]:
    """Return a table of schema `data_quality` as findings; rows, files and hints are no part of it."""
    return [
        Finding(
            what=row["what"],
            symbol=row["symbol"],
            first=None if row["first"] is None else to_instant(row["first"]),
            last=None if row["last"] is None else to_instant(row["last"]),
            **{name: row[name] for name in ("count", "example", "severity", "meaning")},
        )
        for row in quality.iter_rows(named=True)
    ]


# Where symbols have lines of their own, the line without one tells of the same again.
_OWN = pl.col("count").filter(pl.col("symbol").is_not_null() | ~pl.col("symbol").is_not_null().any()).sum()


def count_found(quality: pl.DataFrame) -> int:
    """Return how many times anything was found, nothing counted twice."""
    return int(quality.group_by("what").agg(_OWN)["count"].sum())


def summarize(quality: pl.DataFrame) -> list[str]:
    """Return one line per kind of finding: how many, in how many symbols, the first of them, what it may mean."""
    first = pl.col("symbol", "example", "meaning").first().name.suffix("_")
    kinds = quality.group_by("what", maintain_order=True).agg(_OWN, pl.col("symbol").drop_nulls().n_unique(), first)
    return [
        f"{row['what']}: {row['count']:,}{_in_symbols(row['symbol'])}; "
        f"{row['meaning_']}; first: {' '.join(filter(None, (row['symbol_'], row['example_'])))}"
        for row in kinds.iter_rows(named=True)
    ]


def _in_symbols(number: int) -> str:
    return "" if number == 0 else f" in {number:,} symbol{'s' if number > 1 else ''}"


def assumed_known(signals: Sequence[str]) -> Finding:
    """Return the finding that nothing says when some signals became known."""
    return Finding(
        "DQ-ASSUMED",
        None,
        None,
        None,
        len(signals),
        ", ".join(signals),
        "doubt",
        "nothing says when these signals became known: they are taken as known at each bar's close",
        "add NAME_available_at, or give the signals as a source of their own",
    )


def as_violations(findings: Sequence[Finding], file: str | None) -> list[Violation]:
    """Return findings as violations, one per kind."""
    kinds: dict[str, list[Finding]] = {}
    for each in findings:
        kinds.setdefault(each.what, []).append(each)
    return [_violation(code, of_kind, file) for code, of_kind in kinds.items()]


def _violation(code: str, findings: Sequence[Finding], file: str | None) -> Violation:
    first = min(findings, key=lambda each: (each.row is None, each.row or 0))
    since = "" if first.first is None else to_datetime(first.first).isoformat()
    return Violation(
        code,
        "data_quality",
        first.meaning,
        file=first.file or file,
        row=first.row,
        key=f"{first.symbol or ''} {since}".strip() or None,
        value=first.example[:80],
        # What is told of all symbols together and of each is counted once.
        count=sum(each.count for each in findings if each.symbol is not None) or first.count,
        samples=tuple(f"{each.symbol or 'all'}: {each.example}" for each in findings[:_SAMPLES]),
        hint=f"{first.hint or 'look at it'}; where it is right, accept it: accept: [{code!r}]",
    )
