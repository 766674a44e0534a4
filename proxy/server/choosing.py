"""Which endpoint a request asks for itself: by a key that policies go by, or by a sticky cookie.

Upstreams whose requests may all go anywhere have no `Chooser`, and nothing here is run for them.

A sticky cookie is an HMAC-SHA256 of the endpoint's URL and the upstream's name, so that it tells
nobody an address, and nobody can make one that was not given out.
"""

from __future__ import annotations

import hmac
import os
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable

from proxy.http.head import Pair, RequestHead
from proxy.server.story import Story
from proxy.telemetry import instruments
from proxy.upstream.endpoint import DRAINED, Endpoint
from proxy.upstream.state import Upstreams, UpstreamState

VERSION = "v1."  # of the cookie's form
CHOSEN_BY = "spangate.chosen_by"  # attribute of the SERVER span
LONGEST = 1024  # bytes of a key; what is longer counts by its beginning

_OWN_KEY = os.urandom(32)  # where no hub gives one
_SIGNED = 16  # bytes of the HMAC that are sent: 128 bits, RFC 2104 §5

Read = Callable[[Story], bytes | None]


class Sticky:
    """The cookies of one upstream."""

    __slots__ = ("_attributes", "_endpoints", "_key", "_name", "_state", "_urls")

    def __init__(self, state: UpstreamState) -> None:
        settings = state.settings.sticky
        assert settings is not None
        self._state = state
        self._name = settings.cookie
        self._key = settings.key.encode() or _OWN_KEY
        age = f"; Max-Age={int(settings.ttl)}" if settings.ttl else ""
        self._attributes = f"; Path=/{age}; HttpOnly; SameSite=Lax"
        self._urls: dict[str, str] = {}  # by value
        self._endpoints: dict[str, Endpoint] = {}  # of which the values are known

    def value(self, endpoint: Endpoint) -> str:
        """What the cookie of an endpoint says."""
        text = f"{endpoint.upstream}\0{endpoint.url}".encode()
        mac = hmac.digest(self._key, text, "sha256")[:_SIGNED]
        return VERSION + urlsafe_b64encode(mac).rstrip(b"=").decode()

    def wanted(self, head: RequestHead) -> Endpoint | None:
        """Whom the request's cookie names, if it is one of ours and its endpoint there is."""
        value = cookie(head, self._name)
        if value is None or not value.startswith(VERSION):
            return None
        url = self._urls.get(value)
        if url is None:
            self._learn()
            url = self._urls.get(value)
        return None if url is None else self._state.endpoints.get(url)

    def line(self, endpoint: Endpoint, secure: bool) -> Pair:
        """The field that sets it."""
        text = f"{self._name}={self.value(endpoint)}{self._attributes}"
        return b"set-cookie", (text + "; Secure" if secure else text).encode("ascii")

    def _learn(self) -> None:
        """Know the values of all endpoints that there are; at once, so that guesses cost little."""
        endpoints = self._state.endpoints
        if self._endpoints == endpoints:
            return
        self._urls = {value: url for value, url in self._urls.items() if url in endpoints}
        for url, endpoint in endpoints.items():
            if url not in self._endpoints:
                self._urls[self.value(endpoint)] = url
        self._endpoints = dict(endpoints)


class Chooser:
    """How requests to one upstream are told apart."""

    __slots__ = ("_read", "_state", "_sticky", "settings")

    def __init__(self, state: UpstreamState) -> None:
        self._state = state
        self.settings = state.settings
        self._sticky = Sticky(state) if state.settings.sticky is not None else None
        self._read = reader(state.settings.balance.on)

    def choose(self, story: Story, now: int, failed: Endpoint | None) -> Endpoint | None:
        """The endpoint of a try at monotonic `now` (ns), after one at `failed`."""
        if self._sticky is not None:
            wanted = self._sticky.wanted(story.head)
            # Who is drained still serves those who were sent to it before.
            if wanted is not None and wanted is not failed and not wanted.out & ~DRAINED:
                _note(story, "cookie")
                return wanted
        if self._read is None:
            return self._state.balancer.pick(now, None, failed)
        key = self._read(story)
        if not key:
            where = (("spangate.upstream", self._state.name),)
            story.worker.recorder.registry.number(instruments.KEYLESS, where).value += 1
        _note(story, "key" if key else "no_key")
        return self._state.balancer.pick(now, key[:LONGEST] if key else None, failed)

    def mark(self, story: Story, lines: list[Pair]) -> None:
        """Give the client a cookie, unless it has that of the endpoint that answers."""
        sticky, endpoint = self._sticky, story.endpoint
        if sticky is None or endpoint is None or sticky.wanted(story.head) is endpoint:
            return
        lines.append(sticky.line(endpoint, story.x.scheme == "https"))


def _note(story: Story, how: str) -> None:
    """Tell in the span how the first try's endpoint was found."""
    if story.x.sampled and not story.x.attempts:
        story.x.captured.append((CHOSEN_BY, how))


def equip(upstreams: Upstreams) -> None:
    """Give each upstream the chooser that its settings want, or none."""
    for state in upstreams:
        settings, chooser = state.settings, state.chooser
        if settings.sticky is None and not settings.balance.on:
            state.chooser = None
        elif chooser is None or chooser.settings is not settings:
            state.chooser = Chooser(state)


def cookie(head: RequestHead, name: str) -> str | None:
    """The first cookie of that name (RFC 6265 §5.4); None if there is none."""
    given = head.get(b"cookie")
    if given is None:
        return None
    for pair in re.split(r"[;,] *", given.decode("latin-1")):
        called, equals, value = pair.partition("=")
        if equals and called.strip(" \t") == name:
            return value.strip(" \t").strip('"')
    return None


def reader(on: str) -> Read | None:
    """What gives a request's key; "" and None = it has none."""
    kind, _, name = on.partition(":")
    if on == "header:host":
        return lambda story: story.head.authority.encode("latin-1", "replace")
    if kind == "header":
        field = name.lower().encode("ascii")
        return lambda story: story.head.get(field)
    if kind == "cookie":
        return lambda story: (cookie(story.head, name) or "").encode("latin-1")
    if kind == "client":
        return lambda story: story.x.client.encode()
    if kind == "path":
        return lambda story: story.snapshot.captures(story.head).get(name, "").encode()
    return None
