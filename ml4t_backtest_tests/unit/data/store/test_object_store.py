"""Data sets on an object store: the same versions as in a folder, whole or invisible, mirrored where they are read."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from local_s3 import keys_in, local_s3
from nursery import Nursery
from polars.testing import assert_frame_equal

from ml4t_backtest import BacktestError, ConfigError, CorruptDatasetError, UnsafePathError, read_result, run_backtest
from ml4t_backtest.data.store import object_store, object_upkeep
from ml4t_backtest.data.store.storage import (
    checked_file,
    current_version,
    is_published,
    names_in,
    publish,
    published_as,
    read_manifest,
    read_table,
    versions_of,
)
from ml4t_backtest.pipeline.transient import is_transient

BUCKET = "desk"
ONE, TWO = (pl.DataFrame({"price": [1.0 * number, 2.0 * number]}) for number in (1, 2))


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with local_s3(BUCKET) as client:
        yield client


@pytest.fixture
def root(client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An address of its own for each test, and a mirror."""
    move_to(tmp_path / "here", monkeypatch)
    return f"s3://{BUCKET}/{tmp_path.name}"


def move_to(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read from now on as a machine that has seen nothing."""
    monkeypatch.setenv("ML4T_CACHE", str(folder))


def put(root: str, frame: pl.DataFrame, name: str = "bars") -> str:
    manifest = publish(root, name, {"bars": frame}, kind="test", attachments={"note.txt": b"seen"})
    return manifest.content_hash


def table(root: str, name: str = "bars") -> pl.DataFrame:
    version = current_version(root, name)
    return read_table(version, read_manifest(version), "bars")


def prefix(root: str) -> str:
    return root.removeprefix(f"s3://{BUCKET}/")


def body(client: Any, key: str) -> bytes:
    return bytes(client.get_object(Bucket=BUCKET, Key=key)["Body"].read())


# --- publish and read -----------------------------------------------------------------------------------------------


def test_a_version_has_on_a_store_the_files_and_the_hash_it_has_in_a_folder(
    root: str, client: Any, tmp_path: Path
) -> None:
    made, local = put(root, ONE), put(str(tmp_path / "local"), ONE)
    assert made == local
    home = tmp_path / "local" / "bars"
    expected = sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())
    found = keys_in(client, BUCKET, f"{prefix(root)}/bars/")
    assert [key.removeprefix(f"{prefix(root)}/bars/") for key in found] == expected
    for file, key in zip(expected, found, strict=True):
        assert body(client, key) == (home / file).read_bytes()


def test_another_machine_reads_what_was_published(root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(root, ONE)
    move_to(tmp_path / "there", monkeypatch)
    assert_frame_equal(table(root), ONE)
    put(root, TWO)
    move_to(tmp_path / "here", monkeypatch)
    assert_frame_equal(table(root), TWO)


def test_only_what_is_read_is_fetched(root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(root, ONE)
    move_to(tmp_path / "there", monkeypatch)
    version = current_version(root, "bars")
    assert sorted(path.name for path in version.iterdir()) == ["manifest.json"]
    checked_file(version, read_manifest(version), "note.txt")
    assert sorted(path.name for path in version.iterdir()) == ["manifest.json", "note.txt"]


def test_an_address_means_the_same_as_text_and_as_a_path(root: str) -> None:
    put(root, ONE)
    assert current_version(Path(root), "bars") == current_version(root, "bars")
    version = current_version(root, "bars")
    assert published_as(version) == f"{root}/bars/versions/{version.name}"
    assert published_as(Path("/elsewhere/bars")) == "/elsewhere/bars"


def test_nothing_published_is_said_with_the_address(root: str) -> None:
    assert not is_published(root, "bars")
    with pytest.raises(CorruptDatasetError, match=f"nothing is published as 'bars' in {root}"):
        current_version(root, "bars")


def test_versions_are_listed_the_youngest_first_and_names_by_their_pointers(root: str, client: Any) -> None:
    one = put(root, ONE)
    # The store counts in seconds.
    time.sleep(1.1)
    two = put(root, TWO)
    put(root, ONE, "other")
    client.put_object(Bucket=BUCKET, Key=f"{prefix(root)}/stray/file.txt", Body=b"")
    assert [version.name for version in versions_of(root, "bars")] == [two, one]
    assert names_in(root) == ["bars", "other"]


def test_a_run_is_written_to_a_store_and_read_back_elsewhere(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run_backtest("simple_ml_strategy", output_root=root)
    result.write(f"{root}/runs/mine")
    move_to(tmp_path / "there", monkeypatch)
    assert read_result(f"{root}/runs/mine").differences(result) == []
    # Prepared once: the second run finds the bars on the store.
    again = run_backtest("simple_ml_strategy", output_root=root)
    assert again.differences(result) == []
    assert names_in(f"{root}/prepared/us_tech_daily") == ["asset_data", "context_data"]
    assert len(versions_of(f"{root}/prepared/us_tech_daily", "asset_data")) == 1


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["gs://desk/runs", "https://example.com/runs", Path("az://desk")])
def test_an_address_of_another_kind_of_store_is_refused(place: Any) -> None:
    with pytest.raises(ConfigError, match="take a local folder, or s3://BUCKET/PREFIX"):
        publish(place, "bars", {"bars": ONE}, kind="test")


@pytest.mark.parametrize("place", ["s3://desk/../other", "s3://desk/a b", "s3://"])
def test_an_address_with_an_unsafe_part_is_refused(place: str) -> None:
    with pytest.raises(UnsafePathError):
        publish(place, "bars", {"bars": ONE}, kind="test")


def test_a_bucket_that_is_not_there_is_told_and_not_tried_again(root: str) -> None:
    with pytest.raises(BacktestError, match="E-FL-REMOTE: s3://nowhere") as raised:
        put("s3://nowhere/runs", ONE)
    assert not is_transient(raised.value)


def test_a_store_that_does_not_answer_is_worth_another_attempt(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Port 9 is that of a service nobody runs.
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(BacktestError, match="E-FL-REMOTE") as raised:
        put(root, ONE)
    assert is_transient(raised.value)


# --- damage ---------------------------------------------------------------------------------------------------------


def test_a_damaged_file_of_a_mirror_is_fetched_again(root: str) -> None:
    put(root, ONE)
    (current_version(root, "bars") / "bars.parquet").write_bytes(b"PAR1")
    assert_frame_equal(table(root), ONE)


@pytest.mark.parametrize("file", ["bars.parquet", "manifest.json"])
@pytest.mark.parametrize("how", ["cut", "gone"])
def test_damage_on_the_store_is_noticed_and_mended_by_publishing_again(
    how: str, file: str, root: str, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = f"{prefix(root)}/bars/versions/{put(root, ONE)}/{file}"
    whole = body(client, key)
    if how == "cut":
        client.put_object(Bucket=BUCKET, Key=key, Body=whole[:-7])
    else:
        client.delete_object(Bucket=BUCKET, Key=key)
    move_to(tmp_path / "there", monkeypatch)
    with pytest.raises(CorruptDatasetError):
        table(root)
    put(root, ONE)
    assert body(client, key) == whole
    move_to(tmp_path / "elsewhere", monkeypatch)
    assert_frame_equal(table(root), ONE)


def test_a_damaged_pointer_is_told_and_mended_by_publishing_again(root: str, client: Any) -> None:
    put(root, ONE)
    client.put_object(Bucket=BUCKET, Key=f"{prefix(root)}/bars/CURRENT", Body=b"../../elsewhere")
    with pytest.raises(CorruptDatasetError, match="names no version"):
        current_version(root, "bars")
    put(root, ONE)
    assert_frame_equal(table(root), ONE)


def test_the_manifest_of_another_version_is_not_taken_for_its_own(
    root: str, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = put(root, ONE), put(root, TWO)
    key = f"{prefix(root)}/bars/versions/{{}}/manifest.json"
    client.put_object(Bucket=BUCKET, Key=key.format(two), Body=body(client, key.format(one)))
    move_to(tmp_path / "there", monkeypatch)
    with pytest.raises(CorruptDatasetError, match="another version"):
        current_version(root, "bars")


def test_the_same_rows_in_the_bytes_of_another_writer_stay_as_they_lie(
    root: str, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows decide on the hash, not how a writer compresses them: whoever reads the first bytes keeps reading them."""
    from ml4t_backtest.data.store.storage import Layout

    tables, frame = "bars", pl.DataFrame({"price": [float(number % 7) for number in range(1000)]})
    first = publish(root, tables, {"bars": frame}, kind="test", layout=Layout(1))
    key = f"{prefix(root)}/bars/versions/{first.content_hash}/bars.parquet"
    whole = body(client, key)
    move_to(tmp_path / "there", monkeypatch)
    second = publish(root, tables, {"bars": frame}, kind="test", layout=Layout(22))
    assert second.content_hash == first.content_hash
    assert second.files != first.files
    assert body(client, key) == whole
    move_to(tmp_path / "elsewhere", monkeypatch)
    assert_frame_equal(table(root), frame)


# --- killed ---------------------------------------------------------------------------------------------------------

_CODE = """
import os, signal, sys, time
import polars as pl
from ml4t_backtest.data.store import object_store
from ml4t_backtest.data.store.storage import publish

def writer(root, number, after):
    real, asked = object_store._store(), 0

    class Counting:
        def __getattr__(self, name):
            return getattr(real, name)

        def open_output_stream(self, key):
            nonlocal asked
            asked += 1
            if asked == after:
                os.kill(os.getpid(), signal.SIGKILL)
            return real.open_output_stream(key)

    object_store._store = Counting
    tables = {name: pl.DataFrame({"number": [number] * 50_000}) for name in ("a", "b", "c")}
    publish(root, "bars", tables, kind="test")
    os._exit(0)

for line in sys.stdin:
    root, number, after = line.split(" ")
    child = os.fork()
    if child == 0:
        writer(root, int(number), int(after))
    status = os.waitpid(child, 0)[1]
    print(-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status), flush=True)
"""


class Writers(Nursery):
    def ended(self, root: str, number: int, after: int) -> bool:
        return self._ended(f"{root} {number} {after}")


def numbers(root: str) -> set[int]:
    """Return the numbers in all tables of the current version: one, if all are of one writer."""
    version = current_version(root, "bars")
    manifest = read_manifest(version)
    return {int(number) for name in "abc" for number in read_table(version, manifest, name)["number"].unique()}


def test_a_writer_killed_before_any_of_its_uploads_leaves_the_version_before_and_a_rerun_reaches_the_same_hash(
    root: str, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three tables, the manifest, the pointer: five uploads, in this order."""
    writers = Writers(_CODE)
    try:
        assert writers.ended(root, 0, 99)
        first = current_version(root, "bars").name
        for after in range(1, 6):
            move_to(tmp_path / f"reader{after}", monkeypatch)
            assert not writers.ended(root, 1, after)
            assert current_version(root, "bars").name == first
            assert numbers(root) == {0}
            manifests = [key for key in keys_in(client, BUCKET, prefix(root)) if key.endswith("manifest.json")]
            # Nobody takes a version for complete before all of its files are there.
            assert len(manifests) == (1 if after < 5 else 2)
            uploaded = [key for key in keys_in(client, BUCKET, prefix(root)) if key.endswith(".parquet")]
            assert len(uploaded) == 3 + min(after - 1, 3)
        assert writers.ended(root, 1, 6)
        again = current_version(root, "bars").name
        assert numbers(root) == {1}
        assert again != first
        expected = {name: pl.DataFrame({"number": [1] * 50_000}) for name in ("a", "b", "c")}
        assert publish(tmp_path / "local", "bars", expected, kind="test").content_hash == again
    finally:
        writers.close()


# --- cleaning up ----------------------------------------------------------------------------------------------------


def test_what_is_young_stays(root: str, client: Any) -> None:
    put(root, ONE)
    put(root, TWO)
    client.put_object(Bucket=BUCKET, Key=f"{prefix(root)}/bars/versions/{'a' * 64}/bars.parquet", Body=b"half")
    before = keys_in(client, BUCKET, prefix(root))
    done = object_upkeep.clean(root, keep=1)
    assert done.removed == []
    assert sorted(reason for _, reason in done.left) == [
        "it is being written",
        "it was current within the last hour and may still be read",
    ]
    assert keys_in(client, BUCKET, prefix(root)) == before


def test_old_versions_and_leftovers_go_and_the_current_one_stays(
    root: str, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = put(root, ONE), put(root, TWO)
    half = f"{prefix(root)}/bars/versions/{'a' * 64}/bars.parquet"
    client.put_object(Bucket=BUCKET, Key=half, Body=b"half")
    client.put_object(Bucket=BUCKET, Key=f"{prefix(root)}/notes/versions/mine.txt", Body=b"not ours")
    later = datetime.now(UTC) + timedelta(days=2)
    monkeypatch.setattr(object_upkeep.time, "time", later.timestamp)
    shown = object_upkeep.clean(root, keep=1, dry_run=True)
    assert half in keys_in(client, BUCKET, prefix(root))
    done = object_upkeep.clean(root, keep=1)
    assert done.removed == shown.removed
    assert [(object_store.address_of(path).rpartition("/")[2], reason) for path, reason in done.removed] == [
        ("a" * 64, "left by a writer that was killed"),
        (one, "old version, 1 younger or current ones stay"),
    ]
    assert done.left == []
    # The client keeps a folder that it emptied as an object without bytes.
    keys = [key for key in keys_in(client, BUCKET, prefix(root)) if not key.endswith("/")]
    left = [key.removeprefix(f"{prefix(root)}/") for key in keys]
    assert left == [
        "bars/CURRENT",
        *(f"bars/versions/{two}/{file}" for file in ("bars.parquet", "manifest.json", "note.txt")),
        "notes/versions/mine.txt",
    ]
    assert_frame_equal(table(root), TWO)


def test_nothing_is_old_where_the_pointer_names_none_of_the_versions(
    root: str, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(root, ONE)
    client.put_object(Bucket=BUCKET, Key=f"{prefix(root)}/bars/CURRENT", Body=b"?")
    monkeypatch.setattr(object_upkeep.time, "time", (datetime.now(UTC) + timedelta(days=9)).timestamp)
    done = object_upkeep.clean(root, keep=1)
    assert done.removed == []
    assert [reason for _, reason in done.left] == ["CURRENT names no version that is there, so none is taken for old"]


def test_the_command_line_lists_and_cleans_runs_on_a_store(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.testing import CliRunner

    from ml4t_backtest.cli import main

    done = CliRunner().invoke(main, ["run", "simple_ml_strategy", "--output-root", root])
    assert done.exit_code == 0, done.output
    move_to(tmp_path / "there", monkeypatch)
    listed = CliRunner().invoke(main, ["runs", "--json", "--output-root", root])
    (found,) = json.loads(listed.stdout)
    assert found["run"] == "simple_ml_strategy"
    assert found["is_current"]
    again = CliRunner().invoke(main, ["reproduce", "simple_ml_strategy", "--output-root", root])
    assert again.exit_code == 0, again.output
    assert "identical" in again.output
    cleaned = CliRunner().invoke(main, ["clean", "--output-root", root])
    assert cleaned.exit_code == 0, cleaned.output
    assert "0 removed" in cleaned.output
