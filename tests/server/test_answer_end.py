"""The end of an answer waits for the end of the turn, in which its exchange is recorded."""

from __future__ import annotations

import pytest

from proxy.http.edits import NO_EDITS
from proxy.http.head import RequestHead, ResponseHead
from proxy.server.h1_answer import AnswerWriter
from proxy.server.outbox import Outbox


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        self.written += data


@pytest.mark.parametrize("size", [10, 16_000, 16_250, 16_384, 16_385, 100_000])
@pytest.mark.parametrize("length", [None, "declared"])
async def test_the_last_piece_is_held(size: int, length: str | None) -> None:
    outbox = Outbox()
    writer = AnswerWriter(outbox)
    writer.transport = wire = Wire()
    writer._asked = RequestHead()
    head = ResponseHead()
    head.status, head.length = 200, None if length is None else size
    writer.begin_answer(head, NO_EDITS, [(b"x-long", b"y" * 200)])
    writer.send_data(b"z" * (size - 1) + b"!", True)
    assert b"!" not in wire.written
    outbox.flush()
    assert wire.written.endswith(b"!\r\n0\r\n\r\n" if length is None else b"!")
