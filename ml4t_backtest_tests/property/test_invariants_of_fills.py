"""Where, when and how much orders fill: against the bars, and against what the tape asked for."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator

from property.invariant import invariant, near
from property.lives import CLOSE, INSIDE, OPEN, Life, Move


@invariant
def test_nothing_fills_without_a_bar_or_outside_of_it(life: Life) -> Iterator[str]:
    """Low <= raw price <= high; only settlements need no bar."""
    for move in life.moves:
        fill, bar = move.fill, life.bars.get((move.fill["symbol"], move.now))
        if fill["phase"] == "settled":
            continue
        if bar is None:
            yield f"fills: {fill['fill_id']} has no bar"
        elif not bar.low <= fill["raw_price"] <= bar.high:
            yield f"fills: {fill['fill_id']} at {fill['raw_price']}, bar {bar}"


@invariant
def test_fills_at_the_open_or_close_have_its_price_and_its_instant(life: Life) -> Iterator[str]:
    """Inside the bar nobody knows when: the instant is the close."""
    for move in life.moves:
        fill, bar = move.fill, life.bars.get((move.fill["symbol"], move.now))
        if bar and fill["phase"] in ("open", "close") and fill["raw_price"] != getattr(bar, fill["phase"]):
            yield f"fills: {fill['fill_id']} is no {fill['phase']}"
        instant = OPEN if fill["phase"] == "open" else CLOSE
        if fill["fill_instant"].time() != instant or fill["timestamp"].time() != CLOSE:
            yield f"fills: {fill['fill_id']} happened at {fill['fill_instant']}"


@invariant
def test_a_limit_order_never_fills_worse_than_its_limit(life: Life) -> Iterator[str]:
    """Slippage included, for limit and stop-limit orders of the tape, replaced and split ones too."""
    for move, limit in _with_level(life, "limit"):
        if move.sign * (move.fill["price"] - limit) > 1e-12 * limit:
            yield f"fills: {move.fill['fill_id']} at {move.fill['price']}, limit {limit}"


@invariant
def test_a_limit_order_fills_at_the_open_or_at_its_limit(life: Life) -> Iterator[str]:
    """A buy fills raw at min(open, limit): at the open where that is better, else exactly at the limit."""
    for move, limit in _with_level(life, "limit"):
        order = life.orders[move.fill["order_id"]]
        if order["order_type"] == "limit" and move.fill["phase"] != "open" and not near(move.fill["raw_price"], limit):
            yield f"fills: {move.fill['fill_id']} inside at {move.fill['raw_price']}, limit {limit}"


@invariant
def test_a_stop_never_fills_better_than_the_worse_of_open_and_stop(life: Life) -> Iterator[str]:
    """A buy fills raw at max(open, stop); what a bar before it triggered is a market order since."""
    for move, stop in _with_level(life, "stop"):
        fill, bar = move.fill, life.bars[move.fill["symbol"], move.now]
        if life.orders[fill["order_id"]]["order_type"] == "stop" and not _touched_before(life, move, stop):
            wanted = move.sign * max(move.sign * bar.open, move.sign * stop)
            if not near(fill["raw_price"], wanted):
                yield f"fills: {fill['fill_id']} at {fill['raw_price']}, open {bar.open}, stop {stop}"


@invariant
def test_a_stop_order_does_not_fill_before_its_stop_was_touched(life: Life) -> Iterator[str]:
    """Stop and stop-limit orders: this bar or one before it reached the stop."""
    for move, stop in _with_level(life, "stop"):
        bar = life.bars[move.fill["symbol"], move.now]
        if not (_touches(bar.high, bar.low, stop, move.sign) or _touched_before(life, move, stop)):
            yield f"fills: {move.fill['fill_id']} at {move.fill['raw_price']}, stop {stop} never touched"


@invariant
def test_a_trailing_stop_keeps_its_distance_from_the_best_price_before_the_bar(life: Life) -> Iterator[str]:
    """A sell fills raw at min(open, level): the highest high of earlier bars, or the first open, less the distance.

    What the volume of an earlier bar left of a triggered one is a market order since.
    """
    for move, line in _of_the_tape(life):
        if line.trailing_amount is None and line.trailing_percent is None:
            continue
        fill, order_id = move.fill, move.fill["order_id"]
        lived = life.lived(line.symbol, life.placed[order_id].now, move.now)
        scaled = [(now, life.ratio(line.symbol, now, move.now), bar) for now, bar in lived]
        first, (_, _, today) = scaled[0][2].open / scaled[0][1], scaled[-1]
        before = [(bar.low if move.sign > 0 else bar.high) / ratio for now, ratio, bar in scaled if now < move.now]
        best = move.sign * min(move.sign * price for price in [first, *before])
        distance = life.level(order_id, "trailing_amount", move.now) or best * float(line.trailing_percent or 0)
        level = best + move.sign * distance
        wanted = move.sign * max(move.sign * today.open, move.sign * level)
        is_rest = life.world.max_volume_share is not None and len(before) > 0 and fill["phase"] == "open"
        if not near(fill["raw_price"], wanted) and not is_rest:
            yield f"fills: {fill['fill_id']} at {fill['raw_price']}, open {today.open}, level {level}"


@invariant
def test_a_market_order_fills_at_an_open_and_waits_for_nothing_but_volume(life: Life) -> Iterator[str]:
    """At the open of the symbol's first bar after the decision; later only where the volume was capped."""
    for move, line in _of_the_tape(life):
        order_id = move.fill["order_id"]
        if life.orders[order_id]["order_type"] != "market":
            continue
        bars = life.lived(line.symbol, life.decided(order_id, move.now), move.now - 1)
        if move.fill["phase"] != "open" or (bars and life.world.max_volume_share is None):
            yield f"fills: market order {order_id} in phase {move.fill['phase']}, {len(bars)} bars late"


