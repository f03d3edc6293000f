"""Values for decisions that fill at their own close: they must be known strictly before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from ml4t_backtest.errors import Violation

_SAMPLES = 5


def known_too_late(rows: pl.LazyFrame, names: Sequence[str], dataset: str, file: str | None) -> Iterator[Violation]:
    """Yield a violation per column that shows a value at a close before which it was not known.

    Args:
        rows: Frame with `timestamp` (the close), `decision_instant`, NAME_available_at, and `symbol` where rows have
            one, in the order of time.
        names: Value columns.
        dataset: What the rows are, for the message.
        file: Where they came from.
    """
    columns = set(rows.collect_schema().names())
    key = ["symbol"] if "symbol" in columns else []
    for name in names:
        moment = f"{name}_available_at"
        late = rows.filter(pl.col(moment) >= pl.col("timestamp")).select(*key, "timestamp", moment)
        count = late.select(pl.len()).collect().item()
        if count:
            yield _violation(late.head(_SAMPLES).collect(), name, count, dataset, file)
    undecided = rows.filter(pl.col("decision_instant") > pl.col("timestamp")).select(*key, "timestamp")
    count = undecided.select(pl.len()).collect().item()
    if count:
        text = "fill_at same_close fills at the close, but these bars are decided on after it (decide_at next_open)"
        yield Violation("E-SG-TIMING", dataset, text, file=file, count=count, hint="decide at the close")


def _violation(late: pl.DataFrame, name: str, count: int, dataset: str, file: str | None) -> Violation:
    samples = tuple(_told(row) for row in late.iter_rows(named=True))
    first = late.row(0, named=True)
    return Violation(
        "E-SG-TIMING",
        dataset,
        f"{name} fills at a close (fill_at same_close) before which it was not known",
        file=file,
        key=samples[0],
        column=f"{name}_available_at",
        value=str(first[f"{name}_available_at"]),
        count=count,
        samples=samples,
        hint="declare when it becomes known, or let orders fill at the next open",
    )


def _told(row: dict[str, object]) -> str:
    return " ".join(str(row[name]) for name in ("symbol", "timestamp") if name in row)
