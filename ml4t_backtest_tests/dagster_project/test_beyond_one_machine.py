"""The same graph elsewhere, by configuration only: on a store, by other executors, as jobs of a Ray cluster.

What has to come out is what comes out in one process and in a folder, to the bit.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from local_postgres import BINARIES, local_postgres
from local_s3 import keys_in, local_s3

from ml4t_backtest.pipeline.asset_shelf import AssetShelf
from ml4t_backtest.pipeline.published_run import RUN_TABLES

dg = pytest.importorskip("dagster")
pytestmark = pytest.mark.dagster
SETTINGS = Path(__file__).parents[2] / "configs" / "dagster"
needs_ray = pytest.mark.skipif(find_spec("dagster_ray") is None, reason="dagster-ray is not installed")
needs_postgres = pytest.mark.skipif(
    find_spec("dagster_postgres") is None or not BINARIES.is_dir(), reason="PostgreSQL or dagster-postgres is absent"
)


def run_hash(root: Path, config: str = "hold") -> str:
    return AssetShelf(root).joint_hash(RUN_TABLES, config)


@pytest.fixture
def expected(own_data: Any, load_graph: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The hash of the tables of the run of `hold` in one process and in a folder; the data set is prepared in `out`."""
    monkeypatch.setenv("ML4T_CONFIGS", str(own_data.configs))
    monkeypatch.setenv("ML4T_OUTPUT_ROOT", str(tmp_path / "out"))
    load_graph(own_data.configs).materialize_all(["hold"], tmp_path / "out")
    found = run_hash(tmp_path / "out")
    for asset in (*RUN_TABLES, "run_report", "comparison_report"):
        shutil.rmtree(tmp_path / "out" / "assets" / asset)
    return found


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a Ray cluster of one node with three workers, on the loopback interface."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
        environment.setenv("RAY_raylet_start_wait_time_s", "200")
        # What a step is started by has to be on the cluster's path.
        environment.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        # 127.0.0.1 Ray takes for the address that others see, and then nobody answers there.
        head: dict[str, Any] = {"num_cpus": 3, "node_ip_address": "127.0.0.2", "object_store_memory": 80_000_000}
        found = Cluster(
            initialize_head=True, head_node_args={**head, "include_dashboard": True, "dashboard_host": "127.0.0.2"}
        )
        try:
            address = f"http://{found.head_node.webui_url}"
            _wait_for_agent(address)
            environment.setenv("RAY_ADDRESS", address)
            yield address
        finally:
            found.shutdown()


def _wait_for_agent(address: str) -> None:
    """Wait until a cluster takes jobs, which is a while after it answers."""
    from ray.job_submission import JobSubmissionClient

    client, until = JobSubmissionClient(address), time.monotonic() + 300
    while True:
        try:
            client.submit_job(entrypoint="true", entrypoint_num_cpus=1)
            return
        except RuntimeError:
            assert time.monotonic() < until, "the Ray cluster takes no jobs"
            time.sleep(1)


def ended_jobs(address: str, prefix: str) -> list[str]:
    """Return how the cluster's jobs of a kind ended; a job's process ends a while after what it ran."""
    from ray.job_submission import JobSubmissionClient

    client, until = JobSubmissionClient(address), time.monotonic() + 120
    while True:
        jobs = [job for job in client.list_jobs() if (job.submission_id or "").startswith(prefix)]
        if all(job.status.is_terminal() for job in jobs):
            return [job.status.value for job in jobs]
        assert time.monotonic() < until, jobs
        time.sleep(0.5)


def execute(home: Path, job: str, partition: str) -> Any:
    """Run a job by the executor that the environment chooses, and return the instance's events of the run."""
    from dagster._core.definitions.reconstruct import ReconstructableRepository

    from dagster_project.ui import prepare_home

    repository = ReconstructableRepository.for_module("dagster_project.definitions", "defs", working_directory=None)
    with dg.DagsterInstance.from_config(str(prepare_home(home))) as instance:
        target = repository.get_reconstructable_job(job)
        with dg.execute_job(target, instance=instance, tags={"dagster/partition": partition}) as result:
            assert result.success
            return [entry.dagster_event for entry in instance.all_logs(result.run_id) if entry.dagster_event]


def processes_of(events: Any) -> set[int]:
    """Return the processes that steps ran in."""
    return {event.pid for event in events if event.event_type_value == "STEP_START"}


