"""What a case is: a defect, the doors it is tried at, and what it must get. Each demand on the answer is a point.

The contract of a refusal: an error of this package's family with the code, file, row, column, value and count of what
was spoiled, at most six lines a violation, the same from every door; exit code 2 and no traceback on the command line;
and nothing written.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from ml4t_backtest import BacktestError, BacktestResult, DataValidationError, Violation

Attempts = Mapping[str, Callable[[], Any]]
Trial = Callable[[Path, str], Attempts]
# This door answers with what it printed; it is asked about refusals only.
COMMAND_LINE = "command line"
_LINES_PER_KIND = 6
_SHOWN = 800


@dataclass(frozen=True)
class Point:
    """One demand on the answer to a case, and whether it was met."""

    demand: str
    met: bool
    got: str = ""

    def __str__(self) -> str:
        return self.demand if self.met else f"{self.demand}: NOT met; got {self.got[:_SHOWN]}"


class Expected(Protocol):
    """What a case must get."""

    def points(self, trial: Trial, folder: Path) -> Iterator[Point]:
        """Try a case in empty folders and yield what was demanded of the answers."""
        ...


@dataclass(frozen=True)
class Case:
    """One spoiled input.

    Attributes:
        id: Row of the list, with a letter behind it where the row has several cases.
        defect: What is wrong, in words.
        trial: Writes the input into a folder and returns door -> how it is tried there, at a level of validation.
        expected: What must happen at every door.
    """

    id: str
    defect: str
    trial: Trial
    expected: Expected

    @property
    def row(self) -> str:
        """Row of the list that the case belongs to."""
        found = re.match(r"[A-Z]+\d+", self.id)
        assert found is not None, self.id
        return found[0]

    def points(self, folder: Path) -> list[Point]:
        """Return the points of the case, tried in an empty folder."""
        return list(self.expected.points(self.trial, folder))


@dataclass(frozen=True)
class Answer:
    """What a door said: a result or an error."""

    result: Any
    error: BaseException | None
    seconds: float

    @classmethod
    def of(cls, attempt: Callable[[], Any]) -> Answer:
        """Try a door."""
        start = time.perf_counter()
        try:
            result, error = attempt(), None
        except BaseException as raised:
            if isinstance(raised, (KeyboardInterrupt, GeneratorExit)):
                raise
            result, error = None, raised
        return cls(result, error, time.perf_counter() - start)

    def __str__(self) -> str:
        return repr(self.result) if self.error is None else f"{type(self.error).__name__}: {self.error}"

    @property
    def violations(self) -> tuple[Violation, ...]:
        """The violations of the error, if it has any."""
        return getattr(self.error, "violations", ())


@dataclass(frozen=True)
class Found:
    """What a violation must say; None where the case has no such thing."""

    code: str
    file: str | None = None
    row: int | None = None
    column: str | None = None
    value: str | None = None
    count: int | None = None

    def demands(self, violation: Violation | None) -> dict[str, bool]:
        """Return demand -> whether a violation of this code meets it."""
        met = {
            f"file {self.file}": bool(violation and self.file and (violation.file or "").endswith(self.file)),
            f"row {self.row}": bool(violation and violation.row == self.row),
            f"column {self.column}": bool(violation and violation.column == self.column),
            f"value {self.value}": bool(violation and self.value and self.value in (violation.value or "")),
            f"count {self.count}": bool(violation and violation.count == self.count),
        }
        return {demand: fits for demand, fits in met.items() if not demand.endswith(" None")}


@dataclass(frozen=True)
class Refused:
    """Every door refuses the input and names what is wrong.

    Attributes:
        found: Every violation there must be; other codes may not come with them. None for errors without rows.
        error: The class, or one it descends from.
        says: Parts of the text.
        within: Seconds it may take.
        writes: What an attempt may write all the same: the beginning of its paths.
    """

    found: Sequence[Found] = ()
    error: type[BaseException] = DataValidationError
    says: Sequence[str] = ()
    within: float | None = None
    writes: str | None = None

    def points(self, trial: Trial, folder: Path) -> Iterator[Point]:
        """Yield the points of every door."""
        for door, attempt in trial(folder, "standard").items():
            before = listing(folder)
            answer = Answer.of(attempt)
            demands = self._printed(answer) if door == COMMAND_LINE else self._raised(answer)
            written = {path for path, state in listing(folder).items() if before.get(path) != state}
            allowed = {
                path
                for path in written
                if self.writes and (path.startswith(self.writes) or self.writes.startswith(path))
            }
            demands["nothing is written"] = written == allowed
            if self.within is not None:
                demands[f"within {self.within} s"] = answer.seconds < self.within
            yield from (Point(f"{door}: {demand}", met, str(answer)) for demand, met in demands.items())

    def _printed(self, answer: Answer) -> dict[str, bool]:
        """Return what is demanded of the command line."""
        output = getattr(answer.result, "output", "")
        parts = [*self.says, *(each.code for each in self.found)]
        return {
            "exit code 2": getattr(answer.result, "exit_code", None) == 2,
            "no traceback": "Traceback" not in output,
            **{f"prints {part!r}": part in output for part in parts},
        }

    def _raised(self, answer: Answer) -> dict[str, bool]:
        return {
            f"refused as {self.error.__name__}": isinstance(answer.error, self.error),
            "of this package's family": isinstance(answer.error, BacktestError),
            **{f"says {part!r}": part in str(answer) for part in self.says},
            **(self._of_violations(answer) if self.found else {}),
        }

    def _of_violations(self, answer: Answer) -> dict[str, bool]:
        codes = sorted({plain(each.code) for each in answer.violations})
        wanted = sorted({each.code for each in self.found})
        demands = {f"codes {', '.join(wanted)}": codes == wanted}
        for found in self.found:
            candidates = [each for each in answer.violations if plain(each.code) == found.code] or [None]
            best = max((found.demands(each) for each in candidates), key=lambda met: sum(met.values()))
            demands |= {f"{found.code}: {demand}": met for demand, met in best.items()}
        lines = str(answer.error).count("\n") + 1
        return {**demands, "short": lines <= _LINES_PER_KIND * max(len(answer.violations), 1)}


@dataclass(frozen=True)
class Flagged:
    """The run goes on and the finding is in its `data_quality`; `paranoid` refuses it.

    Attributes:
        code: Of the finding.
        symbol: Of the finding; None for any.
        count: How many; None for any number.
        shows: Part of its example.
        refused: Whether paranoid refuses it; a note is never refused.
        like: What the run must be like, where the defect changes nothing: door -> hash.
    """

    code: str
    symbol: str | None = None
    count: int | None = None
    shows: str = ""
    refused: bool = True
    like: Callable[[str], str] | None = None

    def points(self, trial: Trial, folder: Path) -> Iterator[Point]:
        """Yield the points of every door at both levels."""
        standard, paranoid = _below(folder, "standard"), _below(folder, "paranoid")
        for door, attempt in _asked(trial, standard, "standard"):
            answer = Answer.of(attempt)
            rows = answer.result.data_quality.rows(named=True) if isinstance(answer.result, BacktestResult) else []
            found = [row for row in rows if row["what"] == self.code and self.symbol in (None, row["symbol"])]
            got = f"{answer} {rows}"
            yield Point(f"{door}: runs and flags {self.code} of {self.symbol or 'any'}", bool(found), got)
            if self.count is not None:
                yield Point(f"{door}: count {self.count}", self.count in [row["count"] for row in found], got)
            if self.shows:
                yield Point(f"{door}: shows {self.shows!r}", any(self.shows in row["example"] for row in found), got)
            if self.like is not None:
                yield Point(f"{door}: same result as the clean data", _hash(answer) == self.like(door), got)
        for door, attempt in _asked(trial, paranoid, "paranoid"):
            answer = Answer.of(attempt)
            codes = [each.code for each in answer.violations]
            demand = f"{door}: paranoid {'refuses' if self.refused else 'notes'} {self.code}"
            yield Point(demand, (self.code in codes) == self.refused, str(answer))


@dataclass(frozen=True)
class Accepted:
    """Every door takes the input, with the same result as the clean data.

    Attributes:
        like: Door -> hash of the result of the clean data; None where there is nothing to compare with.
        findings: Whether something may be found in it that is no error.
    """

    like: Callable[[str], str] | None = None
    findings: bool = False

    def points(self, trial: Trial, folder: Path) -> Iterator[Point]:
        """Yield the points of every door."""
        for door, attempt in _asked(trial, folder, "standard"):
            answer = Answer.of(attempt)
            yield Point(f"{door}: accepted", answer.error is None, str(answer))
            if self.like is not None:
                yield Point(f"{door}: same result as the clean data", _hash(answer) == self.like(door), str(answer))
            if isinstance(answer.result, BacktestResult) and not self.findings:
                doubts = answer.result.data_quality.filter(pl.col("severity") != "note")
                yield Point(f"{door}: nothing doubtful", doubts.is_empty(), str(doubts.rows()))


@dataclass(frozen=True)
class Holds:
    """The input is taken, and something holds for every answer.

    Attributes:
        check: Raises an AssertionError where it does not.
    """

    check: Callable[[Any], None]

    def points(self, trial: Trial, folder: Path) -> Iterator[Point]:
        """Yield the points of every door."""
        for door, attempt in _asked(trial, folder, "standard"):
            answer = Answer.of(attempt)
            yield Point(f"{door}: taken", answer.error is None, str(answer))
            if answer.error is None:
                wrong = Answer.of(lambda answer=answer: self.check(answer.result))
                yield Point(f"{door}: as it must be", wrong.error is None, f"{wrong} {answer}")


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Return every path below a folder with its size and time of change."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        found[str(path.relative_to(folder))] = (status.st_size, status.st_mtime_ns)
    return found


def plain(code: str) -> str:
    """Return a code without the name of the column behind it."""
    return code.split(":")[0]


def _asked(trial: Trial, folder: Path, level: str) -> list[tuple[str, Callable[[], Any]]]:
    return [(door, attempt) for door, attempt in trial(folder, level).items() if door != COMMAND_LINE]


def _below(folder: Path, name: str) -> Path:
    inner = folder / name
    inner.mkdir()
    return inner


def _hash(answer: Answer) -> str:
    from bad_inputs.doors import outcome

    return outcome(answer.result) if isinstance(answer.result, BacktestResult) else "no result"
