"""Prepared data under the output root: made when something changed, taken as it lies when nothing did."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import one_answer
import polars as pl
import pytest
from click.testing import CliRunner
from one_answer import answer_hash
from polars.testing import assert_frame_equal

from ml4t_backtest import DataValidationError, load_config, run_backtest
from ml4t_backtest.cli import main
from ml4t_backtest.data import provenance, scratch
from ml4t_backtest.data.prepared import PreparedFiles
from ml4t_backtest.dataset_stages import dataset_at_hand, dataset_inputs, prepare_dataset, prepared_dataset
from ml4t_backtest.dataset_stages import files as stage_files

Prepare = Callable[[], PreparedFiles]


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A folder of files with configurations over them."""
    for name, table in one_answer.tables().by_name().items():
        table.write_parquet(tmp_path / f"{name}.parquet")
    one_answer.write_world(tmp_path, strategies=("Brackets", "Momentum"))
    return tmp_path


@pytest.fixture
def prepare(world: Path) -> Prepare:
    return lambda: prepared_dataset(load_config(world / "brackets.yaml").dataset, world / "out")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The price files that were read, one entry each time."""
    files: list[str] = []
    read = stage_files.read_prices

    def counted(source: Any, *arguments: Any, **named: Any) -> Any:
        files.append(Path(source).name)
        return read(source, *arguments, **named)

    monkeypatch.setattr(stage_files, "read_prices", counted)
    return files


def everything_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_an_unchanged_data_set_is_not_prepared_again(prepare: Prepare, reads: list[str]) -> None:
    first, again = prepare(), prepare()
    assert reads == ["prices.parquet"]
    assert again.version == first.version
    assert_frame_equal(again.asset_data, first.asset_data)


def test_what_a_second_strategy_runs_on_is_prepared_once(world: Path, reads: list[str]) -> None:
    """The data set described in each configuration has its own name, and so its own folder; a named one is shared."""
    (world / "datasets").mkdir()
    text = (world / "brackets.yaml").read_text()
    source = text[text.index("  source:\n") : text.index("strategy:")].removeprefix("  source:\n")
    (world / "datasets" / "shared.yaml").write_text(
        source.replace("    frequency", "frequency").replace("\n    ", "\n")
    )
    for name in ("brackets", "momentum"):
        own = (world / f"{name}.yaml").read_text()
        own = own[: own.index("  source:\n")] + "  dataset: shared\n" + own[own.index("strategy:") :]
        (world / f"{name}.yaml").write_text(own)
    for table in one_answer.tables().by_name():
        (world / f"{table}.parquet").rename(world / "datasets" / f"{table}.parquet")
    for file in ("actions.parquet", "members.parquet"):
        (world / file).rename(world / "datasets" / file)
    trades = [
        run_backtest(world / f"{name}.yaml", output_root=world / "out").trades for name in ("brackets", "momentum")
    ]
    assert reads == ["prices.parquet"]
    assert trades[0].height != trades[1].height


@pytest.mark.parametrize("table", ["prices", "daily", "fast", "context", "actions", "members"])
def test_a_changed_source_is_prepared_again(table: str, world: Path, prepare: Prepare, reads: list[str]) -> None:
    before = prepare()
    frame = pl.read_parquet(world / f"{table}.parquet")
    frame.tail(frame.height - 1).write_parquet(world / f"{table}.parquet")
    after = prepare()
    assert len(reads) == 2
    assert after.version != before.version
    assert after.content_hash != before.content_hash


def test_a_changed_value_of_the_same_size_is_noticed_though_the_time_of_the_file_is_the_same(
    world: Path, prepare: Prepare
) -> None:
    before, file = prepare(), world / "prices.parquet"
    stamp, size = file.stat(), file.stat().st_size
    frame = pl.read_parquet(file)
    frame.with_columns(volume=pl.col("volume").reverse()).write_parquet(file, compression="uncompressed")
    frame.write_parquet(world / "same.parquet", compression="uncompressed")
    (world / "same.parquet").replace(file)
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    other = prepare()
    # Other bytes, the same rows: another version, the same content.
    assert size != file.stat().st_size
    assert other.content_hash == before.content_hash
    assert other.manifest.inputs["prices"] != before.manifest.inputs["prices"]


def test_a_changed_configuration_is_prepared_again(world: Path, prepare: Prepare, reads: list[str]) -> None:
    before = prepare()
    text = (world / "brackets.yaml").read_text()
    (world / "brackets.yaml").write_text(text.replace("ema:10", "ema:11"))
    after = prepare()
    assert (len(reads), "ema_10" in before.indicators, "ema_11" in after.indicators) == (2, True, True)


def test_another_code_prepares_again(prepare: Prepare, reads: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    before = prepare()
    monkeypatch.setattr(stage_files, "code_hash", lambda: "another")
    after = prepare()
    assert len(reads) == 2
    assert after.content_hash == before.content_hash


@pytest.mark.parametrize("changed", ["core", "data", "dataset_stages"])
def test_the_code_hash_covers_the_modules_that_prepare(
    changed: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for room in ("core", "data", "dataset_stages"):
        (tmp_path / room).mkdir()
        (tmp_path / room / "a.py").write_text("x = 1\n")
    monkeypatch.setattr(provenance, "_PACKAGE", tmp_path)
    provenance.code_hash.cache_clear()
    before = provenance.code_hash()
    (tmp_path / changed / "a.py").write_text("x = 2\n")
    provenance.code_hash.cache_clear()
    assert provenance.code_hash() != before
    provenance.code_hash.cache_clear()


def test_going_back_to_what_was_before_takes_the_version_of_before(
    world: Path, prepare: Prepare, reads: list[str]
) -> None:
    content = (world / "prices.parquet").read_bytes()
    first = prepare()
    pl.read_parquet(world / "prices.parquet").head(500).write_parquet(world / "prices.parquet")
    assert prepare().version != first.version
    (world / "prices.parquet").write_bytes(content)
    assert prepare().version == first.version
    assert len(reads) == 2


@pytest.mark.parametrize("damage", ["part", "report", "context"])
def test_a_damaged_version_is_prepared_again(damage: str, world: Path, prepare: Prepare, reads: list[str]) -> None:
    before = prepare()
    home = world / "out" / "prepared" / "brackets"
    pattern = {"part": "asset_data/**/asset_data.parquet", "report": "asset_data/**/validation.json"}
    file = next(home.glob(pattern.get(damage, "context_data/**/context_data.parquet")))
    file.write_bytes(file.read_bytes()[:-5] + b"wrong")
    after = prepare()
    assert len(reads) == 2
    assert_frame_equal(after.asset_data, prepare_dataset(load_config(world / "brackets.yaml").dataset).asset_data)
    assert after.version == before.version


def test_many_rows_lie_by_month_and_few_in_one_file(
    world: Path, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = prepare()
    assert [file for file in few.manifest.files if "asset_data" in file] == ["asset_data.parquet"]
    monkeypatch.setattr(scratch, "ROWS_AT_ONCE", 400)
    dataset = load_config(world / "brackets.yaml").dataset
    many = prepared_dataset(dataset, world / "another")
    assert {file.rpartition("/")[0] for file in many.manifest.files if "asset_data" in file} == {
        "asset_data/year=2024/month=01",
        "asset_data/year=2024/month=02",
    }
    # How the rows lie in files is no part of what a version is.
    assert many.version.name == few.version.name


def test_a_source_that_changes_while_it_is_read_publishes_nothing(
    world: Path, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = stage_files.read_context

    def slow(*arguments: Any, **named: Any) -> Any:
        pl.read_parquet(world / "prices.parquet").head(100).write_parquet(world / "prices.parquet")
        return read(*arguments, **named)

    monkeypatch.setattr(stage_files, "read_context", slow)
    with pytest.raises(stage_files.CorruptDatasetError, match="changed while it was read"):
        prepare()
    assert not (world / "out").exists()


def test_the_mistakes_of_all_sources_are_told_at_once_and_nothing_is_written(
    world: Path, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = pl.int_range(pl.len())
    for name, column in (("prices", "close"), ("fast", "spread"), ("context", "fear")):
        frame = pl.read_parquet(world / f"{name}.parquet")
        bad = pl.when(row == 120).then(float("nan")).otherwise(column).alias(column)
        frame.with_columns(bad).write_parquet(world / f"{name}.parquet")
    for at_once in (10_000, 50):
        monkeypatch.setattr(scratch, "ROWS_AT_ONCE", at_once)
        with pytest.raises(DataValidationError) as caught:
            prepare()
        found = [(each.dataset, each.code, each.row, Path(str(each.file)).name) for each in caught.value.violations]
        assert found == [
            ("prices", "E-PX-NAN", 120, "prices.parquet"),
            ("signals", "E-SG-NAN", 120, "fast.parquet"),
            ("context", "E-SG-NAN", 120, "context.parquet"),
        ]
        assert not (world / "out").exists()


def test_a_remote_source_counts_by_its_rows(world: Path, monkeypatch: pytest.MonkeyPatch, reads: list[str]) -> None:
    """Its bytes are not at hand: it is read, and what was made of the same rows is found again."""
    hash_of = stage_files.source_hash
    monkeypatch.setattr(
        stage_files, "source_hash", lambda path, name: None if name == "prices" else hash_of(path, name)
    )
    dataset = load_config(world / "brackets.yaml").dataset
    assert dataset_inputs(dataset) is None
    first, again = prepared_dataset(dataset, world / "out"), prepared_dataset(dataset, world / "out")
    assert len(reads) == 2
    assert again.version == first.version
    pl.read_parquet(world / "prices.parquet").head(900).write_parquet(world / "prices.parquet")
    assert prepared_dataset(dataset, world / "out").version != first.version


def test_data_at_hand_writes_nothing_and_takes_what_lies_there(
    world: Path, prepare: Prepare, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, dataset = everything_below(world), load_config(world / "brackets.yaml").dataset
    hashes = set()
    for at_once in (100, 10_000):
        monkeypatch.setattr(scratch, "ROWS_AT_ONCE", at_once)
        with dataset_at_hand(dataset, world / "out") as prepared:
            hashes.add(prepared.content_hash)
            assert isinstance(prepared, PreparedFiles) == (at_once == 100)
    assert everything_below(world) == before
    assert len(reads) == 2
    hashes.add(prepare().content_hash)
    with dataset_at_hand(dataset, world / "out") as prepared:
        hashes.add(prepared.content_hash)
    assert (len(reads), len(hashes)) == (3, 1)


def test_a_backtest_out_of_core_gives_the_tables_of_one_in_memory(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {answer_hash(run_backtest(world / "brackets.yaml"))}
    monkeypatch.setattr(scratch, "ROWS_AT_ONCE", 150)
    answers.add(answer_hash(run_backtest(world / "brackets.yaml")))
    answers.add(answer_hash(run_backtest(world / "brackets.yaml", output_root=world / "out")))
    assert len(answers) == 1


# --- command line ---------------------------------------------------------------------------------------------------


@pytest.fixture
def cli(world: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run a command in a folder with a data set of its own, `mine`."""
    (world / "configs" / "datasets").mkdir(parents=True)
    (world / "configs" / "datasets" / "mine.yaml").write_text(
        "frequency: 10m\nadjustment: none\nprices: {path: ../../prices.parquet}\nindicators: [rsi]\n"
        "signals: [{path: ../../fast.parquet, names: [fast]}]\n"
    )
    monkeypatch.chdir(world)
    return lambda *arguments: CliRunner().invoke(main, list(arguments))


