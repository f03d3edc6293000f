"""Trades and states: what the records say about positions, against fills and bars."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from ml4t_backtest import VolumeShareSlippage
from ml4t_backtest.core.schemas import result_schemas
from property.invariant import invariant, near, unlike
from property.lives import Life, Move, Row

EXIT = ("exit_timestamp", "exit_price", "exit_quantity", "exit_reason")


@invariant
def test_everything_is_finite_or_a_documented_null(life: Life) -> Iterator[str]:
    """Columns that the schema calls not nullable hold no null; no number is NaN or infinite."""
    for name, schema in result_schemas().items():
        table = life.result.tables()[name]
        for column, rule in schema.columns.items():
            if not rule.nullable and table[column].null_count():
                yield f"{name}: {column} has nulls"
        for values in table:
            if values.dtype.is_float() and not values.drop_nulls().is_finite().all():
                yield f"{name}: {values.name} is not finite"


@invariant
def test_an_exit_is_null_when_and_only_when_the_trade_is_open(life: Life) -> Iterator[str]:
    """Open rows have no exit at all, others have all of it, and exit as much as they entered."""
    for row in life.trades:
        if any((row[name] is None) != (row["status"] == "open") for name in EXIT):
            yield f"trades: {row['trade_id']} is {row['status']}"
        if row["status"] != "open" and row["entry_quantity"] != row["exit_quantity"]:
            yield f"trades: {row['trade_id']} enters {row['entry_quantity']}, exits {row['exit_quantity']}"


@invariant
def test_positions_counted_from_fills_and_splits_are_those_of_the_states(life: Life) -> Iterator[str]:
    """num_positions of every state."""
    for state in life.states:
        held = life.evenings[life.at(state["timestamp"])].held
        if state["num_positions"] != len(held):
            yield f"states: {state['num_positions']} positions at {state['timestamp']}, held {held}"


@invariant
def test_open_trades_are_the_positions_at_the_end(life: Life) -> Iterator[str]:
    """One open row per position, with its side and shares; none when everything is closed at the end of the data."""
    held = dict(life.evenings[len(life.states) - 1].held) if life.states else {}
    rows = {row["symbol"]: row for row in life.trades if row["status"] == "open"}
    if set(rows) != set(held) or len(rows) != sum(row["status"] == "open" for row in life.trades):
        yield f"trades: open in {sorted(rows)}, held {held}"
        return
    for symbol, row in rows.items():
        side = 1.0 if row["side"] == "long" else -1.0
        yield from unlike(f"trades: shares open of {symbol}", side * row["entry_quantity"], held[symbol])
    ruined = bool(life.states) and life.states[-1]["equity"] <= 0.0
    if life.world.end_of_data == "close" and rows and not ruined:
        yield f"trades: {sorted(rows)} are open although the end of the data closes them"


@invariant
def test_exits_of_trades_are_the_reducing_parts_of_fills(life: Life) -> Iterator[str]:
    """Per symbol and slice: shares and money; fractions that a split pays out are in the cash flows instead."""
    left: dict[tuple[str, int], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for move in life.moves:
        if move.closing > 0.0:
            left[move.fill["symbol"], move.now][0] += move.closing
            left[move.fill["symbol"], move.now][1] += move.closing * move.fill["price"]
    told: dict[tuple[str, int], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for row in life.trades:
        if row["status"] != "open" and row["exit_reason"] != "corporate_action":
            key = row["symbol"], life.at(row["exit_timestamp"])
            told[key][0] += row["exit_quantity"]
            told[key][1] += row["exit_quantity"] * row["exit_price"]
    for key in {*left, *told}:
        yield from unlike(f"trades: shares that left {key}", told[key][0], left[key][0])
        yield from unlike(f"trades: money of exits {key}", told[key][1], left[key][1], life.tolerance)


@invariant
def test_entries_of_trades_are_the_opening_parts_of_fills(life: Life) -> Iterator[str]:
    """Money per position: average entry price x shares, over its rows, is what its opening fills paid."""
    paid: dict[int, float] = defaultdict(float)
    for move in life.moves:
        if move.opening > 0.0:
            paid[move.fill["position_id"]] += move.opening * move.fill["price"]
    told: dict[int, float] = defaultdict(float)
    for row in life.trades:
        told[row["position_id"]] += row["entry_quantity"] * row["entry_price"]
    for position in {*paid, *told}:
        yield from unlike(f"trades: entry money of {position}", told[position], paid[position], life.tolerance)


@invariant
def test_a_position_lives_from_flat_to_flat_under_one_number(life: Life) -> Iterator[str]:
    """Positions are numbered in the order they open; a fill carries the number of what it opens or reduces."""
    current: dict[str, int] = {}
    opened = 0
    for move in life.moves:
        symbol = move.fill["symbol"]
        if move.before == 0.0 or move.before * move.after < 0.0:
            opened += 1
            current[symbol] = opened
        if move.fill["position_id"] != current[symbol]:
            yield f"fills: {move.fill['fill_id']} is of position {move.fill['position_id']}, not {current[symbol]}"


@invariant
def test_side_and_times_of_a_trade_are_those_of_its_first_entry(life: Life) -> Iterator[str]:
    """Side, slice and decision of the fill that opened the position; the exit does not come before."""
    first: dict[int, Move] = {}
    for move in life.moves:
        if move.opening > 0.0:
            first.setdefault(move.fill["position_id"], move)
    for row in life.trades:
        move = first[row["position_id"]]
        wanted = (move.fill["timestamp"], move.fill["decision_timestamp"], "long" if move.sign > 0.0 else "short")
        if (row["entry_timestamp"], row["decision_timestamp"], row["side"]) != wanted:
            yield f"trades: {row['trade_id']} is not of its first entry {wanted}"
        if row["exit_timestamp"] is not None and row["exit_timestamp"] < row["entry_timestamp"]:
            yield f"trades: {row['trade_id']} exits before it enters"


@invariant
def test_holding_periods_count_the_symbols_own_bars_and_calendar_days(life: Life) -> Iterator[str]:
    """Bars after the entry bar up to the exit slice, or to the end of the data for open rows."""
    for row in life.trades:
        entry = life.at(row["entry_timestamp"])
        end = life.at(row["exit_timestamp"]) if row["exit_timestamp"] else len(life.states) - 1
        bars = len(life.lived(row["symbol"], entry, end))
        days = (life.world.days[end] - life.world.days[entry]).days
        if row["holding_period_bars"] != bars:
            yield f"trades: {row['trade_id']} is held {row['holding_period_bars']} bars, counted {bars}"
        yield from unlike("trades: holding_period_days", row["holding_period_days"], float(days))


@invariant
def test_adverse_and_favourable_excursion_enclose_the_return(life: Life) -> Iterator[str]:
    """max_adverse_pct <= raw return <= max_favorable_pct, and the same in money."""
    for row in life.trades:
        side, quantity = 1.0 if row["side"] == "long" else -1.0, row["entry_quantity"]
        raw = row["entry_price"] * quantity - side * row["entry_slippage"]
        gain = row["pnl_gross"] / raw
        if not row["max_adverse_pct"] - 1e-9 <= gain <= row["max_favorable_pct"] + 1e-9:
            yield f"trades: {row['trade_id']} returns {gain}, seen {row['max_adverse_pct']}, {row['max_favorable_pct']}"
        for name in ("favorable", "adverse"):
            found = row[f"max_{name}_excursion"]
            yield from unlike(f"trades: max_{name}_excursion", found, row[f"max_{name}_pct"] * raw, life.tolerance)


@invariant
def test_excursions_take_in_every_bar_between_and_nothing_that_never_was(life: Life) -> Iterator[str]:
    """Extremes of the full bars between entry and exit are in them; none lies beyond the bars from entry to exit.

    Of the exit bar only the open counts, and of all bars the raw prices of fills. Prices are on the exit's share basis.
    """
    for row in life.trades:
        symbol, entry = row["symbol"], life.at(row["entry_timestamp"])
        end = life.at(row["exit_timestamp"]) if row["exit_timestamp"] else len(life.states) - 1
        lowest, highest = _seen(row)
        between = life.lived(symbol, entry, end - (row["status"] != "open"))
        surely = [price / life.ratio(symbol, now, end) for now, bar in between for price in (bar.low, bar.high)]
        for price in surely:
            if not _within(price, lowest, highest):
                yield f"trades: {row['trade_id']} has not seen {price}"
        # A settlement comes after the close, so that its bar was lived through.
        inside = row["status"] != "open" and row["exit_reason"] not in ("delisted", "end_of_data")
        whole = life.lived(symbol, entry - 1, end - inside)
        at_most = [price / life.ratio(symbol, now, end) for now, bar in whole for price in (bar.low, bar.high)]
        at_most += [bar.open for _, bar in life.lived(symbol, end - 1, end)]
        at_most += _raw_prices(life, symbol, entry, end)
        at_most += _marks(life, symbol, range(entry, end + 1 - inside), end)
        for price in (lowest, highest):
            if not _within(price, min(at_most), max(at_most)):
                yield f"trades: {row['trade_id']} has seen {price}, which never was"


@invariant
def test_a_time_exit_is_exact(life: Life) -> Iterator[str]:
    """max_holding_bars: n of a position's only entry: no row of it is held longer, and a time exit exactly n bars.

    Where volume is capped the rest goes later, never earlier; an impact model refuses bars without volume for good.
    """
    entries: dict[int, list[Move]] = defaultdict(list)
    for move in life.moves:
        if move.opening > 0.0:
            entries[move.fill["position_id"]].append(move)
    for row in life.trades:
        moves = entries[row["position_id"]]
        placed = life.placed.get(moves[0].fill["order_id"])
        most = placed.line.max_holding_bars if placed is not None else None
        if len(moves) != 1 or most is None or "position_rules" in life.scene.extras:
            continue
        held = row["holding_period_bars"]
        capped = life.world.max_volume_share is not None or "slippage" in life.scene.extras
        if row["exit_reason"] == "time_exit" and (held < most or (held > most and not capped)):
            yield f"trades: {row['trade_id']} leaves by time after {held} bars, not {most}"
        if held > most and not capped:
            yield f"trades: {row['trade_id']} is held {held} bars, at most {most}"


@invariant
def test_targets_and_stops_of_an_only_entry_exit_at_their_levels(life: Life) -> Iterator[str]:
    """A target never worse than its level, slippage included; a stop's raw price never better than its level."""
    entries: dict[int, int] = defaultdict(int)
    for move in life.moves:
        entries[move.fill["position_id"]] += move.opening > 0.0
    for row in life.trades:
        side = 1.0 if row["side"] == "long" else -1.0
        target, stop = row["take_profit_level"], row["stop_loss_level"]
        if entries[row["position_id"]] != 1:
            continue
        if row["exit_reason"] == "take_profit" and side * (row["exit_price"] - target) < -1e-9:
            yield f"trades: {row['trade_id']} takes {row['exit_price']}, target {target}"
        # What the volume of a bar leaves of a triggered stop goes at the next open, wherever that is; so does all of
        # it where a model has no price without volume.
        waits = life.world.max_volume_share is not None or isinstance(
            life.scene.extras.get("slippage"), VolumeShareSlippage
        )
        if row["exit_reason"] == "stop_loss" and not waits:
            raw = row["exit_price"] + side * row["exit_slippage"] / row["exit_quantity"]
            if side * (raw - stop) > 1e-9:
                yield f"trades: {row['trade_id']} stops at {raw}, stop {stop}"


