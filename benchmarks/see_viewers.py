"""Who looks at a gateway's pages: reads the tap, asks for rates every second; or never reads."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import threading
from types import TracebackType

TAP = b"GET /api/tap HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"
EVERY = 1.0  # seconds between two looks at the rates
CHUNK = 1 << 18
_DROPPED = re.compile(rb'event: dropped\r?\ndata: \{"count": ?(\d+)')


class Viewers:
    """`readers` that read and `silent` ones that ask for the tap and read nothing, until the block
    ends. Counts are complete then."""

    def __init__(self, port: int, readers: int, silent: int = 0) -> None:
        self.events = self.dropped = self.asked = self.failed = 0
        self._port = port
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._links = [self._tap(small=number >= readers) for number in range(readers + silent)]
        reading = [threading.Thread(target=self._read, args=(s,)) for s in self._links[:readers]]
        polling = [threading.Thread(target=self._poll) for _ in range(readers)]
        self._threads = reading + polling

    def __enter__(self) -> Viewers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._over.set()
        for link in self._links:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for link in self._links:
            link.close()

    def _tap(self, small: bool) -> socket.socket:
        link = socket.socket()
        if small:  # so that what nobody reads is soon noticed at the other end
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link.connect(("127.0.0.1", self._port))
        link.sendall(TAP)
        return link

    def _read(self, link: socket.socket) -> None:
        rest, events, dropped = b"", 0, 0
        with contextlib.suppress(OSError):
            while data := link.recv(CHUNK):
                whole, middle, rest = (rest + data).rpartition(b"\n\n")
                events += whole.count(b"event: request")
                dropped += sum(map(int, _DROPPED.findall(whole + middle)))
        with self._lock:
            self.events += events
            self.dropped += dropped
            self.failed += not self._over.is_set()  # the other end has closed it

    def _poll(self) -> None:
        link = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        while not self._over.wait(EVERY):
            link.request("GET", "/api/rates")
            answer = link.getresponse()
            answer.read()
            with self._lock:
                self.asked += 1
                self.failed += answer.status != 200
        link.close()
