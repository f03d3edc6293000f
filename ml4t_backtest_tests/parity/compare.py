"""Comparing two outcomes of one tape, fill by fill.

A fill of one side matches one of the other when slice, symbol, side and quantity are the same; a pair that matches
must agree on the price within 1e-9 relative, and on the commission likewise. Equity must agree within a cent at the
last slice, and at every other.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from parity.tape import Execution, Outcome

PRICE_TOLERANCE = 1e-9
EQUITY_TOLERANCE = 0.01
Key = tuple[int, str, str, float]


@dataclass(frozen=True)
class Comparison:
    """What two outcomes have in common.

    Attributes:
        matched: Fills that agree.
        only_peer: Fills of the peer without a partner, or with one at another price.
        only_ours: The same of ours.
        differences: Everything that does not agree, one sentence each.
        equity_gap: Largest difference of equity at a slice that both report, account currency.
    """

    matched: int
    only_peer: int
    only_ours: int
    differences: tuple[str, ...]
    equity_gap: float

    @property
    def agrees(self) -> bool:
        """Whether nothing differs."""
        return not self.differences


def compare(peer: Outcome, ours: Outcome, *, merge: bool = False) -> Comparison:
    """Match the fills of both sides and compare equity.

    Args:
        peer: What the peer did.
        ours: What our engine did.
        merge: Add up what one slice did on one side, at the average price, on both sides first: for a peer that
            tells trades and not fills.
    """
    theirs, mine = (merged(side.fills) if merge else list(side.fills) for side in (peer, ours))
    left, right = by_key(theirs), by_key(mine)
    matched, differences = 0, []
    only_peer = only_ours = 0
    for key in sorted({*left, *right}):
        pairs, rest_peer, rest_ours = paired(left.get(key, []), right.get(key, []))
        for one, other in pairs:
            wrong = disagreement(one, other)
            if wrong is None:
                matched += 1
            else:
                only_peer, only_ours = only_peer + 1, only_ours + 1
                differences.append(f"{told(one)}: {wrong}")
        only_peer, only_ours = only_peer + len(rest_peer), only_ours + len(rest_ours)
        differences += [f"peer only: {told(fill)}" for fill in rest_peer]
        differences += [f"ours only: {told(fill)}" for fill in rest_ours]
    gap, complaints = equity_gap(peer.equity, ours.equity)
    return Comparison(matched, only_peer, only_ours, (*differences, *complaints), gap)


def merged(fills: Iterable[Execution]) -> list[Execution]:
    """Return one fill per slice, symbol and side, at the average price."""
    totals: dict[tuple[int, str, str], Execution] = {}
    for fill in fills:
        key = (fill.slice, fill.symbol, fill.side)
        before = totals.get(key)
        totals[key] = fill if before is None else _together(before, fill)
    return list(totals.values())


def _together(one: Execution, other: Execution) -> Execution:
    quantity = one.quantity + other.quantity
    price = (one.quantity * one.price + other.quantity * other.price) / quantity
    return replace(one, quantity=quantity, price=price, commission=one.commission + other.commission)


def by_key(fills: Iterable[Execution]) -> dict[Key, list[Execution]]:
    """Group fills by what identifies them; a quantity is known to twelve digits."""
    groups: dict[Key, list[Execution]] = defaultdict(list)
    for fill in fills:
        groups[(fill.slice, fill.symbol, fill.side, float(f"{fill.quantity:.12g}"))].append(fill)
    return groups


def paired(
    theirs: list[Execution], mine: list[Execution]
) -> tuple[list[tuple[Execution, Execution]], list[Execution], list[Execution]]:
    """Pair fills of one key in the order of their prices; return the pairs and what is left over on each side."""
    left, right = (sorted(side, key=lambda fill: fill.price) for side in (theirs, mine))
    size = min(len(left), len(right))
    return list(zip(left[:size], right[:size], strict=True)), left[size:], right[size:]


def disagreement(peer: Execution, ours: Execution) -> str | None:
    """Return what two fills of one key do not agree about, None where they agree."""
    for name in ("price", "commission"):
        one, other = getattr(peer, name), getattr(ours, name)
        if not math.isclose(one, other, rel_tol=PRICE_TOLERANCE, abs_tol=PRICE_TOLERANCE):
            return f"{name} {one!r} against our {other!r}"
    return None


def equity_gap(peer: list[float | None], ours: list[float | None]) -> tuple[float, list[str]]:
    """Return the largest difference of equity, and a sentence about every slice where it exceeds a cent."""
    if len(peer) != len(ours):
        return math.inf, [f"equity of {len(peer)} slices against our {len(ours)}"]
    worst, complaints = 0.0, []
    for index, (one, other) in enumerate(zip(peer, ours, strict=True)):
        if one is None or other is None or math.isnan(one):
            continue
        worst = max(worst, abs(one - other))
        if not abs(one - other) <= EQUITY_TOLERANCE:
            complaints.append(f"equity at slice {index}: {one!r} against our {other!r}")
    return worst, complaints


def told(fill: Execution) -> str:
    """Return a fill as words."""
    return f"slice {fill.slice} {fill.side} {fill.quantity:g} {fill.symbol} at {fill.price!r}"


def together(comparisons: Sequence[Comparison]) -> Comparison:
    """Return the comparisons of several tapes as one."""
    return Comparison(
        sum(each.matched for each in comparisons),
        sum(each.only_peer for each in comparisons),
        sum(each.only_ours for each in comparisons),
        tuple(sentence for each in comparisons for sentence in each.differences),
        max((each.equity_gap for each in comparisons), default=0.0),
    )
