"""The peers' own fills of the small scenarios, kept in the repository: one file per peer and version.

A test compares our engine with them, so that parity does not rot where no peer is installed. Only `make parity`
writes them, and it prints what changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from parity.environments import Peer
from parity.tape import Outcome

GOLDEN = Path(__file__).parent / "golden"


def golden_file(peer: Peer) -> Path:
    """Return where a peer's outcomes are kept."""
    return GOLDEN / f"{peer.name}-{peer.package[1]}.json"


def read_golden(peer: Peer) -> dict[str, Outcome]:
    """Return a peer's kept outcomes, scenario by scenario."""
    plain = json.loads(golden_file(peer).read_text(encoding="utf-8"))
    return {name: Outcome.of_json(outcome) for name, outcome in plain.items()}


def write_golden(peer: Peer, outcomes: Mapping[str, Outcome]) -> list[str]:
    """Keep a peer's outcomes and return what is new, gone or different, one sentence each."""
    before = read_golden(peer) if golden_file(peer).exists() else {}
    text = ",\n".join(f"{json.dumps(name)}: {json.dumps(outcomes[name].as_json())}" for name in sorted(outcomes))
    golden_file(peer).write_text(f"{{\n{text}\n}}\n", encoding="utf-8")
    return list(_changes(peer.name, before, outcomes))


def _changes(peer: str, before: Mapping[str, Outcome], after: Mapping[str, Outcome]) -> Iterator[str]:
    for name in _sorted_union(before, after):
        if name not in before:
            yield f"{peer}: {name} is new"
        elif name not in after:
            yield f"{peer}: {name} is gone"
        elif before[name] != after[name]:
            yield f"{peer}: {name} was {before[name].as_json()}, is {after[name].as_json()}"


def _sorted_union(before: Iterable[str], after: Iterable[str]) -> list[str]:
    return sorted({*before, *after})
