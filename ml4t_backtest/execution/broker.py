"""The broker: which orders fill in a slice, in which order, and what their fills set off.

The order of events is a published contract: docs/concepts/event_order.md; the prices: docs/concepts/fill_prices.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from ml4t_backtest.core.fill import Phase
from ml4t_backtest.core.market import Market
from ml4t_backtest.core.order_block import OrderBlock
from ml4t_backtest.core.orders import OTHER, Order, OrderIds
from ml4t_backtest.execution.accounts import Account
from ml4t_backtest.execution.affordability import same_quantity, whole_shares
from ml4t_backtest.execution.block_filling import BlockFiller
from ml4t_backtest.execution.book import Book
from ml4t_backtest.execution.brackets import IntrabarPath, place_in_path, protective_orders, release
from ml4t_backtest.execution.filling import Chance, Filler
from ml4t_backtest.execution.journal import Journal
from ml4t_backtest.execution.knobs.habits import Habits
from ml4t_backtest.execution.order_types import Bar, Birth, price_at_once, price_inside
from ml4t_backtest.execution.sleepers import Sleepers
from ml4t_backtest.portfolio.ledger import Ledger

Candidate = tuple[Order, Chance]
_DIRECTIONS: dict[Phase, int | None] = {"open": None, "rising": 1, "falling": -1, "inside": 0}


class Broker:
    """Tries the working orders of a slice, phase by phase."""

    def __init__(
        self,
        market: Market,
        ledger: Ledger,
        book: Book,
        journal: Journal,
        filler: Filler,
        account: Account,
        habits: Habits,
        blocks: BlockFiller | None,
        *,
        path: IntrabarPath,
        fractional: bool,
        lot_size: int,
        ids: OrderIds,
    ) -> None:
        self._market = market
        self._ledger = ledger
        self._book = book
        self._journal = journal
        self._filler = filler
        self._account = account
        self._habits = habits
        self._blocks = blocks
        self._path = path
        self._fractional = fractional
        self._lot_size = lot_size
        self._ids = ids
        self._sleepers = Sleepers(market, book)
        self._born: dict[int, Birth] = {}
        self._asleep: list[Order] = []
        self._roused = False

    def before_open(self) -> None:
        """Step 0: orders past their time in force expire."""
        self._filler.begin_slice()
        self._born.clear()
        self._asleep.clear()
        for order in self._book.singles():
            if order.tif == "ioc" and order.bars_met > 0:
                self._book.expire(order, "ioc")
            elif order.tif == "day":
                if order.session is None and self._market.opened >= order.live_from:
                    order.session = self._market.session
                if order.session is not None and self._market.session > order.session:
                    self._book.expire(order, "day")

    def at_open(self) -> None:
        """Step 1: fill what the open fills, orders that reduce a position first."""
        self._sleepers.look()
        block = self._book.take_block()
        candidates = self._at_open(self._eligible())
        if block is not None:
            # What else fills at this open takes its turn between them: then each of them is an order of its own.
            left = block if candidates else self._fill_block(block)
            candidates += [] if left is None else self._at_open(self._due(self._book.adopt(left)))
        self._reduce_then_open(candidates)

    def open_block(self) -> None:
        """Step 1 where nothing but a block works: what of it cannot be filled here works as single orders."""
        block = self._book.take_block()
        if block is not None and (left := self._fill_block(block)) is not None:
            self._book.adopt(left)

    def inside(self) -> None:
        """Step 2: test what is left against the bar, protective orders first; money freed here is spent later."""
        if not self._book.has_singles:
            return
        self._filler.begin_inside()
        eligible = sorted(self._eligible(), key=lambda pair: (pair[0].rank, pair[0].sequence))
        for _, family in groupby(eligible, key=lambda pair: (pair[0].rank, pair[0].sequence)):
            alive = [(order, row) for order, row in family if order.status == "working"]
            if alive:
                self._try_inside([order for order, _ in alive], alive[0][1])

    def in_one_pass(self, chance_of: Callable[[Order, Bar, int], Chance | None]) -> None:
        """Steps 1 and 2 together: try each order at its turn, and all of them again where a fill rouses them.

        Args:
            chance_of: Where an order fills in a bar, given with its row.
        """
        for order, row in self._eligible():
            self._meet(order, self._market.price("open", row))
        again = True
        while again:
            self._roused = False
            for order, row in sorted(self._eligible(), key=lambda pair: self._habits.turns.place(pair[0])):
                chance = chance_of(order, self._bar(row), row) if order.status == "working" else None
                if chance is not None:
                    self._execute(order, chance)
            again = self._roused
            self._wake()

    def at_same_close(self, *, reducing_first: bool) -> None:
        """Step 4 under `fill_at: same_close`: what was decided just now meets the close as it would an open.

        Args:
            reducing_first: Whether orders that reduce a position come first, or each comes at its turn.
        """
        self._filler.begin_close()
        candidates: list[Candidate] = []
        for order in self._book.singles():
            row = self._market.row_of(order.symbol_id)
            if row is None or order.rank != OTHER or order.decision_slice != self._market.timestamp:
                continue
            close = self._market.price("close", row)
            self._meet(order, close)
            raw = price_at_once(order, close, self._habits.rules)
            if raw is not None:
                candidates.append((order, Chance(raw, row, "close")))
        if reducing_first:
            self._reduce_then_open(candidates)
            return
        for order, chance in sorted(candidates, key=lambda pair: self._habits.turns.place(pair[0])):
            self._execute(order, chance)

    def at_close(self) -> None:
        """Step 3: fill market-on-close orders at the session's last close, orders that reduce a position first."""
        if not (self._book.has_singles and self._market.session_ends):
            return
        self._filler.begin_close()
        candidates: list[Candidate] = []
        for order in self._book.singles():
            row = self._market.row_of(order.symbol_id)
            if order.kind != "market_on_close":
                continue
            if row is None and self._market.opened >= order.live_from:
                self._book.expire(order, "no_bar_at_close")
            elif row is not None and self._market.open_instant(row) >= order.live_from:
                candidates.append((order, Chance(self._market.price("close", row), row, "close")))
        self._reduce_then_open(candidates)

    def end_slice(self) -> None:
        """After the close: trailing stops follow the market."""
        for order, row in self._eligible():
            if order.kind == "trailing_stop":
                self._follow(order, row)

    def _at_open(self, due: Sequence[tuple[Order, int]]) -> list[Candidate]:
        """Let orders meet the open of their bars; return those that it fills."""
        candidates: list[Candidate] = []
        for order, row in due:
            open_ = self._market.price("open", row)
            self._meet(order, open_)
            raw = price_at_once(order, open_, self._habits.rules)
            if raw is not None:
                candidates.append((order, Chance(raw, row, "open")))
        return candidates

    def _fill_block(self, block: OrderBlock) -> OrderBlock | None:
        """Fill a block as far as that is plain; return what is left of it."""
        if self._blocks is None:
            return block
        filled, left = self._blocks.fill(block)
        if filled is not None and self._book.has_singles:
            self._end_protection(filled)
        return left

    def _end_protection(self, filled: OrderBlock) -> None:
        """Cancel what protected positions that a block has closed or turned round."""
        for symbol_id, quantity in zip(filled.symbol_ids.tolist(), filled.quantities.tolist(), strict=True):
            after = self._ledger.quantity(symbol_id)
            if after == 0.0 or (after * quantity > 0.0 and abs(after) <= abs(quantity)):
                self._book.cancel_protection(symbol_id)

    def _meet(self, order: Order, first_price: float) -> None:
        """Let an order meet a bar: a trailing stop that has no water mark yet begins at the bar's first price."""
        order.bars_met += 1
        if order.kind == "trailing_stop" and order.water is None:
            order.water = first_price

    def _eligible(self) -> list[tuple[Order, int]]:
        """Return the working orders whose symbol has a bar that opened at or after their decision."""
        return self._due(self._sleepers.awake()) if self._book.has_singles else []

    def _due(self, orders: Sequence[Order]) -> list[tuple[Order, int]]:
        pairs = ((order, self._market.row_of(order.symbol_id)) for order in orders)
        return [
            (order, row)
            for order, row in pairs
            if row is not None and (order.order_id in self._born or self._market.open_instant(row) >= order.live_from)
        ]

    def _priority(self, candidate: Candidate) -> tuple[Any, ...]:
        """Order of orders within a phase: rank, sequence; in a bracket the assumed path, then what is nearer."""
        order, chance = candidate
        place = place_in_path(order, self._path) if order.is_protective else 0
        return (order.rank, order.sequence, place, order.sign * chance.raw, order.order_id)

    def _reduce_then_open(self, candidates: list[Candidate]) -> None:
        """Two passes, each order judged at its turn: what reduces nothing then waits for the second pass."""
        if not candidates:
            return
        candidates.sort(key=self._priority)
        opening: list[Candidate] = []
        for order, chance in candidates:
            if self._reduces(order):
                self._execute(order, chance)
            else:
                opening.append((order, chance))
        factors: dict[int, float] = {}
        for order, chance in opening:
            if order.group is None or self._reduces(order):
                self._execute(order, chance)
                continue
            if order.group not in factors:
                factors[order.group] = self._common_factor([pair for pair in opening if pair[0].group == order.group])
            self._execute(order, chance, factors[order.group])

    def _common_factor(self, members: Sequence[Candidate]) -> float:
        """Return by which factor the openings of one rebalance are cut, 1.0 where money allows all of them."""
        parts = []
        for order, chance in members:
            size = min(abs(order.quantity), self._filler.available_volume(chance.row))
            # A closing order whose position is gone already (by a margin call, say) opens nothing.
            opens = not order.reduce_only and (order.sign > 0.0 or self._account.allows_short)
            opens = opens and order.status == "working" and not self._reduces(order)
            if opens and self._filler.without_price(order, chance) is None:
                parts.append((order, size, chance))
        if any(order.on_insufficient_cash == "reject" for order, _, _ in parts):
            return 1.0
        return self._filler.common_factor(parts)

    def _try_inside(self, bracket: Sequence[Order], row: int) -> None:
        """Test one order, or the orders of one bracket, against the inside of a bar.

        What the open reached already (or the entry's own price) was there first: nothing else in the bar counts.
        """
        bar, birth = self._bar(row), self._born.get(bracket[0].order_id)
        now = bar.open if birth is None else birth.price
        found = [(order, price_at_once(order, now, self._habits.rules)) for order in bracket]
        hits = [(order, Chance(raw, row, "inside")) for order, raw in found if raw is not None]
        if hits:
            self._execute_in_order(hits)
            return
        doubtful: list[float | None] = []
        for order in bracket:
            was_triggered = order.triggered
            raw, in_doubt = price_inside(order, bar, birth, self._habits.rules)
            doubtful += [raw] if in_doubt else []
            if raw is not None:
                hits.append((order, Chance(raw, row, direction_of(order, raw, was_limit=was_triggered))))
        either = len({chance.raw for _, chance in hits}) > 1 and len({order.kind == "limit" for order, _ in hits}) > 1
        if doubtful or either:
            self._journal.doubt(bracket[0].symbol_id, None if None in doubtful else self._filler.ends(hits))
        self._execute_in_order(hits)

    def _execute_in_order(self, candidates: list[Candidate]) -> None:
        for order, chance in sorted(candidates, key=self._priority):
            self._execute(order, chance)

    def _reduces(self, order: Order) -> bool:
        return self._ledger.quantity(order.symbol_id) * order.sign < 0.0

    def _execute(self, order: Order, chance: Chance, factor: float = 1.0) -> None:
        """Fill what position, volume and money allow of an order that has not ended meanwhile.

        Args:
            order: The order.
            chance: Where it could fill.
            factor: To which part of what it opens the whole rebalance is cut.
        """
        held = abs(self._ledger.quantity(order.symbol_id)) if self._reduces(order) else 0.0
        if order.status != "working" or not self._keeps_to_position(order, held):
            return
        size = min(abs(order.quantity), self._filler.available_volume(chance.row))
        if size <= 0.0:
            return
        # What is left of fractions after several fills may miss the position by a rounding error.
        size = held if same_quantity(size, held) else size
        if (refusal := self._filler.without_price(order, chance)) is not None:
            # What protects or has to close waits for a bar with a price.
            if order.rank == OTHER:
                self._book.refuse(order, *refusal)
            return
        closing = min(size, held)
        self._filler.hold_back(order, closing, chance)
        wanted = size - closing
        opening = self._affordable(order, wanted, closing, chance, factor)
        if opening < wanted:
            self._cut_to_money(order, closing + opening, size, chance)
            size = closing + opening
        # Of fractions, what closes and what opens need not add up to the size.
        self._fill(order, size, chance)

    def _keeps_to_position(self, order: Order, held: float) -> bool:
        """Cut an order that may only reduce to the shares it can reduce; return whether any are left."""
        forbidden = order.side == "sell" and not self._account.allows_short
        if abs(order.quantity) <= held or not (order.reduce_only or forbidden):
            return True
        if order.reduce_only:
            order.quantity = order.sign * held
            if held == 0.0:
                self._book.cancel(order, "position_closed")
        else:
            detail = f"sell {abs(order.quantity):g} shares, held {held:g}"
            self._cut(order, held, "short_not_allowed", detail)
            if held == 0.0:
                self._book.refuse(order, "short_not_allowed", detail)
        return held > 0.0

    def _affordable(self, order: Order, wanted: float, closing: float, chance: Chance, factor: float) -> float:
        """Return how many of the shares that would open or add the account can carry."""
        if wanted == 0.0:
            return 0.0
        most = wanted if factor == 1.0 else self._round(wanted * factor)
        admitted = self._filler.admitted(order, most, chance, closing=closing) if most > 0.0 else 0.0
        admitted = admitted if admitted == wanted else self._round(admitted)
        return 0.0 if admitted < wanted and order.on_insufficient_cash == "reject" else admitted

    def _cut_to_money(self, order: Order, size: float, wanted: float, chance: Chance) -> None:
        """Drop what money or limits do not allow of an order, and all that it has not filled yet."""
        reason, detail = self._filler.refusal(order, wanted, chance)
        if size == 0.0:
            self._book.refuse(order, reason, detail)
        else:
            clipped = reason == "insufficient_cash" and order.on_insufficient_cash == "clip"
            self._cut(order, size, "clipped_to_cash" if clipped else reason, detail)

    def _round(self, quantity: float) -> float:
        """Truncate what money leaves of an order to whole lots."""
        return quantity if self._fractional else self._lot_size * whole_shares(quantity / self._lot_size)

    def _cut(self, order: Order, size: float, reason: str, detail: str) -> None:
        """Reduce what an order still has to fill to `size` and write down why."""
        order.quantity = order.sign * size
        order.reason, order.detail = reason, detail

    def _fill(self, order: Order, size: float, chance: Chance) -> None:
        """Fill `size` shares and do what follows from it: brackets, cancellations, the end of the order."""
        if size <= 0.0:
            return
        before = self._ledger.quantity(order.symbol_id)
        self._filler.fill(order, order.sign * size, chance)
        after = self._ledger.quantity(order.symbol_id)
        if order.quantity == 0.0:
            order.end("filled", self._market.timestamp)
            self._book.remove(order)
        for other in release(order, size):
            self._book.cancel(other, "oco")
        if before * order.sign < 0.0:
            for other in self._habits.lots.closed(order, min(size, abs(before))):
                self._book.cancel(other, "position_closed")
        if before != 0.0 and before * after <= 0.0:
            self._book.cancel_protection(order.symbol_id)
        opened = abs(after) - (abs(before) if before * after > 0.0 else 0.0)
        if opened > 0.0:
            bracket = self._protect(order, opened, chance) if order.protection and not order.reduce_only else []
            self._habits.lots.opened(order.symbol_id, opened, bracket)

    def _protect(self, entry: Order, opened: float, chance: Chance) -> list[Order]:
        """Bring the bracket of a fill to life; inside the bar it is tested at once against what is left of it."""
        now = self._market.timestamp
        instant = self._market.open_instant(chance.row) if chance.phase == "open" else now
        bracket = protective_orders(entry, opened, chance.raw, instant, self._ids)
        self._habits.turns.adopt(entry, bracket)
        awake = self._habits.awakening.awake(bracket)
        for order in bracket:
            order.last_timestamp = now
            order.live_from = instant if awake else now
            if order.kind == "trailing_stop":
                order.water = self._habits.water.of_child(entry, chance.raw)
            self._book.submit(order)
        if awake and chance.phase in _DIRECTIONS:
            birth = Birth(chance.raw, _DIRECTIONS[chance.phase])
            self._born.update((order.order_id, birth) for order in awake)
            if chance.phase != "open":
                self._try_inside(awake, chance.row)
        self._rouse(entry, bracket, chance.row)
        return bracket

    def _rouse(self, entry: Order, bracket: Sequence[Order], row: int) -> None:
        """Let the whole slice be tried again, with what came alive in it, where the rules of brackets say so."""
        self._asleep += [order for order in bracket if order.live_from == self._market.timestamp]
        self._roused = self._roused or self._habits.awakening.rouses(entry, bracket, self._bar(row))

    def _wake(self) -> None:
        """Let brackets that came alive in this slice live in it too, where a fill roused them."""
        if self._roused:
            for order in self._asleep:
                order.live_from = order.decided

    def _follow(self, order: Order, row: int) -> None:
        """Move the water mark of a trailing stop to the best price the bar certainly showed while it lived."""
        best = self._habits.water.best(order, self._bar(row), self._born.get(order.order_id))
        water = best if order.water is None else order.water
        order.water = max(water, best) if order.side == "sell" else min(water, best)

    def _bar(self, row: int) -> Bar:
        return Bar(*(self._market.price(name, row) for name in ("open", "high", "low", "close")))


def direction_of(order: Order, raw: float, *, was_limit: bool) -> Phase:
    """Return whether the market rose or fell to the price at which an order fills inside a bar.

    A stop-limit order that this bar triggered and filled at its limit leaves that open.
    """
    if order.kind == "stop_limit" and not was_limit and raw != order.stop:
        return "inside"
    is_stop = order.kind in ("stop", "trailing_stop") or (order.kind == "stop_limit" and not was_limit)
    return "rising" if is_stop == (order.side == "buy") else "falling"
