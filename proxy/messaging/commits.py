"""A consumer's commits that fail are told once, until one succeeds: there are several a second."""

from __future__ import annotations

import logging

log = logging.getLogger("spangate")


class Commits:
    def __init__(self, consumer: str) -> None:
        self._consumer = consumer
        self._is_told = False

    def failed(self, why: str) -> None:
        if not self._is_told:
            message = "consumer %s: cannot commit: %s: messages may come again"
            log.warning(message, self._consumer, why, extra={"key": "consumer.commit"})
        self._is_told = True

    def succeeded(self) -> None:
        self._is_told = False
