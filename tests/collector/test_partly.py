from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from proxy.collector.exporters.partly import Attempt, deliver
from proxy.collector.retry import Backoff
from proxy.otlp.status import Outcome, Verdict, unreachable

FAST = Backoff(0.001, 0.001, 0.0)
ONCE = Backoff(0.001, 0.001, 1e-9)


@dataclass(frozen=True)
class Part:
    name: str
    items: int = 1


class OtherSide:
    """Says to each part in turn what is written: "ok", "busy" or "no"."""

    def __init__(self, **answers: str) -> None:
        self.answers = {name: words.split() for name, words in answers.items()}
        self.tries: list[list[str]] = []

    async def attempt(self, parts: Sequence[Part]) -> Attempt[Part]:
        self.tries.append([part.name for part in parts])
        made: Attempt[Part] = Attempt()
        for part in parts:
            answer = self.answers[part.name].pop(0)
            if answer == "busy":
                made.left.append(part)
                made.trouble = unreachable("busy", "come again")
            elif answer == "no":
                made.rejected += part.items
                made.trouble = Outcome(Verdict.PERMANENT, "no", "never")
        return made


TAKEN, RETRY = Verdict.ACCEPTED, Verdict.RETRY
LATE = "given up: come again"
CASES = [
    ({"a": "ok", "b": "ok"}, FAST, Outcome(TAKEN), ["ab"]),
    ({"a": "ok", "b": "busy busy ok"}, FAST, Outcome(TAKEN, "", "come again"), ["ab", "b", "b"]),
    ({"a": "busy", "b": "busy"}, FAST, Outcome(RETRY, "busy", "come again"), ["ab"]),
    ({"a": "no", "b": "ok"}, FAST, Outcome(TAKEN, "", "never", 3), ["ab"]),
    ({"a": "no", "b": "no"}, FAST, Outcome(Verdict.PERMANENT, "no", "never"), ["ab"]),
    ({"a": "no", "b": "busy no"}, FAST, Outcome(Verdict.PERMANENT, "no", "never"), ["ab", "b"]),
    ({"a": "ok", "b": "busy no"}, FAST, Outcome(TAKEN, "", "never", 1), ["ab", "b"]),
    ({"a": "ok", "b": "busy"}, ONCE, Outcome(TAKEN, "", LATE, 1), ["ab"]),
    ({"a": "no", "b": "busy"}, ONCE, Outcome(TAKEN, "", LATE, 4), ["ab"]),
]  # fmt: skip


@pytest.mark.parametrize(("answers", "backoff", "outcome", "tries"), CASES)
async def test_only_what_was_not_taken_is_sent_again(
    answers: dict[str, str], backoff: Backoff, outcome: Outcome, tries: list[str]
) -> None:
    other = OtherSide(**answers)
    parts = [Part("a", 3), Part("b")]
    assert await deliver(parts, other.attempt, backoff, lambda: 0.5) == outcome
    assert ["".join(names) for names in other.tries] == tries
