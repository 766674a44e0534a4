"""What is counted of HTTP/2 in one worker: open streams, and why streams and connections ended."""

from __future__ import annotations

from proxy.http.h2 import ErrorCode
from proxy.telemetry import instruments
from proxy.telemetry.recorder import Recorder


class H2Books:
    """The numbers of one worker's connections with clients."""

    __slots__ = ("_recorder", "open")

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.open = 0  # streams

    def reset(self, code: int, by: str) -> None:
        """A stream ended early; `by`: client or gateway."""
        labels = (("spangate.by", by), ("spangate.reason", name_of(code)))
        self._recorder.registry.number(instruments.H2_RESETS, labels).value += 1

    def goaway(self, reason: str) -> None:
        """A client was told to send no more requests; `reason` is one of a few words."""
        labels = (("spangate.reason", reason),)
        self._recorder.registry.number(instruments.H2_GOAWAYS, labels).value += 1


def name_of(code: int) -> str:
    """RFC 9113 §7 in lower case; what it does not name is "other"."""
    try:
        return ErrorCode(code).name.lower()
    except ValueError:
        return "other"
