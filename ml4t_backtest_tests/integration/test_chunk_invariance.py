"""One answer to the bit, however data lies in files, is prepared in parts and is walked through in chunks.

Raw files in six layouts are prepared; prepared bars in six layouts are read as they lie; each with row groups of three
sizes, four strategies, and chunks of a few slices up to the whole. One hash per strategy: of its trades and its
portfolio states.
"""

from __future__ import annotations

from itertools import cycle
from pathlib import Path

import one_answer
import pytest
from one_answer import LAYOUTS, STRATEGIES, answer_hash, lay_out

from ml4t_backtest import BacktestEngine, PolarsDataFeed, load_config
from ml4t_backtest.config.components import build_components
from ml4t_backtest.data import polars_feed, scratch
from ml4t_backtest.data.prepared import Prepared, PreparedData
from ml4t_backtest.runner import prepare_dataset, prepared_dataset

ROW_GROUPS = (61, 250, 100_000)
CHUNKS: tuple[int | str, ...] = (7, "1d", "1w", 40, "1mo", "auto")
# Of 1,170 rows at most: many parts, a few, and one.
ROWS_AT_ONCE = (90, 400, 1_000_000)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The world as single files, prepared in one part: what every other way is compared with."""
    folder = tmp_path_factory.mktemp("world")
    for name, table in one_answer.tables().by_name().items():
        table.write_parquet(folder / f"{name}.parquet")
    one_answer.write_world(folder)
    return folder


@pytest.fixture(scope="module")
def prepared(world: Path) -> PreparedData:
    return prepare_dataset(load_config(world / "brackets.yaml").dataset)


def answer(config: Path, data: Prepared | Path, names: Prepared, chunk: int | str) -> str:
    """Return the hash of a run over prepared bars, walked through in chunks."""
    loaded = load_config(config)
    span, parts = loaded.backtest, build_components(loaded)
    feed = PolarsDataFeed(
        data if isinstance(data, Path | str) else data.rows,
        names.context_data,
        signal_columns=names.signals,
        indicator_columns=names.indicators,
        context_columns=names.context,
        chunk=chunk,
        start=span.start,
        end=span.end,
        warm_up_days=span.warm_up_days,
        validation="fast",
    )
    engine = BacktestEngine(
        feed,
        parts.strategy,
        initial_capital=span.initial_capital,
        slippage=parts.slippage,
        commission=parts.commission,
        corporate_actions=names.corporate_actions,
    )
    return answer_hash(engine.run())


@pytest.fixture(scope="module")
def expected(world: Path, prepared: PreparedData) -> dict[str, str]:
    return {each: answer(world / f"{each.lower()}.yaml", prepared, prepared, "1mo") for each in STRATEGIES}


def test_the_answers_are_those_of_strategies_that_trade(expected: dict[str, str]) -> None:
    assert len(set(expected.values())) == len(STRATEGIES)
    # Raw and prepared files, in every layout, with row groups of every size, under every strategy.
    assert 2 * len(LAYOUTS) * len(ROW_GROUPS) * len(STRATEGIES) == 144


@pytest.mark.parametrize("layout", LAYOUTS)
def test_raw_files_give_one_answer(
    layout: str,
    prepared: PreparedData,
    expected: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chunks = cycle(CHUNKS)
    for rows_per_group, at_once in zip(ROW_GROUPS, ROWS_AT_ONCE, strict=True):
        folder = tmp_path / f"{rows_per_group}"
        frames = one_answer.tables().by_name()
        paths = {name: lay_out(frames[name], folder / name, layout, rows_per_group) for name in ("prices", "fast")}
        for name in ("daily", "context"):
            frames[name].sample(fraction=1.0, shuffle=True, seed=1).write_parquet(folder / f"{name}.parquet")
        one_answer.write_world(folder, paths)
        monkeypatch.setattr(scratch, "ROWS_AT_ONCE", at_once)
        files = prepared_dataset(load_config(folder / "brackets.yaml").dataset, folder / "out")
        assert files.content_hash == prepared.content_hash
        for strategy in STRATEGIES:
            chunk = next(chunks)
            found = answer(folder / f"{strategy.lower()}.yaml", files, files, chunk)
            assert found == expected[strategy], (rows_per_group, at_once, strategy, chunk)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_prepared_files_give_one_answer(
    layout: str,
    world: Path,
    prepared: PreparedData,
    expected: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chunks = cycle(reversed(CHUNKS))
    for rows_per_group, at_once in zip(ROW_GROUPS, ROWS_AT_ONCE, strict=True):
        path = lay_out(prepared.asset_data, tmp_path / f"{rows_per_group}", layout, rows_per_group)
        monkeypatch.setattr(polars_feed, "_ROWS_CHECKED_AT_ONCE", at_once)
        for strategy in STRATEGIES:
            chunk = next(chunks)
            found = answer(world / f"{strategy.lower()}.yaml", Path(path), prepared, chunk)
            assert found == expected[strategy], (rows_per_group, at_once, strategy, chunk)
