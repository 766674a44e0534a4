"""Batch: what moves through the collector, and the one place where small pieces become one.

OTLP stays bytes here: two serialised Export…ServiceRequest messages one after the other are one
valid message, so nothing is decoded to be gathered, shared or sent. A stage that must look inside
asks the batch for its message, which is decoded once and shared. protobuf is imported by the first
that asks. Where batches go is not known in this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from proxy.otlp.envelope import Envelope
from proxy.otlp.wire import WireError

if TYPE_CHECKING:
    from google.protobuf.message import Message

Signal = Literal["traces", "metrics", "logs", "profiles"]
SIGNALS: tuple[Signal, ...] = ("traces", "metrics", "logs", "profiles")


class Batch:
    """One Export…ServiceRequest; what it says never changes, so that stages can share it.

    It has bytes, or a message, or both; each is made from the other when first asked for.
    `items` are spans, data points or log records; of profiles, requests. What is made of a batch
    carries its `receipt` on, so that whoever gave the batch knows when all of it is gone: when
    nobody holds the receipt any more. So let go of a batch that is done with.
    """

    __slots__ = (
        "_entries", "_envelope", "_message", "_payload", "_pieces", "items", "receipt", "shared",
        "signal",
    )  # fmt: skip

    def __init__(
        self, signal: Signal, payload: bytes | None, items: int, receipt: object = None
    ) -> None:
        self.signal = signal
        self.items = items
        self.receipt = receipt
        self.shared = False  # set by a fan-out: somebody else has this very object
        self._payload = payload
        self._pieces: list[bytes] | None = None
        self._message: Message | None = None
        self._entries = b""
        self._envelope: Envelope | None = None

    @classmethod
    def of(
        cls, signal: Signal, message: Message, items: int | None = None, receipt: object = None
    ) -> Batch:
        """From a message that the caller will not touch again; items are counted if not given."""
        if items is None:
            from proxy.otlp.messages import amount_in

            items = amount_in(signal, message)
        batch = cls(signal, None, items, receipt)
        batch._message = message
        return batch

    @classmethod
    def open(
        cls,
        signal: Signal,
        entries: bytes,
        items: int,
        envelope: Envelope,
        receipt: object = None,
    ) -> Batch:
        """From bare entries (fields 2 of a ScopeX) that share a resource and a scope.

        The envelope is put around them when the bytes are asked for; until then, batches of one
        envelope can be joined within it.
        """
        batch = cls(signal, None, items, receipt)
        batch._entries = entries
        batch._envelope = envelope
        return batch

    @classmethod
    def of_pieces(
        cls, signal: Signal, pieces: list[bytes], items: int, receipt: object = None
    ) -> Batch:
        """From a payload that nobody has put together yet."""
        batch = cls(signal, None, items, receipt)
        batch._pieces = pieces
        return batch

    @property
    def pieces(self) -> Sequence[bytes]:
        """The serialised request, in one or more pieces; for who can write it piece by piece."""
        return self._pieces if self._pieces is not None else (self.payload,)

    @property
    def payload(self) -> bytes:
        """The serialised request."""
        payload = self._payload
        if payload is None:
            if self._pieces is not None:
                payload = b"".join(self._pieces)
                self._pieces = None
            elif self._envelope is not None:
                payload = self._envelope.request([self._entries])
            else:
                assert self._message is not None, "this batch was given away with edit()"
                payload = self._message.SerializeToString()
            self._payload = payload
        return payload

    @property
    def size(self) -> int:
        """Bytes, uncompressed."""
        return sum(map(len, self.pieces))

    def message(self) -> Message:
        """The decoded request, to be read only; raises WireError for bytes that are none."""
        if self._message is None:
            self._message = self._decode()
        return self._message

    def edit(self) -> Message:
        """A decoded request that the caller may change, to make a new batch of (`Batch.of`).

        A message that nobody else can see is handed over and not copied; a batch without bytes is
        used up by that. So whoever keeps a batch to offer it again asks for its `payload` first.
        """
        message, self._message = self._message, None
        if message is not None and not self.shared:
            return message
        if message is not None:
            self._message = message
            if self._payload is None and self._pieces is None and self._envelope is None:
                self._payload = message.SerializeToString()
        return self._decode()  # half the price of protobuf's CopyFrom, 0.5 µs a span

    def forget(self) -> None:
        """Keep the bytes alone: a decoded message takes 3.7 times as much memory."""
        if self._message is not None and self.pieces:
            self._message = None

    def opened(self) -> tuple[bytes, Envelope] | None:
        """(entries, envelope) of an open batch; None for one that is a complete request."""
        return (self._entries, self._envelope) if self._envelope is not None else None

    def heir(self, payload: bytes, items: int) -> Batch:
        """What a processor made of this one."""
        return Batch(self.signal, payload, items, self.receipt)

    def _decode(self) -> Message:
        from google.protobuf.message import DecodeError

        from proxy.otlp.messages import REQUESTS

        try:
            return REQUESTS[self.signal].FromString(self.payload)
        except DecodeError as error:
            raise WireError(str(error)) from None

    def __repr__(self) -> str:
        return f"<Batch {self.signal}: {self.items} items>"


def receipts(batches: Iterable[Batch]) -> object:
    """The receipt of what is made of all of them; None if none has one."""
    found = tuple({id(b.receipt): b.receipt for b in batches if b.receipt is not None}.values())
    return found[0] if len(found) == 1 else found or None
