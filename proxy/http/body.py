"""The body of a request, whichever way it is framed."""

from __future__ import annotations

from proxy.http.chunked import ChunkedDecoder
from proxy.http.head import Trailers


class Body:
    """Feed it wire bytes; it returns the content in them, and `rest` has what comes after."""

    __slots__ = ("_decoder", "_left", "rest")

    def __init__(self, length: int | None) -> None:
        self._left = length or 0
        self._decoder = ChunkedDecoder() if length is None else None
        self.rest = b""

    @property
    def done(self) -> bool:
        return self._decoder.done if self._decoder is not None else not self._left

    @property
    def has_more(self) -> bool:
        """The last call had enough: feed it nothing, in another turn."""
        return self._decoder is not None and self._decoder.has_more

    @property
    def trailers(self) -> Trailers:
        return tuple(self._decoder.trailers) if self._decoder is not None else ()

    def feed(self, data: bytes) -> list[bytes]:
        """The content in `data`, as pieces in order. Raises ChunkedError."""
        if self._decoder is not None:
            pieces = self._decoder.feed(data)
            self.rest = self._decoder.rest
            return pieces
        left = self._left
        if len(data) > left:
            self.rest = data[left:]
            data = data[:left]
        self._left = left - len(data)
        return [data]

    def skip(self, data: bytes) -> bool:
        """Throw the body away if all of it is in `data`; `rest` has what comes after then."""
        if self._decoder is not None or len(data) < self._left:
            return False
        self.rest = data[self._left :]
        self._left = 0
        return True
