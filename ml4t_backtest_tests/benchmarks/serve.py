"""The side of a measured process: told to load and to run, it answers with times, fills and equity.

It runs in the peers' environments, too, and knows nothing of ours. One JSON object per line on standard input,
one per line on standard output: `{"do": "load", ...}`, then `{"do": "run", ...}` as often as wanted.
"""

import json
import os
import sys
import time


def clock():
    """Return seconds by the wall and seconds of all threads of this process."""
    return time.perf_counter(), time.process_time()


def due_of(path):
    """Return the orders of a tape (see `engines.tape_of`) by the index of the slice that decides them."""
    import numpy as np

    tape, due = np.load(path), {}
    columns = (tape[name].tolist() for name in ("slice", "symbol", "quantity"))
    for at, symbol, quantity in zip(*columns, strict=True):
        due.setdefault(at, []).append((symbol, quantity))
    return due


def serve(version, load, run):
    """Answer until standard input ends.

    Args:
        version: Of the engine.
        load: Called with the request `load`; returns whatever `run` needs.
        run: Called with that and the request `run` (or any other word); returns `{"equity": ..., "fills": ...}` (None
            for what it does not tell), and perhaps `"began"`, what `clock` said when an engine that loads while it
            runs had loaded: the clock of the run starts there.
    """
    # Whatever an engine prints must not get between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    _say(answers, {"version": version})
    loaded = None
    for line in sys.stdin:
        asked, (wall, cpu) = json.loads(line), clock()
        if asked["do"] == "load":
            loaded, found = load(asked), {}
        else:
            found = run(loaded, asked)
        wall, cpu = found.pop("began", (wall, cpu))
        ended = clock()
        _say(answers, {**found, "wall": ended[0] - wall, "cpu": ended[1] - cpu})


def _say(answers, told):
    answers.write(json.dumps(told) + "\n")
    answers.flush()
