"""Writes what was measured, piece by piece and perhaps on several days, as pages: `python -m benchmarks.report`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks import page_results, page_scalability, page_strategies


def main(arguments: Sequence[str] | None = None) -> None:
    """Write `RESULTS.md`, `STRATEGY_RESULTS.md`, `SCALABILITY_RESULTS.md` and their pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=("quick", "full"), default="full")
    parser.add_argument("--into", type=Path, default=Path(__file__).parent, help="folder")
    asked = parser.parse_args(arguments)
    scalability, pictures = page_scalability.page(asked.size)
    pages = {
        "RESULTS.md": page_results.page(asked.size),
        "STRATEGY_RESULTS.md": page_strategies.page(asked.size),
        "SCALABILITY_RESULTS.md": scalability,
        **pictures,
    }
    asked.into.mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        (asked.into / name).write_text(text, encoding="utf-8")
        print(asked.into / name)


if __name__ == "__main__":
    main()
