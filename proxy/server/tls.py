"""The TLS layer: a connection in plain bytes on one side, a transport for a codec on the other.

It is the protocol of the transport that the loop made, and the transport of the codec, in one
object, for each call between two of them costs as much as the encryption of a small answer. It
has no buffer of its own: what a codec writes is encrypted at once and belongs to the transport
below, with its limits; what comes is decrypted when the codec reads.

Each write below is a system call and a segment, so two things wait for the next one: tickets of
TLS 1.3, which nobody needs before the first answer, and a last answer for the close_notify that
follows it at once (`hold`).

A connection that ends without close_notify has been cut, perhaps by somebody between
(RFC 8446 §6.1); that matters for bodies that end with the connection, and for nothing else. Our
own close_notify is sent at the end and that of the other end is not waited for. Where it comes
nevertheless, because only one way was shut, Python raises SSLZeroReturnError for what it tells by
an empty read before (`PySSL_ReadLocked` in Modules/_ssl.c): it is the same end.
"""

from __future__ import annotations

import asyncio
import contextlib
from ssl import (
    MemoryBIO,
    SSLContext,
    SSLError,
    SSLObject,
    SSLSession,
    SSLWantReadError,
    SSLZeroReturnError,
)
from typing import Any

RECORD = 16 * 1024  # bytes of plain text in a record, at most (RFC 8446 §5.1)
_AT_ONCE = 64 * 1024  # bytes that a codec gets in one call
MOST_HANDSHAKE = 128 * 1024  # bytes until it is done; OpenSSL takes 100 KiB of certificates


class Ragged(ConnectionError):
    """The connection ended without close_notify."""


