"""Call: one unary call that a server received, from its metadata to its whole message.

Pure but for the room that it takes of the port (`inflow.py`). Refusals are raised; who answers is
`serving.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from proxy.otlp.inflate import is_known
from proxy.otlp.inflow import Inflow
from proxy.otlp.refusal import NO_CODING, TOO_LARGE, UNAUTHENTICATED, Reason, Refusal
from proxy.otlp.rpc import words
from proxy.otlp.rpc.words import PREFIX
from proxy.otlp.server import Gate

METADATA = 16 * 1024  # bytes of it
HEAVY = Reason(431, words.RESOURCE_EXHAUSTED, f"more than {METADATA} bytes of metadata")
NO_CALL = Reason(404, words.UNIMPLEMENTED, "there is no such method here")
BAD_CALL = Reason(400, words.INTERNAL, "not a unary call of gRPC")


class NotGrpc(Exception):
    """A request of HTTP/2 that is no gRPC: the answer is this status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Call:
    """Times are monotonic ns. `close` it when it is answered, or its stream has ended."""

    __slots__ = (
        "_inflow", "_is_coming", "_is_compressed", "_need", "_pieces", "_size", "answered", "begun",
        "deadline", "encoding", "heard", "is_over", "pushed_out", "signal", "stream", "task",
    )  # fmt: skip

    def __init__(
        self, stream: int, begun: int, inflow: Inflow, pushed_out: Callable[[Call], None]
    ) -> None:
        """`pushed_out` is called when its room was needed by others."""
        self.stream = stream
        self.begun = self.heard = begun  # when it and when its last byte came
        self.signal = ""
        self.encoding = ""
        self.deadline = 0  # 0 = none
        self.answered = 0  # since when the answer lies ready
        self.is_over = False  # the client has sent all
        self.task: asyncio.Task[None] | None = None  # what makes the answer, if that takes time
        self.pushed_out = pushed_out
        self._inflow = inflow
        self._is_coming = False
        self._is_compressed = False
        self._need = 0  # bytes with the prefix, 0 = not known yet
        self._pieces: list[bytes] = []
        self._size = 0  # of them, which count as in flight

    def open(
        self, headers: tuple[words.Field, ...], methods: Mapping[bytes, str], gate: Gate
    ) -> None:
        """Read the metadata; raises NotGrpc and Refusal."""
        fields = dict(headers)
        if not words.is_grpc(fields.get(b"content-type", b"")):
            raise NotGrpc(415, "this port takes gRPC: content-type must be application/grpc")
        if fields[b":method"] != b"POST":
            raise NotGrpc(405, "gRPC is POST")
        if given := fields.get(b"grpc-timeout"):
            limit = words.timeout(given)
            self.deadline = self.begun + limit if limit else 0
        if words.weight(headers) > METADATA:
            raise Refusal(HEAVY)
        self.signal = methods.get(fields[b":path"], "")
        if not self.signal:
            path = fields[b":path"][:200].decode("utf-8", "replace")
            raise Refusal(NO_CALL, path)
        if not gate.admits(fields.get(b"authorization", b"").decode("utf-8", "surrogateescape")):
            raise Refusal(UNAUTHENTICATED)
        self.encoding = fields.get(b"grpc-encoding", b"").decode("latin-1").lower()
        if not is_known(self.encoding):
            raise Refusal(NO_CODING, f"grpc-encoding {self.encoding[:50]!r}")

    def add(self, data: bytes, now: int) -> None:
        """More of the message; raises Refusal."""
        self.heard = now
        if not self._is_coming and not self.is_over:
            self._is_coming = True
            self._inflow.comes(self)
        self._inflow.take(len(data), self)
        self._size += len(data)
        self._pieces.append(data)
        if not self._need and self._size >= PREFIX:
            self._begin()
        if self._need and self._size > self._need:
            raise Refusal(BAD_CALL, "more than one message")

    def _begin(self) -> None:
        head = self._pieces[0]
        if len(head) < PREFIX:
            head = b"".join(self._pieces)
            self._pieces = [head]
        size = int.from_bytes(head[1:PREFIX], "big")
        if head[0] > 1:
            raise Refusal(BAD_CALL, "an unknown flag before the message")
        self._is_compressed = head[0] == 1
        if self._is_compressed and self.encoding in ("", "identity"):
            raise Refusal(BAD_CALL, "a compressed message without grpc-encoding")
        if size > self._inflow.cap:
            raise Refusal(TOO_LARGE, f"{self._inflow.cap} bytes")
        self._need = size + PREFIX

    def message(self) -> tuple[str, bytes]:
        """Its coding and its bytes, copied once; raises Refusal. Its room is held on."""
        pieces, size = self._pieces, self._size
        self._pieces = []
        self._settle()
        if not self._need:
            raise Refusal(BAD_CALL, "there is no message")
        if size < self._need:
            raise Refusal(BAD_CALL, "the message is cut off")
        encoding = self.encoding if self._is_compressed else ""
        if len(pieces) == 1:
            return encoding, pieces[0][PREFIX:]
        pieces[0], first = b"", pieces[0]
        return encoding, b"".join((memoryview(first)[PREFIX:], *pieces))

    def is_slow(self, now: int) -> bool:
        """Whether its message comes too slowly."""
        if self.is_over:
            return False
        silent = (now - self.heard) * 1e-9
        return silent > self._inflow.clocks.left((self.heard - self.begun) * 1e-9, self._size)

    def give_way(self) -> None:
        """Others need the room."""
        self.close()
        self.pushed_out(self)

    def holds(self, size: int) -> None:
        """So much room from now on; raises Refusal."""
        self._inflow.in_flight -= self._size
        self._size = 0
        self._inflow.take(size)
        self._size = size

    def close(self) -> None:
        """Give back the room."""
        self._settle()
        self._inflow.in_flight -= self._size
        self._size = 0
        self._pieces = []

    def _settle(self) -> None:
        if self._is_coming:
            self._is_coming = False
            self._inflow.came(self)