def test_the_graph_on_a_store_comes_to_the_same_and_an_unchanged_rerun_computes_nothing(
    own_data: Any, load_graph: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    demo = load_graph(own_data.configs)
    demo.materialize_all(["hold"], tmp_path / "local")
    with local_s3("desk") as client:
        monkeypatch.setenv("ML4T_CACHE", str(tmp_path / "here"))
        root = Path("s3://desk/runs")
        demo.materialize_all(["hold"], root)
        assert run_hash(root) == run_hash(tmp_path / "local")
        objects = {key: key for key in keys_in(client, "desk", "runs/assets/trades/")}
        before = {key: client.head_object(Bucket="desk", Key=key)["ETag"] for key in objects}
        # Another machine, whose mirror is empty, finds that nothing is to be done.
        monkeypatch.setenv("ML4T_CACHE", str(tmp_path / "there"))
        demo.materialize_all(["hold"], root)
        after = {key: client.head_object(Bucket="desk", Key=key)["ETag"] for key in objects}
        assert before == after
        assert len(keys_in(client, "desk", "runs/assets/trades/")) == len(objects) == 3
    assert not (tmp_path / "s3:").exists()


@pytest.mark.long
def test_steps_in_processes_of_their_own_come_to_the_same(
    expected: str, own_data: Any, load_graph: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML4T_EXECUTOR", str(SETTINGS / "multiprocess.yaml"))
    load_graph(own_data.configs)
    events = execute(tmp_path, "run_backtests", "hold")
    # One engine call, its report, the comparison.
    assert len(processes_of(events)) == 3
    assert run_hash(tmp_path / "out") == expected


@needs_ray
@pytest.mark.long
def test_steps_as_jobs_of_a_ray_cluster_come_to_the_same(
    cluster: str, expected: str, own_data: Any, load_graph: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML4T_EXECUTOR", str(SETTINGS / "ray.yaml"))
    load_graph(own_data.configs)
    events = execute(tmp_path, "run_backtests", "hold")
    assert len(processes_of(events)) == 3
    assert run_hash(tmp_path / "out") == expected
    assert ended_jobs(cluster, "dagster-step-") == ["SUCCEEDED"] * 3


@needs_ray
@needs_postgres
@pytest.mark.long
def test_a_backfill_as_jobs_of_a_ray_cluster_with_its_history_in_postgres_comes_to_the_same(
    cluster: str, expected: str, own_data: Any, load_graph: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backfill import desk

    shutil.copy(own_data.configs / "hold.yaml", own_data.configs / "hold_too.yaml")
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(SETTINGS / "instance_ray.yaml", home / "dagster.yaml")
    with local_postgres() as address:
        monkeypatch.setenv("ML4T_POSTGRES_URL", address)
        monkeypatch.setenv("DAGSTER_HOME", str(home))
        with desk(home) as open_desk:
            runs = open_desk.backfill("run_backtests", ["hold", "hold_too"], seconds=400)
            told = [(run.tags["dagster/partition"], run.status.value) for run in runs]
            assert told == [("hold", "SUCCESS"), ("hold_too", "SUCCESS")], [*map(open_desk.failures, runs)]
            # While the history is still there: a job writes its last lines after its run has succeeded.
            assert ended_jobs(cluster, "dagster-run-") == ["SUCCEEDED"] * 2
        # Nothing of the history is in files.
        assert [path.name for path in home.rglob("*.db")] == []
    assert run_hash(tmp_path / "out") == expected


@needs_postgres
@pytest.mark.long
def test_the_history_lies_in_postgres(
    expected: str, own_data: Any, load_graph: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "dagster"
    home.mkdir()
    shutil.copy(SETTINGS / "instance_postgres.yaml", home / "dagster.yaml")
    with local_postgres() as address:
        monkeypatch.setenv("ML4T_POSTGRES_URL", address)
        load_graph(own_data.configs)
        execute(tmp_path, "run_backtests", "hold")
        with dg.DagsterInstance.from_config(str(home)) as instance:
            (run,) = instance.get_runs()
            assert run.tags["ml4t/config"] == "hold"
            assert instance.get_latest_materialization_event(dg.AssetKey("trades")) is not None
        assert [path.name for path in home.rglob("*.db")] == []
    assert run_hash(tmp_path / "out") == expected
