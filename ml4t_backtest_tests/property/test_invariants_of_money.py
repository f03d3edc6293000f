"""Cash, equity, costs and cash flows: section 6's identities, counted anew from fills and bars."""

from __future__ import annotations

import math
from collections.abc import Iterator

from property.invariant import invariant, near, unlike
from property.lives import INSIDE, Life, Move


@invariant
def test_cash_is_capital_less_what_was_bought_and_charged_plus_flows(life: Life) -> Iterator[str]:
    """Cash = initial - sum(signed quantity x price) - commissions + sum(flows), at every state."""
    for state in life.states:
        evening = life.evenings[life.at(state["timestamp"])]
        yield from unlike(f"states: cash at {state['timestamp']}", state["cash"], evening.cash, life.tolerance)


@invariant
def test_equity_is_cash_plus_what_is_held_at_its_last_closes(life: Life) -> Iterator[str]:
    """Equity = cash + sum(quantity x last close, on the share basis of the day)."""
    for state in life.states:
        evening = life.evenings[life.at(state["timestamp"])]
        worth = math.fsum(quantity * evening.marks[symbol] for symbol, quantity in evening.held.items())
        yield from unlike("states: positions_value", state["positions_value"], worth, life.tolerance)
        yield from unlike("states: equity", state["equity"], evening.cash + worth, life.tolerance)


@invariant
def test_leverage_is_of_equity_and_null_without_any(life: Life) -> Iterator[str]:
    """gross_leverage = sum(|value|) / equity, net_leverage = sum(value) / equity."""
    for state in life.states:
        evening, equity = life.evenings[life.at(state["timestamp"])], state["equity"]
        values = [quantity * evening.marks[symbol] for symbol, quantity in evening.held.items()]
        wanted = {"gross_leverage": math.fsum(map(abs, values)), "net_leverage": math.fsum(values)}
        for name, value in wanted.items():
            if equity <= 0.0:
                if state[name] is not None:
                    yield f"states: {name} {state[name]} of equity {equity}"
            elif equity > 1e-6:
                yield from unlike(f"states: {name}", state[name], value / equity, life.tolerance / equity)


@invariant
def test_results_of_trades_and_interest_add_up_to_the_gain(life: Life) -> Iterator[str]:
    """sum(pnl_net), open rows at the last mark included, + interest = equity - initial."""
    interest = [flow["amount"] for flow in life.flows if flow["kind"] == "interest"]
    gained = math.fsum([*(trade["pnl_net"] for trade in life.trades), *interest])
    if life.states:
        wanted = life.states[-1]["equity"] - life.result.initial_capital
        yield from unlike("trades: sum of pnl_net and interest", gained, wanted, life.tolerance)


@invariant
def test_gross_result_costs_dividends_and_fees_make_the_net_result(life: Life) -> Iterator[str]:
    """pnl_net = pnl_gross - total_cost + dividends - borrow_fees, total_cost = commissions + slippage."""
    for row in life.trades:
        parts = [row[f"{end}_{kind}"] for end in ("entry", "exit") for kind in ("commission", "slippage")]
        net = row["pnl_gross"] - row["total_cost"] + row["dividends"] - row["borrow_fees"]
        yield from unlike("trades: total_cost", row["total_cost"], math.fsum(parts))
        yield from unlike("trades: pnl_net", row["pnl_net"], net, life.tolerance)
        of_entry = row["pnl_net"] / (row["entry_price"] * row["entry_quantity"])
        yield from unlike("trades: pnl_percent", row["pnl_percent"], of_entry)


@invariant
def test_gross_result_is_the_way_from_raw_entry_to_raw_exit(life: Life) -> Iterator[str]:
    """pnl_gross = side x (raw exit - raw entry) x quantity; the mark stands for an exit not made."""
    last = life.evenings[len(life.states) - 1].marks if life.states else {}
    for row in life.trades:
        side, quantity = 1.0 if row["side"] == "long" else -1.0, row["entry_quantity"]
        paid = row["entry_price"] * quantity - side * row["entry_slippage"]
        if row["status"] == "open":
            got = last[row["symbol"]] * quantity
        else:
            got = row["exit_price"] * quantity + side * row["exit_slippage"]
        yield from unlike("trades: pnl_gross", row["pnl_gross"], side * (got - paid), life.tolerance)


@invariant
def test_costs_of_trades_are_the_costs_of_the_fills(life: Life) -> Iterator[str]:
    """Entry costs go pro rata to what leaves, nothing is lost or charged twice."""
    for cost in ("commission", "slippage"):
        shared = math.fsum(row[f"{end}_{cost}"] for row in life.trades for end in ("entry", "exit"))
        paid = math.fsum(fill[cost] for fill in life.fills)
        yield from unlike(f"trades: sum of {cost}", shared, paid, life.tolerance)


