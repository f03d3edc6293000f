"""Section F: files and data sets."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from bad_inputs.case import Attempts, Case, Flagged, Found, Holds, Refused
from bad_inputs.children import READ, in_child
from bad_inputs.doors import FEED
from bad_inputs.good import World, daily
from bad_inputs.spoil import accepted, changed, data_case, like, stored
from bad_inputs.timestamps import in_months, in_named_months, in_two
from ml4t_backtest import CorruptDatasetError, DataPreparer, PolarsDataFeed, UnsafePathError
from ml4t_backtest.data.prepared import read_prepared
from ml4t_backtest.data.store.storage import current_version


def _file_case(id: str, defect: str, spoil: Callable[[Path], object], expected: Any) -> Case:
    """Return a case in which the file of the prices is spoiled after it was written."""

    def store(frame: pl.DataFrame, folder: Path) -> Path:
        path = folder / "prices.parquet"
        frame.write_parquet(path)
        spoil(path)
        return path

    return data_case(id, defect, stored("prices", store), expected)


def _folder_case(id: str, defect: str, more: Callable[[Path], object], expected: Any, store: Any = in_months) -> Case:
    """Return a case in which something is added to the folder of the prices, or taken away."""

    def both(frame: pl.DataFrame, folder: Path) -> Path:
        home: Path = store(frame, folder)
        more(home)
        return home

    return data_case(id, defect, stored("prices", both), expected)


def _published_case(id: str, defect: str, spoil: Callable[[Path], object], expected: Any) -> Case:
    """Return a case in which a published data set is spoiled; `spoil` is given the folder of its version."""

    def trial(folder: Path, level: str) -> Attempts:
        paths = _publish(daily(), folder)
        spoil(current_version(folder, "bars"))
        return _readers(paths, level)

    return Case(id, defect, trial, expected)


def _publish(world: World, folder: Path) -> dict[str, Path]:
    paths = world.write(folder)
    preparer = DataPreparer().add_prices(paths["prices"])
    preparer.add_signals(paths["signals"], names=world.declared["signals"]["names"], valid_from="market_close")
    preparer.add_context(paths["context"], names=["vix"], available_at="market_close")
    preparer.validate_and_save(folder / "bars", folder / "slices")
    return {"bars": folder / "bars", "slices": folder / "slices"}


def _readers(paths: Mapping[str, Path], level: str) -> Attempts:
    names: Any = {"signal_columns": ["prediction", "confidence"], "context_columns": ["vix"]}
    return {
        FEED: lambda: list(PolarsDataFeed(paths["bars"], paths["slices"], validation=level, **names)),  # type: ignore[arg-type]
        "read_prepared": lambda: read_prepared(paths["bars"], paths["slices"]),
    }


def _version_alone(folder: Path, level: str) -> Attempts:
    """Try the folder of a version, which holds Parquet files and no manifest."""
    _publish(daily(), folder)
    version = current_version(folder, "bars")
    (version / "manifest.json").unlink()
    return {FEED: lambda: list(PolarsDataFeed(version, validation=level))}  # type: ignore[arg-type]


def flip(position: float) -> Callable[[Path], None]:
    """Return what flips one bit of a file, at a part of its length."""

    def spoil(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[int(len(content) * position)] ^= 0x10
        path.write_bytes(content)

    return spoil


def _first_data_file(version: Path) -> Path:
    return sorted((version / "asset_data").rglob("*.parquet"))[0]


def _footer_only(path: Path) -> None:
    path.write_bytes(path.read_bytes()[-200:])


def _csv(path: Path) -> None:
    daily().tables["prices"].write_csv(path)


def _encrypted(plain_footer: bool) -> Callable[[Path], None]:
    """Return what writes a file encrypted, its footer too or the columns only."""

    def spoil(path: Path) -> None:
        import pyarrow.parquet as pq
        import pyarrow.parquet.encryption as pe

        class Keys(pe.KmsClient):
            def wrap_key(self, key: bytes, master: str) -> bytes:
                return key

            def unwrap_key(self, wrapped: bytes, master: str) -> bytes:
                return wrapped

        config = pe.EncryptionConfiguration(
            footer_key="f", column_keys={"c": ["close"]}, plaintext_footer=plain_footer, double_wrapping=False
        )
        properties = pe.CryptoFactory(lambda _: Keys()).file_encryption_properties(pe.KmsConnectionConfig(), config)
        table = daily().tables["prices"].to_arrow()
        with pq.ParquetWriter(path, table.schema, encryption_properties=properties) as writer:
            writer.write_table(table)

    return spoil


def _strays(home: Path) -> None:
    """Leave behind what killed writers leave behind."""
    month = next(home.rglob("part-0.parquet")).parent
    for name in ("part-2.parquet.tmp", ".part.parquet", "_tmp-3.parquet"):
        (month / name).write_bytes(b"half")


def _strays_in(version: Path) -> None:
    month = _first_data_file(version).parent
    for name in ("part-2.parquet.tmp", ".part.parquet", "_tmp-3.parquet", "part-4.parquet"):
        (month / name).write_bytes(b"half")


def _with_integers(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col("close").round().cast(pl.Int64))


def _numbered(frame: pl.DataFrame, folder: Path) -> Path:
    """Store a table in files whose names sort otherwise than their times: part-1, part-10, part-2."""
    home = folder / "prices"
    home.mkdir()
    for number in range(12):
        frame[number * 31 : (number + 1) * 31].write_parquet(home / f"part-{number + 1}.parquet")
    return home


def _overlapping(frame: pl.DataFrame, folder: Path, store: Any = in_months) -> Path:
    """Store a month's first rows in the file of the month before."""
    home: Path = store(frame, folder)
    january, february = (sorted(home.rglob("*.parquet"))[index] for index in (0, 1))
    first, second = (
        pl.read_parquet(january, hive_partitioning=False),
        pl.read_parquet(february, hive_partitioning=False),
    )
    pl.concat([first, second[:3]]).write_parquet(january)
    second[3:].write_parquet(february)
    return home