def test_prepare_says_what_was_prepared_what_was_found_and_where_it_lies(world: Path, cli: Any) -> None:
    ran = cli("prepare", "mine")
    assert ran.exit_code == 0, ran.output
    lines = ran.output.splitlines()
    assert lines[0] == "mine: 939 bars of 5 symbols, 2024-01-26 to 2024-02-02, every row checked"
    # A tenth of the bars of five symbols is missing, and a split is not declared.
    found = {line.split()[1].rstrip(":"): line for line in lines[1:-1]}
    assert set(found) == {"DQ-GAP", "DQ-SPLIT?"}
    assert "in 5 symbols" in found["DQ-GAP"]
    assert "first: CCC 2024-01-30" in found["DQ-SPLIT?"]
    version = Path(lines[-1].removeprefix("prepared  "))
    assert (version / "manifest.json").is_file()
    assert world / ".runs" / "prepared" / "mine" in version.parents
    assert cli("prepare", "configs/datasets/mine.yaml").output == ran.output


def test_prepare_takes_a_path_and_an_output_root(world: Path, cli: Any) -> None:
    ran = cli("prepare", str(world / "configs" / "datasets" / "mine.yaml"), "--output-root", str(world / "else"))
    assert ran.exit_code == 0, ran.output
    assert (world / "else" / "prepared" / "mine" / "asset_data" / "CURRENT").is_file()
    assert not (world / ".runs").exists()


