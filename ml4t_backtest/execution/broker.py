"""The broker: which orders fill in a slice, in which order, and what their fills set off.

The order of events is a published contract: docs/concepts/event_order.md; the prices: docs/concepts/fill_prices.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ml4t_backtest.core.fill import Phase
from ml4t_backtest.core.market import Market
from ml4t_backtest.core.orders import Bracket, Order
from ml4t_backtest.execution.accounts import Account
from ml4t_backtest.execution.affordability import whole_shares
from ml4t_backtest.execution.book import Book
from ml4t_backtest.execution.brackets import IntrabarPath, cover, place_in_path, protective_orders
from ml4t_backtest.execution.filling import Chance, Filler
from ml4t_backtest.execution.journal import Journal
from ml4t_backtest.execution.order_types import Bar, Birth, price_at_open, price_inside, price_when_born
from ml4t_backtest.portfolio.ledger import Ledger

Candidate = tuple[Order, Chance]
_DIRECTIONS = {"rising": 1, "falling": -1, "inside": 0}


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
        *,
        path: IntrabarPath,
        fractional: bool,
        ids: Iterator[int],
    ) -> None:
        self._market = market
        self._ledger = ledger
        self._book = book
        self._journal = journal
        self._filler = filler
        self._account = account
        self._path = path
        self._fractional = fractional
        self._ids = ids
        self._born: dict[int, Birth] = {}

    def before_open(self) -> None:
        """Step 0: orders past their time in force expire."""
        self._filler.begin_slice()
        self._born.clear()
        for order in self._book:
            if order.tif != "day" and order.kind != "market_on_close":
                continue
            if order.session is None and self._market.opened >= order.live_from:
                order.session = self._market.session
            if order.session is not None and self._market.session > order.session:
                self._book.expire(order, "day" if order.tif == "day" else "no_bar_at_close")

    def at_open(self) -> None:
        """Step 1: fill what the open fills, orders that reduce a position first."""
        if not self._book:
            return
        candidates: list[Candidate] = []
        for order, row in self._eligible():
            self._count_bar(order)
            raw = price_at_open(order, self._market.price("open", row))
            if raw is not None:
                candidates.append((order, Chance(raw, row, "open")))
        self._reduce_then_open(candidates)

    def inside(self) -> None:
        """Step 2: test what is left against the bar, protective orders first; money freed here is spent later."""
        if not self._book:
            return
        self._filler.begin_inside()
        candidates: list[Candidate] = []
        for order, row in self._eligible():
            triggered = order.triggered
            raw = price_inside(order, self._bar(row))
            if raw is not None:
                candidates.append((order, Chance(raw, row, _direction(order, raw, was_limit=triggered))))
        candidates.sort(key=self._priority)
        self._doubt_double_touches(candidates)
        for order, chance in candidates:
            self._execute(order, chance)

    def at_close(self) -> None:
        """Step 3: fill market-on-close orders at the session's last close, orders that reduce a position first."""
        if not (self._book and self._market.session_ends):
            return
        candidates = [
            (order, Chance(self._market.price("close", row), row, "close"))
            for order, row in self._eligible()
            if order.kind == "market_on_close"
        ]
        self._reduce_then_open(candidates)

    def end_slice(self) -> None:
        """After the close: one-bar orders end, trailing stops follow the market."""
        for order, row in self._eligible():
            if order.tif == "ioc":
                self._book.expire(order, "ioc")
            elif order.kind == "trailing_stop":
                self._follow(order, row)

    def _eligible(self) -> list[tuple[Order, int]]:
        """Return the working orders whose symbol has a bar that opened at or after their decision."""
        pairs = ((order, self._market.row_of(order.symbol_id)) for order in self._book)
        return [
            (order, row)
            for order, row in pairs
            if row is not None and (order.order_id in self._born or self._market.open_instant(row) >= order.live_from)
        ]

    def _count_bar(self, order: Order) -> None:
        if order.bars_left:
            order.bars_left -= 1

    def _priority(self, candidate: Candidate) -> tuple[Any, ...]:
        """Order of orders within a phase: rank, for protective orders the assumed path, then sequence."""
        order = candidate[0]
        place = place_in_path(order, self._path) if order.is_protective else 0
        return (order.rank, place, order.sequence, order.order_id)

    def _reduce_then_open(self, candidates: list[Candidate]) -> None:
        """Two passes, each order judged at its turn: what reduces nothing then waits for the second pass."""
        candidates.sort(key=self._priority)
        opening: list[Candidate] = []
        for order, chance in candidates:
            if self._reduces(order):
                self._execute(order, chance)
            else:
                opening.append((order, chance))
        groups: set[int] = set()
        for order, chance in opening:
            if order.group is None:
                self._execute(order, chance)
            elif order.group not in groups:
                groups.add(order.group)
                self._open_group([member for member in opening if member[0].group == order.group])

    def _reduces(self, order: Order) -> bool:
        return self._ledger.quantity(order.symbol_id) * order.sign < 0.0

    def _execute(self, order: Order, chance: Chance) -> None:
        """Fill an order that has not ended meanwhile, as far as it goes."""
        if order.status != "working":
            return
        if self._reduces(order):
            self._reduce(order, chance)
        else:
            self._open(order, chance, abs(order.quantity))

    def _reduce(self, order: Order, chance: Chance) -> None:
        """Fill against the position; what goes beyond it flips the position where the account allows that."""
        held = abs(self._ledger.quantity(order.symbol_id))
        closing = min(abs(order.quantity), held)
        beyond = 0.0 if order.reduce_only else abs(order.quantity) - closing
        if beyond > 0.0 and order.side == "sell" and not self._account.allows_short:
            self._cut(order, closing, "short_not_allowed", f"sell {abs(order.quantity):g} shares, held {held:g}")
            beyond = 0.0
        volume = self._filler.available_volume(chance.row)
        size = min(closing, volume)
        if beyond > 0.0 and volume > closing:
            size += self._flip_part(order, chance, closing, min(beyond, volume - closing), beyond)
        self._fill(order, size, chance)

    def _flip_part(self, order: Order, chance: Chance, closing: float, wanted: float, beyond: float) -> float:
        """Return how much of a flip's opening part is covered; what is refused is cut off the order."""
        admitted = self._filler.admitted(order, wanted, chance, closing=closing)
        if admitted < wanted:
            if order.on_insufficient_cash == "reject":
                admitted = 0.0
            detail = self._filler.shortfall(order, closing + beyond, chance)
            reason = self._filler.refusal(order, closing + wanted, chance)
            self._cut(order, closing + admitted, reason, detail)
        return admitted

    def _open(self, order: Order, chance: Chance, wanted: float) -> None:
        """Fill an order that opens or adds up to `wanted` shares, as far as volume and account allow."""
        if order.reduce_only:
            self._book.cancel(order, "position_closed")
            return
        if order.side == "sell" and not self._account.allows_short:
            self._book.reject(order, "short_not_allowed", f"sell {abs(order.quantity):g} shares, held 0")
            return
        size = min(wanted, self._filler.available_volume(chance.row))
        if size <= 0.0 and wanted > 0.0:
            return
        admitted = self._filler.admitted(order, size, chance) if size > 0.0 else 0.0
        if admitted == size and wanted == abs(order.quantity):
            self._fill(order, size, chance)
            return
        self._cut_to_cash(order, admitted if admitted < size else wanted, admitted, chance)

    def _cut_to_cash(self, order: Order, allowed: float, admitted: float, chance: Chance) -> None:
        """Fill what cash allows of an order and drop the rest, or refuse all of it."""
        detail = self._filler.shortfall(order, abs(order.quantity), chance)
        reason = self._filler.refusal(order, abs(order.quantity), chance)
        if admitted == 0.0 or order.on_insufficient_cash == "reject":
            self._book.reject(order, reason, detail)
            return
        self._cut(order, allowed, "clipped_to_cash" if reason == "insufficient_cash" else reason, detail)
        self._fill(order, admitted, chance)

    def _open_group(self, members: Sequence[Candidate]) -> None:
        """Open the orders of one rebalance; when cash falls short its buys are cut by one common factor."""
        buys = [(order, chance) for order, chance in members if order.side == "buy" and order.status == "working"]
        total = 0.0
        for order, chance in buys:
            price = self._filler.price(order, chance, order.quantity)
            total += self._filler.cost(order, order.quantity, price)
        cash = self._ledger.cash
        short = total > cash and not self._account.allows_short
        short = short and all(order.on_insufficient_cash == "clip" for order, _ in buys)
        factor = max(cash, 0.0) / total if short else 1.0
        for order, chance in members:
            if order.status == "working":
                wanted = abs(order.quantity)
                self._open(order, chance, wanted if factor == 1.0 else self._round(wanted * factor))

    def _round(self, quantity: float) -> float:
        return quantity if self._fractional else whole_shares(quantity)

    def _cut(self, order: Order, size: float, reason: str, detail: str) -> None:
        """Reduce what an order still has to fill to `size` and write down why."""
        order.quantity = order.sign * size
        order.reason, order.detail = reason, detail

    def _fill(self, order: Order, size: float, chance: Chance) -> None:
        """Fill `size` shares and do what follows from it: brackets, cancellations, the end of the order."""
        if size <= 0.0:
            return
        quantity = order.sign * size
        if not self._filler.price(order, chance, quantity) > 0.0:
            self._book.reject(order, "no_volume", "the slippage model has no price for a bar without volume")
            return
        before = self._ledger.quantity(order.symbol_id)
        self._filler.fill(order, quantity, chance)
        after = self._ledger.quantity(order.symbol_id)
        if order.quantity == 0.0:
            order.end("filled", self._market.timestamp)
            self._book.remove(order)
        if order.is_protective and order.bracket is not None:
            self._release(order, order.bracket, size)
        if before != 0.0 and before * after <= 0.0:
            self._book.cancel_protection(order.symbol_id)
        opened = abs(after) - (abs(before) if before * after > 0.0 else 0.0)
        if order.protection and opened > 0.0 and not order.reduce_only:
            self._protect(order, opened, chance)

    def _release(self, order: Order, bracket: Bracket, size: float) -> None:
        """One cancels the others, as far as it filled."""
        others = [other for other in bracket.orders if other is not order and other.status == "working"]
        bracket.remaining -= size
        for other in others:
            if bracket.remaining <= 0.0:
                self._book.cancel(other, "oco")
            else:
                other.quantity = other.sign * bracket.remaining

    def _protect(self, entry: Order, opened: float, chance: Chance) -> None:
        """Bring the protective orders of an entry to life and test them in the rest of the bar."""
        if entry.bracket is None:
            entry.bracket = Bracket(0.0)
            instant = self._market.open_instant(chance.row) if chance.phase == "open" else self._market.timestamp
            entry.bracket.orders = protective_orders(entry, chance.raw, instant, self._ids)
            for order in entry.bracket.orders:
                order.last_timestamp = self._market.timestamp
                self._book.submit(order)
        cover(entry.bracket, opened)
        alive = [order for order in entry.bracket.orders if order.status == "working"]
        alive.sort(key=lambda order: place_in_path(order, self._path))
        if chance.phase == "open":
            self._test_at_open(alive, chance)
        elif chance.phase != "close":
            self._test_in_rest_of_bar(alive, chance)

    def _test_at_open(self, orders: Iterable[Order], entry: Chance) -> None:
        """Fill what the entry's own price already triggers."""
        for order in orders:
            raw = price_at_open(order, entry.raw)
            if raw is not None:
                self._execute(order, Chance(raw, entry.row, "open"))

    def _test_in_rest_of_bar(self, orders: Sequence[Order], entry: Chance) -> None:
        """Test orders born inside the bar against what of it certainly, or at worst, came after."""
        birth = Birth(entry.raw, _DIRECTIONS[entry.phase])
        self._born.update((order.order_id, birth) for order in orders)
        bar = self._bar(entry.row)
        tested = [(order, *price_when_born(order, bar, birth)) for order in orders]
        hits = sum(raw is not None for _, raw, _ in tested)
        if hits > 1 or any(ambiguous for _, _, ambiguous in tested):
            self._journal.doubt(orders[0].symbol_id)
        for order, raw, _ in tested:
            if raw is not None:
                self._execute(order, Chance(raw, entry.row, _direction(order, raw)))

    def _doubt_double_touches(self, candidates: Sequence[Candidate]) -> None:
        """Mark the positions whose stop and target both lie inside the bar."""
        touched: dict[int, set[int]] = {}
        for order, _ in candidates:
            if order.is_protective and order.bracket is not None:
                touched.setdefault(order.symbol_id, set()).add(place_in_path(order, self._path))
        for symbol_id, places in sorted(touched.items()):
            if len(places) > 1:
                self._journal.doubt(symbol_id)

    def _follow(self, order: Order, row: int) -> None:
        """Move the water mark of a trailing stop to the best price the bar certainly showed while it lived."""
        bar, birth = self._bar(row), self._born.get(order.order_id)
        best = bar.high if order.side == "sell" else bar.low
        if birth is not None and birth.direction != -order.sign:
            best = bar.close
        water = best if order.water is None else order.water
        order.water = max(water, best) if order.side == "sell" else min(water, best)

    def _bar(self, row: int) -> Bar:
        return Bar(*(self._market.price(name, row) for name in ("open", "high", "low", "close")))


def _direction(order: Order, raw: float, *, was_limit: bool = False) -> Phase:
    """Return whether the market rose or fell to the price at which an order fills inside a bar.

    A stop-limit order that this bar triggered and filled at its limit leaves that open.
    """
    if order.kind == "stop_limit" and not was_limit and raw != order.stop:
        return "inside"
    is_stop = order.kind in ("stop", "trailing_stop") or (order.kind == "stop_limit" and not was_limit)
    return "rising" if is_stop == (order.side == "buy") else "falling"
