"""What a worker has said about configurations; what follows from it is said in rollout.py."""

from __future__ import annotations

from proxy.server import frames


class Answers:
    """What one worker has said about configurations, by their generation."""

    __slots__ = ("applied", "asked", "prepared", "refusals")

    def __init__(self) -> None:
        self.asked = 0  # the last one that it was told
        self.prepared = 0
        self.applied = 0  # the one that is in force there
        self.refusals: dict[int, str] = {}  # the last one: generation -> why

    def hear(self, kind: int, generation: int, payload: bytes) -> bool:
        """Take in a frame; False if it is of another kind."""
        if kind == frames.PREPARED:
            self.prepared = generation
        elif kind == frames.APPLIED:
            self.applied = self.prepared = generation
        elif kind == frames.REFUSED:
            self.refusals = {generation: payload.decode("utf-8", "replace") or "no reason given"}
        else:
            return False
        return True
