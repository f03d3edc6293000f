"""All cases by section of the list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bad_inputs import (
    at_once,
    configs,
    context,
    controls,
    files,
    keys,
    outputs,
    prices,
    signals,
    strategies,
    timestamps,
)
from bad_inputs.case import Case

SECTIONS: Mapping[str, Sequence[Case]] = {
    "A prices: values": prices.CASES,
    "B timestamps and order": timestamps.CASES,
    "C keys and symbols": keys.CASES,
    "D signals": signals.CASES,
    "E context and corporate actions": context.CASES,
    "F files and data sets": files.CASES,
    "G configurations": configs.CASES,
    "H strategies and orders": strategies.CASES,
    "J outputs": outputs.CASES,
    "K benign controls": controls.CASES,
    "L all at once": at_once.CASES,
}