def _overlapping_names(frame: pl.DataFrame, folder: Path) -> Path:
    return _overlapping(frame, folder, in_named_months)


def _empty_part(home: Path) -> None:
    some = next(home.rglob("*.parquet"))
    pl.read_parquet(some, hive_partitioning=False).clear().write_parquet(some.with_name("part-9.parquet"))


def _link_to(target: str) -> Callable[[Path], None]:
    def spoil(home: Path) -> None:
        outside = home.parent / "elsewhere.parquet"
        daily().tables["prices"][:3].write_parquet(outside)
        month = next(home.rglob("*.parquet")).parent
        (month / "part-5.parquet").symlink_to(outside if target == "file" else home.parent, target == "folder")

    return spoil


def _path_case(id: str, defect: str, path: Callable[[Path], str], expected: Any) -> Case:
    """Return a case in which another path is given for the prices."""

    def store(frame: pl.DataFrame, folder: Path) -> Path:
        return Path(path(folder))

    return data_case(id, defect, stored("prices", store), expected)


def _emptied(folder: Path) -> str:
    (folder / "nothing").mkdir()
    (folder / "nothing" / "notes.txt").write_text("no data here")
    return str(folder / "nothing")


def _replaced(folder: Path, level: str) -> Attempts:
    """Replace a file between two chunks, by one that has as many rows of each day."""
    path = folder / "prices.parquet"
    prepared = DataPreparer().add_prices(daily().tables["prices"]).prepare().asset_data
    prepared.write_parquet(path, row_group_size=30)

    def read() -> list[float]:
        feed = PolarsDataFeed(path, chunk=10, validation=level)  # type: ignore[arg-type]
        closes: list[float] = []
        for number, (_, rows, _) in enumerate(feed):
            closes += rows["close"].to_list()
            if number == 25:
                other = path.with_suffix(".new")
                prepared.with_columns(pl.col("open", "high", "low", "close") * 2).write_parquet(other)
                os.replace(other, path)
        return closes

    return {FEED: read}


