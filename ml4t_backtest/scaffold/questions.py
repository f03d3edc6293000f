"""What the files cannot show and nobody has said yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ml4t_backtest.scaffold.found import Found

AVAILABILITY = ("market_open", "market_close", "next_day")
BAR_LABELS = ("close", "open", "session")
ADJUSTMENTS = ("none", "split", "total_return")


class Question(NamedTuple):
    """Something to be told.

    Attributes:
        option: By which it is told: an attribute of `Answers`.
        text: The question.
        choices: What may be answered; none for any text.
    """

    option: str
    text: str
    choices: tuple[str, ...]

    def unanswered(self) -> str:
        """Return what to do where nobody can be asked."""
        allowed = f"one of {', '.join(self.choices)}" if self.choices else "for example America/New_York, or UTC"
        return f"{self.text}? The file does not say: give --{self.option.replace('_', '-')}, {allowed}"


def open_questions(
    told: Mapping[str, Any], prices: Found, signals: Found | None, context: Found | None
) -> list[Question]:
    """Return what is still to be asked.

    Args:
        told: Option -> what was said, None for nothing.
        prices: The file of bars.
        signals: The file of predictions; None for none.
        context: The file of market-wide values; None for none.
    """
    asked = [
        Question("bar_label", "What does the timestamp of a bar name", BAR_LABELS),
        Question("adjustment", "What do the prices contain", ADJUSTMENTS),
    ]
    if signals is not None and not signals.has_available_at:
        asked.append(
            Question("signal_available_at", "When could a prediction of a session first be used", AVAILABILITY)
        )
    if context is not None and not context.has_available_at:
        asked.append(Question("context_available_at", "When could a value of the context first be used", AVAILABILITY))
    if any(each is not None and each.is_naive for each in (prices, signals, context)):
        asked.append(Question("timezone", "In which time zone are times that carry none", ()))
    return [question for question in asked if told[question.option] is None]
