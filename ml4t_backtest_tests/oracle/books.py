"""The account of the oracle: cash, positions, costs and records (DESIGN.md sections 5 and 6)."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import product

from oracle.vocabulary import (
    NOTHING,
    TOTALS,
    Action,
    Bar,
    F,
    Fill,
    Flow,
    Held,
    Line,
    Order,
    Outcome,
    Report,
    State,
    Trade,
    World,
)

CLOSE_CALL = F(1, 10**9)
SIDES = {1: "buy", -1: "sell"}
LIQUIDATION, PROTECTIVE, OTHER = 0, 2, 3


class Books:
    """What is held, what it cost, and what becomes known about it."""

    def __init__(self, world: World) -> None:
        self.world, self.now, self.cash, self.freed = world, 0, world.capital, NOTHING
        self.held: dict[str, Held] = {}
        self.marks: dict[str, F] = {}
        self.bars: dict[str, Bar] = {}
        self.prices: dict[str, F] = {}
        self.bars_met, self.volume_used = Counter(), Counter()
        self.fills, self.flows, self.states, self.trades = [], [], [], []
        self.orders: list[Order] = []
        self.factors: dict[tuple[int, int, int], F] = {}
        self.close_call = self.ruined = False

    def positions(self) -> dict[str, F]:
        return {symbol: held.side * held.quantity for symbol, held in sorted(self.held.items())}

    def equity(self) -> F:
        return self.cash + sum(quantity * self.marks[symbol] for symbol, quantity in self.positions().items())

    def state(self) -> State:
        return State(self.now, self.cash, self.equity(), tuple(self.positions().items()))

    def working(self, symbol: str | None = None) -> list[Order]:
        """Working orders in the order of orders: rank, then sequence."""
        found = [order for order in self.orders if order.status == "working" and symbol in (None, order.symbol)]
        return sorted(found, key=lambda order: order.rank)

    def add(self, line: Line, symbol: str, signed: F, rank: int, reason: str, **more: object) -> Order:
        side = 1 if signed > 0 else -1
        self.orders.append(Order(line, symbol, side, abs(signed), self.now, rank=rank, reason=reason, **more))
        return self.orders[-1]

    def family(self, order: Order) -> list[Order]:
        """An order and those of which only one may fill."""
        return [o for o in self.working(order.symbol) if o is order or (o.parent and o.parent is order.parent)]

    def reduces(self, order: Order) -> bool:
        return order.side * self.positions().get(order.symbol, 0) < 0

    def clear(self, symbol: str) -> None:
        """Protective orders die when the position is flat or flips."""
        for order in self.working(symbol):
            if order.rank == PROTECTIVE and not self.reduces(order):
                order.finish("cancelled", "position_closed")

    def reached(self, move: int, price: F, level: F) -> bool:
        """Whether a price that moves up (1) or down (-1) is at a level or beyond it."""
        sure = self.world.exact or (price == level and price.denominator & (price.denominator - 1) == 0)
        self.close_call |= not sure and abs(price - level) < CLOSE_CALL
        return move * price >= move * level

    def whole(self, quantity: F, *, given: bool = False) -> F:
        """Whole shares, truncated toward zero."""
        if self.world.fractional:
            return quantity
        self.close_call |= not (self.world.exact or given) and abs(quantity - round(quantity)) < CLOSE_CALL
        return F(math.trunc(quantity))

    def within_volume(self, order: Order) -> F:
        """What the volume cap leaves of an order in this bar."""
        if self.world.max_volume_share is None:
            return order.quantity
        cap = self.whole(self.bars[order.symbol].volume * self.world.max_volume_share, given=True)
        return min(order.quantity, cap - self.volume_used[order.symbol])

    # Costs

    def price(self, order: Order, raw: F) -> F:
        """The raw price with slippage against the order, never worse than its limit."""
        match self.world.slippage:
            case ("percentage", rate):
                price = raw * (1 + order.side * rate)
            case ("fixed", amount):
                price = raw + order.side * amount
            case ("spread", spread):
                price = raw + order.side * spread / 2
            case _:
                price = raw
        return order.limit if order.limit is not None and order.side * price > order.side * order.limit else price

    def lines(self, order: Order, price: F, quantity: F) -> list[tuple[F, F]]:
        """Lines (at no share, per share), the greatest of which is the commission of so many shares more."""
        match self.world.commission:
            case ("percentage", rate):
                return [(NOTHING, rate * price)]
            case ("per_share", each, minimum):
                return [(minimum - order.charged, NOTHING), (each * order.traded - order.charged, each)]
            case ("per_order", amount):
                return [(NOTHING if order.traded else amount, NOTHING)]
            case ("tiered", *tiers):
                rates = [rate for start, rate in zip(tiers[::2], tiers[1::2], strict=True) if quantity * price >= start]
                return [(NOTHING, rates[-1] * price)]
        return [(NOTHING, NOTHING)]

    def commission(self, order: Order, price: F, quantity: F) -> F:
        return max(at_none + each * quantity for at_none, each in self.lines(order, price, quantity))

    def funds(self, prices: dict[str, F]) -> F:
        """What openings may use: cash; in a margin account the equity that the initial margin does not bind."""
        if self.world.account == "cash":
            return self.cash
        values = [
            quantity * {**self.marks, **self.prices, **prices}[symbol] for symbol, quantity in self.positions().items()
        ]
        return self.cash + sum(values) - self.world.initial * sum(map(abs, values))

    def factor(self, wants: list[tuple[Order, F, F, F]], gain: F = NOTHING) -> F:
        """The greatest factor by which openings (order, raw price, shares closed first, shares) can be paid for."""
        funds = self.funds({order.symbol: raw for order, raw, _, _ in wants}) + gain - self.freed
        choices = []
        for order, raw, closed, shares in wants:
            price = self.price(order, raw)
            unit = price if self.world.account == "cash" else abs(price - raw) + self.world.initial * raw
            paid = self.commission(order, price, closed) if closed else NOTHING
            lines = self.lines(order, price, closed + shares)
            choices.append([(at_none + each * closed - paid, shares * (unit + each)) for at_none, each in lines])
        factor = min((funds - sum(a for a, _ in lines)) / sum(b for _, b in lines) for lines in product(*choices))
        dust = self.world.fractional and abs(factor) < CLOSE_CALL
        self.close_call |= not self.world.exact and (dust or abs(factor - 1) < CLOSE_CALL)
        return max(min(factor, F(1)), NOTHING)

    def affordable(self, order: Order, raw: F, reducing: F, opening: F, gain: F) -> F:
        """The shares of an opening that money allows; the openings of one rebalance share a factor."""
        wants = [(order, raw, reducing, opening)]
        if not order.clips or order.group is None or reducing:
            factor = self.factor(wants, gain)
            return opening if factor == 1 else self.whole(opening * factor) if factor and order.clips else NOTHING
        if (key := (*order.group, self.now)) not in self.factors:
            mates = [o for o in self.working() if o.group == order.group and o.symbol in self.bars]
            mates = [o for o in mates if not (o.reduce_only or self.reduces(o))]
            mates = [o for o in mates if self.world.account == "margin" or o.side > 0]
            wants = [(o, self.bars[o.symbol].open, NOTHING, self.within_volume(o)) for o in mates]
            self.factors[key] = self.factor([want for want in wants if want[3]])
        factor = self.factors[key]
        return opening if factor == 1 else self.whole(opening * factor) if factor else NOTHING

    # Records

    def flow(self, symbol: str, kind: str, amount: F) -> None:
        self.cash += amount
        self.flows.append(Flow(self.now, symbol, kind, amount))

    def book(self, order: Order, reducing: F, opening: F, raw: F, price: F, commission: F, phase: str) -> None:
        """One fill: its shares close first and then open, costs pro rata."""
        symbol, side, quantity = order.symbol, order.side, reducing + opening
        self.cash -= side * quantity * price + commission
        row = (SIDES[side], quantity, raw, price, commission, order.reason, order.nth)
        self.fills.append(Fill(self.now, phase, symbol, *row))
        if reducing:
            if self.held[symbol].opened < self.now and symbol in self.bars:
                self.held[symbol].see(self.bars[symbol].open)
            share = reducing / quantity
            self.leave(symbol, reducing, raw, price, commission * share, abs(price - raw) * reducing, order.reason)
        if opening:
            travel = {"open": None, "close": 0, "intrabar": order.travel}[phase]
            held = Held(side, self.now, travel, self.bars_met[symbol], (raw, raw))
            held = self.held.setdefault(symbol, held)
            held.quantity += opening
            share = opening / quantity
            parts = (opening * price, opening * raw, commission * share, abs(price - raw) * opening, NOTHING, NOTHING)
            held.totals = {name: held.totals[name] + part for name, part in zip(TOTALS, parts, strict=True)}

    def leave(self, symbol: str, quantity: F, raw: F, price: F, commission: F, slippage: F, reason: str | None) -> None:
        """Write the row of an exit, or with reason None of what is open at the end."""
        held = self.held[symbol]
        held.see(raw)
        average = held.totals["paid_raw"] / held.quantity
        part = {name: total * quantity / held.quantity for name, total in held.totals.items()}
        held.totals = {name: total - part[name] for name, total in held.totals.items()}
        held.quantity -= quantity
        status = "open" if reason is None else "partial" if held.quantity else "closed"
        gross = held.side * (quantity * raw - part["paid_raw"])
        costs = part["commission"] + part["slippage"] + commission + slippage
        moves = sorted(held.side * (extreme / average - 1) for extreme in held.seen)
        self.trades.append(
            Trade(
                symbol=symbol,
                side="long" if held.side > 0 else "short",
                status=status,
                entry_slice=held.opened,
                exit_slice=None if reason is None else self.now,
                quantity=quantity,
                entry_price=part["paid"] / quantity,
                exit_price=None if reason is None else price,
                entry_commission=part["commission"],
                entry_slippage=part["slippage"],
                exit_commission=commission,
                exit_slippage=slippage,
                exit_reason=reason,
                pnl_gross=gross,
                dividends=part["dividends"],
                borrow_fees=part["borrow_fees"],
                pnl_net=gross - costs + part["dividends"] - part["borrow_fees"],
                bars=self.bars_met[symbol] - held.first_bar,
                max_favorable_pct=moves[-1],
                max_adverse_pct=moves[0],
                ambiguous=held.ambiguous,
            )
        )
        if not held.quantity:
            del self.held[symbol]

    def certain(self, born: int, travel: int | None, bar: Bar) -> tuple[F, ...]:
        """The prices of a bar that surely came after something began in it."""
        if born < self.now or travel is None:
            return (bar.high, bar.low)
        return (bar.close, {1: bar.high, -1: bar.low, 0: bar.close}[travel])

    def force_out(self, symbol: str, raw: F, reason: str, *, costs: bool = False) -> None:
        """Take a position out where no order does."""
        held = self.held[symbol]
        order = Order(Line(reason), symbol, -held.side, held.quantity, self.now, reason=reason)
        price = self.price(order, raw) if costs else raw
        commission = self.commission(order, price, held.quantity) if costs else NOTHING
        self.book(order, held.quantity, NOTHING, raw, price, commission, "close")
        self.clear(symbol)

    def split(self, action: Action) -> None:
        symbol, ratio = action.symbol, action.value
        if symbol in self.marks:
            self.marks[symbol] /= ratio
        for order in self.working(symbol):
            for name in ("limit", "stop", "trailing_amount", "water"):
                setattr(order, name, None if getattr(order, name) is None else getattr(order, name) / ratio)
            levels = {"stop_loss": order.line.stop_loss, "take_profit": order.line.take_profit}
            order.line = replace(order.line, **{name: at / ratio for name, at in levels.items() if at is not None})
            order.quantity, order.filled = self.whole(order.quantity * ratio, given=True), order.filled * ratio
            if not order.quantity:
                order.finish("cancelled", "corporate_action")
        if held := self.held.get(symbol):
            held.quantity, held.seen = held.quantity * ratio, tuple(price / ratio for price in held.seen)
            if rest := held.quantity - self.whole(held.quantity, given=True):
                mark = self.marks[symbol]
                self.leave(symbol, rest, mark, mark, NOTHING, NOTHING, "corporate_action")
                self.flow(symbol, "cash_in_lieu", held.side * rest * mark)
                self.clear(symbol)

    def report(self) -> Report:
        for symbol, held in sorted(self.held.items()):
            self.leave(symbol, held.quantity, self.marks[symbol], self.marks[symbol], NOTHING, NOTHING, None)
        mine = [order for order in self.orders if order.nth is not None]
        outcomes = [Outcome(o.symbol, o.line.kind, SIDES[o.side], o.status, o.why, o.filled) for o in mine]
        tables = (self.fills, outcomes, self.flows, self.states, self.trades)
        return Report(*map(tuple, tables), self.ruined, self.close_call)
