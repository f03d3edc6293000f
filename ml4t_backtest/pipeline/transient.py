"""Which errors may be gone at the next attempt: the network's and a busy disk's, never bad data."""

from __future__ import annotations

import errno

_PASSING = {
    errno.EAGAIN,
    errno.EBUSY,
    errno.EINTR,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.ECONNRESET,
    errno.ECONNREFUSED,
    errno.ECONNABORTED,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.ENETDOWN,
}


def is_transient(error: BaseException | None) -> bool:
    """Return whether an error, or one that it was raised from, is worth another attempt.

    >>> is_transient(TimeoutError()), is_transient(OSError(errno.ENOSPC, "full")), is_transient(ValueError())
    (True, False, False)
    """
    while error is not None:
        if isinstance(error, (ConnectionError, TimeoutError)):
            return True
        if isinstance(error, OSError) and error.errno in _PASSING:
            return True
        error = error.__cause__
    return False
