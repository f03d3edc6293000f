"""Who does the work: this process, some processes of this machine, or any executor of `concurrent.futures`' kind."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Any

from ml4t_backtest.errors import BacktestError
from ml4t_backtest.sweep.shared_data import SharedData
from ml4t_backtest.sweep.trial_task import Row, Task, run_task, run_task_on

_THREADS = "POLARS_MAX_THREADS"
# In a row, without a single task that was finished in between.
_MOST_LOSSES = 3

Rows = list[Row]


def run_here(tasks: Sequence[Task]) -> Iterator[Rows]:
    """Run tasks one after the other in this process and yield the rows of each."""
    yield from map(run_task, tasks)


def run_in_processes(tasks: Sequence[Task], workers: int) -> Iterator[Rows]:
    """Run tasks in processes of this machine and yield the rows of each as it is finished.

    A process that dies takes the tasks with it that were not finished: they are given to new ones.

    Raises:
        BacktestError: Processes die again and again without finishing anything.
    """
    yield from run_in_executors(tasks, lambda: _processes(workers))


def run_in(executor: Executor, tasks: Sequence[Task]) -> Iterator[Rows]:
    """Run tasks in an executor that somebody else began and will end; lost tasks are its own business.

    Args:
        executor: Anything with the methods of `concurrent.futures.Executor`.
            One that has `put` gets the data once, in its object store; others must reach the folder it is shared in.
        tasks: What to run.
    """
    put = getattr(executor, "put", None)
    stored: dict[str, Any] = {}

    def submitted(task: Task) -> Future[Rows]:
        if put is None or not isinstance(task.data, SharedData):
            return executor.submit(run_task, task)
        if task.data.content_hash not in stored:
            stored[task.data.content_hash] = put(task.data.open())
        return executor.submit(run_task_on, stored[task.data.content_hash], task)

    for future in as_completed([submitted(task) for task in tasks]):
        yield future.result()


def run_in_executors(tasks: Sequence[Task], new_executor: Callable[[], Executor]) -> Iterator[Rows]:
    """Run tasks in an executor, and what is lost with it in another one; errors as for `run_in_processes`."""
    left = list(tasks)
    losses = 0
    while left:
        unfinished: list[Task] = []
        with _few_threads(), new_executor() as executor:
            futures: dict[Future[Rows], Task] = {}
            for task in left:
                try:
                    futures[executor.submit(run_task, task)] = task
                except BrokenExecutor:
                    unfinished.append(task)
            for future in as_completed(futures):
                try:
                    rows = future.result()
                except BrokenExecutor:
                    unfinished.append(futures[future])
                    continue
                losses = 0
                yield rows
        left = unfinished
        losses += bool(left)
        if losses >= _MOST_LOSSES:
            raise BacktestError(
                f"worker processes died {losses} times in a row without finishing a task, {len(left)} are left; is "
                "there enough memory for so many workers? What was finished is in the ledger"
            )


def _processes(workers: int) -> Executor:
    # Not by fork: Polars has threads, of which a child would inherit the locks alone.
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


@contextmanager
def _few_threads() -> Iterator[None]:
    """Let processes that are started meanwhile use one thread each: there is one of them per core already."""
    before = os.environ.get(_THREADS)
    os.environ[_THREADS] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_THREADS]
        else:
            os.environ[_THREADS] = before
