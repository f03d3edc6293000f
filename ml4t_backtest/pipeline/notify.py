"""Tells somebody that a run failed: into the log, or by a function of the user's."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass

from ml4t_backtest.config.components import load_function
from ml4t_backtest.config.folders import config_folder

NOTIFIER_VARIABLE = "ML4T_NOTIFIER"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Notice:
    """What failed.

    Attributes:
        job: Name of the job.
        partition: Configuration or data set; None where the job has no partitions.
        run_id: Its number in the history.
        text: What went wrong, in the words of the error.
    """

    job: str
    partition: str | None
    run_id: str
    text: str


Notifier = Callable[[Notice], None]


def log_notice(notice: Notice) -> None:
    """Write a notice into the log, as an error."""
    _log.error("%s of %s failed (run %s): %s", notice.job, notice.partition, notice.run_id, notice.text)


def notifier() -> Notifier:
    """Return who is told: `$ML4T_NOTIFIER` (package.module:function, or file.py:function beside the configurations).

    Without it, the log. What may be imported is what a strategy may be imported from.

    Raises:
        ConfigError: There is no such function, or it may not be imported.
    """
    path = os.environ.get(NOTIFIER_VARIABLE)
    return load_function(path, config_folder()) if path else log_notice