def _child_case(id: str, defect: str, spoil: Callable[[Path], Path], body: str = READ, **demands: Any) -> Case:
    """Return a case that is tried in a process of its own."""
    options = {key: demands.pop(key) for key in ("small_disk", "nobody") if key in demands}

    def trial(folder: Path, level: str) -> Attempts:
        folder.chmod(0o755)
        clean = folder / "clean.parquet"
        daily().tables["prices"].write_parquet(clean)
        path = spoil(folder)
        return {FEED: lambda: in_child(body, clean, path, **options)}

    return Case(id, defect, trial, Holds(lambda told: _as_demanded(told, **demands)))


def _as_demanded(
    told: Mapping[str, Any],
    *,
    says: Sequence[str] = (),
    seconds: float = 10.0,
    megabytes: int = 2_000,
    taken: bool = False,
) -> None:
    assert ("error" not in told) == taken, told
    assert taken or told["family"], told
    assert [part for part in says if part not in told["text"]] == [], told
    assert told["seconds"] < seconds, told
    assert told["megabytes"] < megabytes, told


def _unreadable(folder: Path) -> Path:
    path = folder / "prices.parquet"
    daily().tables["prices"].write_parquet(path)
    path.chmod(0)
    return path


def _unlisted(folder: Path) -> Path:
    home = in_months(daily().tables["prices"], folder)
    (home / "year=2024" / "month=03").chmod(0)
    return home


def _disk(folder: Path) -> Path:
    (folder / "disk").mkdir()
    return folder / "disk"


_FILL = """
import numpy as np

small = pl.read_parquet(sys.argv[1])
DataPreparer().add_prices(small).validate_and_save(f"{path}/bars")
before = PolarsDataFeed(f"{path}/bars")
many = pl.concat([small.with_columns(symbol=pl.col("symbol") + str(n)) for n in range(50)])
noise = np.random.default_rng(0).random((10, many.height))
names = [f"noise_{n}" for n in range(10)]
many = many.with_columns(pl.Series(name, column) for name, column in zip(names, noise))
try:
    DataPreparer().add_prices(many, indicators=names).validate_and_save(f"{path}/bars")
finally:
    assert len(list(PolarsDataFeed(f"{path}/bars"))) == len(before) == 124
    assert not list(__import__("pathlib").Path(path, "bars").glob(".staging-*"))
"""


