"""The same sweep on a Ray cluster of this machine, one worker killed in the middle; where ray is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from ml4t_backtest.errors import ConfigError
from ml4t_backtest.sweep.ray_cluster import RayExecutor
from ml4t_backtest.sweep.run import run_sweep
from ml4t_backtest_tests.sweep.projects import levels, project, sweep

_OCCASION = ("attempt", "finished", "duration_seconds", "sweep")


@pytest.mark.skipif(find_spec("ray") is not None, reason="ray is installed")
def test_without_ray_the_error_says_what_to_install() -> None:
    with pytest.raises(ConfigError, match="needs ray"):
        RayExecutor("local")


@pytest.mark.long
@pytest.mark.skipif(find_spec("ray") is None, reason="needs ray")
@pytest.mark.filterwarnings("ignore")
def test_a_cluster_that_loses_a_worker_comes_to_the_same_figures(tmp_path: Path) -> None:
    found = sweep(project(tmp_path), levels(0.2, 0.8, dies_once=["", str(tmp_path / "died")]))
    executor = RayExecutor("local", workers=2)
    try:
        on_cluster = run_sweep(found, workers=2, executor=executor, output_root=tmp_path / "cluster").trials
    finally:
        executor.shutdown()
    assert (tmp_path / "died").exists()
    here = run_sweep(found, output_root=tmp_path / "here").trials
    assert on_cluster.drop(_OCCASION).equals(here.drop(_OCCASION))
