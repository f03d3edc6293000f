"""Whether anything in a backtest, or in what makes its signals, looks ahead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ml4t_backtest.config.loader import load_config
from ml4t_backtest.config.schema import BacktestConfig
from ml4t_backtest.data.sources import Source, collect, scan
from ml4t_backtest.errors import ConfigError
from ml4t_backtest.lookahead.configured import ConfiguredWorlds, Sources
from ml4t_backtest.lookahead.cuts import DEFAULT_CUTS
from ml4t_backtest.lookahead.delivered import Delivered, Prices, delivered_in, examine, prices_in
from ml4t_backtest.lookahead.experiments import Experiment, experiment_on_config, experiment_on_pipeline
from ml4t_backtest.lookahead.report import LookaheadReport, first_of_each
from ml4t_backtest.lookahead.timed import TimedTable
from ml4t_backtest.strategy.base import Strategy

Progress = Callable[[int, int], None]


def check_lookahead(
    config: str | Path | BacktestConfig | None = None,
    *,
    pipeline: Callable[..., Any] | None = None,
    inputs: Mapping[str, Source] | None = None,
    strategy: Callable[..., Strategy] | None = None,
    cuts: int = DEFAULT_CUTS,
    on_progress: Progress | None = None,
) -> LookaheadReport:
    """Look for look-ahead: change what comes after many moments, and see whether anything before them moves.

    Args:
        config: A configuration, its path or name: its sources are prepared and run, and the values that came with
            them are held against the bars.
        pipeline: Your function from data to signals, called with the frames that its parameters name: of a
            configuration `prices`, `context`, `corporate_actions`, `universe`, `signals` (with a number where there
            are several), else those of `inputs`. It returns a frame, frames by name, or the result of a run.
        inputs: Name -> frame or path, where there is no configuration. What is called `signals...` or `context...` is
            held against the bars in `prices`.
        strategy: Makes the strategy of the run from prepared frames that its parameters name (`asset_data`,
            `context_data`), instead of the configuration: for strategies that hold data of their own.
        cuts: At how many moments past and future are parted.
        on_progress: Called with the number of worlds done and of all worlds.

    Returns:
        The first leak of each column, what was looked at, and what could not be.

    Raises:
        ConfigError: Nothing to check, or the pipeline is none or gives different answers to the same data.
        StrategyError: The pipeline or the strategy raised on the data as it is.
        DataValidationError: A source breaks a rule.

    See docs/concepts/look_ahead.md.

    >>> import polars as pl
    >>> from ml4t_backtest.data.synthetic import random_bars
    >>> def peeks(prices):
    ...     return prices.select("timestamp", "symbol", signal=pl.col("close").shift(-1).over("symbol"))
    >>> bars = random_bars(1, 60).drop(pl.selectors.starts_with("prediction", "decision"))
    >>> check_lookahead(pipeline=peeks, inputs={"prices": bars}, cuts=2).leaked_columns
    ('signal',)
    """
    _require_sense(config, pipeline, inputs, strategy, cuts)
    experiments: list[Experiment] = []
    if config is None:
        tables = {name: TimedTable.of(collect(scan(each, dataset=name))) for name, each in (inputs or {}).items()}
        if pipeline is not None:
            experiments.append(experiment_on_pipeline(pipeline, tables, cuts))
        return _report(experiments, delivered_in(tables), prices_in(tables), on_progress)
    loaded = config if isinstance(config, BacktestConfig) else load_config(config)
    with TemporaryDirectory(prefix="ml4t_lookahead_") as folder:
        worlds = ConfiguredWorlds(loaded, Sources.read(loaded.dataset), Path(folder).resolve(), strategy)
        experiments.append(experiment_on_config(worlds, cuts))
        if pipeline is not None:
            experiments.append(experiment_on_pipeline(pipeline, worlds.sources.for_pipelines(), cuts))
        return _report(experiments, worlds.delivered(), worlds.sources.prices(), on_progress)


def _report(
    experiments: list[Experiment], columns: list[Delivered], prices: Prices | None, on_progress: Progress | None
) -> LookaheadReport:
    tick = _ticks(sum(each.worlds for each in experiments), on_progress)
    lived = [each.run(tick) for each in experiments]
    leaks, remarks = ([], []) if prices is None else examine(columns, prices)
    leaks += [leak for each in lived for leak in each.leaks]
    checked = [experiment.sentence(each) for experiment, each in zip(experiments, lived, strict=True)]
    if columns and prices is not None:
        checked.append(f"delivered data: {', '.join(f'{each.table}.{each.name}' for each in columns)} against the bars")
    notes = [note for each in lived for note in each.notes()] + [note for each in experiments for note in each.notes()]
    return LookaheadReport(first_of_each(leaks), tuple(checked), (*notes, *remarks))


def _require_sense(config: Any, pipeline: Any, inputs: Any, strategy: Any, cuts: Any) -> None:
    if isinstance(cuts, bool) or not isinstance(cuts, int) or cuts < 1:
        raise ConfigError(f"cuts must be a whole number from 1, got {cuts!r}")
    if config is None and inputs is None:
        raise ConfigError("nothing to check: give a configuration, or inputs (with a pipeline, or with signals)")
    if config is not None and inputs is not None:
        raise ConfigError("inputs are for a check without a configuration, which has its own")
    if config is None and strategy is not None:
        raise ConfigError("a strategy is run by a configuration; let a pipeline return the result of a run instead")
    if config is None and pipeline is None and not any(name.startswith(("signals", "context")) for name in inputs):
        raise ConfigError(f"nothing to check: no pipeline, and no signals among {', '.join(inputs) or 'no inputs'}")


def _ticks(worlds: int, on_progress: Progress | None) -> Callable[[], None]:
    done = count(1)
    return lambda: None if on_progress is None else on_progress(next(done), worlds)
