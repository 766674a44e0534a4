"""OTLP/JSON of any size to a serialised request, in steps that are short whatever it says.

What has nothing odd in it is read by the kernel, where that is compiled. Else, what fits into the
cursor's window goes the way of `json.py`, a message each time; what is larger is opened. Everything
becomes bytes at once: fields one after the other are a message, however many pieces they were made
in.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from proxy.kernel.otlpjson import Reader
from proxy.otlp.json import MAX_DEPTH, fields_of, fill, put
from proxy.otlp.json_cursor import LARGE, Cursor, NotUtf8, as_utf8
from proxy.otlp.messages import REQUESTS
from proxy.otlp.parts import FREE, LEAST
from proxy.otlp.schema import SCHEMAS
from proxy.otlp.wire import WireError
from proxy.telemetry.protobuf import DELIMITED, varint

_STEP = 256 * 1024  # bytes that the kernel reads at once: 0.5 ms
_GATHERED = 64  # values that are made into bytes together


def request_from_json(signal: str, text: bytes) -> Generator[None, None, bytes]:
    """JSON text as a serialised request; raises WireError if it is not one."""
    if signal in SCHEMAS:
        reader = Reader(SCHEMAS[signal], text)
        while not (read := reader.step(_STEP)):
            yield
        if read > 0:
            return reader.result()
        yield
    return (yield from decoded(signal, text))


def decoded(signal: str, text: bytes) -> Generator[None, None, bytes]:
    """The same by the libraries, which is what counts."""
    try:
        return (yield from _read(signal, text))
    except NotUtf8:
        text = yield from as_utf8(text)
        return (yield from _read(signal, text))


def _read(signal: str, text: bytes) -> Generator[None, None, bytes]:
    cursor = Cursor(text)
    yield from cursor.weigh()
    writer = _Writer(cursor, REQUESTS[signal], 0)
    value = cursor.value()
    if value is LARGE:
        yield from writer.read()
    else:
        writer.fill(value)
    cursor.end()
    yield
    return b"".join(writer.finish())


class _Writer:
    """One message that is being read; its bytes are in pieces."""

    __slots__ = ("_cursor", "_depth", "_fields", "_message", "_pieces", "_waiting", "size")

    def __init__(self, cursor: Cursor, kind: type[Message], depth: int) -> None:
        if depth > MAX_DEPTH:
            raise WireError("nested too deeply")
        self._cursor = cursor
        self._depth = depth
        self._fields = fields_of(kind.DESCRIPTOR)
        self._message = kind()
        self._waiting = 0  # values in the message
        self._pieces: list[bytes] = []
        self.size = 0  # of the pieces

    def fill(self, tree: Any) -> None:
        """From an object that is parsed already."""
        fill(self._message, tree, self._depth)
        self._waiting += 1

    def read(self) -> Iterator[None]:
        """From an object that is large."""
        cursor = self._cursor
        if cursor.open() != "{":
            raise WireError(f"{self._message.DESCRIPTOR.name}: an object is wanted")
        is_first = True
        while cursor.more(is_first, "}"):
            is_first = False
            field = self._fields.get(cursor.key())
            value = cursor.value()
            if value is not LARGE:
                self._put(field, value)
            elif field is None:
                yield from cursor.skip()
            elif field.is_repeated:
                yield from self._list(field)
            else:
                yield from self._large(field)
            yield

    def finish(self) -> list[bytes]:
        """All pieces."""
        if self._waiting:
            self._add([self._message.SerializeToString()])
            self._message.Clear()
            self._waiting = 0
        return self._pieces

    def _add(self, pieces: list[bytes]) -> None:
        self._pieces += pieces
        self.size += sum(map(len, pieces))

    def _put(self, field: Any, value: Any) -> None:
        """What is absent or unknown is passed over, as in `json.fill`."""
        if field is None or value is None:
            return
        put(self._message, field, value, self._depth)
        self._waiting += 1
        if self._waiting >= _GATHERED:
            self.finish()

    def _list(self, field: Any) -> Iterator[None]:
        cursor = self._cursor
        if cursor.open() != "[":
            raise WireError(f"{field.full_name}: an array is wanted")
        seen = 0
        while cursor.more(not seen, "]"):
            seen += 1
            if seen > FREE + self.size // LEAST:
                raise WireError("too many parts for so few bytes")
            value = cursor.value()
            if value is LARGE:
                yield from self._large(field)
            else:
                self._put(field, [value])
            yield

    def _large(self, field: Any) -> Iterator[None]:
        """One value that is not in an array, or one of an array."""
        cursor = self._cursor
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            writer = _Writer(cursor, GetMessageClass(field.message_type), self._depth + 1)
            yield from writer.read()
            pieces = writer.finish()
            self.finish()  # what came before it comes first
            head = varint(field.number << 3 | DELIMITED) + varint(writer.size)
            self._add([head, *pieces])
        elif cursor.open() == '"':
            text = yield from cursor.text()
            self._put(field, [text] if field.is_repeated else text)
        else:
            raise WireError(f"{field.full_name}: a text is wanted")
