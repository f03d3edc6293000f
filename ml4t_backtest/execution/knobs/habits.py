"""The rules of a profile as objects: what the parts of execution are wired with, chosen once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ml4t_backtest.core.market import Market
from ml4t_backtest.execution.accounts import Account, CashAccount
from ml4t_backtest.execution.affordability import nearly_whole_shares, whole_shares
from ml4t_backtest.execution.knobs.lots import Lots, lots_of
from ml4t_backtest.execution.knobs.peer_accounts import BoundlessAccount, FullMarginAccount, ShortProceedsAccount
from ml4t_backtest.execution.knobs.peer_orders import rules_of
from ml4t_backtest.execution.knobs.price_rules import PriceGrid, SlipCap, Slips, grid_of, slip_cap_of, slips_of
from ml4t_backtest.execution.knobs.turns import Turns, turns_of
from ml4t_backtest.execution.knobs.wakefulness import Awakening, WaterMarks, awakening_of, water_marks_of
from ml4t_backtest.execution.order_types import Rules
from ml4t_backtest.execution.profiles import Profile
from ml4t_backtest.portfolio.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Habits:
    """One object per group of knobs; `profiles` says what the knobs mean.

    Attributes:
        rules: limit_touch, stop_limit.
        turns: order_sequence.
        awakening: entry_bar_check, child_lag.
        water: mark_source, first_mark.
        lots: lots.
        slips: slip_on.
        slip_cap: slip_cap.
        grid: tick.
        whole: rounding.
    """

    rules: Rules
    turns: Turns
    awakening: Awakening
    water: WaterMarks
    lots: Lots
    slips: Slips
    slip_cap: SlipCap
    grid: PriceGrid
    whole: Callable[[float], float]


def habits_of(profile: Profile, market: Market, ledger: Ledger) -> Habits:
    """Return a profile's objects."""
    return Habits(
        rules=rules_of(profile),
        turns=turns_of(profile),
        awakening=awakening_of(profile),
        water=water_marks_of(profile),
        lots=lots_of(profile),
        slips=slips_of(profile, ledger),
        slip_cap=slip_cap_of(profile, market),
        grid=grid_of(profile),
        whole=whole_shares if profile.rounding == "truncate" else nearly_whole_shares,
    )


def account_of(profile: Profile) -> Account:
    """Return the account a profile brings: knobs `cash_check` and `credit`."""
    if profile.cash_check in ("never", "submit"):
        return BoundlessAccount()
    if profile.credit == "account":
        return CashAccount()
    return ShortProceedsAccount() if profile.credit == "short_proceeds" else FullMarginAccount()
