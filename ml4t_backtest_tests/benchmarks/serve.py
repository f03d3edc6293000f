"""The side of a measured process: told to load and to run, it answers with times, fills and equity.

Standard library only, so that it also runs in the peers' environments. One JSON object per line on standard input,
one per line on standard output: `{"do": "load", ...}`, then `{"do": "run", ...}` as often as wanted.
"""

import json
import os
import sys
import time

STARTED = time.perf_counter()


def serve(version, load, run):
    """Answer until standard input ends.

    Args:
        version: Of the engine.
        load: Called with the request `load`; returns whatever `run` needs.
        run: Called with that and the request `run`; returns `{"equity": ..., "fills": ...}` and perhaps `"times"`, of
            parts of the run by name. What else it does is on the clock.
    """
    # Whatever an engine prints must not get between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    _say(answers, {"version": version, "imported": time.perf_counter() - STARTED})
    loaded = None
    for line in sys.stdin:
        asked = json.loads(line)
        wall, cpu = time.perf_counter(), time.process_time()
        if asked["do"] == "load":
            loaded, found = load(asked), {}
        else:
            found = run(loaded, asked)
        _say(answers, {**found, "wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu})


def _say(answers, told):
    answers.write(json.dumps(told) + "\n")
    answers.flush()
