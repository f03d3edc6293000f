"""What orders may do to a position, and what is told of every order."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator

from property.invariant import invariant
from property.lives import Life, Move


@invariant
def test_orders_that_only_reduce_never_open(life: Life) -> Iterator[str]:
    """Protective orders, `close_position`, targets of nothing, and what the engine orders itself."""
    for move in life.moves:
        if _only_reduces(life, move) and move.opening > 1e-9:
            yield f"fills: {move.fill['fill_id']} takes {move.before} to {move.after}"


@invariant
def test_a_cash_account_is_never_short(life: Life) -> Iterator[str]:
    """No fill leaves less than nothing."""
    if life.is_cash:
        for move in life.moves:
            if move.after < 0.0:
                yield f"fills: {move.fill['fill_id']} leaves {move.after} {move.fill['symbol']}"


@invariant
def test_whole_share_accounts_trade_and_hold_whole_shares(life: Life) -> Iterator[str]:
    """No fraction of a share, after splits neither."""
    if life.world.fractional:
        return
    for move in life.moves:
        if not (move.fill["quantity"].is_integer() and move.after.is_integer()):
            yield f"fills: {move.fill['fill_id']} of {move.fill['quantity']} leaves {move.after}"


@invariant
def test_positions_are_opened_in_whole_lots(life: Life) -> Iterator[str]:
    """What a fill opens is a multiple of lot_size; closing is free of lots.

    Left out: splits, which make broken lots of whole ones, and what a volume cap fills.
    """
    lot = life.scene.extras.get("lot_size", 1)
    if (
        lot == 1
        or life.world.max_volume_share is not None
        or any(action.kind == "split" for action in life.world.actions)
    ):
        return
    for move in life.moves:
        if move.closing == 0.0 and move.opening % lot:
            yield f"fills: {move.fill['fill_id']} opens {move.opening} in lots of {lot}"


@invariant
def test_reducing_orders_go_first_at_the_open(life: Life) -> Iterator[str]:
    """Once something has opened at an open, only what this open brought is reduced there any more."""
    opened: set[int] = set()
    touched: set[tuple[str, int]] = set()
    for move in life.moves:
        key = (move.fill["symbol"], move.now)
        if move.fill["phase"] == "open":
            if move.now in opened and move.closing > 0.0 and key not in touched:
                yield f"fills: {move.fill['fill_id']} reduces after another opened"
            if move.closing == 0.0:
                opened.add(move.now)
            touched.add(key)


@invariant
def test_an_order_fills_what_its_record_says_and_no_more_than_asked(life: Life) -> Iterator[str]:
    """filled_quantity is the sum of its fills, in today's shares, and at most the quantity asked for."""
    filled: dict[int, float] = defaultdict(float)
    for move in life.moves:
        order_id = move.fill["order_id"]
        end = life.at(life.orders[order_id]["last_timestamp"])
        # Orders whose time is over expire before the splits of that open.
        end -= life.orders[order_id]["reason"] in ("day", "ioc")
        filled[order_id] += move.fill["quantity"] * life.ratio(move.fill["symbol"], move.now, end)
    for order_id, order in life.orders.items():
        found = order["filled_quantity"]
        slack = 1e-9 * max(1.0, found)
        if not math.isclose(found, filled[order_id], rel_tol=1e-9, abs_tol=1e-9):
            yield f"orders: {order_id} says {found}, its fills {filled[order_id]}"
        if order["quantity"] is not None and found > order["quantity"] + slack:
            yield f"orders: {order_id} filled {found} of {order['quantity']}"


@invariant
def test_every_order_ends_and_one_that_did_not_fill_says_why(life: Life) -> Iterator[str]:
    """No order is left working; filled ones have a fill; all others a reason."""
    filled = {fill["order_id"] for fill in life.fills}
    for order_id, order in life.orders.items():
        status = order["status"]
        if status not in ("filled", "rejected", "cancelled", "expired"):
            yield f"orders: {order_id} is {status}"
        if status == "filled" and order_id not in filled:
            yield f"orders: {order_id} is filled without a fill"
        if status == "rejected" and order_id in filled:
            yield f"orders: {order_id} is rejected and filled"
        if status != "filled" and not order["reason"]:
            yield f"orders: {order_id} is {status} without a reason"
    if not filled <= set(life.orders):
        yield "orders: a fill has no order"


@invariant
def test_every_line_of_the_tape_is_accounted_for(life: Life) -> Iterator[str]:
    """An order of the tape is on record, unless its target was met."""
    for order_id, placed in life.placed.items():
        targets = placed.line.action == "rebalance" or placed.line.action.startswith(("order_target", "close"))
        if order_id not in life.orders and not targets:
            yield f"orders: {order_id} of slice {placed.now} has no record"


