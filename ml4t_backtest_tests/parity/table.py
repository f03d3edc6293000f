"""The page about parity: what was compared with which peer, and how many fills agree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from parity.compare import Comparison, together
from parity.environments import Peer
from parity.rules import knobs_needed
from parity.scenarios import SCENARIOS

INTRODUCTION = """# Parity with other engines

Written by `make parity`, which replays the same bars and orders in each engine's own environment and in ours, under the
[profile](profiles.md) of that engine. Every fill is matched on (slice, symbol, side, quantity); its price and its
commission must agree within 1e-9 relative, and equity within 0.01 at every slice. What a profile does not reproduce is
listed with it.
"""
SMALL = """## Scenario by scenario

The number of fills that agree (`-` where the engine does not know such orders); in brackets the knobs of the profile
without which our own rules would differ.
"""
_COUNTS = ("matched", "only_peer", "only_ours")


@dataclass(frozen=True)
class Row:
    """One tape against one peer.

    Attributes:
        peer: Whom we compare with.
        name: Of the tape, or `random` for many.
        shows: What it is for.
        rules: The profile our engine ran by.
        comparison: What came out.
    """

    peer: Peer
    name: str
    shows: str
    rules: str
    comparison: Comparison


def page(rows: Sequence[Row]) -> str:
    """Return the page in Markdown."""
    return "\n".join([INTRODUCTION, *_summary(rows), "", SMALL, *_scenarios(rows), ""])


def _summary(rows: Sequence[Row]) -> Iterable[str]:
    yield "| engine | rules | tapes | fills matched | unmatched, theirs | unmatched, ours | largest gap of equity |"
    yield "|---|---|---|---|---|---|---|"
    for (peer, rules, what), comparisons in _groups(rows).items():
        found = together(comparisons)
        counts = " | ".join(f"{getattr(found, count):,}" for count in _COUNTS)
        yield f"| {peer} | {rules} | {what} | {counts} | {found.equity_gap:.1g} |"


def _groups(rows: Sequence[Row]) -> dict[tuple[str, str, str], list[Comparison]]:
    """Return the comparisons by engine with version, rules, and kind of tape."""
    groups: dict[tuple[str, str, str], list[Comparison]] = {}
    scenarios = {each.tape.name for each in SCENARIOS}
    for row in rows:
        number = sum(other.peer is row.peer and other.name in scenarios for other in rows)
        what = f"{number} scenarios" if row.name in scenarios else row.shows
        groups.setdefault((" ".join(row.peer.package), row.rules, what), []).append(row.comparison)
    return groups


def _scenarios(rows: Sequence[Row]) -> Iterable[str]:
    peers = list({row.peer.name: row.peer for row in rows}.values())
    found = {(row.name, row.peer.name): row.comparison for row in rows}
    yield f"| scenario | what it shows | {' | '.join(peer.name for peer in peers)} |"
    yield "|---|---|" + "---|" * len(peers)
    for each in SCENARIOS:
        cells = []
        for peer in peers:
            needed = knobs_needed(peer, each) if peer.name in each.peers else ()
            cells.append(_cell(found.get((each.tape.name, peer.name)), needed))
        yield f"| `{each.tape.name}` | {each.shows} | {' | '.join(cells)} |"


def _cell(comparison: Comparison | None, needed: tuple[str, ...]) -> str:
    if comparison is None:
        return "-"
    wrong = "" if comparison.agrees else f", {max(comparison.only_peer, comparison.only_ours)} differ"
    return f"{comparison.matched}{wrong}" + (f" ({', '.join(needed)})" if needed else "")
