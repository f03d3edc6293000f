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
from ml4t_backtest.sweep.trial_task import Row, Task, lost_rows, run_task, run_task_on, singly

_THREADS = "POLARS_MAX_THREADS"
# In a row, without a single task that was finished in between: of executors, and of trials that ran alone.
_MOST_LOSSES = 2
_MOST_DEATHS = 20

Rows = list[Row]


def run_here(tasks: Sequence[Task]) -> Iterator[Rows]:
    """Run tasks one after the other in this process and yield the rows of each."""
    yield from map(run_task, tasks)


def run_in_processes(tasks: Sequence[Task], workers: int) -> Iterator[Rows]:
    """Run tasks in processes of this machine and yield the rows of each as it is finished.

    A process that dies takes the tasks with it that were not finished: they are given to new ones.

    Raises:
        BacktestError: Many trials in a row end with the death of their process, though each of them runs alone.
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
    """Run tasks in an executor, and what is lost with it in another one; errors as for `run_in_processes`.

    Trials that were lost ride together no more, so that one that kills its process takes no other one with it for
    long. What is lost again and again is run alone in the end: if it dies then, it failed by its own fault.
    """
    left, losses = list(tasks), 0
    while sum(len(task.trials) for task in left) > 1 and losses < _MOST_LOSSES:
        unfinished: list[Task] = []
        losses += 1
        for task, rows in _one_round(left, new_executor):
            if rows is None:
                unfinished += singly(task)
            else:
                losses = 1
                yield rows
        left = unfinished
    yield from _one_at_a_time(left, new_executor)


def _one_round(tasks: Sequence[Task], new_executor: Callable[[], Executor]) -> Iterator[tuple[Task, Rows | None]]:
    """Run tasks in one executor and yield each with its rows, or with None where it was lost with a process."""
    with _few_threads(), new_executor() as executor:
        futures: dict[Future[Rows], Task] = {}
        for task in tasks:
            try:
                futures[executor.submit(run_task, task)] = task
            except BrokenExecutor:
                yield task, None
        for future in as_completed(futures):
            try:
                yield futures[future], future.result()
            except BrokenExecutor:
                yield futures[future], None


def _one_at_a_time(tasks: Sequence[Task], new_executor: Callable[[], Executor]) -> Iterator[Rows]:
    """Run each task in an executor of its own; trials of one that dies there have failed."""
    deaths = 0
    for number, task in enumerate(tasks, start=1):
        ((_, rows),) = _one_round([task], new_executor)
        deaths = deaths + 1 if rows is None else 0
        yield lost_rows(task) if rows is None else rows
        if deaths >= _MOST_DEATHS and number < len(tasks):
            raise BacktestError(
                f"{deaths} trials in a row ended with the death of their process, though each ran alone, and "
                f"{len(tasks) - number} are left; is there enough memory? What was finished is in the ledger"
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