@invariant
def test_an_exit_is_decided_by_a_signal_or_it_has_no_decision(life: Life) -> Iterator[str]:
    """exit_decision_timestamp is null for what no strategy decided, else before the exit."""
    for row in life.trades:
        decided = row["exit_decision_timestamp"]
        if row["status"] != "open" and (decided is None) != (row["exit_reason"] != "signal"):
            yield f"trades: {row['trade_id']} by {row['exit_reason']}, decided {decided}"
        if decided is not None and not decided < row["exit_timestamp"]:
            yield f"trades: {row['trade_id']} exits at its decision {decided}"


@invariant
def test_no_position_outlives_its_symbol(life: Life) -> Iterator[str]:
    """Settled at its declared end, or when delisting_after sessions brought no bar."""
    ends = {symbol: now for symbol, now, _ in life.world.delistings}
    for now in range(len(life.states)):
        evening = life.evenings[now]
        for symbol in evening.held:
            if evening.ages[symbol] >= life.world.delisting_after or now >= ends.get(symbol, now + 1):
                yield f"states: {symbol} is held {evening.ages[symbol]} sessions after its last bar"


@invariant
def test_settlements_pay_the_declared_price_or_the_last_close(life: Life) -> Iterator[str]:
    """Delisted positions leave without costs; the end of the data closes at the last mark."""
    declared = {symbol: float(price) for symbol, _, price in life.world.delistings}
    reasons = {(row["symbol"], row["exit_timestamp"]): row["exit_reason"] for row in life.trades}
    for move in life.moves:
        fill, symbol = move.fill, move.fill["symbol"]
        if fill["phase"] != "settled":
            continue
        mark = life.evenings[move.now].marks[symbol]
        prices = {mark, declared.get(symbol, mark)}
        if not any(near(fill["raw_price"], price) for price in prices) or move.after != 0.0:
            yield f"fills: {fill['fill_id']} settles at {fill['raw_price']}, not at {prices}"
        if reasons.get((symbol, fill["timestamp"])) == "delisted" and (fill["commission"] or fill["slippage"]):
            yield f"fills: {fill['fill_id']} settles at a cost"


