"""An object store as a place for data sets, `s3://bucket/prefix`: what is asked of it, and where its mirror lies.

Address, credentials and region come from the environment, as for every S3 client (`AWS_ENDPOINT_URL`,
`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, ...).
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ml4t_backtest.data.safe_path import output_folder, safe_path
from ml4t_backtest.errors import BacktestError, ConfigError

CACHE_VARIABLE = "ML4T_CACHE"
# A `Path` of an address has one slash; both spellings mean the store.
_ADDRESS = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]+):/+(?P<rest>.*)")
# What may be gone at the next attempt, as the client writes it.
_PASSING = re.compile(
    r"AWS Error (NETWORK_CONNECTION|SLOW_DOWN|SERVICE_UNAVAILABLE|REQUEST_TIMEOUT|INTERNAL_FAILURE|THROTTLING)"
)


def is_remote(place: str | Path) -> bool:
    """Return whether a place is an address of an object store.

    Raises:
        ConfigError: It is one of another kind of store.

    >>> is_remote("s3://desk/runs"), is_remote(Path("s3://desk/runs")), is_remote(".runs")
    (True, True, False)
    """
    address = _ADDRESS.match(str(place))
    if address is None:
        return False
    if address["scheme"] != "s3":
        raise ConfigError(f"{place} is no place to write to: take a local folder, or s3://BUCKET/PREFIX")
    return True


def absolute(place: str | Path) -> Path:
    """Return a local path as an absolute one, and an address as it is."""
    return Path(place) if is_remote(place) else Path(place).absolute()


def place_to_write(place: str | Path) -> Path:
    """Return a place that something is to be written into: an address, or what `output_folder` makes of a path."""
    return Path(place) if is_remote(place) else output_folder(place)


def address_of(place: str | Path) -> str:
    """Return how a place is written.

    >>> address_of(Path("s3://desk/runs"))
    's3://desk/runs'
    """
    return f"s3://{_key(place)}" if is_remote(place) else str(place)


def on_this_machine(place: str | Path) -> Path:
    """Return where the files of a place lie here: the place itself, or the mirror of an address.

    Raises:
        UnsafePathError: A part of an address is no safe name.
    """
    return safe_path(_mirrors(), *_key(place).split("/")) if is_remote(place) else Path(place)


def key_of(path: Path) -> str | None:
    """Return the key of what a path in a mirror mirrors; None for a path outside."""
    mirrors = _mirrors()
    return path.relative_to(mirrors).as_posix() if path.is_relative_to(mirrors) else None


def read(key: str) -> bytes | None:
    """Return an object; None where there is none."""
    with _asking(key):
        try:
            with _store().open_input_stream(key) as stream:
                return bytes(stream.read())
        except FileNotFoundError:
            return None


def fetch(key: str, path: Path) -> bool:
    """Write an object into a local file; whether there was one."""
    with _asking(key):
        try:
            with _store().open_input_stream(key) as stream, path.open("xb") as file:
                shutil.copyfileobj(stream, file, 1 << 20)
        except FileNotFoundError:
            return False
    return True


def put(key: str, content: bytes) -> None:
    """Write a small object in one request: it is there as a whole, or as it was before."""
    with _asking(key), _store().open_output_stream(key) as stream:
        stream.write(content)


def upload(path: Path, key: str) -> None:
    """Write a local file into an object."""
    with _asking(key), path.open("rb") as file, _store().open_output_stream(key) as stream:
        shutil.copyfileobj(file, stream, 8 << 20)


def size_of(key: str) -> int | None:
    """Return the bytes of an object; None where there is none."""
    with _asking(key):
        size: int | None = _store().get_file_info(key).size
        return size


def delete(key: str) -> None:
    """Delete an object, if there is one."""
    with _asking(key):
        try:
            _store().delete_file(key)
        except FileNotFoundError:
            return


def delete_under(prefix: str) -> None:
    """Delete all objects under a prefix."""
    with _asking(prefix):
        _store().delete_dir(prefix)


def listed(prefix: str) -> dict[str, float]:
    """Return the objects under a prefix by key, each with the second since 1970 in which it was written."""
    from pyarrow.fs import FileSelector, FileType

    with _asking(prefix):
        found = _store().get_file_info(FileSelector(prefix, recursive=True, allow_not_found=True))
    files = {info.path: info.mtime.timestamp() for info in found if info.type == FileType.File}
    return dict(sorted(files.items()))


def _key(place: str | Path) -> str:
    address = _ADDRESS.match(str(place))
    assert address is not None
    return address["rest"].rstrip("/")


def _mirrors() -> Path:
    """Return the folder of mirrors: `$ML4T_CACHE/s3`, or where caches lie on this machine."""
    usual = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ml4t_backtest"
    return Path(os.environ.get(CACHE_VARIABLE) or usual).absolute() / "s3"


def _store() -> Any:
    return _connected(os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "")


@cache
def _connected(endpoint: str) -> Any:
    try:
        from pyarrow.fs import S3FileSystem
    except ImportError as error:
        raise ConfigError('data sets on s3:// need pyarrow: pip install "ml4t-backtest-pipeline[s3]"') from error
    # The client reads credentials and region from the environment, but not where the store is.
    server = urlsplit(endpoint)
    where = {"scheme": server.scheme, "endpoint_override": server.netloc} if endpoint else {}
    return S3FileSystem(allow_delayed_open=True, **where)


@contextmanager
def _asking(key: str) -> Iterator[None]:
    """Turn what the client says into this package's error, with a cause that says whether to try again."""
    try:
        yield
    except OSError as error:
        passing = ConnectionError(str(error)) if _PASSING.search(str(error)) else error
        raise BacktestError(f"E-FL-REMOTE: s3://{key}: {str(error).splitlines()[0]}") from passing
