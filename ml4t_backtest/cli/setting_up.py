"""The commands one begins with: `new` for files of one's own, and the shell's `completion`."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from ml4t_backtest.cli.group import main
from ml4t_backtest.errors import ConfigError

if TYPE_CHECKING:
    from ml4t_backtest.scaffold.found import Found


class Field(click.ParamType[Any]):
    """A value that a configuration would take, refused with the configuration's own words."""

    name = "text"

    def __init__(self, kind: str) -> None:
        """`kind` is the name of a type of `config.fields`."""
        self._kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the value, or fail with what is allowed."""
        from pydantic import TypeAdapter, ValidationError

        from ml4t_backtest.config import fields

        try:
            return str(TypeAdapter(getattr(fields, self._kind)).validate_python(value))
        except ValidationError as error:
            self.fail(f"{value!r} {error.errors()[0]['msg']}", param, ctx)


def _pairs(_: click.Context, __: click.Parameter, text: str | None) -> dict[str, str]:
    """Return `timestamp=ts_event,symbol=Ticker` as a mapping."""
    found = {}
    for pair in filter(None, (text or "").split(",")):
        ours, sign, theirs = pair.partition("=")
        if not (sign and ours.strip() and theirs.strip()):
            raise click.BadParameter(f"{pair!r}: write OURS=THEIRS, for example timestamp=ts_event,symbol=Ticker")
        found[ours.strip()] = theirs.strip()
    return found


_KNOWN_AT = click.Choice(["market_open", "market_close", "next_day"])
_DATA_FILE = click.Path(dir_okay=True)
_ZONE, _CALENDAR = Field("TimeZone"), Field("CalendarName")


@main.command()
@click.argument("name")
@click.option("--prices", required=True, type=_DATA_FILE, help="Bars: a Parquet, CSV or Arrow file.")
@click.option("--signals", type=_DATA_FILE, help="Predictions: symbol, date or time, and their numbers.")
@click.option("--context", type=_DATA_FILE, help="Market-wide values such as the VIX: date or time, and numbers.")
@click.option("--columns", callback=_pairs, metavar="OURS=THEIRS,...", help="What columns of --prices are called.")
@click.option("--signal-columns", callback=_pairs, metavar="OURS=THEIRS,...", help="The same of --signals.")
@click.option("--context-columns", callback=_pairs, metavar="OURS=THEIRS,...", help="The same of --context.")
@click.option("--bar-label", type=click.Choice(["close", "open", "session"]), help="What a bar's timestamp names.")
@click.option(
    "--adjustment",
    type=click.Choice(["none", "split", "total_return"]),
    help="What the prices contain already: as traded, adjusted for splits, or for dividends too.",
)
@click.option("--signal-available-at", type=_KNOWN_AT, help="When a prediction of a session could first be used.")
@click.option("--context-available-at", type=_KNOWN_AT, help="The same of a value of --context.")
@click.option("--timezone", type=_ZONE, help="Of times of day that carry none, for example America/New_York.")
@click.option(
    "--calendar", type=_CALENDAR, default="XNYS", show_default=True, help="The exchange whose sessions count."
)
@click.option("--to", "folder", default=".", show_default=True, type=click.Path(file_okay=False), help="Where to.")
def new(
    name: str,
    prices: str,
    signals: str | None,
    context: str | None,
    columns: dict[str, str],
    signal_columns: dict[str, str],
    context_columns: dict[str, str],
    folder: str,
    **told: Any,
) -> None:
    """Write a configuration NAME and a strategy for your files; what they cannot show is asked for.

    Columns and the length of a bar are detected. What was written runs: ml4t-backtest run NAME.yaml
    """
    from ml4t_backtest.config.fields import check_safe_name
    from ml4t_backtest.scaffold.project import Answers, write_project

    check_safe_name(name, "configuration")
    files = (
        (prices, ("timestamp", "symbol", "open", "high", "low", "close", "volume"), columns, "--columns"),
        (signals, ("timestamp", "symbol"), signal_columns, "--signal-columns"),
        (context, ("timestamp",), context_columns, "--context-columns"),
    )
    bars, known, market = _all_looked_at(files)
    assert bars is not None
    answers = Answers(name=name, **_asked(told, bars, known, market))
    written = write_project(folder, answers, bars, known, market)
    for path in written:
        click.echo(f"written  {path}")
    click.echo(f"next     ml4t-backtest validate {shlex.quote(os.path.relpath(written[0]))}")


def _all_looked_at(files: Iterable[tuple[str | None, Sequence[str], dict[str, str], str]]) -> list[Found | None]:
    """Return what each file shows of itself, None for one that is not given; what is wrong with all of them at once."""
    from ml4t_backtest.config.document import Mistakes
    from ml4t_backtest.scaffold.found import look_at

    mistakes = Mistakes()
    found: list[Found | None] = []
    for path, needed, columns, option in files:
        try:
            found.append(look_at(path, needed, columns, option) if path else None)
        except ConfigError as error:
            mistakes.absorb(error)
    mistakes.raise_any()
    return found


def _asked(told: dict[str, Any], bars: Found, known: Found | None, market: Found | None) -> dict[str, Any]:
    """Return the answers to what the files cannot show: as they were given, or asked for, all at once."""
    from ml4t_backtest.scaffold.questions import open_questions

    questions = open_questions(told, bars, known, market)
    if questions and not _is_a_person():
        raise ConfigError("\n".join(question.unanswered() for question in questions))
    for question in questions:
        answers = click.Choice(list(question.choices)) if question.choices else _ZONE
        told[question.option] = click.prompt(question.asked(), type=answers, show_choices=False, prompt_suffix="> ")
    return {**told, "timezone": told["timezone"] or "UTC"}


def _is_a_person() -> bool:
    return sys.stdin.isatty()


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion of SHELL; bash: eval "$(ml4t-backtest completion bash)" in ~/.bashrc."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(main, {}, "ml4t-backtest", "_ML4T_BACKTEST_COMPLETE").source())
