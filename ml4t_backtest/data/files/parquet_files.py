"""Parquet files on disk as one lazy frame: a file, a folder or a glob, hive-partitioned or not.

Hive keys are the `key=value` folders above a file. They are text: otherwise `symbol=0700` becomes the number 700.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath
from urllib.parse import unquote

import polars as pl

from ml4t_backtest.data.files.folder_files import files_in
from ml4t_backtest.errors import CorruptDatasetError, DataValidationError, Violation

_PICKLE = b"\x80"
_NULL_KEY = "__HIVE_DEFAULT_PARTITION__"
_TEXTS = (pl.String, pl.Categorical, pl.Enum)
_SHOWN = 200
# A file that unpacks to so many bytes, and to so many times its size, is no data.
_BUDGET, _MOST_PACKED = 2**30, 500
_BYTES_PER_VALUE = 8

Keys = Mapping[str, str]
Shape = Mapping[str, pl.DataType]


@contextmanager
def reading(file: str | Path | None) -> Iterator[None]:
    """Turn what Polars and the system raise while rows are read into this package's error.

    Raises:
        CorruptDatasetError: Something was raised.
    """
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise CorruptDatasetError(f"{file or 'the data'} cannot be read{_looks_like(file)}: {lines[0]}") from error


def scan_files(path: str, dataset: str) -> pl.LazyFrame:
    """Return the rows of a file, of all Parquet files of a folder, or of those a glob matches; see `files_of`."""
    return scan_parquet_files(files_of(path, dataset, (".parquet",)), dataset)


def scan_parquet_files(files: Sequence[Path], dataset: str) -> pl.LazyFrame:
    """Return the rows of files, by the names of their columns.

    Args:
        files: At least one.
        dataset: What they are, for messages.

    Raises:
        DataValidationError: A column differs between files, or a hive key contradicts the column of that name inside
            the file.
        CorruptDatasetError: A file is no readable Parquet file.
    """
    shapes = shapes_of(files, dataset)
    _refuse_drift(shapes, dataset)
    _refuse_bombs(shapes, dataset)
    scans = [_scan_alike(alike, hive_keys(alike[0])) for alike in _alike(shapes)]
    # Files may differ in how they store text and in columns that only some have.
    names = [_as_text(name, dtype) for name, dtype in next(iter(shapes.values())).items()]
    return scans[0] if len(scans) == 1 else pl.concat([scan.select(names) for scan in scans])


def shapes_of(files: Sequence[Path], dataset: str) -> dict[Path, Shape]:
    """Return the columns of each file with those its folders give it; errors as for `scan_parquet_files`."""
    return {file: _shape(file, hive_keys(file), dataset) for file in files}


def in_order_of_rows(files: Sequence[Path], dataset: str) -> list[Path]:
    """Return files in the order in which `scan_parquet_files` gives their rows."""
    return [file for alike in _alike(shapes_of(files, dataset)) for file in alike]


def height_of(file: Path) -> int:
    """Return the number of rows that the footer of a file says it has.

    Raises:
        CorruptDatasetError: It is no readable Parquet file.
    """
    with reading(file):
        return int(plain_scan(file).select(pl.len()).collect(engine="in-memory").item())


def _alike(shapes: Mapping[Path, Shape]) -> list[list[Path]]:
    """Return the files by their columns, so that each group can be read at once."""
    alike: dict[frozenset[tuple[str, pl.DataType]], list[Path]] = {}
    for file, shape in shapes.items():
        alike.setdefault(frozenset(shape.items()), []).append(file)
    return list(alike.values())


def _scan_alike(files: list[Path], keys: Keys) -> pl.LazyFrame:
    texts = {key: pl.String() for key in keys}
    return pl.scan_parquet(files, glob=False, hive_partitioning=bool(keys), hive_schema=texts or None)


def files_of(path: str, dataset: str, endings: Sequence[str]) -> list[Path]:
    """Return a file, all files of a folder that have one of the endings, or those that a glob matches, sorted.

    Args:
        path: A name that exists is taken as it is, whatever letters it has; otherwise it may be a glob.
        dataset: What it is, for messages.
        endings: Endings of the files of a folder.

    Raises:
        DataValidationError: There is no such file.
    """
    try:
        local = Path(path).expanduser().absolute()
        exists, is_folder, is_file = local.exists(), local.is_dir(), local.is_file()
    except (OSError, RuntimeError, ValueError) as error:
        raise _no_file("E-FL-MISSING", dataset, path, f"the path cannot be looked up ({_reason(error)})") from error
    if is_folder:
        kind = "Parquet" if ".parquet" in endings else endings[0]
        inside = list(files_in(local, endings).files)
        return inside or _empty(dataset, str(local), f"the folder holds no {kind} file")
    if is_file:
        return [local]
    if exists:
        raise _no_file("E-FL-KIND", dataset, str(local), "the path is neither a file nor a folder")
    if any(letter in path for letter in "*?["):
        matches = (Path(match) for match in sorted(glob.glob(str(local), recursive=True)))
        return [match for match in matches if match.is_file()] or _empty(dataset, path, "no file matches the pattern")
    raise _no_file("E-FL-MISSING", dataset, str(local), "the file does not exist")


def hive_keys(file: PurePath) -> dict[str, str]:
    """Return the `key=value` folders above a file."""
    parts = [part.split("=") for part in file.parts[:-1]]
    return {pair[0]: unquote(pair[1]) for pair in parts if len(pair) == 2}


def _shape(file: Path, keys: Keys, dataset: str) -> Shape:
    """Return the columns of a file with those its folders give it."""
    with reading(file):
        inside = plain_scan(file).collect_schema()
        contradicted = [key for key in keys if key in inside and not _agrees(file, key, keys[key], inside[key])]
    if contradicted:
        raise DataValidationError(
            [
                Violation(
                    "E-SC-HIVECONFLICT",
                    dataset,
                    f"column {key!r} inside the file is not {keys[key]!r}, as its folder says",
                    file=str(file),
                    column=key,
                    hint="move the file or repair the column",
                )
                for key in contradicted
            ]
        )
    return {**inside, **dict.fromkeys(keys, pl.String())}


def _agrees(file: Path, key: str, value: str, dtype: pl.DataType) -> bool:
    told = pl.lit(None if value == _NULL_KEY else value, dtype=pl.String)
    kept = pl.col(key).cast(pl.String) if dtype in _TEXTS else pl.col(key)
    expected = told if dtype in _TEXTS else told.cast(dtype, strict=False)
    return bool(plain_scan(file).select(kept.eq_missing(expected).all()).collect(engine="in-memory").item())


def plain_scan(file: Path) -> pl.LazyFrame:
    """Return the rows of one file, its folders left out of account."""
    return pl.scan_parquet(file, glob=False, hive_partitioning=False)


def _as_text(name: str, dtype: pl.DataType) -> pl.Expr:
    return pl.col(name).cast(pl.String) if dtype in _TEXTS else pl.col(name)


def _refuse_drift(shapes: Mapping[Path, Shape], dataset: str) -> None:
    """Refuse files that lack a column of the first one or have it in another type; text is text however stored."""
    first, expected = next(iter(shapes.items()))
    found: dict[str, Violation] = {}
    for file, shape in shapes.items():
        for name, dtype in expected.items():
            if name not in found and (name not in shape or not _same_type(dtype, shape[name])):
                found[name] = _drift(name, dtype, first, shape.get(name), file, dataset)
    if found:
        raise DataValidationError(list(found.values()))


def _refuse_bombs(shapes: Mapping[Path, Shape], dataset: str) -> None:
    """Refuse files whose footers say that they unpack to more than any honest data does, before they are unpacked."""
    found = []
    for file, shape in shapes.items():
        rows, packed = height_of(file), file.stat().st_size
        unpacked = rows * _BYTES_PER_VALUE * len(shape)
        if unpacked > _BUDGET and unpacked > _MOST_PACKED * packed:
            text = f"the footer says {rows:,} rows, {unpacked / 2**30:,.0f} GiB unpacked, in {packed:,} bytes"
            hint = f"data of more than {_BUDGET // 2**30} GiB is not packed {_MOST_PACKED} times; ask the source"
            found.append(Violation("E-FL-BUDGET", dataset, text, file=str(file), count=rows, hint=hint))
    if found:
        raise DataValidationError(found)


def _same_type(left: pl.DataType, right: pl.DataType) -> bool:
    return left == right or (left in _TEXTS and right in _TEXTS)


def _drift(
    name: str, dtype: pl.DataType, first: Path, other: pl.DataType | None, file: Path, dataset: str
) -> Violation:
    there = "absent" if other is None else str(other)
    return Violation(
        "E-SC-DRIFT",
        dataset,
        f"column {name!r} is {dtype} in {first} and {there} in {file}",
        file=str(file),
        column=name,
        hint="write all files of a data set with the same columns",
    )


def _empty(dataset: str, path: str, message: str) -> list[Path]:
    raise _no_file("E-DS-EMPTY", dataset, path, message)


def _no_file(code: str, dataset: str, path: str, message: str) -> DataValidationError:
    hint = "check the path in the config"
    return DataValidationError([Violation(code, dataset, message, file=path[:_SHOWN], hint=hint)])


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)[:_SHOWN]


def _looks_like(file: str | Path | None) -> str:
    """Return a hint when the bytes of a file say what it really is."""
    try:
        if file is None or not Path(file).is_file():
            return ""
        with Path(file).open("rb") as opened:
            start = opened.read(64)
            opened.seek(max(0, Path(file).stat().st_size - 4))
            end = opened.read()
    except (OSError, ValueError):
        return ""
    if not start:
        return " (it is empty)"
    if start[:4] == b"PAR1":
        return "" if end == b"PAR1" else " (its footer is damaged)"
    if start[:1] == _PICKLE:
        return " (it looks like a pickle, which is never loaded)"
    return " (it looks like CSV)" if b"," in start and start.isascii() else ""