class TlsLayer:
    """Both ends have this; who begins and what follows the handshake is for the heirs."""

    __slots__ = (
        "_delivering", "_ended", "_error", "_holds", "_in", "_inner", "_is_last", "_is_open",
        "_is_over", "_out", "_paused", "_plain", "_ragged", "_raw", "_said_goodbye", "_sealed",
        "_tls", "came", "transport",
    )  # fmt: skip

    def __init__(self) -> None:
        self.transport: Any = None  # below
        self._inner: Any = None  # the codec
        self._tls: Any = None  # SSLObject, once the handshake has begun
        self._raw: Any = None  # what does its work: `ssl` puts a frame of Python around each call
        self._in = MemoryBIO()
        self._out = MemoryBIO()
        self._is_open = False  # the handshake is done
        self._paused = False  # the codec does not read
        self._delivering = False
        self._ended = False  # nothing more will come, and the codec knows
        self._is_over = False  # close_notify came
        self._ragged = False
        self._said_goodbye = False
        self._holds = False  # what is sealed waits for what is sealed next
        self._is_last = False  # so does all that is written, until the connection is closed
        self._error: Exception | None = None
        self._plain = self._sealed = 0  # bytes written since the last ones came: as such, as sent
        self.came = 0  # bytes of the handshake

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'open' if self._is_open else 'shaking hands'}>"

    # from the transport below

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._in.write(data)
        if self._is_open:
            self._deliver()
        else:
            self._shake(len(data))

    def eof_received(self) -> bool:
        if not self._is_open:
            return False
        self._deliver()
        if not self._ended:
            self._ended = self._ragged = True
            return bool(self._inner.eof_received())
        return not self.transport.is_closing()

    def connection_lost(self, error: Exception | None) -> None:
        self._is_open = False
        self._ended = True
        inner, self._inner = self._inner, None
        if inner is not None:
            if error is None:
                error = self._error or (Ragged() if self._ragged else None)
            inner.connection_lost(error)

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()

    # the handshake

    def _begin(self, context: SSLContext, name: str | None, session: SSLSession | None) -> None:
        """As a server if `name` is None; else as a client of that server."""
        server = name is None
        self._tls = tls = context.wrap_bio(self._in, self._out, server, name, session)
        self._raw = getattr(tls, "_sslobj", tls)

    def _shake(self, size: int) -> None:
        """More bytes of the handshake came."""
        raise NotImplementedError

    def _step(self) -> bool:
        """Go on with the handshake; True when it is done, and what is to be sent then is left to
        the caller. SSLError when it has failed."""
        try:
            self._tls.do_handshake()
        except SSLWantReadError:
            self._flush()
            return False
        except BaseException:
            self._flush()  # the alert that says why
            raise
        return True

    def _open(self, codec: Any) -> None:
        """The handshake is done: all that comes is the codec's, as are bytes that came already."""
        self._is_open = True
        self._inner = codec
        codec.connection_made(self)
        if self._in.pending or self._raw.pending():
            self._deliver()

    # what comes

    def _deliver(self) -> None:
        if self._delivering or not self._is_open:
            return
        self._delivering = True
        try:
            self._read()
        except SSLWantReadError:
            pass
        except SSLZeroReturnError:
            self._is_over = True
            self._end()
        except SSLError as error:
            self._fail(error)
        finally:
            self._delivering = False
        if self._error is not None:
            self.abort()
        elif self._out.pending and not self._holds:  # an answer to a change of keys
            self._flush()

    def _read(self) -> None:
        """All that is at hand, as long as the codec takes it."""
        incoming, tls = self._in, self._raw
        while not (self._paused or self._ended or self._error):
            data = tls.read(RECORD)
            if data:
                if incoming.pending or tls.pending():
                    data = self._gather(data)
                self._plain = self._sealed = 0
                self._inner.data_received(data)
            else:
                self._is_over = True
            if self._is_over:
                self._end()
            elif not (incoming.pending or tls.pending()):
                break

    def _gather(self, data: bytes) -> bytes:
        """More of what is at hand, so that a codec is called once for several records."""
        pieces, size = [data], len(data)
        incoming, tls = self._in, self._raw
        try:
            while size <= _AT_ONCE - RECORD and (incoming.pending or tls.pending()):
                data = tls.read(RECORD)
                if not data:
                    self._is_over = True
                    break
                pieces.append(data)
                size += len(data)
        except SSLWantReadError:
            pass
        except SSLZeroReturnError:
            self._is_over = True
        except SSLError as error:
            self._fail(error)
        return b"".join(pieces)

    def _end(self) -> None:
        """close_notify came."""
        self._ended = True
        if not self._inner.eof_received():
            self.close()

    def _fail(self, error: Exception) -> None:
        """Broken for good: told when the connection below is closed."""
        if self._error is None:
            self._error = error
            self._flush()

    def _flush(self) -> None:
        self._holds = False
        if self._out.pending and not self.transport.is_closing():
            self.transport.write(self._out.read())

    # a transport for the codec

    def write(self, data: bytes) -> None:
        if self._said_goodbye or not data:
            return
        out = self._out
        try:
            done = self._raw.write(data)
            if done < len(data):
                rest = memoryview(data)
                while done < len(data):
                    done += self._raw.write(rest[done:])
        except SSLError as error:
            self._fail(error)
            self.abort()
            return
        self._plain += len(data)
        if self._is_last:
            return
        self._holds = False
        sealed = out.read()
        self._sealed += len(sealed)
        self.transport.write(sealed)

    def hold(self) -> None:
        """The next writes are the last ones, and `close` or `write_eof` follows in this turn."""
        self._is_last = True

    def writelines(self, pieces: list[bytes]) -> None:
        self.write(b"".join(pieces))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self._say_goodbye()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def close(self) -> None:
        if not self.transport.is_closing():
            self._say_goodbye()
            self.transport.close()

    def abort(self) -> None:
        self.transport.abort()

    def is_closing(self) -> bool:
        return bool(self.transport.is_closing())

    def is_reading(self) -> bool:
        return not self._paused

    def pause_reading(self) -> None:
        self._paused = True
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        self._paused = False
        if self.transport.is_closing():
            return
        self.transport.resume_reading()
        if self._in.pending or (self._raw is not None and self._raw.pending()):
            asyncio.get_running_loop().call_soon(self._deliver)

    def set_protocol(self, codec: Any) -> None:
        self._inner = codec

    def get_protocol(self) -> Any:
        return self._inner

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.transport.set_write_buffer_limits(high=high, low=low)

    def get_write_buffer_size(self) -> int:
        """Bytes as they will be sent."""
        return int(self.transport.get_write_buffer_size())

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "tls":
            return self
        if name == "ssl_object":
            return self._tls
        return self.transport.get_extra_info(name, default)

    def say_no_goodbye(self) -> None:
        """Whoever is at the other end shall see that what it got was not all."""
        self._said_goodbye = True

    def is_ragged(self) -> bool:
        """Whether the connection has ended without close_notify."""
        return bool(self._ragged)

    def held_back(self) -> int:
        """Bytes that came and the codec has not been given, not less than they will be."""
        return int(self._in.pending + (self._raw.pending() if self._raw is not None else 0))

    def untold(self, unacknowledged: int) -> int:
        """Of what was written since the last bytes came, as plain bytes: how many the other end
        has not acknowledged, less those that are not sent yet. Only "all of it" is said exactly;
        `unacknowledged` is what the kernel says."""
        unsent = self.get_write_buffer_size()
        if unacknowledged + unsent != self._sealed:
            return -(1 << 40)
        return self._plain - unsent

    def _say_goodbye(self) -> None:
        if self._said_goodbye or not self._is_open:
            return
        self._said_goodbye = True
        # OpenSSL looks for the other end's right after it, and would take what the codec has not
        # read yet for a mistake of that one; nothing more could be read then.
        unread = self._in.read()
        with contextlib.suppress(SSLError, OSError, ValueError):
            self._tls.unwrap()  # it waits for the other end's, or there is nothing more to say
        if unread:
            self._in.write(unread)
        self._flush()

    @property
    def tls(self) -> SSLObject:
        """What was agreed on in the handshake."""
        found: SSLObject = self._tls
        return found
