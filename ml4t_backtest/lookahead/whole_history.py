"""Constants that only the whole history can have had: they leave marks that no honest value bears.

A mean that is zero to the last digit over all that was delivered was taken over all that was delivered. Each mark is an
equation between many numbers that holds to ten digits: chance has no part in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from ml4t_backtest.lookahead.bar_features import Floats

_FEWEST = 30
_OF_SYMBOLS = 0.9
_EXACT = 1e-10
_EXACT_IN_32_BITS = 3e-7
_EQUAL_GROUPS = 9
_Test = Callable[[pl.DataFrame], str | None]

_CLOSE, _VOLUME = pl.col("close"), pl.col("volume")


def _return(bars: int) -> pl.Expr:
    return _CLOSE / _CLOSE.shift(bars) - 1.0


# What a value could have been made of by its bar's close, and what a model could have been fitted to.
BESIDE: Mapping[str, pl.Expr] = {
    "the close": _CLOSE,
    "the logarithm of the close": _CLOSE.log(),
    "the volume": _VOLUME,
    "the logarithm of the volume": (_VOLUME + 1.0).log(),
    "the range": (pl.col("high") - pl.col("low")) / _CLOSE,
    "the volatility of 20 bars": _return(1).rolling_std(20),
    "the distance from the mean of 20 bars": _CLOSE / _CLOSE.rolling_mean(20) - 1.0,
    "the last return": _return(1),
    **{f"the return over {bars} bars": _return(bars) for bars in (5, 10, 20)},
}
AHEAD: Mapping[str, pl.Expr] = {
    "the next bar's return from open to close": _CLOSE.shift(-1) / pl.col("open").shift(-1) - 1.0,
    "the logarithm of the next return": (_CLOSE.shift(-1) / _CLOSE).log(),
    "the next return": _return(1).shift(-1),
    **{f"the return over the next {bars} bars": _return(bars).shift(-bars) for bars in (2, 3, 5, 10, 20)},
}


@dataclass(frozen=True)
class Mark:
    """A mark of the whole history.

    Attributes:
        what: What the values are, in words.
        rows: Number of rows that bear it.
    """

    what: str
    rows: int


def marks(values: pl.DataFrame) -> Iterator[Mark]:
    """Yield the marks that a column bears.

    Args:
        values: Frame `symbol, known, value` in this order, with the columns `BESIDE` and `AHEAD` of the last bar that
            was over by then; nulls where there was none.
    """
    own = [part for part in values.partition_by("symbol", maintain_order=True) if part.height >= _FEWEST]
    if not own:
        return
    groups = {"its symbol": own}
    # At each moment measured from one another, values have the marks of it over all moments too.
    if values["symbol"].n_unique() > 1 and not _is_relative(values):
        groups["all symbols"] = [values.sort("known", maintain_order=True)]
    for whose, parts in groups.items():
        for what, test in _TESTS.items():
            found = [said for part in parts if (said := test(part)) is not None]
            if len(found) >= _OF_SYMBOLS * len(parts) and _is_no_chance(test, parts):
                sentence = what.format(of=found[0], rows=f"all rows of {whose}")
                yield Mark(sentence, sum(part.height for part in parts))


def _is_no_chance(test: _Test, parts: Sequence[pl.DataFrame]) -> bool:
    """Whether what was found is out of reach of chance: a few groups are of equal size once in a while."""
    groups = sum(part["value"].n_unique() - 1 for part in parts)
    return test is not _bucketed or groups >= _EQUAL_GROUPS


def _is_relative(values: pl.DataFrame) -> bool:
    """Whether the values of most moments have the same mean: each moment's are measured from one another."""
    moments = values.group_by("known").agg(pl.col("value").mean(), pl.len()).filter(pl.col("len") > 1)
    means = moments["value"].to_numpy()
    spread = values["value"].to_numpy().std()
    return len(means) > 0 and bool((np.abs(means - np.median(means)) < 1e-6 * spread).mean() > 0.5)


def _standardised(part: pl.DataFrame) -> str | None:
    values = part["value"].to_numpy()
    exact = _exactness(values)
    near = abs(values.mean()) <= exact and min(abs(values.std(ddof=ddof) - 1.0) for ddof in (0, 1)) <= exact
    return "" if near and not _has_few(values) else None


def _centred(part: pl.DataFrame) -> str | None:
    values = part["value"].to_numpy()
    # Differences of prices in ticks add up to nothing whenever the last price is the first one again.
    in_ticks = np.array_equal(values, np.round(values, 6))
    exact = 1e-3 * _exactness(values) * values.std()
    return "" if not in_ticks and not _has_few(values) and abs(values.mean()) <= exact else None


