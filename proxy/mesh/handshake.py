"""One handshake of a certificate with itself, in memory: whether OpenSSL verifies its chain.

There is no other way by which `ssl` verifies a chain, and one of another library might disagree
with what peers do.
"""

from __future__ import annotations

import os
import ssl

from proxy.config.material import Certified


def between(made: Certified, roots: bytes) -> None:
    """Show `made` to a client that believes `roots`; ssl.SSLError if it does not believe that."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load(server, made)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(cadata=roots.decode("ascii", "ignore"))
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(back, there, server_hostname="mesh"),
        server.wrap_bio(there, back, server_side=True),
    )
    done = [False, False]
    for _ in range(10):
        for i, end in enumerate(ends):
            if not done[i]:
                try:
                    end.do_handshake()
                    done[i] = True
                except ssl.SSLWantReadError:
                    continue
        if all(done):
            return
    raise ssl.SSLError(1, "the handshake does not end")


def _load(context: ssl.SSLContext, made: Certified) -> None:
    """By memory alone: the key need not be on any disk."""
    files = [os.memfd_create("spangate-svid", os.MFD_CLOEXEC) for _ in range(2)]
    try:
        for fd, data in zip(files, (made.cert, made.key), strict=True):
            os.write(fd, data)
        cert, key = (f"/proc/self/fd/{fd}" for fd in files)
        context.load_cert_chain(cert, key, password="")
    finally:
        for fd in files:
            os.close(fd)
