"""A certificate and its key, given to a context of OpenSSL without a file on any disk."""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Iterator

from proxy.config.material import Certified

NOBODY = Certified(b"", b"")  # shows nothing, so that no handshake succeeds that needs something


def load(context: ssl.SSLContext, certified: Certified) -> None:
    """Raises ValueError or ssl.SSLError for what cannot be used."""
    if certified is NOBODY:
        return
    with _file(certified.cert) as cert, _file(certified.key) as key:
        context.load_cert_chain(cert, key, password=_no_password)


def _no_password() -> str:
    raise ValueError("the key is encrypted")


@contextlib.contextmanager
def _file(data: bytes) -> Iterator[str]:
    """A path at which OpenSSL finds `data`, which need not be on any disk."""
    if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd"):
        fd = os.memfd_create("spangate-tls", os.MFD_CLOEXEC)
        try:
            os.write(fd, data)
            yield f"/proc/self/fd/{fd}"
        finally:
            os.close(fd)
        return
    import tempfile  # half a megabyte that Linux needs not

    with tempfile.NamedTemporaryFile() as file:  # readable by its owner alone
        file.write(data)
        file.flush()
        yield file.name