@invariant
def test_a_market_order_that_could_fill_does_not_expire_or_stay(life: Life) -> Iterator[str]:
    """Without a cap on volume it ends at its first bar: filled, refused or cancelled."""
    if life.world.max_volume_share is not None:
        return
    last = len(life.states) - 1
    for order_id, placed in life.placed.items():
        order = life.orders.get(order_id)
        if order is None or order["order_type"] != "market" or order["status"] != "expired":
            continue
        bars = life.lived(order["symbol"], placed.now, life.at(order["last_timestamp"]))
        # A day order's time is over before its symbol trades again.
        if bars and placed.now < last and placed.line.tif != "day":
            yield f"orders: {order_id} expired at {order['last_timestamp']} after {len(bars)} bars"


@invariant
def test_a_market_on_close_order_fills_at_the_next_close_or_not_at_all(life: Life) -> Iterator[str]:
    """At the first session's close; a rest of a capped bar at later ones."""
    for move, line in _of_the_tape(life):
        if not line.market_on_close:
            continue
        late = move.now - life.placed[move.fill["order_id"]].now
        if move.fill["phase"] != "close" or (late > 1 and life.world.max_volume_share is None):
            yield f"fills: market-on-close {move.fill['fill_id']} in phase {move.fill['phase']}, {late} sessions on"


@invariant
def test_volume_taken_from_a_bar_keeps_to_the_cap(life: Life) -> Iterator[str]:
    """All orders of a symbol and bar together: at most max_volume_share x volume, nothing of an empty bar."""
    share = life.world.max_volume_share
    if share is None:
        return
    taken: dict[tuple[str, int], float] = defaultdict(float)
    for move in life.moves:
        if move.fill["phase"] != "settled":
            taken[move.fill["symbol"], move.now] += move.fill["quantity"]
    for key, quantity in taken.items():
        most = float(share) * life.bars[key].volume
        if quantity > most + 1e-9:
            yield f"fills: {quantity} shares of {key}, at most {most}"


