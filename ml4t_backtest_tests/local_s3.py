"""A local S3: moto's server on the loopback interface, its address and credentials in the environment."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def local_s3(bucket: str) -> Iterator[Any]:
    """Serve one empty bucket, and give a client of it that is not this package's."""
    import boto3

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    with pytest.MonkeyPatch.context() as environment:
        for name, value in (
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL", address),
            ("AWS_ALLOW_HTTP", "true"),
        ):
            environment.setenv(name, value)
        try:
            _wait_for(port, server)
            client = boto3.client("s3", region_name="us-east-1", endpoint_url=address)
            client.create_bucket(Bucket=bucket)
            yield client
        finally:
            server.terminate()
            server.wait()


def keys_in(client: Any, bucket: str, prefix: str = "") -> list[str]:
    """Return the keys of a bucket, sorted."""
    return [entry["Key"] for entry in client.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])]


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert server.poll() is None, "the local S3 server ended"
        time.sleep(0.1)
    raise AssertionError("the local S3 server does not answer")
