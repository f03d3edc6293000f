"""A process that is measured from outside: how long it takes, what all its threads cost, what it holds in memory."""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import psutil

_EVERY = 0.02


class MemorySampler:
    """The greatest resident memory of a process and all that it started, looked at fifty times a second."""

    def __init__(self, pid: int) -> None:
        self.peak_mb = 0.0
        self._process = psutil.Process(pid)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        """Stop looking and return the greatest, megabytes of 2 ** 20 bytes."""
        self._stop.set()
        self._thread.join()
        return self.peak_mb

    def _watch(self) -> None:
        while not self._stop.wait(_EVERY):
            self.peak_mb = max(self.peak_mb, self._resident() / 2**20)

    def _resident(self) -> int:
        try:
            family = [self._process, *self._process.children(recursive=True)]
            return sum(_resident(each) for each in family)
        except psutil.NoSuchProcess:
            return 0


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


class Measured:
    """An engine's process (see `serve`): asked to load and to run, one request at a time."""

    def __init__(self, command: Sequence[str], environment: dict[str, str] | None = None) -> None:
        """Start it.

        Args:
            command: Interpreter and runner.
            environment: Its variables; None for those of this process.
        """
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with the process)
        self._begun = time.perf_counter()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment,
        )
        self._memory = MemorySampler(self._process.pid)
        self._cpu = 0.0
        self.hello = self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def ask(self, do: str, **what: Any) -> dict[str, Any]:
        """Ask for something and return the answer.

        Raises:
            RuntimeError: The process ended instead.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **what}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    @property
    def peak_mb(self) -> float:
        """The most it has held so far, megabytes."""
        return self._memory.peak_mb

    def close(self) -> dict[str, float]:
        """Let it end and return what it took from start to end: `wall`, `cpu` (seconds), `peak_mb`."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._cpu = self._seconds_of_all_threads()
            self._process.stdin.close()
            self._process.wait()
            self._wall = time.perf_counter() - self._begun
            self._memory.stop()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._errors.close()
        return {"wall": self._wall, "cpu": self._cpu, "peak_mb": self._memory.peak_mb}

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            raise RuntimeError(f"{' '.join(self._process.args)} ended: {self._errors.read()[-3000:]}")  # type: ignore[arg-type]
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _seconds_of_all_threads(self) -> float:
        try:
            times = psutil.Process(self._process.pid).cpu_times()
        except psutil.NoSuchProcess:
            return 0.0
        return float(times.user + times.system + times.children_user + times.children_system)
