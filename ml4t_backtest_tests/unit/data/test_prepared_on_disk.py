"""What `validate_and_save` leaves on disk, and that a feed reads exactly that."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ml4t_backtest import ConfigError, CorruptDatasetError, DataPreparer, PolarsDataFeed
from ml4t_backtest.data.prepared import read_prepared
from ml4t_backtest.data.sources import collect, scan
from ml4t_backtest.data.store.storage import POINTER, Layout, current_version, publish, read_manifest, read_table

DAYS = (date(2023, 12, 29), date(2024, 1, 2), date(2024, 1, 31), date(2024, 2, 1))


@pytest.fixture
def preparer(make_bars: Any) -> DataPreparer:
    """Four sessions in three months of two years, with an indicator, a signal, context and a dividend."""
    bars = make_bars([*DAYS, *DAYS], ["B"] * 4 + ["A"] * 4, close=[10.1, 10.2, 10.3, 10.4, 9.5, 9.6, 9.7, 9.8])
    signals = pl.DataFrame({"timestamp": DAYS[:2], "symbol": "A", "p": [0.25, 0.75]})
    context = pl.DataFrame({"timestamp": DAYS, "vix": [13.0, 14.0, 15.0, 16.0]})
    actions = pl.DataFrame({"symbol": ["A"], "ex_date": [DAYS[2]], "kind": ["dividend"], "value": [0.5]})
    return (
        DataPreparer()
        .add_prices(bars, bar_label="session")
        .add_signals(signals, valid_from="market_close")
        .add_indicators(["sma:2"])
        .add_context(context, available_at="market_close")
        .add_corporate_actions(actions)
    )


def version_of(folder: Path) -> Path:
    return current_version(folder.parent, folder.name)


def test_bars_lie_in_one_file_per_month_and_come_back_to_the_bit(preparer: DataPreparer, tmp_path: Path) -> None:
    saved = preparer.validate_and_save(tmp_path / "bars", tmp_path / "context")
    files = sorted(path.relative_to(version_of(tmp_path / "bars")) for path in version_of(tmp_path / "bars").rglob("*"))
    assert [str(file) for file in files if file.suffix] == [
        "asset_data/year=2023/month=12/part.parquet",
        "asset_data/year=2024/month=01/part.parquet",
        "asset_data/year=2024/month=02/part.parquet",
        "corporate_actions.parquet",
        "manifest.json",
        "source_quality.parquet",
        "validation.json",
    ]
    read = read_prepared(tmp_path / "bars", tmp_path / "context")
    for table, frame in saved.tables().items():
        assert_frame_equal(read.tables()[table], frame, check_exact=True)
    assert (read.signals, read.indicators, read.context) == (("p",), ("sma_2",), ("vix",))


def test_a_feed_reads_the_published_folders_by_their_path(preparer: DataPreparer, tmp_path: Path) -> None:
    saved = preparer.validate_and_save(tmp_path / "bars", tmp_path / "context")
    names = {"signal_columns": ["p"], "indicator_columns": ["sma_2"], "context_columns": ["vix"]}
    feed = PolarsDataFeed(tmp_path / "bars", tmp_path / "context", **names)
    memory = PolarsDataFeed(saved.asset_data, saved.context_data, **names)
    assert len(feed) == 4
    for (stamp, batch, context), (their_stamp, their_batch, their_context) in zip(feed, memory, strict=True):
        assert (stamp, context) == (their_stamp, their_context)
        assert_frame_equal(batch, their_batch, check_exact=True)


def test_only_the_current_version_is_read(preparer: DataPreparer, make_bars: Any, tmp_path: Path) -> None:
    preparer.validate_and_save(tmp_path / "bars", tmp_path / "context")
    DataPreparer().add_prices(make_bars(), bar_label="session").validate_and_save(tmp_path / "bars")
    assert collect(scan(tmp_path / "bars")).height == 3
    assert len(list((tmp_path / "bars" / "versions").iterdir())) == 2


def test_a_report_of_what_was_checked_lies_next_to_the_data(preparer: DataPreparer, tmp_path: Path) -> None:
    preparer.validate_and_save(tmp_path / "bars", tmp_path / "context")
    bars = json.loads((version_of(tmp_path / "bars") / "validation.json").read_text())["asset_data"]
    assert (bars["rows"], bars["symbols"], bars["first"][:10], bars["last"][:10]) == (8, 2, "2023-12-29", "2024-02-01")
    assert {"E-KEY-DUP", "E-PX-HILO", "E-SG-TIMING:p"} <= set(bars["rules_kept_by_every_row"])
    # B has no signal at all; the first of two bars has no mean of two, for both symbols.
    assert (bars["nulls"]["p"], bars["nulls"]["sma_2"], bars["nulls"]["close"]) == (4, 2, 0)
    context = json.loads((version_of(tmp_path / "context") / "validation.json").read_text())["context_data"]
    assert (context["rows"], "E-SG-TIMING:vix" in context["rules_kept_by_every_row"]) == (4, True)


def test_the_manifest_names_the_hashes_of_the_sources(preparer: DataPreparer, tmp_path: Path) -> None:
    preparer.validate_and_save(tmp_path / "bars", tmp_path / "context")
    manifests = [read_manifest(version_of(tmp_path / name)) for name in ("bars", "context")]
    assert manifests[0].inputs == manifests[1].inputs
    assert set(manifests[0].inputs) == {"prices", "signals_0", "context_0", "corporate_actions"}
    assert manifests[0].facts["adjustment"] == "none"


def test_bars_and_context_of_different_sources_are_not_read_together(
    preparer: DataPreparer, make_bars: Any, tmp_path: Path
) -> None:
    preparer.validate_and_save(tmp_path / "bars", tmp_path / "context")
    DataPreparer().add_prices(make_bars(), bar_label="session").validate_and_save(tmp_path / "bars")
    with pytest.raises(CorruptDatasetError, match="different sources"):
        read_prepared(tmp_path / "bars", tmp_path / "context")


def test_context_needs_a_folder_of_its_own(preparer: DataPreparer, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"context_output.*vix"):
        preparer.validate_and_save(tmp_path / "bars")
    assert not (tmp_path / "bars" / POINTER).exists()
    preparer.validate_and_save(tmp_path / "bars", tmp_path / "context")
    with pytest.raises(ConfigError, match="vix"):
        read_prepared(tmp_path / "bars")


def test_a_remote_output_is_refused_and_makes_no_folder_of_that_name(
    preparer: DataPreparer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="local folder"):
        preparer.validate_and_save("s3://bucket/bars", tmp_path / "context")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_or_changed_month_is_noticed(preparer: DataPreparer, tmp_path: Path) -> None:
    preparer.validate_and_save(tmp_path / "bars", tmp_path / "context")
    part = version_of(tmp_path / "bars") / "asset_data/year=2024/month=01/part.parquet"
    content = part.read_bytes()
    for damage in (lambda: part.unlink(), lambda: part.write_bytes(content[:-9] + b"x" + content[-8:])):
        damage()
        for read in (lambda: read_prepared(tmp_path / "bars", tmp_path / "context"), lambda: scan(tmp_path / "bars")):
            with pytest.raises(CorruptDatasetError, match="month=01"):
                read()


def test_a_manifest_cannot_lead_out_of_its_version(preparer: DataPreparer, tmp_path: Path) -> None:
    from ml4t_backtest import UnsafePathError
    from ml4t_backtest.data.store.manifest import Manifest

    for file in ("../x.parquet", "x/year=2024/month=01/../part.parquet", "../year=2024/month=01/part.parquet"):
        listed = Manifest("prepared", "0" * 64, {file: {"rows": 1, "sha256": ""}})
        with pytest.raises(UnsafePathError):
            read_table(tmp_path, listed, file.split("/")[0])


def test_the_same_data_saved_twice_is_one_version(preparer: DataPreparer, tmp_path: Path) -> None:
    preparer.validate_and_save(tmp_path / "bars", tmp_path / "context")
    before = version_of(tmp_path / "bars")
    preparer.validate_and_save(tmp_path / "bars", tmp_path / "context")
    assert version_of(tmp_path / "bars") == before


def test_a_higher_compression_level_gives_smaller_files_of_the_same_rows(tmp_path: Path) -> None:
    words = pl.DataFrame({"a": [f"{row % 977} bottles on {row * row % 991} walls" for row in range(50_000)]})
    sizes = []
    for level in (1, 19):
        publish(tmp_path, f"l{level}", {"x": words}, kind="test", layout=Layout(level))
        file = current_version(tmp_path, f"l{level}") / "x.parquet"
        assert_frame_equal(pl.read_parquet(file), words)
        sizes.append(file.stat().st_size)
    assert sizes[1] < sizes[0]


@pytest.mark.parametrize("level", [0, 23, -1])
def test_a_compression_level_that_zstd_does_not_know_is_refused(level: int, preparer: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="1 to 22"):
        preparer.validate_and_save(tmp_path / "bars", tmp_path / "context", compression_level=level)


def test_a_folder_of_several_tables_without_a_main_one_is_not_read_by_path(tmp_path: Path) -> None:
    publish(tmp_path, "d", {"x": pl.DataFrame({"a": [1]}), "y": pl.DataFrame({"a": [2]})}, kind="test")
    with pytest.raises(CorruptDatasetError, match="2 tables"):
        scan(tmp_path / "d")
