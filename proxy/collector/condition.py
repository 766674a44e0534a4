"""Condition: how one component is, for people: its state, its last trouble, a bearable log.

Components say what goes wrong and when it is over, of themselves or of one signal of theirs; the
first line goes out at once, then one each interval at most. What nobody can mend but an operator is
said once, until it is over. Counting is not done here.
"""

from __future__ import annotations

import logging
import math
import time

log = logging.getLogger("spangate")

COMPLAIN_EVERY = 30.0  # seconds between two log lines about the same component
_LONGEST = 400  # characters of a trouble that are kept


class Trouble:
    """How it is with one signal of a component."""

    __slots__ = ("error", "error_at", "paused", "troubled")

    def __init__(self) -> None:
        self.error = ""  # the last one, told or not
        self.error_at = 0.0  # Unix seconds
        self.troubled = False
        self.paused = False  # nothing of it is sent for now

    def note(self, text: str, now: float) -> None:
        self.error = text[:_LONGEST]
        self.error_at = now
        self.troubled = True


class Condition:
    """`title` begins every line: "exporter otlp_http/backend"."""

    __slots__ = ("_next", "_silent", "_told", "own", "signals", "state", "title", "unexpected",
                 "warnings")  # fmt: skip

    def __init__(self, title: str = "") -> None:
        self.title = title
        self.state = "made"  # made, starting, running, failed, stopping, stopped
        self.own = Trouble()  # the last one, whatever it is about; troubled: of no signal alone
        self.signals: dict[str, Trouble] = {}
        self.warnings = 0
        self.unexpected = 0  # exceptions that nobody had thought of
        self._next = -math.inf
        self._silent = 0
        self._told = False  # the last thing in the log was a trouble

    @property
    def error(self) -> str:
        """The last trouble, told or not."""
        return self.own.error

    @property
    def error_at(self) -> float:
        return self.own.error_at

    @property
    def troubled(self) -> bool:
        return self.own.troubled or any(t.troubled for t in self.signals.values())

    def of(self, signal: str) -> Trouble:
        """That signal's own."""
        return self.signals.setdefault(signal, Trouble())

    def warn(self, text: str, signal: str = "", *, error: Exception | None = None) -> None:
        """Something goes wrong now; `text` must hold no secrets. `error` shows where in the log."""
        self._note(text, signal)
        now = time.monotonic()
        if now < self._next:
            self._silent += 1
            return
        more = f" ({self._silent} more like it not shown)" if self._silent else ""
        log.warning(
            "%s: %s%s",
            self.title,
            self.error,
            more,
            exc_info=error,
            extra={"key": "component.failing"},
        )
        self._next = now + COMPLAIN_EVERY
        self._silent = 0
        self._told = True

    def surprise(self, error: Exception, signal: str = "") -> None:
        """An exception that nobody had thought of: a mistake in this program."""
        self.unexpected += 1
        text = f"unexpected {type(error).__name__}: {error}; this is a bug, please report it"
        self.warn(text, signal, error=error)

    def pause(self, signal: str, text: str) -> None:
        """Nothing is sent of that signal for now; said once until it is `over`."""
        trouble = self.of(signal)
        self._note(text, signal)
        if not trouble.paused:
            trouble.paused = True
            log.warning("%s: %s", self.title, self.error, extra={"key": "component.paused"})

    def fail(self, text: str) -> None:
        """It could not start; whoever started it tells."""
        self.state = "failed"
        self.own.note(text, 0.0)
        self.own.troubled = False

    def over(self, text: str = "works again", signal: str = "") -> None:
        """It goes well now, with that signal too; told if it did not before. Cheap enough for
        every batch."""
        trouble = self.signals.get(signal)
        if trouble is not None and trouble.paused:
            trouble.paused = trouble.troubled = False
            log.info("%s: %s %s", self.title, text, signal, extra={"key": "component.resumed"})
        if not self.own.troubled and (trouble is None or not trouble.troubled):
            return
        self.own.troubled = False
        if trouble is not None:
            trouble.troubled = False
        # Once for each trouble that was told: what comes and goes must not fill the log.
        if self._told and not self.troubled:
            self._told = False
            log.info("%s: %s", self.title, text, extra={"key": "component.recovered"})

    def _note(self, text: str, signal: str) -> None:
        now = time.time()
        about = self.own.troubled if signal else True
        self.own.note(text, now)
        self.own.troubled = about
        if signal:
            self.of(signal).note(text, now)
        self.warnings += 1
