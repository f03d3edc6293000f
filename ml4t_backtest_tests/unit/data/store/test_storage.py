"""Versioned folders: complete or invisible, checked when read, and never outside their root."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ml4t_backtest import BacktestError, CorruptDatasetError, UnsafePathError
from ml4t_backtest.core.schemas import SCHEMA_VERSION
from ml4t_backtest.data.prepared import PreparedData, publish_prepared, read_prepared
from ml4t_backtest.data.store.manifest import MIGRATIONS
from ml4t_backtest.data.store.storage import (
    MANIFEST,
    POINTER,
    VERSIONS,
    checked_file,
    content_hash,
    current_version,
    is_published,
    publish,
    read_manifest,
    read_table,
    safe_path,
)

UTC_US = pl.Datetime("us", "UTC")

EVERY_DTYPE = pl.DataFrame(
    {
        "timestamp": pl.Series([datetime(2024, 1, 2, 21, tzinfo=UTC), None], dtype=UTC_US),
        "naive": pl.Series([datetime(2024, 1, 2, 21), None], dtype=pl.Datetime("us")),
        "day": pl.Series([date(2024, 1, 2), None], dtype=pl.Date),
        "symbol": ["A", None],
        "side": pl.Series(["long", None], dtype=pl.Enum(["long", "short"])),
        "group": pl.Series(["x", None], dtype=pl.Categorical),
        "price": [10.5, None],
        "odd": [float("nan"), float("-inf")],
        "count": pl.Series([2**53 + 1, None], dtype=pl.Int64),
        "row": pl.Series([1, None], dtype=pl.UInt32),
        "small": pl.Series([1, None], dtype=pl.Int8),
        "flag": [True, None],
        "span": pl.Series([timedelta(days=1), None], dtype=pl.Duration("us")),
        "nothing": pl.Series([None, None], dtype=pl.Null),
        "text": ["\u041c\u0422\u0421\u0421, \n'\"", ""],
    }
)


def one(value: Any = 1, **columns: Any) -> dict[str, pl.DataFrame]:
    return {"x": pl.DataFrame({"a": [value], **columns})}


def read(root: Path, name: str, table: str = "x") -> pl.DataFrame:
    version = current_version(root, name)
    return read_table(version, read_manifest(version), table)


def everything_below(root: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None for path in sorted(root.rglob("*"))
    }


# --- round trip -----------------------------------------------------------------------------------------------------


def test_every_type_of_column_is_read_back_to_the_bit(tmp_path: Path) -> None:
    publish(tmp_path, "d", {"x": EVERY_DTYPE, "empty": EVERY_DTYPE.clear()}, kind="test")
    assert_frame_equal(read(tmp_path, "d"), EVERY_DTYPE, check_exact=True)
    assert_frame_equal(read(tmp_path, "d", "empty"), EVERY_DTYPE.clear(), check_exact=True)
    assert content_hash({"x": read(tmp_path, "d")}) == content_hash({"x": EVERY_DTYPE})


def test_the_manifest_says_what_a_version_holds_and_what_it_was_made_from(tmp_path: Path) -> None:
    tables = {"x": EVERY_DTYPE, "y": EVERY_DTYPE.clear()}
    inputs, facts = {"prices": "abc"}, {"signals": ["p"], "rows": 2}
    made = publish(tmp_path, "d", tables, kind="test", inputs=inputs, facts=facts, attachments={"report.html": b"<p>"})
    version = current_version(tmp_path, "d")
    manifest = read_manifest(version)
    assert (manifest.kind, manifest.inputs, manifest.schema_version) == ("test", inputs, made.schema_version)
    assert {**manifest.facts, **facts} == manifest.facts
    assert {file: entry["rows"] for file, entry in manifest.files.items()} == {
        "x.parquet": 2,
        "y.parquet": 0,
        "report.html": None,
    }
    assert version == tmp_path / "d" / VERSIONS / manifest.content_hash
    assert sorted(path.name for path in version.iterdir()) == ["manifest.json", "report.html", "x.parquet", "y.parquet"]
    assert checked_file(version, manifest, "report.html").read_bytes() == b"<p>"


def test_names_may_have_parts(tmp_path: Path) -> None:
    publish(tmp_path, "runs/2024.demo_1", one(), kind="test")
    assert (tmp_path / "runs" / "2024.demo_1" / POINTER).is_file()
    assert read(tmp_path, "runs/2024.demo_1")["a"].to_list() == [1]
    assert is_published(tmp_path, "runs/2024.demo_1")
    assert not is_published(tmp_path, "runs/other")


def test_nothing_is_stored_as_a_pickle(tmp_path: Path) -> None:
    publish(tmp_path, "d", {"x": EVERY_DTYPE}, kind="test")
    files = [path for path in (tmp_path / "d").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".parquet", ".json", ""}
    assert all(path.read_bytes()[:1] != b"\x80" for path in files)


def test_prepared_data_goes_and_comes_back(prepared: PreparedData, tmp_path: Path) -> None:
    publish_prepared(prepared, tmp_path / "bars", tmp_path / "context", inputs={"prices": "abc"})
    back = read_prepared(tmp_path / "bars", tmp_path / "context")
    for table, frame in prepared.tables().items():
        assert_frame_equal(back.tables()[table], frame, check_exact=True)
    assert (back.signals, back.indicators, back.context) == (("prediction",), ("atr",), ("vix",))


# --- versions -------------------------------------------------------------------------------------------------------


def test_the_same_content_is_the_same_version(tmp_path: Path) -> None:
    publish(tmp_path, "d", one(), kind="test")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "d" / VERSIONS).rglob("*")}
    time.sleep(0.01)
    publish(tmp_path, "d", one(), kind="test")
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "d" / VERSIONS).rglob("*")}
    assert after == before


def test_other_content_is_another_version_and_the_old_one_stays(tmp_path: Path) -> None:
    first = publish(tmp_path, "d", one(1), kind="test")
    old = current_version(tmp_path, "d")
    second = publish(tmp_path, "d", one(2), kind="test")
    assert first.content_hash != second.content_hash
    assert read(tmp_path, "d")["a"].to_list() == [2]
    assert read_table(old, read_manifest(old), "x")["a"].to_list() == [1]
    publish(tmp_path, "d", one(1), kind="test")
    assert current_version(tmp_path, "d") == old


def test_the_pointer_holds_the_versions_name_only(tmp_path: Path) -> None:
    made = publish(tmp_path, "d", one(), kind="test")
    assert (tmp_path / "d" / POINTER).read_text().strip() == made.content_hash


@pytest.mark.parametrize(
    "changed",
    [
        {"kind": "other"},
        {"inputs": {"prices": "abc"}},
        {"facts": {"signals": ["p"]}},
        {"attachments": {"note.txt": b"x"}},
    ],
)
def test_what_publish_returns_is_what_a_reader_finds(changed: dict[str, Any], tmp_path: Path) -> None:
    publish(tmp_path, "d", one(), kind="test")
    made = publish(tmp_path, "d", one(), **{"kind": "test", **changed})
    assert read_manifest(current_version(tmp_path, "d")) == made


def test_nothing_is_left_over_after_publishing(tmp_path: Path) -> None:
    publish(tmp_path, "d", one(), kind="test")
    publish(tmp_path, "d", one(), kind="test")
    assert sorted(path.name for path in (tmp_path / "d").iterdir()) == [POINTER, VERSIONS]
    assert len(list((tmp_path / "d" / VERSIONS).iterdir())) == 1


def test_a_damaged_version_is_repaired_by_publishing_it_again(tmp_path: Path) -> None:
    publish(tmp_path, "d", one(), kind="test")
    (current_version(tmp_path, "d") / "x.parquet").write_bytes(b"broken")
    publish(tmp_path, "d", one(), kind="test")
    assert read(tmp_path, "d")["a"].to_list() == [1]


def test_a_reader_keeps_the_version_it_resolved(tmp_path: Path) -> None:
    publish(tmp_path, "d", one(1), kind="test")
    version = current_version(tmp_path, "d")
    manifest = read_manifest(version)
    publish(tmp_path, "d", one(2), kind="test")
    assert read_table(version, manifest, "x")["a"].to_list() == [1]


# --- damage ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """Return the folder of a published version with the tables x and y."""
    publish(tmp_path, "d", {"x": pl.DataFrame({"a": list(range(1000))}), "y": pl.DataFrame({"b": [1]})}, kind="test")
    return current_version(tmp_path, "d")


def test_nothing_published_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(CorruptDatasetError, match="nothing is published as 'd'"):
        current_version(tmp_path, "d")


def test_what_is_not_there_is_told_with_what_is(tmp_path: Path) -> None:
    """Whatever else lies there, of whatever name, is passed over."""
    for name in (".hidden", "no data set", "con"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").write_text("")
    publish(tmp_path, "mine", one(), kind="test")
    with pytest.raises(CorruptDatasetError, match=r"materialize or run it first\. There are: mine$"):
        current_version(tmp_path, "d")


@pytest.mark.parametrize("position", [0, 4, 40, -5, -40])
def test_one_flipped_bit_is_found(position: int, version: Path) -> None:
    content = bytearray((version / "x.parquet").read_bytes())
    content[position] ^= 1
    (version / "x.parquet").write_bytes(content)
    with pytest.raises(CorruptDatasetError, match=r"x\.parquet"):
        read_table(version, read_manifest(version), "x")
    assert read_table(version, read_manifest(version), "y")["b"].to_list() == [1]


@pytest.mark.parametrize("content", [b"", b"PAR1", b"a,b\n1,2\n"])
def test_a_replaced_file_is_found(content: bytes, version: Path) -> None:
    (version / "x.parquet").write_bytes(content)
    with pytest.raises(CorruptDatasetError, match=r"x\.parquet"):
        read_table(version, read_manifest(version), "x")


def test_an_absent_file_is_named(version: Path) -> None:
    (version / "x.parquet").unlink()
    with pytest.raises(CorruptDatasetError, match=r"x\.parquet.*absent"):
        read_table(version, read_manifest(version), "x")


def test_a_file_that_is_not_listed_is_not_read(version: Path) -> None:
    pl.DataFrame({"a": [1]}).write_parquet(version / "z.parquet")
    with pytest.raises(CorruptDatasetError, match=r"z\.parquet.*x\.parquet, y\.parquet"):
        read_table(version, read_manifest(version), "z")


@pytest.mark.parametrize("table", ["../../../outside", "/etc/passwd", "..", ""])
def test_a_table_outside_the_version_is_not_read(table: str, version: Path) -> None:
    with pytest.raises(BacktestError):
        read_table(version, read_manifest(version), table)


def test_a_version_without_manifest_is_incomplete(version: Path, tmp_path: Path) -> None:
    (version / MANIFEST).unlink()
    with pytest.raises(CorruptDatasetError, match="incomplete"):
        read(tmp_path, "d")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"1",
        b"{}",
        b"\xff\xfe",
        b"\x00" * 100,
        b'{"kind": 1, "content_hash": 2, "files": 3}',
        b'{"kind": "test", "content_hash": "x", "files": {"x.parquet": {}}}',
        b'{"kind": "test", "content_hash": "x", "files": {"x.parquet": {"rows": 1, "sha256": 5}}}',
        b'{"kind": "test", "content_hash": "x", "files": {}, "colour": "red"}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_manifest_is_corrupt_in_this_packages_words(text: bytes, version: Path, tmp_path: Path) -> None:
    (version / MANIFEST).write_bytes(text)
    with pytest.raises(CorruptDatasetError):
        read(tmp_path, "d")


@pytest.mark.parametrize(
    ("key", "value"),
    [("content_hash", "0" * 64), ("schema_version", 99), ("schema_version", 0), ("schema_version", "1")],
)
def test_a_manifest_that_belongs_elsewhere_is_refused(key: str, value: Any, version: Path, tmp_path: Path) -> None:
    content = json.loads((version / MANIFEST).read_text())
    (version / MANIFEST).write_text(json.dumps({**content, key: value}))
    with pytest.raises(CorruptDatasetError):
        read(tmp_path, "d")


@pytest.mark.parametrize(
    "pointer", [b"", b"\n", b"../../../etc", b"/etc", b"\xff\xfe", b"a\x00b", b"0" * 64, b"x" * 5000]
)
def test_a_damaged_pointer_is_corrupt_in_this_packages_words(pointer: bytes, version: Path, tmp_path: Path) -> None:
    (tmp_path / "d" / POINTER).write_bytes(pointer)
    with pytest.raises(CorruptDatasetError):
        read(tmp_path, "d")


def test_a_lost_pointer_hides_the_data_set_until_it_is_published_again(version: Path, tmp_path: Path) -> None:
    (tmp_path / "d" / POINTER).unlink()
    assert not is_published(tmp_path, "d")
    publish(tmp_path, "d", {"x": pl.DataFrame({"a": [5]})}, kind="test")
    assert read(tmp_path, "d")["a"].to_list() == [5]


def test_leftovers_of_a_killed_writer_are_not_read(version: Path, tmp_path: Path) -> None:
    (tmp_path / "d" / ".staging-old").mkdir()
    (tmp_path / "d" / ".staging-old" / "x.parquet").write_bytes(b"half")
    (tmp_path / "d" / VERSIONS / "half").mkdir()
    (version / "x.parquet.tmp").write_bytes(b"half")
    assert read(tmp_path, "d").height == 1000


# --- names ----------------------------------------------------------------------------------------------------------

HOSTILE = [
    "",
    ".",
    "..",
    "...",
    "../x",
    "../../x",
    "/etc/x",
    "//x",
    "x/../../y",
    "x//y",
    "x/",
    "/",
    "x/..",
    "./x",
    "~",
    "~root/x",
    "x\\..\\y",
    "\\\\server\\share",
    "C:\\x",
    "C:x",
    "x:stream",
    "x\0y",
    "x\ny",
    "x\ty",
    " x",
    "x ",
    "x.",
    "x..",
    ".hidden",
    "-rf",
    "_x",
    "CON",
    "con",
    "con.txt",
    "NUL",
    "aux.parquet",
    "COM1",
    "lpt9.x",
    "x" * 65,
    "x" * 300,
    "x/" * 200,
    "\u041c\u0422\u0421\u0421",
    "\u202ex",
    "x\u200b",
    "\uff58",
    "x\u2044y",
    "x%2f..%2fy",
    "x*",
    "x?",
    "x|y",
    "x<y",
    "x>y",
    'x"y',
    "x;y",
    "x&y",
    "$HOME",
    "`id`",
    "x\r",
    "\x7f",
    "🙂",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_writes_nothing_anywhere(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "a" / "b" / "root"
    root.mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a")
    before = everything_below(tmp_path)
    with pytest.raises(UnsafePathError):
        publish(root, name, one(), kind="test")
    with pytest.raises(UnsafePathError):
        current_version(root, name)
    assert everything_below(tmp_path) == before


@pytest.mark.parametrize("name", [name for name in HOSTILE if name not in ("", ".hidden", "_x")])
def test_a_hostile_table_or_attachment_writes_nothing_outside_the_data_set(name: str, tmp_path: Path) -> None:
    root = tmp_path / "a" / "top"
    root.mkdir(parents=True)
    publish(root, "d", one(), kind="test")
    before = everything_below(tmp_path)
    attempts: list[dict[str, Any]] = [{"attachments": {name: b"x"}}, {"attachments": {f"{name}/x": b"x"}}]
    for attempt in attempts:
        with pytest.raises(UnsafePathError):
            publish(root, "d", one(2), kind="test", **attempt)
    try:
        publish(root, "d", {name: one(2)["x"]}, kind="test")
    except UnsafePathError:
        assert everything_below(tmp_path) == before
    outside = {path for path in everything_below(tmp_path) if not path.startswith("a/top/d")}
    assert outside == {"a", "a/top"}


@pytest.mark.parametrize("name", ["a", "A1", "2024-01-02", "us_tech_daily", "a.b-c_d", "x" * 64, "console", "nullable"])
def test_an_honest_name_is_a_path_below_its_root(name: str, tmp_path: Path) -> None:
    assert safe_path(tmp_path, name) == tmp_path / name
    assert safe_path(tmp_path, "runs", name) == tmp_path / "runs" / name
    with pytest.raises(UnsafePathError):
        safe_path(tmp_path, name, "..")


def test_a_hostile_name_is_shown_cut_and_escaped() -> None:
    with pytest.raises(UnsafePathError) as caught:
        safe_path("root", "\x1b[2J" + "x" * 10_000)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("word", [POINTER, VERSIONS])
def test_the_words_of_the_layout_are_no_data_sets(word: str, tmp_path: Path) -> None:
    with pytest.raises(UnsafePathError):
        publish(tmp_path, f"d/{word}", one(), kind="test")
    publish(tmp_path, "d", one(), kind="test")
    assert read(tmp_path, "d")["a"].to_list() == [1]


@pytest.mark.parametrize("file", [MANIFEST, "x.parquet"])
def test_an_attachment_may_not_replace_a_file_of_the_version(file: str, tmp_path: Path) -> None:
    with pytest.raises(BacktestError):
        publish(tmp_path, "d", one(), kind="test", attachments={file: b"{}"})
    assert not is_published(tmp_path, "d")


# --- content hash ---------------------------------------------------------------------------------------------------

_VALUES: dict[Any, st.SearchStrategy[Any]] = {
    pl.Float64: st.floats(allow_nan=False),
    pl.Int64: st.integers(-(2**63), 2**63 - 1),
    pl.String: st.text(max_size=5),
    pl.Boolean: st.booleans(),
    pl.Date: st.dates(date(1970, 1, 1), date(2100, 1, 1)),
    UTC_US: st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
}
_NAMES = st.text("abc:=0", min_size=1, max_size=4)


@st.composite
def tables(draw: st.DrawFn) -> pl.DataFrame:
    """A table of one to three columns of the types in use, with nulls, and zero to six rows."""
    names = draw(st.lists(_NAMES, unique=True, min_size=1, max_size=3))
    rows = draw(st.integers(0, 6))
    columns = []
    for name in names:
        dtype = draw(st.sampled_from(list(_VALUES)))
        columns.append(pl.Series(name, draw(st.lists(st.none() | _VALUES[dtype], min_size=rows, max_size=rows)), dtype))
    return pl.DataFrame(columns)


def hash_of(frame: pl.DataFrame, name: str = "x") -> str:
    return content_hash({name: frame})


@settings(max_examples=120, deadline=None, derandomize=True, database=None)
@given(tables(), st.integers(0, 6))
def test_the_same_rows_hash_alike_however_they_lie_in_memory(frame: pl.DataFrame, cut: int) -> None:
    expected = hash_of(frame)
    chunked = pl.concat([frame[:cut], frame[cut:]], rechunk=False)
    sliced = pl.concat([frame, frame, frame])[frame.height : 2 * frame.height]
    via_arrow = pl.from_arrow(frame.to_arrow())
    filtered = pl.concat([frame, frame]).filter(pl.int_range(pl.len()) < frame.height)
    for other in (chunked, sliced, via_arrow, filtered, frame.clone().rechunk()):
        assert isinstance(other, pl.DataFrame)
        assert hash_of(other) == expected


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(tables(), tables())
def test_different_tables_hash_differently(first: pl.DataFrame, second: pl.DataFrame) -> None:
    def bits(frame: pl.DataFrame) -> list[Any]:
        # 0.0 and -0.0 are different bits though equal numbers.
        return [(column.name, column.dtype, [repr(value) for value in column]) for column in frame.get_columns()]

    assert (hash_of(first) == hash_of(second)) == (bits(first) == bits(second))


@settings(max_examples=120, deadline=None, derandomize=True, database=None)
@given(tables(), st.data())
def test_any_single_change_changes_the_hash(frame: pl.DataFrame, data: st.DataObject) -> None:
    column = frame.to_series(data.draw(st.integers(0, frame.width - 1)))
    changed = [
        frame.rename({column.name: column.name + "x"}),
        frame.with_columns(pl.lit(1).alias("another")),
        frame.clear() if frame.height else pl.concat([frame, frame.clear(1)]),
    ]
    if frame.height:
        row = data.draw(st.integers(0, frame.height - 1))
        here = pl.int_range(pl.len()) == row
        if column[row] is not None:
            changed.append(frame.with_columns(pl.when(~here).then(pl.col([column.name])).name.keep()))
        value = data.draw(_VALUES[column.dtype])
        if column[row] is None or repr(value) != repr(column[row]):
            values = [*column[:row], value, *column[row + 1 :]]
            changed.append(frame.with_columns(pl.Series(column.name, values, column.dtype)))
    for other in changed:
        assert hash_of(other) != hash_of(frame)


def test_text_counts_by_value_however_it_is_stored() -> None:
    text = pl.DataFrame({"symbol": ["B", "A", None, "B", ""]})
    categories = text.with_columns(pl.col("symbol").cast(pl.Categorical))
    enum = text.with_columns(pl.col("symbol").cast(pl.Enum(["", "A", "B", "C"])))
    other_enum = text.with_columns(pl.col("symbol").cast(pl.Enum(["C", "B", "A", ""])))
    assert hash_of(categories) == hash_of(enum) == hash_of(other_enum) == hash_of(text)
    assert hash_of(text.reverse()) != hash_of(text)
    assert hash_of(text.clear()) == hash_of(categories.clear()) == hash_of(enum.clear())


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (pl.DataFrame({"a": ["ab", "c"]}), pl.DataFrame({"a": ["a", "bc"]})),
        (pl.DataFrame({"a": ["", None]}), pl.DataFrame({"a": [None, ""]})),
        (pl.DataFrame({"a": [0, None]}), pl.DataFrame({"a": [None, 0]})),
        (pl.DataFrame({"a": [1]}), pl.DataFrame({"a": [1.0]})),
        (pl.DataFrame({"a": [1]}), pl.DataFrame({"a": [True]})),
        (pl.DataFrame({"a": [1]}), pl.DataFrame({"a": [1]}, schema={"a": pl.Int32})),
        (pl.DataFrame({"a": [1], "b": [2]}), pl.DataFrame({"b": [2], "a": [1]})),
        (pl.DataFrame({"a": [0.0]}), pl.DataFrame({"a": [-0.0]})),
        (pl.DataFrame({"a": [1.0]}), pl.DataFrame({"a": [1.0 + 2**-52]})),
        (pl.DataFrame({"a": [float("nan")]}), pl.DataFrame({"a": [None]}, schema={"a": pl.Float64})),
        (
            pl.DataFrame({"a": [datetime(2024, 1, 2)]}),
            pl.DataFrame({"a": [datetime(2024, 1, 2, tzinfo=UTC)]}, schema={"a": UTC_US}),
        ),
        (
            pl.DataFrame(schema={"a": pl.Int64, "b": pl.Int64}),
            pl.DataFrame(schema={"a:Int64b": pl.Int64}),
        ),
    ],
)
def test_tables_that_differ_a_little_hash_differently(first: pl.DataFrame, second: pl.DataFrame) -> None:
    assert hash_of(first) != hash_of(second)


def test_the_names_and_the_number_of_tables_count() -> None:
    frame = pl.DataFrame({"a": [1]})
    hashes = {
        content_hash({"x": frame}),
        content_hash({"y": frame}),
        content_hash({"x": frame, "y": frame}),
        content_hash({"x": frame, "y": frame.clear()}),
        content_hash({}),
    }
    assert len(hashes) == 5
    assert content_hash({"y": frame.clear(), "x": frame}) == content_hash({"x": frame, "y": frame.clear()})


def test_the_hash_of_a_table_does_not_depend_on_the_process(tmp_path: Path) -> None:
    EVERY_DTYPE.write_parquet(tmp_path / "x.parquet")
    code = (
        "import sys, polars as pl\n"
        "from ml4t_backtest.data.store.storage import content_hash\n"
        "print(content_hash({'x': pl.read_parquet(sys.argv[1])}))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "POLARS_MAX_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "x.parquet")],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == hash_of(EVERY_DTYPE)


@pytest.mark.parametrize("values", [[[1]], [b"x"], [{"a": [1]}]])
def test_a_column_of_a_type_that_is_not_stored_is_refused_in_this_packages_words(values: Any, tmp_path: Path) -> None:
    publish(tmp_path, "d", one(), kind="test")
    try:
        publish(tmp_path, "d", {"x": pl.DataFrame({"a": values})}, kind="test")
    except BacktestError:
        assert read(tmp_path, "d")["a"].to_list() == [1]
        return
    assert read(tmp_path, "d")["a"].to_list() == values


# --- killed and full ------------------------------------------------------------------------------------------------

# A process that has everything imported and forks a writer for each line it reads: a start costs milliseconds.
_NURSERY = """
import os, signal, sys
import polars as pl
from ml4t_backtest.data.store.storage import publish

