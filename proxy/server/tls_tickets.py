"""Ticket keys: what lets a client resume at one worker a session that it began at another.

Python's `ssl` has no way to set them, so that each context has keys of its own; OpenSSL has one
(`SSL_CTX_set_tlsext_ticket_keys`), which is called here through ctypes. That relies on where
CPython keeps the `SSL_CTX *`, the same from 3.7 to 3.14, and is tried before it is used: what was
set must be read back. Where that fails, clients shake hands in full with the other workers.
"""

from __future__ import annotations

import logging
import ssl
import sys
from functools import cache
from typing import Any

SIZE = 80  # bytes: name 16, HMAC 32, AES-256 32 (OpenSSL, tlsext_ticket_key_evp_cb)

_GET_KEYS, _SET_KEYS, _SET_CACHE_MODE = 58, 59, 44  # openssl/ssl.h: SSL_CTRL_…


def secrets(keys: bytes, keylog: str = "") -> bytes:
    """What a SECRETS frame carries; `keylog`: the file that the keys of connections are written
    into, for a debugger of packets, "" = none."""
    return keys + keylog.encode("utf-8", "surrogateescape")


def read_secrets(payload: bytes) -> tuple[bytes, str]:
    """The same, taken apart."""
    return payload[:SIZE], payload[SIZE:].decode("utf-8", "surrogateescape")


log = logging.getLogger("spangate")


def share(context: ssl.SSLContext, keys: bytes) -> bool:
    """Have `context` seal and open its tickets with these `keys`; False if that cannot be."""
    library = _library()
    return library is not None and bool(_control(library, context, _SET_KEYS, keys))


def forget_sessions(context: ssl.SSLContext) -> bool:
    """Keep none in the process: 20,000 of them are memory, and one that is resumed by its id is
    not asked for its certificate again. False if that cannot be."""
    library = _library()
    if library is None:
        return False
    library.SSL_CTX_ctrl(_pointer(context), _SET_CACHE_MODE, 0, None)
    return True


@cache
def _library() -> Any:
    """OpenSSL as `ssl` uses it, or None where it cannot be reached."""
    try:
        return _tried()
    except (ImportError, OSError, AttributeError, RuntimeError, ValueError, TypeError) as error:
        log.info("TLS sessions are not resumed across workers: %s", error)
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
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    keys = bytes(range(SIZE))
    found = ctypes.create_string_buffer(SIZE)
    _control(library, context, _SET_KEYS, keys)
    _control(library, context, _GET_KEYS, found)
    if found.raw != keys:
        raise RuntimeError("OpenSSL does not keep the keys")
    return library


def _control(library: Any, context: ssl.SSLContext, what: int, buffer: Any) -> int:
    return int(library.SSL_CTX_ctrl(_pointer(context), what, SIZE, buffer))


def _pointer(context: ssl.SSLContext) -> int:
    """PySSLContext begins with PyObject_HEAD; SSL_CTX *ctx comes next (Modules/_ssl.c)."""
    import ctypes

    return ctypes.c_void_p.from_address(id(context) + object.__basicsize__).value or 0
