"""What upstreams do wrong, said in the log: at most once in ten seconds for each upstream.

A server that answers with bytes that are no HTTP does so for every request, so what is not said
at once is counted and summed up. What is said is ours: no byte of a peer gets here unescaped.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from proxy.errors import BadResponse, ProxyError, StreamReset, Truncated, UpstreamReset

_EVERY = 10_000_000_000  # ns

log = logging.getLogger("spangate")


class _Said:
    """The last line about one upstream, and what came after it."""

    __slots__ = ("at", "endpoint", "more", "why")

    def __init__(self, at: int) -> None:
        self.at = at
        self.more = 0  # like faults since then
        self.endpoint = self.why = ""  # of the last of these


class Faults:
    """What one worker has said of its upstreams."""

    __slots__ = ("_said",)

    def __init__(self) -> None:
        self._said: dict[str, _Said] = {}

    def tell(self, upstream: str, endpoint: str, error: ProxyError, now: int) -> None:
        """An answer was refused or broke off; other errors are none of this."""
        if not isinstance(error, BadResponse | StreamReset | Truncated | UpstreamReset):
            return
        said = self._said.get(upstream)
        if said is None:
            self._said[upstream] = _Said(now)
            log.warning(
                "upstream %s: bad answer of %s: %s",
                upstream,
                endpoint,
                error.detail,
                extra={"key": "upstream.bad_answer"},
            )
        else:
            said.more += 1
            said.endpoint, said.why = endpoint, error.detail

    def say(self, lines: Iterable[str]) -> None:
        """What was found out about endpoints, each once."""
        for line in lines:
            log.warning("%s", line, extra={"key": "endpoint.found_out"})

    def sum_up(self, now: int) -> None:
        """Say how many there were of those whose time has come; a few times a second."""
        for upstream, said in list(self._said.items()) if self._said else ():
            if now - said.at < _EVERY:
                continue
            if not said.more:
                del self._said[upstream]
                continue
            text = "upstream %s: %d more bad answers in %d s, the last of %s: %s"
            seconds = (now - said.at) // 1_000_000_000
            log.warning(
                text,
                upstream,
                said.more,
                seconds,
                said.endpoint,
                said.why,
                extra={"key": "upstream.more_bad_answers"},
            )
            self._said[upstream] = _Said(now)