def write(root, first, nursery):
    number = first
    while os.getppid() == nursery:  # else the tests were stopped
        tables = {name: pl.DataFrame({"n": [number] * 20_000, "row": range(20_000)}) for name in ("x", "y")}
        publish(root, "d", tables, kind="test", facts={"number": number})
        number += 1
    os._exit(0)

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
nursery = os.getpid()
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        write(sys.argv[1], int(line), nursery)
    print(child, flush=True)
"""


class Nursery:
    """Starts writers that publish the versions `first`, `first` + 1, ... of data set d, and kills them."""

    def __init__(self, root: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", _NURSERY, str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "POLARS_MAX_THREADS": "1"},
        )
        self._writers: set[int] = set()

    def start(self, first: int) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{first}\n")
        self._process.stdin.flush()
        writer = int(self._process.stdout.readline())
        self._writers.add(writer)
        return writer

    def kill(self, writer: int) -> None:
        assert is_alive(writer), "the writer ended by itself"
        os.kill(writer, signal.SIGKILL)
        while is_alive(writer):
            time.sleep(0.001)
        self._writers.remove(writer)

    def close(self) -> None:
        for writer in list(self._writers):
            if is_alive(writer):
                self.kill(writer)
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    """Return what starts and kills writers; version 0 of d is published."""
    tables = {name: pl.DataFrame({"n": [0] * 20_000, "row": range(20_000)}) for name in ("x", "y")}
    publish(tmp_path, "d", tables, kind="test", facts={"number": 0})
    started = Nursery(tmp_path)
    yield started
    started.close()


def _complete_number(root: Path) -> int:
    """Read the current version as a user would and return its number; a mix of versions fails."""
    version = current_version(root, "d")
    manifest = read_manifest(version)
    numbers = [read_table(version, manifest, table)["n"].unique().to_list() for table in ("x", "y")]
    assert numbers == [[manifest.facts["number"]]] * 2
    return int(manifest.facts["number"])


def test_a_writer_killed_at_any_moment_leaves_a_complete_version(tmp_path: Path, nursery: Nursery) -> None:
    chance = random.Random(20240102)
    reached = 0
    for kill in range(15):
        writer = nursery.start(1_000 * (kill + 1))
        until = time.monotonic() + chance.uniform(0.0, 0.3)
        while time.monotonic() < until:
            assert _complete_number(tmp_path) >= reached  # while it writes
        nursery.kill(writer)
        number = _complete_number(tmp_path)  # after it died
        assert number >= reached
        reached = number
    assert reached > 1_000  # several writers got somewhere
    publish(tmp_path, "d", one(), kind="test")
    assert read(tmp_path, "d")["a"].to_list() == [1]


def test_two_writers_at_once_leave_a_complete_version(tmp_path: Path, nursery: Nursery) -> None:
    writers = [nursery.start(1), nursery.start(1)]  # they publish the same versions in the same order
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        _complete_number(tmp_path)
    for writer in writers:
        nursery.kill(writer)
    assert _complete_number(tmp_path) > 0


@pytest.mark.parametrize("step", range(6))
def test_a_writer_that_overtakes_another_one_is_not_undone(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the given step of a slow writer a fast one publishes the same content; from then on it can be read."""
    publish(tmp_path, "d", one(1), kind="test")
    done: list[str] = []
    inside = False

    def watched(name: str, function: Any) -> Any:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            nonlocal inside
            if inside:
                return function(*args, **kwargs)
            if len(done) == step:
                inside = True
                publish(tmp_path, "d", one(2), kind="test")
                inside = False
            outcome = function(*args, **kwargs)
            done.append(name)
            if len(done) > step:
                assert read(tmp_path, "d")["a"].to_list() == [2], f"after {done}"
            return outcome

        return wrapper

    for module, name in ((os, "replace"), (os, "rename"), (shutil, "rmtree")):
        monkeypatch.setattr(module, name, watched(name, getattr(module, name)))
    publish(tmp_path, "d", one(2), kind="test")
    monkeypatch.undo()
    assert read(tmp_path, "d")["a"].to_list() == [2]


