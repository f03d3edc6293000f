"""The same sweep by a Dask cluster of this machine, one worker killed in the middle; where distributed is installed."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from ml4t_backtest.sweep.run import run_sweep
from ml4t_backtest_tests.sweep.projects import levels, project, sweep

pytestmark = pytest.mark.skipif(find_spec("distributed") is None, reason="needs distributed")
_OCCASION = ("attempt", "finished", "duration_seconds", "sweep")


def test_a_dask_cluster_that_loses_a_worker_comes_to_the_same_figures(tmp_path: Path) -> None:
    from distributed import Client, LocalCluster

    died = tmp_path / "died"
    found = sweep(project(tmp_path), levels(0.2, 0.8, -1.0, dies_once=["", str(died)]))
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            local_directory=str(tmp_path / "dask"),
        ) as cluster,
        Client(cluster) as client,
        client.get_executor() as executor,
    ):
        workers = set(client.run(os.getpid).values())
        on_dask = run_sweep(found, workers=2, executor=executor, output_root=tmp_path / "dask_out").trials
        again = run_sweep(found, workers=2, executor=executor, output_root=tmp_path / "dask_out")
    assert died.exists()  # SIGKILL struck in the middle of a task
    here = run_sweep(found, output_root=tmp_path / "here").trials
    assert len(workers) == 2
    assert os.getpid() not in workers
    assert on_dask.drop(_OCCASION).equals(here.drop(_OCCASION))
    assert on_dask["status"].to_list() == ["completed"] * 4 + ["failed"] * 2
    assert again.rerun == 2, "what failed is tried again, and nothing else"
