"""Bars in memory for the benchmarks of our own engine: any number of rows, with indicators and context if wanted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import polars as pl

from benchmarks.works import SEED, WORKS, months_of
from ml4t_backtest import PolarsDataFeed

SYMBOLS = 100
INDICATORS = ("momentum", "range")
CONTEXT = ("vix", "index")
_SLICES_PER_SESSION = 390


@dataclass(frozen=True)
class Bars:
    """Prepared bars and the context of their slices."""

    assets: pl.DataFrame
    context: pl.DataFrame

    def feed(self, *, indicators: bool = False, context: bool = False, chunk: str | int = "auto") -> PolarsDataFeed:
        """Return a feed that shows the prediction, and more if asked to."""
        return PolarsDataFeed(
            self.assets,
            self.context if context else None,
            signal_columns=["p"],
            indicator_columns=INDICATORS if indicators else (),
            context_columns=CONTEXT if context else (),
            chunk=chunk,
        )


@lru_cache(maxsize=1)
def minute_bars(rows: int, symbols: int = SYMBOLS) -> Bars:
    """Return the first rows of minute bars; always whole slices."""
    slices = max(rows // symbols, 1)
    work = WORKS["W2"].sized(symbols, slices // _SLICES_PER_SESSION + 2)
    parts, missing = [], slices * symbols
    for _, bars in months_of(work):
        parts.append(bars.head(missing))
        missing -= parts[-1].height
        if not missing:
            break
    return _with_more(pl.concat(parts, rechunk=True))


def _with_more(bars: pl.DataFrame) -> Bars:
    rng = np.random.default_rng(SEED)
    columns = [pl.Series(name, rng.standard_normal(bars.height)) for name in INDICATORS]
    stamps = bars["timestamp"].unique(maintain_order=True)
    known = {f"{name}_available_at": stamps for name in CONTEXT}
    values = {name: rng.uniform(10.0, 40.0, len(stamps)) for name in CONTEXT}
    context = pl.DataFrame({"timestamp": stamps, "decision_instant": stamps, **values, **known})
    return Bars(bars.with_columns(columns), context)