_FULL = """
import resource, signal, sys
import polars as pl
from ml4t_backtest import BacktestError
from ml4t_backtest.data.store.storage import publish

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
big = pl.DataFrame({"a": range(200_000)}).with_columns(b=pl.col("a").hash(1))
try:
    publish(sys.argv[1], "d", {"x": big}, kind="test")
except BacktestError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("limit", [0, 10, 100, 50_000])
def test_a_write_that_fails_leaves_the_old_version(limit: int, tmp_path: Path) -> None:
    """No file may grow beyond `limit` bytes: like a full disk, and it stops root too."""
    publish(tmp_path, "d", one(), kind="test")
    before = everything_below(tmp_path)
    run = subprocess.run(
        [sys.executable, "-c", _FULL, str(tmp_path), str(limit)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "unchanged" in run.stdout
    assert read(tmp_path, "d")["a"].to_list() == [1]
    assert everything_below(tmp_path) == before


def test_a_root_that_is_a_file_is_refused_in_this_packages_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(BacktestError):
        publish(tmp_path / "file", "d", one(), kind="test")
    assert (tmp_path / "file").read_text() == "x"


_SMALL_DISK = """
mount -t tmpfs -o size=1m tmpfs "$2" || exit 77
exec "$1" -c "$3" "$2"
"""
_FILL = """
import sys
from pathlib import Path
import polars as pl
from ml4t_backtest import BacktestError
from ml4t_backtest.data.store.storage import current_version, publish, read_manifest, read_table

