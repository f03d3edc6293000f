"""`make parity`: make the peers' environments, replay every tape on both sides, compare, and write what came out.

Run from the root of the checkout: `python -m parity.run` with `ml4t_backtest_tests` on the path.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from parity.compare import Comparison, compare, together
from parity.environments import PEERS, Peer
from parity.golden import write_golden
from parity.large import large_tape
from parity.ours import replay
from parity.random_tapes import random_tape
from parity.scenarios import BACKTRADER, SCENARIOS, VECTORBT
from parity.table import Row, page
from parity.tape import Outcome, Tape

PAGE = Path(__file__).parents[2] / "docs" / "concepts" / "parity.md"
RANDOM_TAPES = 300


def small(peer: Peer) -> list[Row]:
    """Replay the small scenarios of a peer, keep its fills, and return how we compare under its profile."""
    mine = [each for each in SCENARIOS if peer.name in each.peers]
    theirs = peer.replay([each.tape for each in mine])
    for change in write_golden(peer, theirs):
        print(change)
    return [
        Row(peer, each.tape.name, each.shows, peer.profile, compare_small(peer, each.tape.name, theirs, each.tape))
        for each in mine
    ]


def compare_small(peer: Peer, name: str, theirs: dict[str, Outcome], tape: Tape) -> Comparison:
    """Return how our engine under a peer's profile compares on a tape."""
    return compare(theirs[name], replay(tape, peer.profile), merge=peer.merges)


def random_ones(peer: Peer, number: int = RANDOM_TAPES) -> Row:
    """Replay random tapes and return how we compare on all of them together."""
    tapes = [random_tape(peer.name, seed) for seed in range(number)]
    theirs = peer.replay(tapes)
    found = [compare_small(peer, tape.name, theirs, tape) for tape in tapes]
    for tape, comparison in zip(tapes, found, strict=True):
        if not comparison.agrees:
            print(f"{tape.name}: {told(comparison)}")
    return Row(peer, "random", f"{number} random tapes", peer.profile, together(found))


def large() -> list[Row]:
    """Replay the large tape and return how we compare: by profile, and by our own rules where the peer can do those."""
    tape = large_tape()
    runs = [
        (BACKTRADER, {}, replay(tape, PEERS[BACKTRADER].profile), PEERS[BACKTRADER].profile),
        (VECTORBT, {}, replay(tape, PEERS[VECTORBT].profile), PEERS[VECTORBT].profile),
        (VECTORBT, {"fill_at": "next_open"}, replay(tape), "our own rules"),
    ]
    rows = []
    for name, options, ours, rules in runs:
        begun = time.perf_counter()
        theirs = PEERS[name].replay([tape], **options)["large"]
        print(f"large tape, {name}: {len(theirs.fills):,} fills in {time.perf_counter() - begun:.0f} s", flush=True)
        shows = f"{len(tape.bars)} symbols, {len(tape.slices):,} days, {len(tape.orders):,} orders"
        rows.append(Row(PEERS[name], "large", shows, rules, compare(theirs, ours)))
    return rows


def told(comparison: Comparison, most: int = 5) -> str:
    """Return the first differences as lines."""
    return "".join(f"\n    {each}" for each in comparison.differences[:most])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run everything and return the exit code: 1 when something differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", action="append", choices=sorted(PEERS), help="only this one; can be repeated")
    parser.add_argument("--no-large", action="store_true", help="leave the large tape out")
    options = parser.parse_args(arguments)
    chosen = [PEERS[name] for name in options.peer or PEERS]
    rows: list[Row] = []
    for peer in chosen:
        peer.make()
        rows += [*small(peer), random_ones(peer)]
    if not options.no_large and len(chosen) == len(PEERS):
        rows += large()
        PAGE.write_text(page(rows), encoding="utf-8")
    for row in rows:
        verdict = "agrees" if row.comparison.agrees else "differs"
        print(f"{row.peer.name:12} {row.rules:20} {row.name:36} {row.comparison.matched:8,} fills, {verdict}", end="")
        print(told(row.comparison))
    return int(any(not row.comparison.agrees for row in rows))


if __name__ == "__main__":
    sys.exit(main())