@invariant
def test_slippage_is_the_distance_from_the_raw_price_and_never_a_gift(life: Life) -> Iterator[str]:
    """Slippage = side x (price - raw price) x quantity >= 0."""
    for move in life.moves:
        fill = move.fill
        cost = move.sign * (fill["price"] - fill["raw_price"]) * fill["quantity"]
        if cost < 0.0:
            yield f"fills: {fill['fill_id']} is better than the raw price"
        yield from unlike("fills: slippage", fill["slippage"], cost)


@invariant
def test_slippage_follows_its_formula_up_to_the_limit(life: Life) -> Iterator[str]:
    """Raw price moved by rate x raw, by an amount, or by half the spread; an order with a limit stops there."""
    name, *numbers = life.world.slippage
    if "slippage" in life.scene.extras:
        return
    for move in life.moves:
        fill, raw = move.fill, move.fill["raw_price"]
        number = float(numbers[0]) if numbers else 0.0
        step = {"none": 0.0, "percentage": number * raw, "fixed": number, "spread": number / 2.0}[name]
        full = max(raw + move.sign * step, 0.0)
        has_limit = life.orders[fill["order_id"]]["order_type"] in ("limit", "stop_limit")
        is_free = fill["phase"] == "settled" and fill["price"] == raw
        between = min(raw, full) - 1e-9 <= fill["price"] <= max(raw, full) + 1e-9
        if not (near(fill["price"], full) or is_free or (has_limit and between)):
            yield f"fills: {fill['fill_id']} at {fill['price']}, the model says {full}"


@invariant
def test_commission_follows_its_formula_over_all_fills_of_an_order(life: Life) -> Iterator[str]:
    """A minimum and a flat fee are per order, not per fill; settling a delisted position is free."""
    if "commission" in life.scene.extras:
        return
    name, *numbers = life.world.commission
    of_order: dict[int, list[Move]] = {}
    for move in life.moves:
        of_order.setdefault(move.fill["order_id"], []).append(move)
    for order_id, moves in of_order.items():
        fills = [move.fill for move in moves]
        shares = math.fsum(fill["quantity"] for fill in fills)
        notional = math.fsum(fill["quantity"] * fill["price"] for fill in fills)
        paid = math.fsum(fill["commission"] for fill in fills)
        rate, least = (*map(float, numbers), 0.0, 0.0)[:2]
        wanted = {"none": 0.0, "percentage": rate * notional, "per_order": rate, "per_share": max(least, rate * shares)}
        if not (paid == 0.0 and fills[0]["phase"] == "settled"):
            yield from unlike(f"fills: commission of order {order_id}", paid, wanted[name])


@invariant
def test_a_cash_account_is_below_zero_only_by_costs_of_reducing_orders(life: Life) -> Iterator[str]:
    """Nothing is bought with cash that is not there; a sale may cost more than it brings."""
    if not life.is_cash:
        return
    overdrawn = 0.0
    for move in life.moves:
        fill = move.fill
        overdrawn += max(fill["commission"] - fill["quantity"] * fill["price"], 0.0) if move.sign < 0.0 else 0.0
        if move.opening > 0.0 and move.cash < -life.tolerance:
            yield f"fills: {fill['fill_id']} is bought with cash that is not there: {move.cash}"
        if move.cash < -overdrawn - life.tolerance:
            yield f"fills: cash is {move.cash} after {fill['fill_id']}, sales cost {overdrawn}"


@invariant
def test_money_freed_inside_a_bar_buys_nothing_in_that_slice(life: Life) -> Iterator[str]:
    """Nobody knows what came first inside the bar: a cash account spends what inside exits bring a slice later."""
    if not life.is_cash:
        return
    now, freed = -1, 0.0
    for move in life.moves:
        fill = move.fill
        now, freed = move.now, (freed if move.now == now else 0.0)
        if move.opening > 0.0 and move.cash - freed < -life.tolerance:
            yield f"fills: {fill['fill_id']} spends {freed} that the inside of this slice's bars freed"
        if fill["phase"] in INSIDE and move.sign < 0.0:
            freed += max(fill["quantity"] * fill["price"] - fill["commission"], 0.0)