root = Path(sys.argv[1])
publish(root, "d", {"x": pl.DataFrame({"a": [1]})}, kind="test")
before = sorted(path for path in root.rglob("*"))
try:
    publish(root, "d", {"x": pl.DataFrame({"a": range(500_000)}).with_columns(b=pl.col("a").hash(1))}, kind="test")
except BacktestError as error:
    print(error)
assert sorted(path for path in root.rglob("*")) == before
version = current_version(root, "d")
assert read_table(version, read_manifest(version), "x")["a"].to_list() == [1]
"""


def test_a_full_disk_is_called_so_and_leaves_the_old_version(tmp_path: Path) -> None:
    """A disk of one megabyte, mounted where only this test's process sees it."""
    command = ["unshare", "-m", "sh", "-c", _SMALL_DISK, "sh", sys.executable, str(tmp_path), _FILL]
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("unshare is not there: no disk can be mounted for this test alone")
    if run.returncode == 77 or "unshare:" in run.stderr:
        pytest.skip("no disk can be mounted here")
    assert run.returncode == 0, run.stderr
    assert "E-FL-NOSPC" in run.stdout


@pytest.mark.parametrize(
    ("found", "said"),
    [(1, "migration 1-to-2"), (99, "a later version of ml4t_backtest wrote it; upgrade the package")],
)
def test_another_schema_version_is_refused_by_the_name_of_what_lies_between(
    found: int, said: str, version: Path, tmp_path: Path
) -> None:
    content = json.loads((version / MANIFEST).read_text())
    (version / MANIFEST).write_text(json.dumps({**content, "schema_version": found}))
    with pytest.raises(CorruptDatasetError, match=said):
        read(tmp_path, "d")


def test_every_schema_version_before_this_one_has_a_migration() -> None:
    assert sorted(MIGRATIONS) == list(range(1, SCHEMA_VERSION))
