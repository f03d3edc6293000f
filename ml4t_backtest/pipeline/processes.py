"""Whether a process of this machine is still there."""

from __future__ import annotations

# A process is written down a moment after it began.
_CLOCK_SLACK = 5.0


def is_gone(number: int, since: float) -> bool:
    """Return whether a process has ended.

    Args:
        number: Its number. Numbers are given again: one that began later is another process.
        since: When it was known to be there, in seconds since 1970.
    """
    import psutil

    try:
        process = psutil.Process(number)
        is_other: bool = process.create_time() > since + _CLOCK_SLACK
        return is_other or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