@invariant
def test_a_margin_account_opens_only_what_initial_margin_allows(life: Life) -> Iterator[str]:
    """After a fill that opens: equity >= initial x sum(|value|) at the prices of the moment."""
    if life.is_cash:
        return
    for move in life.moves:
        if move.opening == 0.0:
            continue
        at_close = move.fill["phase"] == "close"
        before = life.evenings[move.now - 1].marks
        values = []
        for symbol, quantity in move.held.items():
            bar = life.bars.get((symbol, move.now))
            splits = dict(life.actions("split", move.now))
            price = before.get(symbol, math.nan) / splits.get(symbol, 1.0)
            price = (bar.close if at_close else bar.open) if bar else price
            price = move.fill["raw_price"] if symbol == move.fill["symbol"] else price
            values += [quantity * price] if quantity != 0.0 else []
        equity, gross = move.cash + math.fsum(values), math.fsum(map(abs, values))
        if equity < float(life.world.initial) * gross - life.tolerance:
            yield f"fills: {move.fill['fill_id']} leaves equity {equity} for {gross}"


@invariant
def test_dividends_go_to_whoever_held_before_the_open(life: Life) -> Iterator[str]:
    """Shares held overnight, after splits of the day, x cash per share; shorts pay."""
    for now in range(1, len(life.states)):
        held = life.evenings[now - 1].held
        splits = dict(life.actions("split", now))
        wanted = {
            symbol: life.whole(held[symbol] * splits.get(symbol, 1.0)) * value
            for symbol, value in life.actions("dividend", now)
            if symbol in held
        }
        paid = [flow for flow in life.flows if flow["kind"] == "dividend" and life.at(flow["timestamp"]) == now]
        found = {flow["symbol"]: flow["amount"] for flow in paid}
        for symbol in {*wanted, *found}:
            yield from unlike(f"cash_flows: dividend of {symbol}", found.get(symbol, 0.0), wanted.get(symbol, 0.0))


@invariant
def test_borrow_fees_are_of_the_shorts_at_the_close_before(life: Life) -> Iterator[str]:
    """Fee = |short value at the last close| x rate x calendar days / 365, less what a split pays out in cash."""
    rate = float(life.world.borrow_rate)
    for now in range(1, len(life.states)):
        before, days = life.evenings[now - 1], (life.world.days[now] - life.world.days[now - 1]).days
        splits = dict(life.actions("split", now))
        for symbol in life.world.bars:
            ratio, held = splits.get(symbol, 1.0), before.held.get(symbol, 0.0)
            short = max(-life.whole(held * ratio), 0.0)
            wanted = -short * before.marks.get(symbol, 0.0) / ratio * rate * days / 365.0
            found = math.fsum(
                flow["amount"]
                for flow in life.flows
                if (flow["kind"], flow["symbol"]) == ("borrow_fee", symbol) and life.at(flow["timestamp"]) == now
            )
            yield from unlike(f"cash_flows: borrow fee of {symbol}", found, 0.0 if life.is_cash else wanted)


@invariant
def test_interest_is_of_cash_overnight_and_never_of_debt(life: Life) -> Iterator[str]:
    """Interest = cash before the open x rate x calendar days / 365."""
    rate = life.scene.extras.get("interest_rate", 0.0)
    for now in range(1, len(life.states)):
        today = [flow for flow in life.flows if life.at(flow["timestamp"]) == now]
        others = math.fsum(flow["amount"] for flow in today if flow["kind"] != "interest")
        days = (life.world.days[now] - life.world.days[now - 1]).days
        wanted = max(life.evenings[now - 1].cash + others, 0.0) * rate * days / 365.0
        found = math.fsum(flow["amount"] for flow in today if flow["kind"] == "interest")
        yield from unlike("cash_flows: interest", found, wanted)


@invariant
def test_trades_carry_every_dividend_and_fee_once(life: Life) -> Iterator[str]:
    """Dividends and fees of trades are those of the cash flows."""
    for kind, column, sign in (("dividend", "dividends", 1.0), ("borrow_fee", "borrow_fees", -1.0)):
        paid = sign * math.fsum(flow["amount"] for flow in life.flows if flow["kind"] == kind)
        shared = math.fsum(row[column] for row in life.trades)
        yield from unlike(f"trades: sum of {column}", shared, paid, life.tolerance)


@invariant
def test_cash_in_lieu_pays_exactly_the_fraction_that_a_split_leaves(life: Life) -> Iterator[str]:
    """Amount = (exact - whole shares) x last mark on the new basis; none in a fractional account."""
    for now in range(1, len(life.states)):
        before, splits = life.evenings[now - 1], dict(life.actions("split", now))
        for symbol, ratio in splits.items():
            exact = before.held.get(symbol, 0.0) * ratio
            wanted = (exact - life.whole(exact)) * before.marks.get(symbol, 0.0) / ratio
            found = math.fsum(
                flow["amount"]
                for flow in life.flows
                if (flow["kind"], flow["symbol"]) == ("cash_in_lieu", symbol) and life.at(flow["timestamp"]) == now
            )
            yield from unlike(f"cash_flows: cash in lieu of {symbol}", found, wanted)
