"""Prices as a source stores them, in 32 bits, in ticks or rounded, and the numbers they stand for."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from ml4t_backtest.core import schemas
from ml4t_backtest.core.choices import is_number
from ml4t_backtest.errors import ConfigError, DataValidationError, Violation

# Whole numbers from here on are taken for ticks: they have to be declared, as units or as ticks.
_TICKS_FROM = 100_000
_MOST_ROUNDING = 0.01


@dataclass(frozen=True)
class PriceForm:
    """How the prices of a source are to be read.

    Attributes:
        price_scale: How many units of the source make one of account currency: 10,000 for ticks of 1/10,000, 1 for
            whole units. None: prices are in account currency, and whole numbers from 100,000 on are not believed.
        price_tolerance: Fraction of the price by which an open or close may lie outside low to high by rounding;
            high or low is then moved to it.
        allow_nonpositive: Whether prices may be zero or negative, as those of futures and spreads can be.

    Raises:
        ConfigError: A number is out of its range.
    """

    price_scale: float | None = None
    price_tolerance: float = 0.0
    allow_nonpositive: bool = False

    def __post_init__(self) -> None:
        scale, tolerance = self.price_scale, self.price_tolerance
        if scale is not None and not (is_number(scale) and scale > 0):
            raise ConfigError(f"price_scale must be a number above 0, got {scale!r}")
        if not (is_number(tolerance) and 0 <= tolerance <= _MOST_ROUNDING):
            raise ConfigError(f"price_tolerance must be a fraction from 0 to {_MOST_ROUNDING}, got {tolerance!r}")

    def in_currency(self, bars: pl.DataFrame, file: str | None, first_row: int = 0) -> pl.DataFrame:
        """Return bars whose prices are the numbers meant: short decimals for 32 bits, units for ticks.

        Raises:
            DataValidationError: Prices are whole numbers of a size that only ticks have, and nothing is declared.
        """
        found = [name for name in schemas.PRICE_COLUMNS if name in bars.columns]
        if self.price_scale is None:
            self._refuse_ticks(bars.select(found), file, first_row)
        short = [_shortest(name) for name in found if bars.schema[name] == pl.Float32]
        bars = bars.with_columns(short)
        if self.price_scale is None:
            return bars
        numbers = [bars[name].cast(pl.Float64) for name in found if bars.schema[name].is_numeric()]
        # By NumPy: Polars multiplies by the reciprocal, which is another number for a third of all prices.
        return bars.with_columns(pl.Series(each.name, each.to_numpy() / self.price_scale) for each in numbers)

    def within_range(self, bars: pl.DataFrame) -> pl.DataFrame:
        """Return bars whose high and low hold an open or close that is outside by no more than the tolerance."""
        if not self.price_tolerance:
            return bars
        most, least = pl.max_horizontal("open", "close"), pl.min_horizontal("open", "close")
        room = most.abs() * self.price_tolerance
        return bars.with_columns(
            high=pl.when(most > pl.col("high"), most - pl.col("high") <= room).then(most).otherwise("high"),
            low=pl.when(least < pl.col("low"), pl.col("low") - least <= room).then(least).otherwise("low"),
        )

    def _refuse_ticks(self, prices: pl.DataFrame, file: str | None, first_row: int) -> None:
        whole = [name for name, dtype in prices.schema.items() if dtype.is_integer()]
        large = [name for name in whole if (_first_large(prices[name])) is not None]
        if large:
            raise DataValidationError([_ticks(prices[name], file, first_row) for name in large])


IN_CURRENCY = PriceForm()


def _shortest(name: str) -> pl.Expr:
    """Return numbers of 32 bits as the shortest decimals that stand for them: 101.53, not 101.52999877929688."""
    return pl.col(name).cast(pl.String).cast(pl.Float64)


def _first_large(prices: pl.Series) -> int | None:
    large = (prices >= _TICKS_FROM).arg_true()
    return int(large[0]) if large.len() else None


def _ticks(prices: pl.Series, file: str | None, first_row: int) -> Violation:
    row = _first_large(prices)
    assert row is not None
    return Violation(
        "E-SC-DTYPE",
        "prices",
        f"{prices.name} holds whole numbers ({prices.dtype}) from {_TICKS_FROM:,} on: prices, or ticks?",
        file=file,
        row=first_row + row,
        column=prices.name,
        value=repr(prices[row]),
        count=prices.len(),
        hint="declare price_scale, how many of them make one of account currency: 10000 for ticks of 1/10,000, "
        "1 for prices",
    )
