"""Files that a strategy reads by itself: it is given copies in which the future is another one.

A strategy may read the very files that its data set is made of, and nobody sees what it does with them. Here it is
built in a folder of its own: the files of the data set lie there with another future, modules as copies, and whatever
else lay beside the configuration as links. Params that name a file of the data set name its copy.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from ml4t_backtest.config.components import build_strategy
from ml4t_backtest.config.dataset_schema import DatasetConfig
from ml4t_backtest.config.import_path import parse_import_path
from ml4t_backtest.config.schema import BacktestConfig, StrategySection
from ml4t_backtest.data.sources import collect, scan
from ml4t_backtest.lookahead.futures import OtherTables
from ml4t_backtest.lookahead.timed import TimedTable
from ml4t_backtest.lookahead.worlds import World
from ml4t_backtest.strategy.base import Strategy

_WRITERS: Mapping[str, Callable[[pl.DataFrame, Path], None]] = {
    ".parquet": lambda frame, path: frame.write_parquet(path),
    ".csv": lambda frame, path: frame.write_csv(path),
    **dict.fromkeys((".arrow", ".feather", ".ipc"), lambda frame, path: frame.write_ipc(path)),
}
_ELSEWHERE = "elsewhere"


@dataclass(frozen=True)
class _File:
    """A file of the data set: all of its columns, under this package's names where it has names for them."""

    table: TimedTable
    theirs: Mapping[str, str]


class OwnFiles:
    """The files of a data set, for a strategy that may read them by itself."""

    def __init__(self, config: BacktestConfig, tables: Mapping[str, TimedTable], folder: Path) -> None:
        """Take what the data set is made of.

        Args:
            config: A configuration.
            tables: Raw tables of its data set, rows in the order of their files.
            folder: An empty folder, to be filled.
        """
        self._config = config
        self._folder = folder
        self._home = config.folder.resolve()
        self._tables = tables
        self._sources = dict(_sources(config.dataset))

    @cached_property
    def _files(self) -> dict[Path, _File]:
        return {path: _read(path, self._tables[name], columns) for path, (name, columns) in self._sources.items()}

    @property
    def may_be_read(self) -> bool:
        """Whether the strategy lies in a file beside the configuration, or is told where a file of the data is."""
        parsed, params = parse_import_path(self._config.strategy.path), self._config.strategy.params
        is_file = parsed is not None and parsed.is_file
        return bool(self._sources) and (is_file or self._redirected(params) != params)

    def strategy(self, world: World) -> Strategy:
        """Return the strategy, built where the files are those of a world."""
        self._lay_out()
        changed = OtherTables({str(path): file.table for path, file in self._files.items()}, world.cut, world.future)
        for path, file in self._files.items():
            copy = self._copy_of(path)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.unlink(missing_ok=True)
            _WRITERS[path.suffix.lower()](changed[str(path)].rename(dict(file.theirs)), copy)
        named = self._config.strategy
        section = StrategySection(path=named.path, params=self._redirected(named.params))
        return build_strategy(section, self._folder, self._config.allowed_modules)

    def _lay_out(self) -> None:
        parsed = parse_import_path(self._config.strategy.path)
        own = (self._home / parsed.place).parent if parsed is not None and parsed.is_file else self._home
        for folder in dict.fromkeys((self._home, own)):
            inside = self._folder / folder.relative_to(self._home)
            inside.mkdir(parents=True, exist_ok=True)
            for file in sorted(each for each in folder.iterdir() if each.is_file()):
                there = inside / file.name
                if there.exists():
                    continue
                if file.suffix == ".py":
                    shutil.copyfile(file, there)
                else:
                    there.symlink_to(file)

    def _copy_of(self, path: Path) -> Path:
        if path.is_relative_to(self._home):
            return self._folder / path.relative_to(self._home)
        return self._folder / _ELSEWHERE / f"{list(self._sources).index(path)}_{path.name}"

    def _redirected(self, value: Any) -> Any:
        """Return params in which the copies of the files stand for the files."""
        if isinstance(value, Mapping):
            return {name: self._redirected(each) for name, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._redirected(each) for each in value]
        if isinstance(value, str):
            found = (place.resolve() for place in (Path(value), self._home / value))
            return next((str(self._copy_of(place)) for place in found if place in self._sources), value)
        return value


def _sources(dataset: DatasetConfig) -> Iterator[tuple[Path, tuple[str, Mapping[str, str]]]]:
    """Yield the local files that tables come from, as far as they are single files: path, table, names of columns."""
    sources: dict[str, Any] = {"prices": dataset.prices, "corporate_actions": dataset.corporate_actions}
    sources |= {f"signals_{number}": source for number, source in enumerate(dataset.signals)}
    sources |= {f"context_{number}": source for number, source in enumerate(dataset.context)}
    for name, source in sources.items():
        path = None if source is None else Path(dataset.resolve(source.path)).resolve()
        if path is not None and path.suffix.lower() in _WRITERS and path.is_file():
            yield path, (name, source.columns)


def _read(path: Path, table: TimedTable, columns: Mapping[str, str]) -> _File:
    frame = collect(scan(str(path), dataset="prices"), file=str(path))
    theirs = {ours: each for ours, each in columns.items() if ours not in frame.columns}
    frame = frame.rename({each: ours for ours, each in theirs.items()})
    return _File(TimedTable(frame, table.later.get("close", table.known)), theirs)
