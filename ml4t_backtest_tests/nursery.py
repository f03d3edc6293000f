"""Starts children that are killed: a process that has everything imported forks one for each line it reads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys


class Nursery:
    """Runs code that forks a child for each line it reads, and prints how that child ended."""

    def __init__(self, code: str, **environment: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "POLARS_MAX_THREADS": "1", **environment},
        )

    def _ended(self, line: str) -> bool:
        """Have a child work on a line, and return whether it came to its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        ended = int(self._process.stdout.readline())
        assert ended in (0, -signal.SIGKILL), ended
        return ended == 0

    def close(self) -> None:
        """End the process that starts them."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