@invariant
def test_returns_follow_from_equity(life: Life) -> Iterator[str]:
    """period_return against the row before, cumulative_return against the capital; one state per session here."""
    before = capital = life.result.initial_capital
    for state in life.states:
        equity = state["equity"]
        if before > 1e-6:
            yield from unlike("states: period_return", state["period_return"], equity / before - 1.0)
            yield from unlike("states: daily_return", state["daily_return"], equity / before - 1.0)
        yield from unlike("states: cumulative_return", state["cumulative_return"], equity / capital - 1.0)
        before = equity
    days = life.result.daily_returns["equity"].to_list()
    if days != [state["equity"] for state in life.states]:
        yield f"daily_returns: {days}"


@invariant
def test_every_slice_has_a_state_until_the_account_is_ruined(life: Life) -> Iterator[str]:
    """One row per slice; equity at or below zero ends the run, and nothing fills afterwards."""
    ruined = [now for now, state in enumerate(life.states) if state["equity"] <= 0.0]
    lived = ruined[0] + 1 if ruined else len(life.world.days)
    if [life.at(state["timestamp"]) for state in life.states] != list(range(lived)):
        yield f"states: {len(life.states)} rows, {lived} slices lived"
    if any(move.now >= lived for move in life.moves):
        yield "fills: the ruined trade on"


