"""gRPC's health checking protocol, answered by the gateway itself (grpc/doc health-checking.md).

`Check` alone: the gateway ("") is SERVING until it drains, and an upstream, by its name, while one
of its servers is up. `Watch` is not implemented, which its clients take for an answer.
"""

from __future__ import annotations

from proxy.http import grpc
from proxy.http.edits import NO_EDITS
from proxy.http.head import Trailers, made_response
from proxy.kernel.clock import monotonic_ns
from proxy.server import added, answering
from proxy.server.attempts import EVENT
from proxy.server.reply import Reply
from proxy.server.sides import StoryEvents, UpstreamSide
from proxy.server.story import Story

SERVING, NOT_SERVING = 1, 2  # HealthCheckResponse.ServingStatus
_MOST = 4096  # bytes of a request that are read


class Reader(UpstreamSide):
    """Takes a request's body in the place of an upstream."""

    __slots__ = ("_story", "body", "is_done", "waits")

    def __init__(self, story: StoryEvents) -> None:
        self._story = story
        self.body = b""
        self.is_done = False
        self.waits = False  # the story waits for the end

    def send_data(self, data: bytes, last: bool) -> None:
        if len(self.body) <= _MOST:
            self.body += data

    def end(self, trailers: Trailers) -> None:
        if not self.is_done:
            self.is_done = True
            if self.waits:
                self._story.on_connected(self)


async def answer(story: Story) -> None:
    """Read the request and answer it."""
    reader = Reader(story)
    story.upstream = reader
    for piece in story.held:
        reader.send_data(piece, False)
    story.held = []
    if not story.client.upload_done:
        story.client.resume()
        if not reader.is_done:
            reader.waits = True
            await EVENT
    story.upstream = None
    if not story.head.path.endswith("/Check"):
        _refuse(story, grpc.UNIMPLEMENTED, "health checks are Check alone")
        return
    service = asked(reader.body)
    if service is None:
        _refuse(story, grpc.INVALID_ARGUMENT, "this is no HealthCheckRequest")
        return
    status = _status(story, service)
    if status:
        _say(story, status)
    else:
        _refuse(story, grpc.NOT_FOUND, "no upstream has this name")


def asked(body: bytes) -> str | None:
    """The service that a message asks for; None if it is no HealthCheckRequest."""
    if len(body) < 5 or body[0] or int.from_bytes(body[1:5], "big") != len(body) - 5:
        return None
    message = body[5:]
    if not message:
        return ""
    if len(message) < 2 or message[0] != 0x0A:
        return None
    size, begin = message[1], 2
    if size & 0x80 and len(message) > 2:
        size, begin = size & 0x7F | message[2] << 7, 3
    if begin + size != len(message):
        return None
    return message[begin:].decode("utf-8", "replace")


def _status(story: Story, service: str) -> int:
    """0 = there is no such service."""
    worker = story.worker
    if not service:
        return NOT_SERVING if worker.draining else SERVING
    state = worker.upstreams.get(service)
    if state is None:
        return 0
    return SERVING if any(e.up for e in state.endpoints.values()) else NOT_SERVING


def _say(story: Story, status: int) -> None:
    x, client = story.x, story.client
    head = made_response(200, [(b"content-type", grpc.CONTENT_TYPE)], 0)
    head.length = None
    edits = NO_EDITS if story.entry is None else story.entry.response_edits
    client.send_head(head, edits, added.lines(x, story.snapshot, edits, head))
    x.status, x.head_sent, x.first_byte = 200, True, monotonic_ns()
    message = b"\x00\x00\x00\x00\x02\x08" + bytes((status,))
    x.body_out = len(message)
    client.send_data(message, False)
    if x.call is not None:
        x.call.status = grpc.OK
    client.end(tuple(grpc.told(grpc.OK, "")))


def _refuse(story: Story, code: int, message: str) -> None:
    fields = [(b"content-type", grpc.CONTENT_TYPE), *grpc.told(code, message)]
    answering.reply(story, Reply(200, fields, b"", code=code), story.entry)
