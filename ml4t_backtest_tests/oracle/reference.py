"""Sections 4, 5 and 6 of DESIGN.md, done slowly and exactly: one method per step, in the order of the text.

Written from the text alone. Where the text leaves a choice open, README.md says what was chosen and why.
"""

from __future__ import annotations

from collections import Counter

from oracle.books import LIQUIDATION, OTHER, PROTECTIVE, Books
from oracle.vocabulary import LEVELS, NOTHING, Bar, F, Line, Order, Report, Tape, World


def reference(world: World, tape: Tape) -> Report:
    """Live through a world."""
    return Oracle(world, tape).run()


class Oracle(Books):
    """One run: `Books` with orders and time."""

    def __init__(self, world: World, tape: Tape) -> None:
        super().__init__(world)
        self.tape, self.last, self.stale = tape, len(world.days) - 1, Counter()

    def run(self) -> Report:
        for now in range(self.last + 1):
            self.now = now
            self.bars = {s: bars[now] for s, bars in sorted(self.world.bars.items()) if bars[now]}
            self.prices = {symbol: bar.open for symbol, bar in self.bars.items()}
            self.bars_met.update(self.bars.keys())
            self.volume_used, self.freed = Counter(), NOTHING
            self.before_the_open()
            self.at_the_open()
            self.intrabar()
            self.at_the_close()
            self.decide()
            if self.ruined or now == self.last:
                self.end()
            self.states.append(self.state())
            if self.ruined:
                break
        return self.report()

    # 0. Before the open

    def before_the_open(self) -> None:
        for order in self.working():
            if {"gtc": False, "day": self.now > order.born + 1, "ioc": order.met}[order.line.tif]:
                order.finish("expired", "time_in_force")
        for action in sorted(self.world.actions, key=lambda action: (action.kind != "split", action.symbol)):
            if action.slice == self.now and action.kind == "split":
                self.split(action)
            elif action.slice == self.now and action.symbol in self.held:
                amount = self.positions()[action.symbol] * action.value
                self.held[action.symbol].totals["dividends"] += amount
                self.flow(action.symbol, "dividend", amount)
        nights = (self.world.days[self.now] - self.world.days[max(self.now - 1, 0)]).days
        for symbol, quantity in self.positions().items():
            if fee := max(-quantity * self.marks[symbol], NOTHING) * self.world.borrow_rate * nights / 365:
                self.held[symbol].totals["borrow_fees"] += fee
                self.flow(symbol, "borrow_fee", -fee)

    # 1. Open

    def at_the_open(self) -> None:
        for reducing in (True, False):
            for order in self.working():
                bar = self.bars.get(order.symbol)
                if order.status != "working" or bar is None or order.line.market_on_close or order.born == self.now:
                    continue
                order.met, order.water = True, bar.open if order.water is None else order.water
                if not reducing or self.reduces(order):
                    self.fill_first([(o, self.at_once(o, bar.open)) for o in self.family(order)], "open")

    def at_once(self, order: Order, price: F) -> F | None:
        """The raw price of an order that fills where the market stands."""
        if order.due is not None:
            return price if self.bars_met[order.symbol] >= order.due else None
        if order.level is not None and not order.triggered:
            order.triggered = self.reached(order.side, price, order.level)
            if not order.triggered:
                return None
        return price if order.limit is None or self.reached(-order.side, price, order.limit) else None

    def fill_first(self, prices: list[tuple[Order, F | None]], phase: str) -> bool:
        """Of the orders of a family that have a price, fill the one that is assumed to come first."""
        hits = [(order, raw) for order, raw in prices if raw is not None]
        if not hits:
            return False
        side, path = hits[0][0].side, self.world.intrabar_path
        stop_first = {"pessimistic": True, "optimistic": False, "ohlc": side > 0, "olhc": side < 0}[path]
        targets = {order: order.reason == "take_profit" for order, _ in hits}
        if len(set(targets.values())) > 1 and len({raw for _, raw in hits}) > 1:
            self.held[hits[0][0].symbol].ambiguous = True
        order, raw = min(hits, key=lambda hit: (bool(hit[0].due), targets[hit[0]] == stop_first, side * hit[1]))
        self.execute(order, raw, phase)
        return True

    # 2. Intrabar

    def intrabar(self) -> None:
        tested: list[Order] = []
        while untested := [o for o in self.working() if o not in tested and not o.line.market_on_close]:
            order = untested[0]
            tested.append(order)
            if bar := self.bars.get(order.symbol):
                family = self.family(order)
                here = [(o, self.at_once(o, o.entry if o.born == self.now else bar.open)) for o in family]
                if not self.fill_first(here, "intrabar"):
                    self.fill_first([(o, self.inside(o, bar)) for o in family], "intrabar")

    def inside(self, order: Order, bar: Bar) -> F | None:
        """The raw price of an order that fills between open and close; None if it does not."""
        side, level, limit = order.side, order.level, order.limit
        if level is not None and not order.triggered:
            order.triggered = self.reached(side, self.extreme(order, bar, side, level), level)
            if not order.triggered or (limit is not None and not self.reached(-side, level, limit)):
                return self.leg(order, limit, 0) if order.triggered and self.reached(-side, bar.close, limit) else None
            return self.leg(order, level, side)
        touched = limit is not None and self.reached(-side, self.extreme(order, bar, -side, limit), limit)
        return self.leg(order, limit, -side) if touched else None

    def leg(self, order: Order, raw: F, travel: int) -> F:
        """Note where the price was going at a fill of an entry."""
        order.travel = order.travel if order.parent else travel
        return raw

    def extreme(self, order: Order, bar: Bar, move: int, level: F) -> F:
        """The farthest price in one direction that counts for an order: none from before it was live."""
        farthest = bar.high if move > 0 else bar.low
        if order.born < self.now or order.travel in (None, move):
            return farthest
        self.held[order.symbol].ambiguous |= self.reached(move, farthest, level)
        stop_was_ahead = move == order.side and not self.reached(move, bar.open, level)
        return farthest if stop_was_ahead else bar.close

    # 3. Close

    def at_the_close(self) -> None:
        self.prices = {symbol: bar.close for symbol, bar in self.bars.items()}
        for reducing in (True, False):
            for order in self.working():
                if order.status != "working" or not order.line.market_on_close or order.born == self.now:
                    continue
                if order.symbol not in self.bars:
                    order.finish("expired", "no_bar")
                elif not reducing or self.reduces(order):
                    order.met = True
                    self.execute(order, self.bars[order.symbol].close, "close")
        self.stale = Counter({s: 0 if s in self.bars else self.stale[s] + 1 for s in self.world.bars})
        self.marks.update(self.prices)
        for symbol, bar in self.bars.items():
            if symbol in self.held:
                self.held[symbol].see(*self.certain(self.held[symbol].opened, self.held[symbol].travel, bar))
            for order in self.working(symbol):
                if order.water is not None:
                    farthest = min if order.side > 0 else max
                    order.water = farthest(order.water, *self.certain(order.born, order.travel, bar))
        prices = {symbol: price for symbol, at, price in self.world.delistings if at <= self.now}
        for symbol in sorted(self.held):
            if symbol in prices or self.stale[symbol] >= self.world.delisting_after:
                self.force_out(symbol, prices.get(symbol, self.marks[symbol]), "delisted")
        self.check_account()

    def check_account(self) -> None:
        equity, world, positions = self.equity(), self.world, self.positions()
        values = {symbol: quantity * self.marks[symbol] for symbol, quantity in positions.items()}
        self.ruined = equity <= 0
        needed = sum(abs(value) * world.maintenance[value < 0] for value in values.values())
        if world.account == "cash" or self.ruined or equity >= needed:
            return
        leaving = {order.symbol for order in self.working() if order.rank == LIQUIDATION}
        left = {symbol: abs(value) for symbol, value in values.items() if symbol not in leaving}
        for symbol in sorted(left, key=lambda s: (-left[s], s)):
            if equity < world.initial * sum(left.values()):
                self.add(Line("liquidate"), symbol, -positions[symbol], LIQUIDATION, "margin_call", reduce_only=True)
                left[symbol] = NOTHING

    # 4. Decide

    def decide(self) -> None:
        for place, line in enumerate(() if self.ruined else self.tape.get(self.now, ())):
            match line.action:
                case "buy" | "sell":
                    self.trade(line)
                case "cancel" | "replace":
                    self.change(line)
                case "rebalance":
                    others = dict.fromkeys(self.held, NOTHING) if line.others == "close" else {}
                    for symbol, weight in sorted({**others, **dict(line.weights)}.items()):
                        self.target(Line("order_target_percent", symbol, percent=weight), group=(self.now, place))
                case _:
                    self.target(line)

    def trade(self, line: Line) -> None:
        side, mark = 1 if line.action == "buy" else -1, self.marks.get(line.symbol)
        if line.percent is None:
            quantity = self.whole(line.quantity, given=True)
        else:
            quantity = None if mark is None else self.whole(line.percent * self.equity() / mark)
        self.place(line, side, quantity, clips=line.percent is not None)

    def target(self, line: Line, group: tuple[int, int] | None = None) -> None:
        for order in self.working(line.symbol):
            if order.rank == OTHER:
                order.finish("cancelled", "replaced_by_target")
        mark, delta, wanted = self.marks.get(line.symbol), None, NOTHING
        if mark is not None:
            if line.quantity is not None:
                wanted = self.whole(line.quantity, given=True)
            elif value := line.value if line.percent is None else line.percent * self.equity():
                wanted = self.whole(value / mark)
            delta = wanted - self.positions().get(line.symbol, 0)
        side = -1 if delta and delta < 0 else 1
        self.place(line, side, delta and abs(delta), clips=True, group=group, reduce_only=not wanted)

    def place(self, line: Line, side: int, quantity: F | None, *, clips: bool, **more: object) -> None:
        policy, nth = self.world.on_insufficient_cash, sum(order.nth is not None for order in self.orders)
        more["clips"] = clips if policy is None else policy == "clip"
        levels = {name: getattr(line, name) for name in LEVELS}
        order = self.add(line, line.symbol, side * (quantity or NOTHING), OTHER, "signal", nth=nth, **more, **levels)
        order.side = side
        if not quantity:
            order.finish("rejected", "no_price" if quantity is None else "zero_quantity")

    def change(self, line: Line) -> None:
        for order in (order for order in self.working() if order.nth == line.nth):
            left = order.quantity if line.quantity is None else line.quantity - order.filled
            order.quantity = self.whole(left, given=True)
            if line.action == "cancel" or order.quantity <= 0:
                order.finish("cancelled", "by_strategy")
            for name in LEVELS:
                setattr(order, name, getattr(order, name) if getattr(line, name) is None else getattr(line, name))

    def end(self) -> None:
        for order in self.working():
            order.finish("expired", "ruined" if self.ruined else "end_of_data")
        for symbol in sorted(self.held) if self.world.end_of_data == "close" and not self.ruined else ():
            self.force_out(symbol, self.marks[symbol], "end_of_data", costs=True)

    # 5. What a fill does

    def execute(self, order: Order, raw: F, phase: str) -> None:
        """Fill what position, volume and money allow; what they refuse is on record."""
        cash_account = self.world.account == "cash"
        live = abs(self.positions().get(order.symbol, NOTHING)) if self.reduces(order) else NOTHING
        if order.quantity > live and (order.reduce_only or (cash_account and order.side < 0)):
            order.quantity, order.why = live, None if order.reduce_only else "short_not_allowed"
            if not live:
                refused = "filled" if order.filled else "rejected"
                return order.finish(*(("cancelled", "position_closed") if order.reduce_only else (refused,)))
        if not (quantity := self.within_volume(order)):
            return None
        reducing, price = min(quantity, live), self.price(order, raw)
        unit = price if cash_account else self.world.initial * raw - abs(price - raw)
        gain = reducing * unit - (self.commission(order, price, reducing) if reducing else 0)
        self.freed += max(gain, NOTHING) if phase == "intrabar" else NOTHING
        opening = self.affordable(order, raw, reducing, quantity - reducing, gain) if quantity > reducing else NOTHING
        if filled := reducing + opening:
            commission = self.commission(order, price, filled)
            self.book(order, reducing, opening, raw, price, commission, phase)
            self.volume_used[order.symbol] += filled
            order.quantity, order.filled = order.quantity - filled, order.filled + filled
            order.charged, order.traded = order.charged + commission, order.traded + filled
            for other in self.family(order) if order.parent else ():
                if other is not order:
                    other.quantity -= min(filled, other.quantity)
                    if not other.quantity:
                        other.finish("cancelled", "one_cancels_other")
            if reducing:
                self.clear(order.symbol)
            if opening:
                self.protect(order, opening, raw, phase)
        if filled < quantity:
            order.finish("filled" if order.filled else "rejected", "insufficient_cash")
        elif not order.quantity:
            order.finish("filled")
        return None

    def protect(self, order: Order, quantity: F, raw: F, phase: str) -> None:
        """Bring the children of a fill to life."""
        line, side, parent = order.line, order.side, object()
        travel = {"open": None, "intrabar": order.travel, "close": 0}[phase]

        def child(reason: str, **levels: object) -> None:
            more = {"parent": parent, "entry": raw, "travel": travel, "reduce_only": True, **levels}
            self.add(Line(reason), order.symbol, -side * quantity, PROTECTIVE, reason, **more)

        def at(price: F | None, percent: F | None, direction: int) -> F | None:
            return price if percent is None else raw * (1 + direction * percent)

        if (stop := at(line.stop_loss, line.stop_loss_percent, -side)) is not None:
            child("stop_loss", stop=stop)
        if (limit := at(line.take_profit, line.take_profit_percent, side)) is not None:
            child("take_profit", limit=limit)
        if line.trailing_stop_percent is not None:
            child("trailing_stop", trailing_percent=line.trailing_stop_percent, water=raw)
        if line.max_holding_bars is not None:
            child("time_exit", due=self.bars_met[order.symbol] + line.max_holding_bars)
