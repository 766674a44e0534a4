"""Connections that were closed before they could ask for anything, said in the log: at most once
in ten seconds for each reason, with the number of those between."""

from __future__ import annotations

import logging

_EVERY = 10_000_000_000  # ns

log = logging.getLogger("spangate")


class Refusals:
    """What one worker has said of them."""

    __slots__ = ("_said",)

    def __init__(self) -> None:
        self._said: dict[str, tuple[int, int, str]] = {}  # reason -> when, how many since, the last

    def tell(self, reason: str, text: str, now: int) -> None:
        """One was refused; `text` says where, who and why, in our words."""
        said = self._said.get(reason)
        if said is None:
            self._said[reason] = (now, 0, "")
            log.warning("connection refused: %s", text, extra={"key": "connection.refused"})
        else:
            self._said[reason] = (said[0], said[1] + 1, text)

    def sum_up(self, now: int) -> None:
        """Say how many there were of those whose time has come; a few times a second."""
        for reason, (at, more, text) in list(self._said.items()) if self._said else ():
            if now - at < _EVERY:
                continue
            if not more:
                del self._said[reason]
                continue
            seconds = (now - at) // 1_000_000_000
            log.warning(
                "%d more refused in %d s (%s), the last: %s",
                more,
                seconds,
                reason,
                text,
                extra={"key": "connection.more_refused"},
            )
            self._said[reason] = (now, 0, "")