def _bomb(folder: Path) -> Path:
    """Write a file of some megabytes whose footer counts the rows of one group a thousand times over."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path, footer = folder / "prices.parquet", folder / "footer"
    bars = pl.select(
        timestamp=pl.lit(datetime(2024, 1, 2, 21, tzinfo=UTC)), symbol=pl.lit("A"), **dict.fromkeys(PRICES, pl.lit(1.0))
    )
    table = pa.concat_tables([bars.to_arrow()] * 1).take(pa.array([0] * 1_000_000))
    pq.write_table(table, path, row_group_size=1_000_000, compression="zstd")
    one, group = pq.read_metadata(path), pq.read_metadata(path)
    for _ in range(999):
        one.append_row_groups(group)
    one.write_metadata_file(footer)
    length = int.from_bytes(path.read_bytes()[-8:-4], "little")
    path.write_bytes(path.read_bytes()[: -8 - length] + footer.read_bytes()[4:])
    footer.unlink()
    return path


def _wide(folder: Path) -> Path:
    """Write a file of 4,000 columns, of which seven are used."""
    frame = daily().tables["prices"]
    path = folder / "prices.parquet"
    frame.with_columns(**{f"column_{number}": frame["close"] + number for number in range(4_000)}).write_parquet(path)
    return path


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.parquet")
    return folder / "pipe.parquet"


def _reads_all(told: Any) -> None:
    slices = told if isinstance(told, list) else told.context_data.rows()
    assert len(slices) == daily().tables["context"].height


def _one_batch_each(result: Any) -> None:
    assert result.portfolio_states["timestamp"].is_unique().all()
    assert result.portfolio_states.height == daily().tables["context"].height


PRICES = ("open", "high", "low", "close", "volume")

SINGLE_FILES = [
    _path_case(
        "FL001",
        "no such path",
        lambda folder: str(folder / "nothing.parquet"),
        Refused([Found("E-FL-MISSING", "nothing.parquet")]),
    ),
    _path_case("FL002", "a folder without data", _emptied, Refused([Found("E-DS-EMPTY", "nothing")])),
    _file_case(
        "FL003",
        "a file of no bytes",
        lambda path: path.write_bytes(b""),
        Refused((), CorruptDatasetError, ("empty", "prices.parquet")),
    ),
    _file_case(
        "FL004",
        "the first half of a file",
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        Refused((), CorruptDatasetError, ("footer", "prices.parquet")),
    ),
    _file_case(
        "FL005",
        "a CSV file called .parquet",
        _csv,
        Refused((), CorruptDatasetError, ("looks like CSV", "prices.parquet")),
    ),
    _file_case(
        "FL005b", "the footer of a file only", _footer_only, Refused((), CorruptDatasetError, ("prices.parquet",))
    ),
    _file_case(
        "FL007",
        "a flipped bit in the footer's length",
        flip(0.9999),
        Refused((), CorruptDatasetError, ("prices.parquet",)),
    ),
    _file_case(
        "FL023",
        "an encrypted file",
        _encrypted(plain_footer=False),
        Refused((), CorruptDatasetError, ("encrypted", "prices.parquet")),
    ),
    _file_case(
        "FL023b",
        "a file with an encrypted column",
        _encrypted(plain_footer=True),
        Refused((), CorruptDatasetError, ("encrypted", "prices.parquet")),
    ),
    _child_case(
        "FL024",
        "a file that says it has a thousand million rows",
        _bomb,
        says=("E-FL-BUDGET", "1,000,000,000"),
        seconds=1.0,
        megabytes=200,
    ),
    _child_case("FL027", "a pipe", _pipe, says=("E-FL-KIND", "pipe.parquet")),
    _child_case(
        "FL027b", "a device that never ends", lambda folder: Path("/dev/zero"), says=("E-FL-KIND", "/dev/zero")
    ),
    Case(
        "FL028",
        "a file replaced while it is read",
        _replaced,
        Refused((), CorruptDatasetError, ("prices.parquet", "replaced"), writes="prices"),
    ),
    _child_case(
        "FL029",
        "a file that may not be read",
        _unreadable,
        says=("prices.parquet", "13", "ermission denied"),
        nobody=True,
    ),
    _child_case("FL030", "a full disk", _disk, _FILL, says=("E-FL-NOSPC",), small_disk=True),
    _child_case("FL031", "a file of 4,000 columns", _wide, taken=True, megabytes=2_000),
]

PUBLISHED = [
    _published_case(
        "FL006",
        "a flipped bit in a page of data",
        lambda version: flip(0.3)(_first_data_file(version)),
        Refused((), CorruptDatasetError, ("part.parquet",)),
    ),
    _published_case(
        "FL007b",
        "a flipped bit in a footer",
        lambda version: flip(0.98)(_first_data_file(version)),
        Refused((), CorruptDatasetError, ("part.parquet",)),
    ),
    _published_case(
        "FL008",
        "no manifest",
        lambda version: (version / "manifest.json").unlink(),
        Refused((), CorruptDatasetError, ("manifest.json", "incomplete")),
    ),
    Case(
        "FL008b",
        "a version's own folder, without its manifest",
        _version_alone,
        Refused((), CorruptDatasetError, ("manifest.json", "incomplete")),
    ),
    _published_case(
        "FL009",
        "a listed file is absent",
        lambda version: _first_data_file(version).unlink(),
        Refused((), CorruptDatasetError, ("part.parquet", "incomplete")),
    ),
    _published_case("FL010", "files that are not listed", _strays_in, Holds(_reads_all)),
    _published_case(
        "FL012",
        "what a killed writer left",
        lambda version: (version.parents[1] / ".staging-0123456789abcdef").mkdir(),
        Holds(_reads_all),
    ),
]

FOLDERS = [
    _folder_case(
        "FL010b", "files that some writer has not finished", _strays, Flagged("DQ-STRAY", count=3, like=like())
    ),
    data_case(
        "FL013",
        "whole numbers in one file, fractions in the next",
        stored("prices", in_two(slice(0, 200), slice(200, None), _with_integers)),
        Refused([Found("E-SC-DRIFT", "b.parquet", column="close")], says=("a.parquet", "Int64")),
    ),
    data_case(
        "FL014",
        "a column is missing in the second file",
        stored("prices", in_two(slice(0, 200), slice(200, None), lambda frame: frame.drop("close"))),
        Refused([Found("E-SC-DRIFT", "b.parquet", column="close")], says=("a.parquet",)),
    ),
    data_case(
        "FL015",
        "a column more in the second file",
        stored("prices", in_two(slice(0, 200), slice(200, None), lambda frame: frame.with_columns(vwap=1.0))),
        Flagged("DQ-DRIFT", shows="vwap", like=like()),
    ),
    data_case(
        "FL016",
        "columns in another order in the second file",
        stored("prices", in_two(slice(0, 200), slice(200, None), lambda frame: frame.select(reversed(frame.columns)))),
        accepted(),
    ),
    data_case("FL017", "files part-1, part-10, part-2", stored("prices", _numbered), accepted()),
    data_case(
        "FL019",
        "rows of February in the folder of January",
        stored("prices", _overlapping),
        Refused([Found("E-DS-OVERLAP", "month=01/part-0.parquet", 63, "timestamp", count=3)]),
    ),
    data_case(
        "FL019b",
        "rows of February in the file of January",
        stored("prices", _overlapping_names),
        Refused([Found("E-DS-OVERLAP", "2024-01.parquet", 63, "timestamp", count=3)]),
    ),
    data_case(
        "FL020",
        "the rows of one timestamp in two files",
        stored("prices", in_two(slice(0, 200), slice(200, None))),
        accepted(),
    ),
    data_case(
        "FL020b",
        "the rows of one timestamp in two files are one slice",
        stored("prices", in_two(slice(0, 200), slice(200, None))),
        Holds(_one_batch_each),
    ),
    _folder_case(
        "FL021", "a file without rows among good ones", _empty_part, Flagged("DQ-EMPTY", count=1, like=like())
    ),
    data_case(
        "FL022",
        "a column of lists",
        changed("prices", lambda frame: frame.with_columns(pl.concat_list("close", "open").alias("close"))),
        Refused([Found("E-SC-DTYPE", "prices.parquet", column="close")], says=("List",)),
    ),
    data_case(
        "FL022b",
        "a column of structs",
        changed("prices", lambda frame: frame.with_columns(pl.struct("close", "open").alias("close"))),
        Refused([Found("E-SC-DTYPE", "prices.parquet", column="close")], says=("Struct",)),
    ),
    _folder_case(
        "FL026",
        "a link out of the folder",
        _link_to("file"),
        Refused((), UnsafePathError, ("E-FL-ESCAPE", "part-5.parquet")),
    ),
    _folder_case(
        "FL026b",
        "a link to a folder outside",
        _link_to("folder"),
        Refused((), UnsafePathError, ("E-FL-ESCAPE", "part-5.parquet")),
    ),
]

CASES: list[Case] = [*SINGLE_FILES, *PUBLISHED, *FOLDERS]
