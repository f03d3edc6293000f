"""A local PostgreSQL in a folder of its own, reached by a socket only."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BINARIES = Path("/usr/lib/postgresql/15/bin")


@contextmanager
def local_postgres() -> Iterator[str]:
    """Serve an empty database, and give its address; the server refuses to run as root, so it does not."""
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    if os.geteuid() == 0:
        shutil.chown(folder, user)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "user": user, "cwd": folder}
    data = folder / "data"
    try:
        subprocess.run([BINARIES / "initdb", "-D", data, "-U", "desk", "-A", "trust", "-N"], check=True, **quiet)
        options = ["-c", "listen_addresses=", "-k", folder, "-F"]
        server = subprocess.Popen([BINARIES / "postgres", "-D", data, *options], **quiet)
        try:
            _wait_for(folder, server)
            yield f"postgresql+psycopg2://desk@/postgres?host={folder}"
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()
    finally:
        shutil.rmtree(folder)


def _wait_for(folder: Path, server: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        asked = [BINARIES / "pg_isready", "-h", folder, "-U", "desk", "-q"]
        if subprocess.run(asked, check=False).returncode == 0:
            return
        assert server.poll() is None, "the local PostgreSQL ended"
        time.sleep(0.1)
    raise AssertionError("the local PostgreSQL does not answer")
