"""Serves the Dagster UI on this machine only: `python -m dagster_project.ui PORT OUTPUT_ROOT`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from dagster_project.defs.resources import ROOT_VARIABLE

HOST = "127.0.0.1"
MODULE = "dagster_project.definitions"
_SETTINGS = Path(__file__).with_name("dagster.yaml")
# `dg` is its own program; this is it, in this interpreter whatever the PATH.
_DG = "from dagster_dg_cli.cli import main; main()"
_FORWARDED = (signal.SIGINT, signal.SIGTERM)


def prepare_home(output_root: Path) -> Path:
    """Return `<output root>/dagster`, made with this package's settings unless it has some already."""
    home = output_root.absolute() / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    if not (home / _SETTINGS.name).exists():
        shutil.copy(_SETTINGS, home)
    return home


def serve(output_root: Path, port: int) -> int:
    """Run webserver and daemon until they are told to stop, and return their exit code.

    Args:
        output_root: Where the assets are; Dagster's own records go to its folder `dagster`.
        port: On 127.0.0.1.
    """
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(prepare_home(output_root)),
        "DAGSTER_DISABLE_TELEMETRY": "true",
        ROOT_VARIABLE: str(output_root.absolute()),
    }
    command = [sys.executable, "-c", _DG, "dev", "-m", MODULE, "--host", HOST, "--port", str(port)]
    # In a session of its own a Ctrl-C reaches only this process, which passes it on once.
    process = subprocess.Popen(command, env=environment, start_new_session=True, preexec_fn=_listen_to_signals)
    with _forwarding_to(process):
        code = process.wait()
    _end_stragglers(process.pid)
    return code


def _listen_to_signals() -> None:
    """Undo what a background job inherits: with SIGINT ignored, Dagster cannot be stopped any more."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def _forwarding_to(process: subprocess.Popen[bytes]) -> Iterator[None]:
    def forward(number: int, _: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            process.send_signal(number)

    before = {number: signal.signal(number, forward) for number in _FORWARDED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_stragglers(group: int) -> None:
    """Tell code servers to go that would wait for their next heartbeat first; the group is this session's own."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(serve(Path(sys.argv[2]), int(sys.argv[1])))
