"""Benchmarks are measured bare: nothing stands between them and the engine.

The runners belong to the environments of the engines they run; nothing here imports them.
"""

from __future__ import annotations

import os

import pytest

from benchmarks.results import circumstances

collect_ignore_glob = ["runners/*"]


@pytest.fixture(autouse=True)
def _every_run_is_checked(request: pytest.FixtureRequest) -> None:
    """Check the books after every run of a test, as everywhere; after none of a benchmark."""
    if not request.path.name.startswith("benchmark_"):
        request.getfixturevalue("_every_run_is_checked")


@pytest.fixture(scope="session")
def size() -> str:
    """`quick` or `full`, as `ML4T_BENCHMARK_SIZE` says."""
    return os.environ.get("ML4T_BENCHMARK_SIZE", "quick")


def pytest_benchmark_update_json(output_json: dict[str, object]) -> None:
    """Keep what it was measured on beside the figures."""
    output_json["circumstances"] = circumstances()
