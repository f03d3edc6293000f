"""Values that came with the data: where there is no function to call again, only they and the bars can be asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from ml4t_backtest.core.instants import to_datetime
from ml4t_backtest.lookahead.bar_features import Bars
from ml4t_backtest.lookahead.foresight import Foresight, foresight
from ml4t_backtest.lookahead.held import held_foresight
from ml4t_backtest.lookahead.report import Leak, Stage
from ml4t_backtest.lookahead.seen import Seen
from ml4t_backtest.lookahead.timed import TimedTable, value_columns
from ml4t_backtest.lookahead.whole_history import AHEAD, BESIDE, Mark, marks

# Enough to be sure, and quick: the symbols with most rows, so many rows and no more than so many bars of each.
_SYMBOLS, _ROWS, _BARS = 4, 600, 6_000
_DAY = 86_400_000_000
_COLUMNS = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class Delivered:
    """One column as it was delivered.

    Attributes:
        table: Table it came in.
        name: Column.
        rows: Frame `symbol, time, known, value`, without nulls, in the order of symbol and known: what a row is about,
            and when it became known, microseconds since 1970 UTC. Values of the market have the symbol null.
        stage: Where it came from.
    """

    table: str
    name: str
    rows: pl.DataFrame
    stage: Stage = "delivered data"

    @classmethod
    def of(cls, table: str, name: str, frame: pl.DataFrame, known: pl.Series) -> Delivered:
        """Take a column of a table with the moments at which its rows became known."""
        symbol = pl.col("symbol").cast(pl.String) if "symbol" in frame.columns else pl.lit(None, pl.String)
        value = pl.col(name).cast(pl.Float64, strict=False)
        rows = frame.select(symbol=symbol, time="timestamp", known=known, value=pl.when(value.is_finite()).then(value))
        return cls(table, name, rows.drop_nulls("value").sort("symbol", "known", maintain_order=True))


class Prices:
    """The bars that delivered values are held against: as they are, by day, and of the market as a whole."""

    def __init__(self, prices: pl.DataFrame, closed: pl.Series, opened: pl.Series | None) -> None:
        """Take bars in any order, with when they closed and opened, microseconds since 1970 UTC."""
        bars = prices.select(
            pl.col("symbol").cast(pl.String),
            *(pl.col(name).cast(pl.Float64) for name in _COLUMNS),
            closed=closed,
            opened=closed.rename("opened") if opened is None else opened,
        ).sort("symbol", "closed")
        daily = _by_day(bars)
        self._has_opens = opened is not None
        self._made: dict[tuple[int, str], Bars] = {}
        self.frequencies = [bars] if daily.height > bars.height / 2 else [bars, daily]

    def by_symbol(self, bars: pl.DataFrame, symbols: Sequence[str]) -> dict[str, Bars]:
        """Return the first bars of some symbols; the same objects each time."""
        place = next(number for number, each in enumerate(self.frequencies) if each is bars)
        for symbol in symbols:
            if (place, symbol) not in self._made:
                rows = bars.filter(pl.col("symbol") == symbol).head(_BARS)
                self._made[place, symbol] = self._bars(rows)
        return {symbol: made for symbol in symbols if len((made := self._made[place, symbol]).closed)}

    def market(self, bars: pl.DataFrame) -> Bars:
        """Return the bars of all symbols together: prices are means of theirs, against the close before."""
        before = pl.col("close").shift(1).over("symbol")
        moved = bars.with_columns(pl.col("open", "high", "low", "close") / before).drop_nulls("close")
        together = moved.group_by("closed", maintain_order=True).agg(
            pl.col("open", "high", "low", "close").mean(), pl.col("volume").sum(), pl.col("opened").max()
        )
        level = pl.col("close").cum_prod()
        start = level.shift(1).fill_null(1.0)
        ordered = together.sort("closed").head(_BARS)
        return self._bars(ordered.with_columns(*(pl.col(name) * start for name in ("open", "high", "low")), level))

    def _bars(self, rows: pl.DataFrame) -> Bars:
        opened = rows["opened"].to_numpy() if self._has_opens else None
        return Bars(rows.select(_COLUMNS), rows["closed"].to_numpy(), opened)


def prices_in(tables: Mapping[str, TimedTable]) -> Prices | None:
    """Return the bars of the table `prices`; None where it has no closes."""
    table = tables.get("prices")
    if table is None or table.known is None or "close" not in table.frame.columns:
        return None
    frame = table.frame
    absent = {name: pl.col("close") for name in ("open", "high", "low") if name not in frame.columns}
    absent |= {name: pl.lit(only) for name, only in (("volume", 0.0), ("symbol", "")) if name not in frame.columns}
    return Prices(
        frame.with_columns(**absent), table.later.get("close", table.known), table.known if table.later else None
    )


def delivered_in(tables: Mapping[str, TimedTable]) -> list[Delivered]:
    """Return the number columns of the tables that are called signals or context."""
    return [
        Delivered.of(name, column, table.frame, table.known)
        for name, table in tables.items()
        if name.startswith(("signals", "context")) and table.known is not None and "timestamp" in table.frame.columns
        for column in value_columns(table.frame)
        if table.frame.schema[column].is_numeric() or table.frame.schema[column] == pl.Boolean
    ]


def examine(columns: Sequence[Delivered], prices: Prices) -> tuple[list[Leak], list[str]]:
    """Return the leaks that delivered columns show by themselves, and what is remarkable about the others."""
    leaks, notes = [], []
    for column in columns:
        best = _best(column, prices)
        if best is not None and best.is_certain:
            leaks.append(_leak(column, best.sentence(), best.rows))
        elif (mark := _first_mark(column, prices)) is not None:
            leaks.append(_leak(column, f"the values are {mark.what}", mark.rows))
        elif best is not None:
            notes.append(
                f"{column.table}.{column.name}: {best.sentence()}. A model as good as that is rare, a label is not: "
                "look where it comes from"
            )
    return leaks, notes


def _first_mark(column: Delivered, prices: Prices) -> Mark | None:
    return next((mark for bars in prices.frequencies for mark in marks(_beside(column, bars))), None)


def _best(column: Delivered, prices: Prices) -> Foresight | None:
    found = [foresight(seen) for seen in _all_seen(column, prices, _ROWS)]
    found += [held_foresight(seen) for seen in _all_seen(column, prices, _BARS)]
    certain_first = sorted(
        (each for each in found if each), key=lambda each: (not each.is_certain, -round(each.share, 6))
    )
    return certain_first[0] if certain_first else None


def _all_seen(column: Delivered, prices: Prices, most: int) -> Iterator[list[Seen]]:
    """Yield a column beside the bars of its symbols, or one of the market beside the market and beside each symbol."""
    of_market = column.rows["symbol"].null_count() > 0
    for bars in prices.frequencies:
        counts = (bars if of_market else column.rows)["symbol"].value_counts()
        longest = counts.sort("count", "symbol", descending=[True, False])["symbol"].head(_SYMBOLS)
        by_symbol = prices.by_symbol(bars, longest.to_list())
        if of_market:
            alone = (_seen(column.rows, each, most) for each in (prices.market(bars), *by_symbol.values()))
            yield from ([seen] for seen in alone if seen is not None)
        else:
            own = {symbol: column.rows.filter(pl.col("symbol") == symbol) for symbol in by_symbol}
            beside = (_seen(own[symbol], each, most) for symbol, each in by_symbol.items())
            yield [seen for seen in beside if seen is not None]


def _seen(rows: pl.DataFrame, bars: Bars, most: int) -> Seen | None:
    known = rows["known"].to_numpy()
    at = np.searchsorted(bars.closed, known, side="right") - 1
    # Later rows than the bars reach are not beside the last of them.
    there = np.flatnonzero((at >= 0) & (known <= bars.closed[-1]))[:most]
    if len(there) < 2:
        return None
    return Seen(rows["value"].to_numpy()[there], bars, at[there], known[there], rows["symbol"].null_count() > 0)


def _beside(column: Delivered, bars: pl.DataFrame) -> pl.DataFrame:
    """Return the values with what was known of their bars and what came after; nulls for values of the market."""
    rows = column.rows.select("symbol", "known", "value")
    if column.rows["symbol"].null_count():
        return rows.with_columns(pl.lit(None, pl.Float64).alias(name) for name in (*BESIDE, *AHEAD))
    made = {name: value.over("symbol") for name, value in {**BESIDE, **AHEAD}.items()}
    told = bars.select("symbol", "closed", **made)
    told = told.with_columns(pl.when(pl.col(name).is_finite()).then(name).alias(name) for name in made)
    return rows.join_asof(
        told, left_on="known", right_on="closed", by="symbol", strategy="backward", check_sortedness=False
    )


def _by_day(bars: pl.DataFrame) -> pl.DataFrame:
    return (
        bars.group_by("symbol", pl.col("closed") // _DAY, maintain_order=True)
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            pl.col("volume").sum(),
            pl.col("closed").last().alias("last"),
            pl.col("opened").first(),
        )
        .with_columns(closed="last")
    )


def _leak(column: Delivered, how: str, rows: int) -> Leak:
    first = column.rows.sort("time", "symbol").row(0, named=True)
    return Leak(
        stage=column.stage,
        table=column.table,
        column=column.name,
        timestamp=to_datetime(int(column.rows.sort("time", "symbol")["known"][0])),
        symbol=first["symbol"],
        cut=None,
        before=first["value"],
        after=None,
        how=how,
        rows=rows,
    )
