"""The UI as people start it: on loopback, with a home of its own, and ended by a signal."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import yaml

pytest.importorskip("dagster_webserver")
pytestmark = pytest.mark.dagster
STATUS = "{workspaceOrError{... on Workspace{locationEntries{locationOrLoadError{__typename}}}}}"
START_SECONDS = 180


def test_home_has_telemetry_and_nux_off_and_keeps_its_owners_changes(tmp_path: Path) -> None:
    from dagster_project.ui import prepare_home

    settings = prepare_home(tmp_path) / "dagster.yaml"
    shipped = yaml.safe_load(settings.read_text())
    assert shipped["telemetry"] == {"enabled": False}
    assert shipped["nux"] == {"enabled": False}
    settings.write_text("telemetry: {enabled: false}\n# mine\n")
    prepare_home(tmp_path)
    assert "# mine" in settings.read_text()


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ui_serves_on_loopback_and_ends_on_sigterm(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "dagster_project.ui", str(port), str(tmp_path / "out")]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        assert "RepositoryLocation" in _answer(port, process), (tmp_path / "log").read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(45) == 0
    finally:
        # Only a signal that it can pass on ends what it has started.
        process.terminate()
        process.wait(45)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
    assert not (tmp_path / "home" / ".dagster").exists()


def _answer(port: int, process: subprocess.Popen[bytes]) -> str:
    """Return what the server says about its code location, once it is there."""
    query = json.dumps({"query": STATUS}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/graphql", query, {"Content-Type": "application/json"})
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return str(answer.read().decode())
        except OSError:
            time.sleep(0.2)
    return "no answer"