def _ranked(part: pl.DataFrame) -> str | None:
    values = part["value"].to_numpy()
    _, count = np.unique(np.round(np.diff(values), 12), return_counts=True)
    # A counter takes the same step again and again.
    if len(np.unique(values)) < len(values) / 2 or count.max() > len(values) / 2:
        return None
    ranks = part["value"].rank().to_numpy()
    return "" if _correlation(values, ranks) >= 1.0 - 1e-12 else None


def _scaled(part: pl.DataFrame) -> str | None:
    values = part["value"].to_numpy()
    low, high = values.min(), values.max()
    edges = [(low, 0.0), (high, 1.0)], [(low, -1.0), (high, 1.0)], [(max(high, -low), 1.0)]
    if _has_few(values) or not any(all(abs(found - edge) <= _EXACT for found, edge in each) for each in edges):
        return None
    for what in BESIDE:
        rows = part.select("value", what).drop_nulls()
        if rows.height >= _FEWEST and _correlation(*rows.to_numpy().T) >= 1.0 - _EXACT:
            return what
    return None


def _bucketed(part: pl.DataFrame) -> str | None:
    distinct, count = np.unique(part["value"].to_numpy(), return_counts=True)
    if not 3 <= len(distinct) <= part.height / 8 or count.max() - count.min() > 2:
        return None
    for what in BESIDE:
        ordered = part.drop_nulls(what).sort(what)["value"].to_numpy()
        steps = np.diff(ordered)
        if len(ordered) >= _FEWEST and ((steps >= 0).all() or (steps <= 0).all()):
            return what
    return None


def _fitted(part: pl.DataFrame) -> str | None:
    """Tell what least squares was fitted to: its errors add up to nothing, also when weighted with its predictions."""
    for what in AHEAD:
        found = _finite(part, what)
        if found is None:
            continue
        values, target = found
        errors, exact = target - values, _EXACT * target.std() * len(values)
        if abs(errors.sum()) <= exact and abs((errors * values).sum()) <= exact * np.sqrt((values**2).mean()):
            return what
        # A fit with a constant of its own, of whatever kind: only its mean is that of what it was fitted to.
        if abs(errors.sum()) <= 0.05 * exact and not np.array_equal(np.sort(values), np.sort(target)):
            return what
    return None


def _encoded(part: pl.DataFrame) -> str | None:
    """Tell what every value is the mean of, over all rows that have that value."""
    distinct = part["value"].n_unique()
    if not 3 <= distinct <= part.height / 4:
        return None
    for what in (*AHEAD, *BESIDE):
        groups = part.drop_nulls(what).group_by("value").agg(pl.col(what).mean().alias("mean"), pl.len())
        told = part[what].drop_nulls().to_numpy()
        exact = _EXACT * float(told.std()) if len(told) else 0.0
        alone = groups["len"].min() in (None, 1)
        if not alone and exact > 0.0 and ((groups["mean"] - groups["value"]).abs() <= exact).all():
            return what
    return None


_TESTS: Mapping[str, _Test] = {
    "scaled to a mean of 0 and a deviation of 1 over {rows}": _standardised,
    "measured from the mean over {rows}": _centred,
    "ranks among {rows}": _ranked,
    "{of} scaled by the extremes of {rows}": _scaled,
    "groups of equal size of {of} over {rows}": _bucketed,
    "the means of {of} over {rows} that have the same value": _encoded,
    "fitted to {of} over {rows}": _fitted,
}


def _finite(part: pl.DataFrame, what: str) -> tuple[Floats, Floats] | None:
    rows = part.select("value", what).drop_nulls().to_numpy()
    if len(rows) < _FEWEST or rows[:, 0].std() == 0.0 or rows[:, 1].std() == 0.0:
        return None
    return rows[:, 0], rows[:, 1]


def _exactness(values: Floats) -> float:
    in_32_bits = np.array_equal(values, values.astype(np.float32).astype(np.float64))
    return _EXACT_IN_32_BITS if in_32_bits else _EXACT


def _has_few(values: Floats) -> bool:
    return len(np.unique(values)) < max(10, len(values) / 10)


def _correlation(one: Floats, other: Floats) -> float:
    """Return the squared correlation; 0 where one of them does not vary."""
    one, other = one - one.mean(), other - other.mean()
    total = (one**2).sum() * (other**2).sum()
    return float((one * other).sum() ** 2 / total) if total > 0.0 else 0.0
