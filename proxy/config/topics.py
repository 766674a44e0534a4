"""Topics as the file writes them: "orders", "{topic}", "{topic}.dead"; and which names are topics.

A name that comes from a request is a stranger's, so what is no topic is refused wherever one is
made. The rule is Kafka's (org.apache.kafka.common.internals.Topic); streams of Redis keep it too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

LONGEST = 249
RULE = "1 to 249 of a-z A-Z 0-9 . _ -"

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}", re.ASCII)
_PART = re.compile(r"\{([^{}]*)\}")
# What brokers keep for themselves: offsets of groups, transactions.
_INTERNAL = re.compile(r"__(consumer_offsets|transaction_state|share_group_state|cluster_metadata)")


def is_topic(text: str) -> bool:
    """Whether messages may be written there: no topic of the broker's own is."""
    fits = _TOPIC.fullmatch(text) is not None and text not in (".", "..")
    return fits and _INTERNAL.fullmatch(text) is None


class Topic:
    """A template. ValueError for one that never makes a topic, or uses a name not in `known`."""

    __slots__ = ("_pieces", "names", "text")

    def __init__(self, text: str, known: tuple[str, ...]) -> None:
        self.text = text
        self._pieces = _PART.split(text)
        self.names = tuple(self._pieces[1::2])
        for name in self.names:
            if name not in known:
                told = ", ".join(f"{{{k}}}" for k in known) or "none"
                raise ValueError(f"{text!r} names {{{name}}}, which is not known; known: {told}")
        if not is_topic(self.fill(dict.fromkeys(self.names, "x"))):
            raise ValueError(f"{text!r} is not a topic: {RULE}")

    def fill(self, values: Mapping[str, str]) -> str:
        """What it makes of them, whether or not that is a topic."""
        pieces = list(self._pieces)
        pieces[1::2] = [values.get(name, "") for name in self.names]
        return "".join(pieces)
