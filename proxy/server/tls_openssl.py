"""What OpenSSL can do for a context and Python's `ssl` does not offer, called through ctypes.

That relies on where CPython keeps the `SSL_CTX *`, the same from 3.7 to 3.14, and is tried before
it is used: what was set must be read back. Where that fails, all goes on without it: handshakes
cost more, an idle connection keeps its buffers, and sessions are resumed by one worker alone.
"""

from __future__ import annotations

import logging
import ssl
import sys
from functools import cache
from typing import Any

_GET_KEYS, _SET_KEYS = 58, 59  # openssl/ssl.h: SSL_CTRL_…
_MODE, _SET_CACHE_MODE = 33, 44
_RELEASE_BUFFERS, _NO_AUTO_CHAIN = 0x10, 0x08  # SSL_MODE_…
_PRIORITIZE_CHACHA = 0x00200000  # SSL_OP_…
_SIZE = 80  # bytes of ticket keys

# TLS 1.3 has an order of its own. AES-128 first, as other servers have it: SHA-256, which goes
# with it, has instructions of its own in processors, and SHA-384 has none.
_SUITES = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

log = logging.getLogger("spangate")


def economise(context: ssl.SSLContext) -> bool:
    """Have servers' handshakes cost less, and idle connections no buffers; False if that cannot be.

    The certificates that are sent are those of the file: OpenSSL does not look for more of them in
    each handshake. Buffers of 16 KiB and more are given back when they are empty. Of the ciphers
    that both ends take the first of ours is used, but ChaCha20 where it is the client's first,
    which has no instructions for AES then.
    """
    library = _library()
    if library is None:
        return False
    pointer = _pointer(context)
    library.SSL_CTX_ctrl(pointer, _MODE, _RELEASE_BUFFERS | _NO_AUTO_CHAIN, None)
    if not library.SSL_CTX_set_ciphersuites(pointer, _SUITES):
        return False
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE | _PRIORITIZE_CHACHA
    return True


def release_buffers(context: ssl.SSLContext) -> None:
    """Idle connections keep no buffers."""
    library = _library()
    if library is not None:
        library.SSL_CTX_ctrl(_pointer(context), _MODE, _RELEASE_BUFFERS, None)


def forget_sessions(context: ssl.SSLContext) -> bool:
    """Keep none in the process: 20,000 of them are memory, and one that is resumed by its id is
    not asked for its certificate again. False if that cannot be."""
    library = _library()
    if library is None:
        return False
    library.SSL_CTX_ctrl(_pointer(context), _SET_CACHE_MODE, 0, None)
    return True


def set_ticket_keys(context: ssl.SSLContext, keys: bytes) -> bool:
    """What tickets are sealed and opened with, 80 bytes; False if that cannot be."""
    library = _library()
    return library is not None and bool(_control(library, context, _SET_KEYS, keys))


@cache
def _library() -> Any:
    """OpenSSL as `ssl` uses it, or None where it cannot be reached."""
    try:
        return _tried()
    except (ImportError, OSError, AttributeError, RuntimeError, ValueError, TypeError) as error:
        log.info(
            "TLS sessions are not resumed across workers: %s",
            error,
            extra={"key": "tls.no_shared_tickets"},
        )
        return None


def _tried() -> Any:
    import ctypes

    if sys.implementation.name != "cpython":
        raise RuntimeError("not CPython")
    if sys.maxsize < 2**32 or object.__basicsize__ != 16:
        raise RuntimeError("another layout of objects")
    library = ctypes.CDLL(ssl._ssl.__file__)  # type: ignore[attr-defined]
    library.SSL_CTX_ctrl.restype = ctypes.c_long
    library.SSL_CTX_ctrl.argtypes = [
        ctypes.c_void_p,
        ctypes.c_int,
        ctypes.c_long,
        ctypes.c_void_p,
    ]
    library.SSL_CTX_set_ciphersuites.restype = ctypes.c_int
    library.SSL_CTX_set_ciphersuites.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    keys = bytes(range(_SIZE))
    found = ctypes.create_string_buffer(_SIZE)
    _control(library, context, _SET_KEYS, keys)
    _control(library, context, _GET_KEYS, found)
    if found.raw != keys:
        raise RuntimeError("OpenSSL does not keep the keys")
    return library


def _control(library: Any, context: ssl.SSLContext, what: int, buffer: Any) -> int:
    return int(library.SSL_CTX_ctrl(_pointer(context), what, _SIZE, buffer))


def _pointer(context: ssl.SSLContext) -> int:
    """PySSLContext begins with PyObject_HEAD; SSL_CTX *ctx comes next (Modules/_ssl.c)."""
    import ctypes

    return ctypes.c_void_p.from_address(id(context) + object.__basicsize__).value or 0