def test_prepare_refuses_bad_data_with_its_row_and_publishes_nothing(world: Path, cli: Any) -> None:
    frame = pl.read_parquet(world / "prices.parquet")
    bad = pl.when(pl.int_range(pl.len()) == 7).then(-1.0).otherwise("volume").alias("volume")
    frame.with_columns(bad).write_parquet(world / "prices.parquet")
    ran = cli("prepare", "mine")
    assert ran.exit_code == 2
    assert "E-PX-NEGVOL" in ran.output
    assert "row 7," in ran.output
    assert not (world / ".runs").exists()


def test_prepare_names_the_data_sets_there_are(cli: Any) -> None:
    ran = cli("prepare", "mien")
    assert ran.exit_code == 2
    assert "mine" in ran.output


def test_run_and_validate_take_what_is_prepared_already(world: Path, cli: Any, reads: list[str]) -> None:
    assert cli("run", str(world / "brackets.yaml")).exit_code == 0
    validated = cli("validate", str(world / "brackets.yaml"))
    assert validated.exit_code == 0, validated.output
    assert "939 bars of 5 symbols" in validated.output
    assert "found   DQ-GAP" in validated.output
    assert cli("run", str(world / "brackets.yaml")).exit_code == 0
    assert reads == ["prices.parquet"]


def test_validate_refuses_what_the_level_of_the_configuration_refuses(world: Path, cli: Any) -> None:
    text = (world / "brackets.yaml").read_text().replace("\nstrategy", "\n  validation: paranoid\nstrategy")
    (world / "brackets.yaml").write_text(text)
    ran = cli("validate", str(world / "brackets.yaml"))
    assert ran.exit_code == 2
    assert "DQ-GAP" in ran.output


def test_prepare_takes_the_configuration_of_a_backtest_for_its_data(world: Path, cli: Any) -> None:
    by_name, by_path = cli("prepare", "brackets"), cli("prepare", str(world / "brackets.yaml"))
    assert by_name.exit_code == 0, by_name.output
    assert by_name.output.startswith("brackets: 939 bars of 5 symbols")
    assert by_path.output == by_name.output
