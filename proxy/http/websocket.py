"""What passes through a WebSocket, told from its frames' heads alone (RFC 6455 §5.2).

Payload is neither kept nor unmasked nor looked at, but for the two bytes of a close frame's code:
a frame costs the same with one byte and with 64 MiB. What breaks the rules of frames is let pass
(the two ends judge it) and ends the counting, since nothing after it has a known place.
"""

from __future__ import annotations

NO_CODE = 1005  # of a close frame without one, RFC 6455 §7.1.5
ABNORMAL = 1006  # there was no close frame

_FIN, _OPCODE, _MASKED, _SHORT = 0x80, 0x0F, 0x80, 0x7F
_CLOSE = 8
_CONTROL = 8  # opcodes from here on
_MOST_CONTROL = 125  # bytes of a control frame's payload, RFC 6455 §5.5
_MOST_HEAD = 14


class Frames:
    """One direction. `messages` whose last frame has begun; `close_code` of the first close frame,
    0 = none came; `lost`: the bytes made no sense, and what came since is not counted."""

    __slots__ = ("_head", "_left", "close_code", "lost", "messages")

    def __init__(self) -> None:
        self.messages = 0
        self.close_code = 0
        self.lost = False
        self._left = 0  # bytes of payload to come
        self._head = b""  # the beginning of a frame that is not enough of it to go on

    def feed(self, data: bytes) -> None:
        """Whatever came, cut anywhere."""
        if self._head:
            data = self._head + data
            self._head = b""
        at, end = self._left, len(data)
        while at < end:
            if self.lost or self.close_code:
                self._left = 0
                return  # nothing follows a close frame
            size = self._frame(data, at, end)
            if not size:
                self._head = data[at:]
                self._left = 0
                return
            at += size
        self._left = at - end

    def _frame(self, data: bytes, at: int, end: int) -> int:
        """The size of the frame that begins at `at`, counted; 0 if too little of it is there."""
        if end - at < 2:
            return 0
        first, second = data[at], data[at + 1]
        payload = second & _SHORT
        size = 6 if second & _MASKED else 2
        if first & _CONTROL:
            return self._control(data, at, end, size)
        if payload > 125:
            more = 2 if payload == 126 else 8
            size += more
            if end - at < 2 + more:
                return 0
            if more == 8 and data[at + 2] & 0xC0:  # more than anybody will ever send
                self.lost = True
                return end - at
            payload = int.from_bytes(data[at + 2 : at + 2 + more], "big")
        if first & _FIN:
            self.messages += 1
        return size + payload

    def _control(self, data: bytes, at: int, end: int, size: int) -> int:
        """The same for control frames, which are short and never in fragments."""
        first, payload = data[at], data[at + 1] & _SHORT
        if payload > _MOST_CONTROL or not first & _FIN:
            self.lost = True
            return end - at
        if first & _OPCODE == _CLOSE:
            if payload < 2:
                self.close_code = NO_CODE
            elif end - at < size + 2:
                return 0
            else:
                code = int.from_bytes(data[at + size : at + size + 2], "big")
                if size == 6:
                    code ^= int.from_bytes(data[at + 2 : at + 4], "big")
                self.close_code = code or NO_CODE
        return size + payload
