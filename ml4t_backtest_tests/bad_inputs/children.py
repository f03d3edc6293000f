"""Attempts in a process of their own: where one may hang, eat the memory, or needs another user or disk."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

# What a process says at its end: the error, how long it took, and by how much its memory grew.
_TELLING = """
import json, os, resource, sys, time
import polars as pl
from ml4t_backtest import BacktestError, DataPreparer, PolarsDataFeed

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

def attempt(path):
{body}

list(PolarsDataFeed(sys.argv[1]))  # everything is imported, a calendar is made
if {nobody} and os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
before, start = peak(), time.perf_counter()
try:
    told = {{"result": repr(attempt(sys.argv[2]))}}
except BaseException as error:
    told = {{"error": type(error).__name__, "text": str(error), "family": isinstance(error, BacktestError)}}
print(json.dumps({{**told, "seconds": time.perf_counter() - start, "megabytes": peak() - before}}))
"""
READ = "return list(PolarsDataFeed(path))"
# Where a disk of one megabyte is mounted for this process alone.
_SMALL_DISK = 'mount -t tmpfs -o size=1m tmpfs "$1" || exit 77; shift; exec "$@"'


class CannotBeTriedError(Exception):
    """The machine does not allow what the attempt needs."""


def in_child(body: str, clean: Path, path: Path, *, small_disk: bool = False, nobody: bool = False) -> dict[str, Any]:
    """Run `body`, which is given `path`, in a process of its own and return what it tells.

    Args:
        body: Statements of a function of `path`.
        clean: A good file of bars, read before anything is measured.
        path: What is tried.
        small_disk: Whether `path` is a folder that a disk of one megabyte is mounted on.
        nobody: Whether the process, if it is root's, becomes nobody's before it tries.
    """
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    command = [sys.executable, "-W", "ignore", "-c", _TELLING.format(body=lines, nobody=nobody), str(clean), str(path)]
    if small_disk:
        command = ["unshare", "-m", "sh", "-c", _SMALL_DISK, "sh", str(path), *command]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except FileNotFoundError as error:
        raise CannotBeTriedError(str(error)) from error
    if ran.returncode == 77 or "unshare:" in ran.stderr:
        raise CannotBeTriedError("no disk can be mounted here")
    assert ran.returncode == 0, ran.stderr
    told: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return told