@invariant
def test_a_trade_is_ambiguous_only_where_something_protected_it(life: Life) -> Iterator[str]:
    """Without brackets of its own a position leaves nothing open inside its bars."""
    protected = {fill["position_id"] for move in life.moves for fill in [move.fill] if _brings_protection(life, move)}
    for row in life.trades:
        if row["ambiguous_bar"] and row["position_id"] not in protected:
            yield f"trades: {row['trade_id']} is ambiguous without protection"


def _brings_protection(life: Life, move: Move) -> bool:
    placed = life.placed.get(move.fill["order_id"])
    if "position_rules" in life.scene.extras:
        return True
    names = ("stop_loss", "take_profit", "stop_loss_percent", "take_profit_percent", "trailing_stop_percent")
    return placed is not None and any(getattr(placed.line, name) is not None for name in names)


def _seen(row: Row) -> tuple[float, float]:
    """Return the lowest and highest price that a row's excursions stand for, on the exit's share basis."""
    side, quantity = 1.0 if row["side"] == "long" else -1.0, row["entry_quantity"]
    average = (row["entry_price"] * quantity - side * row["entry_slippage"]) / quantity
    prices = [average * (1.0 + side * row[f"max_{name}_pct"]) for name in ("favorable", "adverse")]
    return min(prices), max(prices)


def _raw_prices(life: Life, symbol: str, entry: int, end: int) -> list[float]:
    """Return raw prices of a symbol's fills between two slices, on the share basis of the later one."""
    return [
        move.fill["raw_price"] / life.ratio(symbol, move.now, end)
        for move in life.moves
        if move.fill["symbol"] == symbol and entry <= move.now <= end
    ]


def _marks(life: Life, symbol: str, slices: range, end: int) -> list[float]:
    """Return the last closes of a symbol after some slices, on the share basis of slice `end`."""
    known = [now for now in slices if symbol in life.evenings[now].marks]
    return [life.evenings[now].marks[symbol] / life.ratio(symbol, now, end) for now in known]


def _within(price: float, lowest: float, highest: float) -> bool:
    return lowest - 1e-9 * abs(price) - 1e-9 <= price <= highest + 1e-9 * abs(price) + 1e-9