@invariant
def test_nothing_fills_after_its_order_has_ended(life: Life) -> Iterator[str]:
    """A fill and its order agree on symbol and side, and the fill is not later than the order's last change."""
    for fill in life.fills:
        order = life.orders[fill["order_id"]]
        if (fill["symbol"], fill["side"]) != (order["symbol"], order["side"]):
            yield f"fills: {fill['fill_id']} is not of its order"
        if fill["timestamp"] > order["last_timestamp"]:
            yield f"fills: {fill['fill_id']} after its order has ended"


@invariant
def test_a_cancelled_order_does_not_fill_after_the_cancelling_slice(life: Life) -> Iterator[str]:
    """`cancel` in a slice takes an order back before the next one."""
    made = sorted(life.placed)
    for now, lines in life.scene.tape.items():
        for line in lines:
            placed = [order_id for order_id in made if life.placed[order_id].now <= now]
            if line.action == "cancel" and now < len(life.states) and line.nth < len(placed):
                order_id = placed[line.nth]
                late = [m for m in life.moves if m.fill["order_id"] == order_id and m.now > now]
                if late and life.placed[order_id].now < now:
                    yield f"fills: order {order_id}, cancelled in slice {now}, fills in slice {late[0].now}"


@invariant
def test_a_bracket_never_fills_more_than_its_entry_opened(life: Life) -> Iterator[str]:
    """One cancels the other: the protective fills of a decision add up to no more than its entries."""
    opened: dict[tuple[str, object, float], float] = defaultdict(float)
    covered: dict[tuple[str, object, float], float] = defaultdict(float)
    last = len(life.world.days) - 1
    for move in life.moves:
        fill = move.fill
        shares = life.ratio(fill["symbol"], move.now, last)
        if fill["order_id"] in life.placed:
            opened[fill["symbol"], fill["decision_timestamp"], move.sign] += move.opening * shares
        elif fill["phase"] != "settled" and not _of_the_house(life, move):
            covered[fill["symbol"], fill["decision_timestamp"], -move.sign] += fill["quantity"] * shares
    for key, quantity in covered.items():
        if quantity > opened[key] * (1.0 + 1e-9):
            yield f"fills: protection of {key} fills {quantity}, its entries opened {opened[key]}"


@invariant
def test_a_position_is_never_left_with_protection_of_one_that_is_gone(life: Life) -> Iterator[str]:
    """A protective fill belongs to the position it reduces: its entry was filled since the position was last flat."""
    began: dict[str, set[object]] = defaultdict(set)
    for move in life.moves:
        fill, symbol = move.fill, move.fill["symbol"]
        is_protective = fill["order_id"] not in life.placed and fill["phase"] != "settled"
        if is_protective and not _of_the_house(life, move) and fill["decision_timestamp"] not in began[symbol]:
            yield f"fills: {fill['fill_id']} protects an entry that is gone"
        if move.before * move.after <= 0.0:
            began[symbol].clear()
        if move.opening > 0.0:
            began[symbol].add(fill["decision_timestamp"])


@invariant
def test_a_short_is_refused_by_name_in_a_cash_account(life: Life) -> Iterator[str]:
    """`short_not_allowed` is said in cash accounts only, and only of sells."""
    for order_id, order in life.orders.items():
        if order["reason"] == "short_not_allowed" and (not life.is_cash or order["side"] != "sell"):
            yield f"orders: {order_id} is refused as a short"


@invariant
def test_limits_on_positions_hold_whenever_something_opens(life: Life) -> Iterator[str]:
    """max_positions after every fill that opens, however the fills of a slice fall."""
    limits = life.scene.extras.get("limits")
    if limits is None or limits.max_positions is None:
        return
    for move in life.moves:
        held = sum(1 for quantity in move.held.values() if quantity != 0.0)
        if move.opening > 0.0 and held > limits.max_positions:
            yield f"fills: {move.fill['fill_id']} brings {held} positions"


@invariant
def test_after_the_greatest_drawdown_nothing_is_opened_any_more(life: Life) -> Iterator[str]:
    """From the slice after the close that reached max_drawdown on."""
    limits = life.scene.extras.get("limits")
    if limits is None or limits.max_drawdown is None:
        return
    peak = life.result.initial_capital
    for now, state in enumerate(life.states):
        peak = max(peak, state["equity"])
        if state["equity"] < peak * (1.0 - limits.max_drawdown) * (1.0 - 1e-12):
            late = [m for m in life.moves if m.now > now and m.opening > 1e-9]
            if late:
                yield f"fills: {late[0].fill['fill_id']} opens after the drawdown of slice {now}"
            return


def _of_the_house(life: Life, move: Move) -> bool:
    """Whether an order that the tape did not make is no protection either: margin calls and limits."""
    reasons = {
        row["exit_reason"]
        for row in life.trades
        if row["symbol"] == move.fill["symbol"] and row["exit_timestamp"] == move.fill["timestamp"]
    }
    return bool(reasons & {"margin_call", "risk_limit"})


def _only_reduces(life: Life, move: Move) -> bool:
    placed = life.placed.get(move.fill["order_id"])
    if placed is None or placed.line.action == "close_position":
        return True
    line = placed.line
    return line.action.startswith("order_target") and 0 in (line.quantity, line.percent, line.value)
