"""What a request becomes whose protocol is switched, or that is a CONNECT: bytes both ways until
both sides have shut theirs, one of them breaks, or nothing moves for too long.

The story of the request goes on (`story.py`): it moves the bytes, with the same back-pressure, and
its span ends where the tunnel does. What is decided here is whether one may begin, and who ended
it. Whatever ends a tunnel, it is no error of the request's: `spangate.tunnel.end` says what it was.
"""

from __future__ import annotations

from proxy.errors import (
    ClientGone,
    ProxyError,
    ShuttingDown,
    StreamTimeout,
    UpgradeRefused,
    UpstreamTimeout,
)
from proxy.http.edits import WANTS_TUNNEL
from proxy.http.head import RequestHead, ResponseHead
from proxy.http.upgrade import WEBSOCKET, check_tunnel
from proxy.http.websocket import ABNORMAL, Frames
from proxy.server.snapshot import RouteEntry
from proxy.server.story import Story
from proxy.telemetry import instruments
from proxy.telemetry.facts import Exchange

CLIENT, UPSTREAM = "client", "upstream"  # who ended it, orderly
CLIENT_RESET, UPSTREAM_RESET = "client_reset", "upstream_reset"
IDLE, SHUTDOWN, TOO_LONG = "idle_timeout", "shutdown", "stream_timeout"


class Tunnel:
    """The facts of one; `end` is who ended it, "" = it goes on."""

    __slots__ = (
        "_from_client",
        "_from_upstream",
        "client_shut",
        "end",
        "protocol",
        "upstream_shut",
    )

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol  # "" = bytes, of a CONNECT
        self.end = ""
        self.client_shut = self.upstream_shut = False
        counted = protocol == WEBSOCKET
        self._from_client = Frames() if counted else None
        self._from_upstream = Frames() if counted else None

    def sent(self, data: bytes) -> None:
        """Bytes of the client's."""
        frames = self._from_client
        if frames is not None:
            frames.feed(data)
            if frames.close_code and not self.end:
                self.end = CLIENT

    def came(self, data: bytes) -> None:
        """Bytes of the upstream's."""
        frames = self._from_upstream
        if frames is not None:
            frames.feed(data)
            if frames.close_code and not self.end:
                self.end = UPSTREAM

    def shut_by_client(self) -> bool:
        """It sends no more; whether that was the end."""
        self.client_shut = True
        self.end = self.end or CLIENT
        return self.upstream_shut

    def shut_by_upstream(self) -> bool:
        """The same of the other side."""
        self.upstream_shut = True
        self.end = self.end or UPSTREAM
        return self.client_shut

    def tell(self, x: Exchange) -> None:
        """What the SERVER span says of it."""
        told: list[tuple[str, str | int]] = [
            ("spangate.tunnel.bytes_in", x.body_in),
            ("spangate.tunnel.bytes_out", x.body_out),
            ("spangate.tunnel.end", self.end),
        ]
        client, upstream = self._from_client, self._from_upstream
        if client is not None and upstream is not None:
            first, second = (client, upstream) if self.end == CLIENT else (upstream, client)
            told += [
                ("spangate.tunnel.messages_in", client.messages),
                ("spangate.tunnel.messages_out", upstream.messages),
                ("websocket.close_code", first.close_code or second.close_code or ABNORMAL),
            ]
        x.captured += told


def admit(story: Story, entry: RouteEntry) -> None:
    """Whether the request may ask its upstream for a tunnel. Raises UpgradeRefused (426),
    BadRequest (400), and ClientError (405) for CONNECT where the route does not say so."""
    head = story.head
    try:
        check_tunnel(head, entry.upgrades, connect=entry.route.connect)
    except UpgradeRefused as error:
        if head.version == "2":
            error.lines = ()  # which are fields of HTTP/1.1 (RFC 9113 §8.2.2)
        raise
    if not head.protocol:
        story.edits.target = head.authority
    story.edits.wants |= WANTS_TUNNEL


def is_granted(head: RequestHead, response: ResponseHead) -> bool:
    """Whether the answer to a request for a tunnel begins one; else it is an answer like others."""
    if head.protocol:
        return response.status == 101
    return 200 <= response.status < 300


def begin(story: Story) -> None:
    """After the head of an answer that grants it."""
    head, upstream = story.head, story.upstream
    target = story.target
    stream_ns = target.stream_ns if target is not None else 0
    story.total = story.x.start + stream_ns if stream_ns else 0  # `timeout` ends here
    story.tunnel = Tunnel(head.protocol)
    if head.version == "2" and head.protocol:
        story.x.status = 200  # as it is said there (RFC 8441 §5)
    if upstream is not None:
        if upstream.version == "2" and story.attempt is not None:
            story.attempt.status = 200
        upstream.open_tunnel()
    story.client.open_tunnel()


def cut(story: Story, error: ProxyError) -> None:
    """It ends in another way than by both sides' word."""
    tunnel, upstream = story.tunnel, story.upstream
    assert tunnel is not None
    tunnel.end = tunnel.end or _end_of(error)
    story.upstream = None
    if upstream is not None:
        upstream.abort()
    if not isinstance(error, ClientGone):
        story.client.abort()


def finish(story: Story) -> None:
    """Tell and count it."""
    tunnel = story.tunnel
    assert tunnel is not None
    tunnel.tell(story.x)
    route = story.entry.blocks.name if story.entry is not None else ""
    attributes = (
        ("spangate.route", route),
        ("spangate.tunnel.protocol", tunnel.protocol.lower() or "connect"),
        ("spangate.tunnel.end", tunnel.end),
    )
    story.worker.recorder.registry.number(instruments.TUNNELS, attributes).value += 1


def _end_of(error: ProxyError) -> str:
    if isinstance(error, ClientGone):
        return CLIENT_RESET
    if isinstance(error, ShuttingDown):
        return SHUTDOWN
    if isinstance(error, StreamTimeout):
        return TOO_LONG
    return IDLE if isinstance(error, UpstreamTimeout) else UPSTREAM_RESET