@invariant
def test_impact_has_no_price_in_a_bar_without_volume(life: Life) -> Iterator[str]:
    """Under VolumeShareSlippage only what the end of the data or of a symbol settles leaves without volume."""
    if "slippage" in life.scene.extras:
        for move in life.moves:
            if move.fill["phase"] != "settled" and life.bars[move.fill["symbol"], move.now].volume == 0.0:
                yield f"fills: {move.fill['fill_id']} in a bar without volume"


@invariant
def test_time_in_force_ends_when_it_says(life: Life) -> Iterator[str]:
    """Day orders fill in the session after the decision only, ioc orders in the symbol's first bar only."""
    for move, line in _of_the_tape(life):
        order_id = move.fill["order_id"]
        placed = life.placed[order_id].now
        if line.tif == "day" and move.now != placed + 1:
            yield f"fills: day order {order_id} of slice {placed} in slice {move.now}"
        if line.tif == "ioc" and life.lived(line.symbol, life.decided(order_id, move.now), move.now - 1):
            yield f"fills: ioc order {order_id} of slice {placed} in slice {move.now}"


@invariant
def test_nothing_fills_before_it_was_decided_or_in_the_deciding_slice(life: Life) -> Iterator[str]:
    """Decision <= fill instant <= slice, and the slice comes after the decision's."""
    for fill in life.fills:
        if fill["phase"] == "settled":
            continue
        if not fill["decision_timestamp"] <= fill["fill_instant"] <= fill["timestamp"]:
            yield f"fills: {fill['fill_id']} decided {fill['decision_timestamp']}, filled {fill['fill_instant']}"
        if fill["decision_timestamp"] >= fill["timestamp"]:
            yield f"fills: {fill['fill_id']} in its own deciding slice"


@invariant
def test_time_never_runs_backwards(life: Life) -> Iterator[str]:
    """States rise strictly; fills, cash flows and exits never fall; what is numbered is numbered in order."""
    stamps = [state["timestamp"] for state in life.states]
    if stamps != sorted(set(stamps)):
        yield "states: timestamps do not rise"
    exits = [row["exit_timestamp"] for row in life.trades if row["exit_timestamp"] is not None]
    for name, values in (
        ("fills:", [fill["timestamp"] for fill in life.fills]),
        ("fills: ids", [fill["fill_id"] for fill in life.fills]),
        ("cash_flows:", [flow["timestamp"] for flow in life.flows]),
        ("trades:", exits),
        ("trades: ids", [row["trade_id"] for row in life.trades]),
    ):
        if values != sorted(values):
            yield f"{name} out of order"


@invariant
def test_phases_of_a_slice_come_in_their_order(life: Life) -> Iterator[str]:
    """Open, then inside, then close, then settlements."""
    place = {"open": 0, **dict.fromkeys(INSIDE, 1), "close": 2, "settled": 3}
    order = [(move.now, place[move.fill["phase"]]) for move in life.moves]
    if order != sorted(order):
        yield f"fills: phases {order}"


def _of_the_tape(life: Life) -> Iterator[tuple[Move, object]]:
    """Yield the fills of orders that the tape made, with their lines."""
    for move in life.moves:
        placed = life.placed.get(move.fill["order_id"])
        if placed is not None:
            yield move, placed.line


def _with_level(life: Life, name: str) -> Iterator[tuple[Move, float]]:
    for move, _ in _of_the_tape(life):
        level = life.level(move.fill["order_id"], name, move.now)
        if level is not None:
            yield move, level


def _touched_before(life: Life, move: Move, stop: float) -> bool:
    """Whether a bar between the last decision and the fill's reached a stop, given on the basis of the fill."""
    symbol, order_id = move.fill["symbol"], move.fill["order_id"]
    for now, bar in life.lived(symbol, life.placed[order_id].now, move.now - 1):
        then = life.level(order_id, "stop", now)
        if then is not None and _touches(bar.high, bar.low, then, move.sign):
            return True
    return False


def _touches(high: float, low: float, stop: float, sign: float) -> bool:
    reached = high if sign > 0.0 else low
    return sign * (reached - stop) >= 0.0 or math.isclose(reached, stop, rel_tol=1e-12)
