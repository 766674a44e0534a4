"""Exactly N requests in a closed loop over kept connections, each answer read to its end.

For what is counted and not timed: the number of requests is exact, so that a difference of two
runs is that of their requests.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Sequence

CONNECTIONS = 32
PATIENCE = 60.0  # seconds without any answer: under valgrind everything is fifty times slower


class Failed(Exception):
    """An answer was not the expected one, or none came."""


def run(
    port: int,
    requests: Sequence[bytes],
    number: int,
    status: int = 200,
    connections: int = CONNECTIONS,
) -> None:
    """Make `number` requests, in turn those of `requests`; Failed unless all get `status`."""
    with selectors.DefaultSelector() as selector:
        links = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
        try:
            for link in links:
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(link, selectors.EVENT_READ, bytearray())
            _loop(selector, links, requests, number, status)
        finally:
            for link in links:
                link.close()


def _loop(
    selector: selectors.BaseSelector,
    links: Sequence[socket.socket],
    requests: Sequence[bytes],
    number: int,
    status: int,
) -> None:
    sent = min(number, len(links))
    for index in range(sent):
        links[index].sendall(requests[index % len(requests)])
    done = 0
    while done < number:
        ready = selector.select(PATIENCE)
        if not ready:
            raise Failed(f"no answer in {PATIENCE:g} s after {done} of {number}")
        for key, _ in ready:
            link, buffer = key.fileobj, key.data
            assert isinstance(link, socket.socket)
            if not _read(link, buffer, status):
                continue
            done += 1
            if sent < number:
                link.sendall(requests[sent % len(requests)])
                sent += 1


def _read(link: socket.socket, buffer: bytearray, status: int) -> bool:
    """Read what has come; True if that ends an answer."""
    data = link.recv(1 << 16)
    if not data:
        raise Failed(f"the connection was closed after {bytes(buffer[:200])!r}")
    buffer += data
    size = whole(buffer)
    if not size:
        return False
    if int(buffer[9:12]) != status or len(buffer) > size:
        raise Failed(f"expected {status} and nothing else: {bytes(buffer[:300])!r}")
    buffer.clear()
    return True


def whole(buffer: bytearray) -> int:
    """The size of the answer that `buffer` begins with; 0 if it is not complete."""
    end = buffer.find(b"\r\n\r\n") + 4
    if end < 4:
        return 0
    head = bytes(buffer[:end]).lower()
    if head[9:12] in (b"304", b"204"):
        return end
    if b"\r\ntransfer-encoding: chunked" in head:
        last = buffer.find(b"\r\n0\r\n\r\n", end - 2)
        return last + 7 if last >= 0 else 0
    length = head.partition(b"\r\ncontent-length:")[2].split(b"\r\n", 1)[0]
    size = end + int(length or 0)
    return size if len(buffer) >= size else 0
