"""A Ray cluster as an executor of `concurrent.futures`' kind: tasks that are lost with a node run again elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from importlib.util import find_spec
from typing import Any

from ml4t_backtest.errors import ConfigError

# How often a task is tried again when the worker it ran on is lost.
_RETRIES = 5


class RayExecutor(Executor):
    """Submits to a cluster that is running already, or to one of this machine's processes for `local`.

    Arguments that several tasks share are put into the cluster's object store by `put`.
    """

    def __init__(self, address: str, *, workers: int | None = None) -> None:
        """Connect.

        Args:
            address: `HOST:PORT` or `ray://HOST:PORT` of a cluster, or `local`.
            workers: Processes of a local one; None for one per core.

        Raises:
            ConfigError: Ray is not installed, or nothing answers at the address.
        """
        if find_spec("ray") is None:
            raise ConfigError('a Ray cluster needs ray: pip install "ml4t-backtest-pipeline[ray]"')
        import ray

        here = {"num_cpus": workers, "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
        try:
            ray.init(address=address, log_to_driver=False, **(here if address == "local" else {}))
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ConfigError(f"no Ray cluster answers at {address!r}: {error}") from error
        self._ray = ray
        one_thread = {"env_vars": {"POLARS_MAX_THREADS": "1"}}
        self._run = ray.remote(max_retries=_RETRIES, runtime_env=one_thread)(_call)

    def put(self, value: Any) -> Any:
        """Return a reference to a value in the object store, which a task is given as the value itself."""
        return self._ray.put(value)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Return the future of a call; arguments that `put` returned are values there."""
        future: Future[Any] = self._run.remote(fn, *args, **kwargs).future()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let go of the cluster; one of this machine's own ends."""
        self._ray.shutdown()


def _call(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return fn(*args, **kwargs)
