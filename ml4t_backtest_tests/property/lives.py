"""A scene lived through by the engine, and what its public tables and its bars say about it.

Positions, marks and cash are counted anew here, from fills, cash flows and splits; nothing comes from inside the
engine.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import Any, NamedTuple

import polars as pl
from oracle.adapter import frame, give, options
from oracle.vocabulary import Line, World

from ml4t_backtest import BacktestEngine, BacktestResult, PolarsDataFeed, Strategy
from property.scenes import Scene, delistings, scene

OPEN, CLOSE = time(14, 30), time(21, 0)
INSIDE = ("rising", "falling", "inside")
INSTANT = pl.Datetime("us", "UTC")
Row = dict[str, Any]


class Bar(NamedTuple):
    """One session of one symbol."""

    open: float
    high: float
    low: float
    close: float
    volume: float


class Placed(NamedTuple):
    """An order of the tape, and the slice that decided it."""

    now: int
    line: Line


@dataclass(frozen=True)
class Move:
    """A fill and what it did.

    Attributes:
        fill: Its record.
        now: Its slice.
        sign: 1 bought, -1 sold.
        before: Signed shares held before it.
        after: Signed shares held after it.
        cash: Cash after it.
        held: Signed shares of every symbol after it.
    """

    fill: Row
    now: int
    sign: float
    before: float
    after: float
    cash: float
    held: Mapping[str, float]

    @property
    def closing(self) -> float:
        """Shares of it that reduce the position."""
        return min(abs(self.before), self.fill["quantity"]) if self.before * self.sign < 0.0 else 0.0

    @property
    def opening(self) -> float:
        """Shares of it that open or add."""
        return max(self.fill["quantity"] - self.closing, 0.0)


@dataclass(frozen=True)
class Evening:
    """The account when a slice is over.

    Attributes:
        cash: Cash.
        held: Signed shares by symbol, without those that are flat.
        marks: Last close by symbol, on the share basis of the slice.
        ages: Slices since the symbol's last bar.
    """

    cash: float
    held: Mapping[str, float]
    marks: Mapping[str, float]
    ages: Mapping[str, int]


@dataclass(frozen=True)
class Life:
    """A scene and the result of its run.

    Attributes:
        scene: What was run.
        result: What came of it.
        placed: Order id -> the line of the tape that made the order; orders of the engine's own are missing.
        changes: Order id -> the replacements that the tape asked for.
    """

    scene: Scene
    result: BacktestResult
    placed: Mapping[int, Placed]
    changes: Mapping[int, Sequence[Placed]]

    @property
    def world(self) -> World:
        """The world of the scene."""
        return self.scene.world

    @property
    def is_cash(self) -> bool:
        """Whether the account is a cash account."""
        return self.world.account == "cash"

    @cached_property
    def fills(self) -> list[Row]:
        """Rows of `fills`."""
        return self.result.fills.to_dicts()

    @cached_property
    def trades(self) -> list[Row]:
        """Rows of `trades`."""
        return self.result.trades.to_dicts()

    @cached_property
    def flows(self) -> list[Row]:
        """Rows of `cash_flows`."""
        return self.result.cash_flows.to_dicts()

    @cached_property
    def states(self) -> list[Row]:
        """Rows of `portfolio_states`."""
        return self.result.portfolio_states.to_dicts()

    @cached_property
    def orders(self) -> dict[int, Row]:
        """Rows of `orders` by id."""
        return {row["order_id"]: row for row in self.result.orders.to_dicts()}

    @cached_property
    def bars(self) -> dict[tuple[str, int], Bar]:
        """Bars by symbol and slice."""
        return {
            (symbol, now): Bar(*map(float, vars(bar).values()))
            for symbol, bars in self.world.bars.items()
            for now, bar in enumerate(bars)
            if bar is not None
        }

    @cached_property
    def tolerance(self) -> float:
        """1e-9 x max(1, turnover), as the design states it."""
        return 1e-9 * max(1.0, math.fsum(fill["quantity"] * fill["price"] for fill in self.fills))

    def at(self, moment: datetime) -> int:
        """Return the slice of a timestamp."""
        return self.world.days.index(moment.date())

    def actions(self, kind: str, now: int) -> list[tuple[str, float]]:
        """Return (symbol, value) of the splits or dividends that are applied before the open of a slice."""
        applied = {"split": ("dividend",), "total_return": ()}.get(self.scene.extras.get("adjustment"), (kind,))
        due = [action for action in self.world.actions if action.slice == now and action.kind == kind]
        return [(action.symbol, float(action.value)) for action in due] if kind in applied else []

    def ratio(self, symbol: str, after: int, until: int) -> float:
        """Return the new shares per old one from the end of slice `after` to the end of slice `until`."""
        splits = [
            value for now in range(after + 1, until + 1) for name, value in self.actions("split", now) if name == symbol
        ]
        return math.prod(splits)

    def level(self, order_id: int, name: str, now: int) -> float | None:
        """Return a price of an order (limit, stop, trailing_amount) as it stands when slice `now` opens."""
        placed = self.placed[order_id]
        since, value = placed.now, getattr(placed.line, name)
        if value is None:
            return None
        for change in self.changes.get(order_id, ()):
            if change.now < now and getattr(change.line, name) is not None:
                since, value = change.now, getattr(change.line, name)
        return float(value) / self.ratio(placed.line.symbol, since, now)

    def decided(self, order_id: int, now: int) -> int:
        """Return the slice of the last decision about an order of the tape before slice `now`."""
        changed = [change.now for change in self.changes.get(order_id, ()) if change.now < now]
        return max([self.placed[order_id].now, *changed])

    def lived(self, symbol: str, after: int, until: int) -> list[tuple[int, Bar]]:
        """Return (slice, bar) of a symbol after slice `after`, up to slice `until`."""
        return [(now, self.bars[symbol, now]) for now in range(after + 1, until + 1) if (symbol, now) in self.bars]

    @cached_property
    def moves(self) -> list[Move]:
        """What the fills did, in order."""
        return [move for moves, _ in self._walked for move in moves]

    @cached_property
    def evenings(self) -> list[Evening]:
        """The account after each slice."""
        return [evening for _, evening in self._walked]

    @cached_property
    def _walked(self) -> list[tuple[list[Move], Evening]]:
        cash = self.result.initial_capital
        held: dict[str, float] = {}
        marks: dict[str, float] = {}
        ages: dict[str, int] = {}
        walked = []
        for now in range(len(self.world.days)):
            cash += math.fsum(flow["amount"] for flow in self.flows if self.at(flow["timestamp"]) == now)
            for symbol, ratio in self.actions("split", now):
                held[symbol] = self.whole(held.get(symbol, 0.0) * ratio)
                if symbol in marks:
                    marks[symbol] /= ratio
            moves = []
            for fill in self.fills:
                if self.at(fill["timestamp"]) == now:
                    move = self._move(fill, now, cash, held)
                    cash, held[fill["symbol"]] = move.cash, move.after
                    moves.append(move)
            for symbol in self.world.bars:
                bar = self.bars.get((symbol, now))
                ages[symbol] = 0 if bar else ages.get(symbol, 0) + 1
                if bar:
                    marks[symbol] = bar.close
            own = {symbol: quantity for symbol, quantity in sorted(held.items()) if quantity != 0.0}
            walked.append((moves, Evening(cash, own, dict(marks), dict(ages))))
        return walked

    def _move(self, fill: Row, now: int, cash: float, held: Mapping[str, float]) -> Move:
        sign = 1.0 if fill["side"] == "buy" else -1.0
        before = held.get(fill["symbol"], 0.0)
        after = before + sign * fill["quantity"]
        # Sums of fractions miss zero by their last bits.
        after = 0.0 if abs(after) <= 1e-9 * max(1.0, fill["quantity"]) else after
        cash -= sign * fill["quantity"] * fill["price"] + fill["commission"]
        return Move(fill, now, sign, before, after, cash, {**held, fill["symbol"]: after})

    def whole(self, quantity: float) -> float:
        """Return what an account may hold of a quantity after a split; whole shares are cut toward zero."""
        if self.world.fractional or math.isclose(quantity, round(quantity), rel_tol=1e-9):
            return quantity if self.world.fractional else float(round(quantity))
        return float(math.trunc(quantity))


class Player(Strategy):
    """Plays a tape and remembers which line made which order."""

    def __init__(self, scene: Scene) -> None:
        self._tape = scene.tape
        self._ids: list[int] = []
        self._now = -1
        self._timestamp: datetime | None = None
        self.placed: dict[int, Placed] = {}
        self.changes: dict[int, list[Placed]] = {}

    def act(self, timestamp: datetime) -> None:
        """Play the lines of a slice, once."""
        if timestamp == self._timestamp:
            return
        # Every session of a scene has a bar, so that slices can be counted.
        self._timestamp, self._now = timestamp, self._now + 1
        self.play(self._tape.get(self._now, ()))

    def play(self, lines: Sequence[Line]) -> None:
        """Play lines one by one."""
        for line in lines:
            if line.action == "replace" and line.nth < len(self._ids):
                self.changes.setdefault(self._ids[line.nth], []).append(Placed(self._now, line))
            self.note([line], give(self, line, self._ids))

    def note(self, lines: Sequence[Line], made: Sequence[int]) -> None:
        """Remember which line made which order: one line all of them, or one each."""
        said = lines if len(lines) == len(made) else list(lines) * len(made)
        self.placed.update((order_id, Placed(self._now, line)) for order_id, line in zip(made, said, strict=True))
        self._ids += made


class BatchPlayer(Player):
    """Plays on whole slices."""

    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Mapping[str, Any]) -> None:
        self.act(timestamp)


class SymbolPlayer(Player):
    """Plays on the first event of a slice."""

    def on_market_data(self, event: Any) -> None:
        self.act(event.timestamp)


def prepared(world: World, *, all_day: bool = False) -> pl.DataFrame:
    """Return the bars as prepared daily data of the New York exchange, or of a market that never closes."""
    bars = frame(world)
    days: list[date] = bars["timestamp"].to_list()
    midnights = [datetime.combine(day, time(), UTC) for day in days]
    opened, closed = (timedelta(0), timedelta(days=1)) if all_day else (timedelta(hours=14.5), timedelta(hours=21))
    opens, closes = ([midnight + hours for midnight in midnights] for hours in (opened, closed))
    stamps = {"timestamp": closes, "open_instant": opens, "decision_instant": closes}
    return bars.with_columns(pl.Series(name, values, dtype=INSTANT) for name, values in stamps.items())


def engine_options(scene: Scene) -> dict[str, Any]:
    """Return the keyword arguments of the engine."""
    return {**options(scene.world), "delistings": delistings(scene.world), **scene.extras}


def live(scene: Scene, feed: Any = None, player: Player | None = None) -> Life:
    """Run a scene; `feed` and `player` stand in for its own bars and for one of its own callback mode."""
    if feed is None:
        feed = PolarsDataFeed(prepared(scene.world), chunk=scene.chunk, validation="fast")
    if player is None:
        player = BatchPlayer(scene) if scene.mode == "batch" else SymbolPlayer(scene)
    result = BacktestEngine(feed, player, **engine_options(scene)).run()
    return Life(scene, result, player.placed, player.changes)


def lives(numbers: Iterable[int]) -> list[Life]:
    """Run numbered scenes."""
    return [live(scene(number)) for number in numbers]
