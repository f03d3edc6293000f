"""Pins what the engine does now: `python -m golden.regenerate` from ml4t_backtest_tests prints what changes first.

With `--check` it prints and writes nothing.
"""

from __future__ import annotations

import sys

from golden import pinned, runs


def main(arguments: list[str]) -> int:
    """Print the differences, then write them; return how many runs differ."""
    wanted = pinned.read() if pinned.FILE.exists() else {}
    found = {name: pinned.fingerprint(runs.run(name)) for name in runs.names()}
    changed = 0
    for name in sorted({*wanted, *found}, key=[*found, *wanted].index):
        lines = pinned.differences(wanted.get(name, {}), found.get(name, {}))
        if lines:
            changed += 1
            print("\n  ".join([name, *lines]))
    print(f"{changed} of {len(found)} runs differ")
    if changed and "--check" not in arguments:
        pinned.write(found)
        print(f"written: {pinned.FILE.name}")
    return changed if "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
