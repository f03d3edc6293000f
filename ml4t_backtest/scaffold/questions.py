"""What the files cannot show and nobody has said yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ml4t_backtest.scaffold.found import Found

AVAILABILITY: Mapping[str, str] = {
    "market_open": "the open of its day",
    "market_close": "the close of its day",
    "next_day": "the open of the session after",
}
BAR_LABELS: Mapping[str, str] = {
    "close": "the moment a bar is complete",
    "open": "the moment it begins",
    "session": "its day, whatever the hour",
}
ADJUSTMENTS: Mapping[str, str] = {
    "none": "prices as they were traded",
    "split": "adjusted for splits",
    "total_return": "adjusted for splits and dividends",
}


class Question(NamedTuple):
    """Something to be told.

    Attributes:
        option: By which it is told: an attribute of `Answers`.
        text: The question.
        choices: What may be answered, and what it means; none for any text.
    """

    option: str
    text: str
    choices: Mapping[str, str]

    def asked(self) -> str:
        """Return the question, under it what each answer means, and where to write it."""
        meant = [f"  {choice:<14}{meaning}" for choice, meaning in self.choices.items()]
        return "\n".join([f"{self.text}?", *meant, ""])

    def unanswered(self) -> str:
        """Return what to do where nobody can be asked."""
        allowed = f"one of {'; '.join(self._explained())}" if self.choices else "for example America/New_York, or UTC"
        return f"{self.text}? The file does not say: give --{self.option.replace('_', '-')}, {allowed}"

    def _explained(self) -> list[str]:
        return [f"{choice} ({meaning})" for choice, meaning in self.choices.items()]


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
        Question("bar_label", f"What does the timestamp of a bar, such as {prices.first}, name", BAR_LABELS),
        Question("adjustment", "What do the prices contain", ADJUSTMENTS),
    ]
    if signals is not None and not signals.has_available_at:
        asked.append(
            Question("signal_available_at", "When could a prediction of a session first be used", AVAILABILITY)
        )
    if context is not None and not context.has_available_at:
        asked.append(Question("context_available_at", "When could a value of the context first be used", AVAILABILITY))
    if any(each is not None and each.is_naive for each in (prices, signals, context)):
        asked.append(Question("timezone", "In which time zone are times that carry none", {}))
    return [question for question in asked if told[question.option] is None]
