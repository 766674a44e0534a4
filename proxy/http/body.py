"""The body of a request, whichever way it is framed."""

from __future__ import annotations

from proxy.http.chunked import ChunkedDecoder
from proxy.http.head import Trailers


class Body:
    """Feed it wire bytes; it returns the content in them, and `rest` has what comes after."""

    __slots__ = ("_decoder", "_left", "done", "has_more", "rest", "trailers")

    def __init__(self, length: int | None) -> None:
        self._left = length or 0
        self._decoder = ChunkedDecoder() if length is None else None
        self.done = False
        self.has_more = False  # the last call had enough: feed it nothing, in another turn
        self.trailers: Trailers = ()
        self.rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The content in `data`, as pieces in order. Raises ChunkedError."""
        if self._decoder is not None:
            return self._feed_chunks(self._decoder, data)
        left = self._left - len(data)
        if left < 0:
            self.rest = data[left:]
            data = data[:left]
            left = 0
        self._left = left
        self.done = not left
        return [data]

    def _feed_chunks(self, decoder: ChunkedDecoder, data: bytes) -> list[bytes]:
        pieces = decoder.feed(data)
        self.has_more = decoder.has_more
        if decoder.done:
            self.done = True
            self.rest = decoder.rest
            self.trailers = tuple(decoder.trailers)
        return pieces

    def skip(self, data: bytes) -> bool:
        """Throw the body away if all of it is in `data`; `rest` has what comes after then."""
        if self._decoder is not None or len(data) < self._left:
            return False
        self.rest = data[self._left :]
        self._left = 0
        return True
