"""Condition: how one component is, for people: its state, its last trouble, a bearable log.

Components say what goes wrong and when it is over; the first line goes out at once, then one each
interval at most. Counting is not done here.
"""

from __future__ import annotations

import logging
import math
import time

log = logging.getLogger("spangate")

COMPLAIN_EVERY = 30.0  # seconds between two log lines about the same component


class Condition:
    """`title` begins every line: "exporter otlp_http/backend"."""

    __slots__ = ("_next", "_silent", "error", "error_at", "state", "title", "troubled", "warnings")

    def __init__(self, title: str = "") -> None:
        self.title = title
        self.state = "made"  # made, starting, running, failed, stopping, stopped
        self.error = ""  # the last trouble, told or not
        self.error_at = 0.0  # Unix seconds
        self.troubled = False
        self.warnings = 0
        self._next = -math.inf
        self._silent = 0

    def warn(self, text: str) -> None:
        """Something goes wrong now; `text` must hold no secrets."""
        self.error = text[:300]
        self.error_at = time.time()
        self.warnings += 1
        self.troubled = True
        now = time.monotonic()
        if now < self._next:
            self._silent += 1
            return
        more = f" ({self._silent} more like it not shown)" if self._silent else ""
        log.warning("%s: %s%s", self.title, self.error, more)
        self._next = now + COMPLAIN_EVERY
        self._silent = 0

    def over(self, text: str = "works again") -> None:
        """It goes well now; told if it did not before. Cheap enough for every batch."""
        if self.troubled:
            self.troubled = False
            log.info("%s: %s", self.title, text)
