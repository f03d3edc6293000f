"""The IO manager: what goes in comes out, and no name leads anywhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ml4t_backtest.errors import CorruptDatasetError, UnsafePathError

dg = pytest.importorskip("dagster")
pytestmark = pytest.mark.dagster
FRAME = pl.DataFrame(
    {
        "at": pl.Series([0, None], dtype=pl.Datetime("us", "UTC")),
        "side": pl.Series(["buy", "sell"], dtype=pl.Enum(["buy", "sell"])),
        "price": [1.5, None],
    }
)


@pytest.fixture
def store(tmp_path: Path) -> Any:
    from dagster_project.io_manager import AssetStore

    return AssetStore(root=str(tmp_path / "root"))


def put(store: Any, value: Any, asset: str = "thing", partition: str | None = None, **metadata: Any) -> None:
    """Publish a value the way a run does, under whatever partition key."""
    keys = None if partition is None else dg.StaticPartitionsDefinition([partition])
    context = dg.build_output_context(
        asset_key=asset,
        asset_spec=dg.AssetSpec(asset, partitions_def=keys),
        partition_key=partition,
        asset_partitions_def=keys,
        output_metadata=metadata,
    )
    store.handle_output(context, value)


def test_a_frame_comes_back_with_its_types(store: Any) -> None:
    put(store, FRAME, partition="one")
    assert_frame_equal(store.shelf.read("thing", "one"), FRAME, check_exact=True)


def test_several_tables_come_back_by_name(store: Any) -> None:
    put(store, {"a": FRAME, "b": FRAME.head(0)})
    found = store.shelf.read("thing")
    assert sorted(found) == ["a", "b"]
    assert_frame_equal(found["b"], FRAME.head(0), check_exact=True)


def test_a_document_comes_back_as_text(store: Any) -> None:
    from ml4t_backtest.pipeline.asset_shelf import Document

    put(store, Document("page.html", "<p>ü</p>"), partition="one")
    assert store.shelf.read("thing", "one") == Document("page.html", "<p>ü</p>")
    assert store.shelf.file_of("thing", "one").read_text(encoding="utf-8") == "<p>ü</p>"


def test_inputs_of_an_output_go_into_its_manifest_and_are_compared(store: Any) -> None:
    put(store, FRAME, "left", "one", inputs=dg.MetadataValue.json({"data": "x"}))
    put(store, FRAME, "right", "one", inputs=dg.MetadataValue.json({"data": "x"}))
    assert set(store.shelf.read_together(["left", "right"], "one")) == {"left", "right"}
    put(store, FRAME, "right", "one", inputs=dg.MetadataValue.json({"data": "y"}))
    with pytest.raises(CorruptDatasetError, match="different inputs"):
        store.shelf.read_together(["left", "right"], "one")


def test_what_was_never_materialized_is_said_so(store: Any) -> None:
    assert not store.shelf.holds("thing", "one")
    with pytest.raises(CorruptDatasetError, match="nothing is published as 'thing/one'"):
        store.shelf.read("thing", "one")


def test_a_damaged_file_is_refused(store: Any, tmp_path: Path) -> None:
    put(store, FRAME)
    next(tmp_path.rglob("*.parquet")).write_bytes(b"PAR1")
    with pytest.raises(CorruptDatasetError, match="differs from its manifest"):
        store.shelf.read("thing")


@pytest.mark.parametrize("key", ["../../escaped", "..", "", "a/b", "a\\b", "x" * 300, "nul", "/tmp/x", " a"])
def test_a_hostile_partition_key_writes_nothing(store: Any, tmp_path: Path, key: str) -> None:
    before = set(tmp_path.rglob("*"))
    with pytest.raises(UnsafePathError):
        put(store, FRAME, partition=key)
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("key", ["../../escaped", "a/b", "x" * 300, "a\0b", "a\nb", ""])
def test_a_run_with_a_hostile_dynamic_partition_fails_and_writes_nothing_outside(tmp_path: Path, key: str) -> None:
    from dagster_project.io_manager import AssetStore

    @dg.asset(partitions_def=dg.DynamicPartitionsDefinition(name="any"))
    def thing() -> pl.DataFrame:
        return FRAME

    instance = dg.DagsterInstance.ephemeral()
    instance.add_dynamic_partitions("any", [key])
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with pytest.raises(UnsafePathError):
        dg.materialize(
            [thing],
            partition_key=key,
            instance=instance,
            run_config=quiet,
            resources={"io_manager": AssetStore(root=str(tmp_path / "root"))},
        )
    assert not list(tmp_path.rglob("*"))
