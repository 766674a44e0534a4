"""A DNS server on loopback, by UDP and TCP, whose answers a test changes: it says the truth, lies,
or says nothing. Its wire format (RFC 1035 §4) is its own, so that no library answers itself."""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
from collections import Counter
from typing import Any, NamedTuple

KINDS = {"A": 1, "CNAME": 5, "SOA": 6, "AAAA": 28, "SRV": 33}
NAMES = {number: kind for kind, number in KINDS.items()}
SERVFAIL, NXDOMAIN, REFUSED = 2, 3, 5


class Record(NamedTuple):
    """`value`: an address, a name, or "priority weight port target"."""

    kind: str
    value: str
    ttl: int = 0
    name: str = ""  # "" = that of the question

    def data(self) -> bytes:
        if self.kind == "A":
            return socket.inet_pton(socket.AF_INET, self.value)
        if self.kind == "AAAA":
            return socket.inet_pton(socket.AF_INET6, self.value)
        if self.kind == "SRV":
            *numbers, target = self.value.split()
            return struct.pack("!HHH", *map(int, numbers)) + wire(target)
        if self.kind == "SOA":
            return wire("ns.test") + wire("root.test") + struct.pack("!5I", 1, 1, 1, 1, self.ttl)
        return wire(self.value)


class DnsServer:
    """`records` by (name, kind); a number in their place is an RCODE, `None` silence. `lie` makes
    another answer of the right one; `short` truncates by UDP."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], list[Record] | int | None] = {}
        self.lie = ""  # id, question, garbage
        self.short = False
        self.asked: Counter[str] = Counter()  # "udp A", "tcp A"
        server = self

        class Udp(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                data, sock = self.request
                for answer in server.answers(data, "udp"):
                    sock.sendto(answer, self.client_address)

        class Tcp(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while size := self.rfile.read(2):
                    data = self.rfile.read(int.from_bytes(size, "big"))
                    for answer in server.answers(data, "tcp"):
                        self.wfile.write(len(answer).to_bytes(2, "big") + answer)

        self._udp, self._tcp = _bound(Udp, Tcp)
        self.port = self._udp.server_address[1]
        self.address = f"127.0.0.1:{self.port}"
        for one in (self._udp, self._tcp):
            threading.Thread(target=one.serve_forever, args=(0.02,), daemon=True).start()

    def put(self, name: str, kind: str, *values: str, ttl: int = 0) -> None:
        """These records of `name`, and an empty answer of its other kinds."""
        self.records[name, kind] = [Record(kind, value, ttl) for value in values]

    def close(self) -> None:
        for one in (self._udp, self._tcp):
            one.shutdown()
            one.server_close()

    def answers(self, query: bytes, way: str) -> list[bytes]:
        name, kind, end = _question(query)
        self.asked[f"{way} {kind}"] += 1
        said = self._said(name, kind)
        if said is None:
            return []
        right = _answer(query, end, said, self.short and way == "udp")
        if self.lie == "id":
            return [bytes([right[0] ^ 1]) + right[1:]]
        if self.lie == "question":
            return [right[:13] + bytes([right[13] ^ 1]) + right[14:]]
        return [b"\0\1garbage"] if self.lie == "garbage" else [right]

    def _said(self, name: str, kind: str) -> list[Record] | int | None:
        if (name, kind) in self.records:
            return self.records[name, kind]
        return [] if any(known == name for known, _ in self.records) else NXDOMAIN


def wire(name: str) -> bytes:
    labels = [label.encode() for label in name.rstrip(".").split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def _bound(udp: Any, tcp: Any) -> tuple[Any, Any]:
    """On one port."""
    socketserver.ThreadingTCPServer.daemon_threads = True
    while True:
        one = socketserver.UDPServer(("127.0.0.1", 0), udp)
        try:
            return one, socketserver.ThreadingTCPServer(one.server_address, tcp)
        except OSError:
            one.server_close()


def _question(query: bytes) -> tuple[str, str, int]:
    labels, at = [], 12
    while size := query[at]:
        labels.append(query[at + 1 : at + 1 + size].decode())
        at += 1 + size
    kind = int.from_bytes(query[at + 1 : at + 3], "big")
    return ".".join(labels).lower(), NAMES.get(kind, str(kind)), at + 5


def _answer(query: bytes, end: int, said: list[Record] | int, short: bool) -> bytes:
    code, records = (said, []) if isinstance(said, int) else (0, said)
    if short:
        records = []
    flags = 0x8180 | code | (0x0200 if short else 0)
    head = query[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0)
    body = b""
    for record in records:
        data = record.data()
        owner = wire(record.name) if record.name else b"\xc0\x0c"
        body += owner + struct.pack("!HHIH", KINDS[record.kind], 1, record.ttl, len(data)) + data
    return head + query[12:end] + body
