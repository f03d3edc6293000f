"""Starts the web page of the pipeline, on this machine only, and tells it to read its definitions again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from ml4t_backtest.data.store.object_store import absolute, is_remote
from ml4t_backtest.runner import OUTPUT_ROOT

HOST = "127.0.0.1"
MODULE = "dagster_project.definitions"
ROOT_VARIABLE = "ML4T_OUTPUT_ROOT"
AUTOMATION_VARIABLE = "ML4T_AUTOMATION"
_PORT_VARIABLE = "ML4T_UI_PORT"
# `dg dev` in this interpreter whatever the PATH, with a webserver that shows reports too.
_WEBSERVER = "dagster_project.webserver"
_FORWARDED = (signal.SIGINT, signal.SIGTERM)
_RELOAD = f'mutation {{reloadRepositoryLocation(repositoryLocationName: "{MODULE}") {{__typename}}}}'


def serve(output_root: Path, home: Path, port: int, *, automate: bool = False) -> int:
    """Run webserver and daemon until they are told to stop, and return their exit code.

    Args:
        output_root: Where the assets are.
        home: Folder of the history and its settings.
        port: On 127.0.0.1.
        automate: Whether schedules and sensors that start runs are on.
    """
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "DAGSTER_DISABLE_TELEMETRY": "true",
        ROOT_VARIABLE: str(absolute(output_root)),
        _PORT_VARIABLE: str(port),
        **({AUTOMATION_VARIABLE: "on"} if automate else {}),
    }
    command = [sys.executable, "-m", _WEBSERVER, "dev", "-m", MODULE, "--host", HOST, "--port", str(port)]
    # In a session of its own a Ctrl-C reaches only this process, which passes it on once.
    process = subprocess.Popen(command, env=environment, start_new_session=True, preexec_fn=_listen_to_signals)
    with _forwarding_to(process):
        code = process.wait()
    _end_stragglers(process.pid)
    return code


def dagster_home(output_root: Path) -> Path:
    """Return where the history of runs is kept: `$DAGSTER_HOME`, or the folder `dagster` of the output root.

    Dagster keeps files there, so beside an output root on a store it is in the working folder's.
    """
    named = os.environ.get("DAGSTER_HOME")
    here = OUTPUT_ROOT if is_remote(output_root) else output_root
    return Path(named).absolute() if named else here.absolute() / "dagster"


def reload_definitions() -> bool:
    """Ask the page that runs on this machine to read its definitions again; whether there is one that could be asked.

    It answers after a new process has taken over, which is longer than is waited here.
    """
    port = os.environ.get(_PORT_VARIABLE)
    if not port:
        return False
    query, kind = json.dumps({"query": _RELOAD}).encode(), {"Content-Type": "application/json"}
    request = urllib.request.Request(f"http://{HOST}:{int(port)}/graphql", query, kind)
    try:
        with urllib.request.urlopen(request, timeout=2):
            return True
    except TimeoutError:
        return True
    except OSError:
        return False


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
