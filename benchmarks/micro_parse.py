"""What reading and writing the workload's heads costs: microseconds for each call.

`python -m benchmarks.micro_parse`. "llhttp alone" is the floor: httptools with callbacks that
do nothing but take the values.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable

import httptools

from benchmarks import workload
from proxy.http.edits import NO_EDITS, Edits
from proxy.http.encode import encode_request, encode_response
from proxy.http.h1 import RequestReader, ResponseReader

ANSWER = b"\r\n".join(
    [
        b"HTTP/1.1 200 OK",
        b"Server: nginx/1.22.1",
        b"Date: Sun, 22 Nov 2026 20:00:19 GMT",
        b"Content-Type: application/json",
        b"Content-Length: 901",
        b"Connection: keep-alive",
        b"Cache-Control: private, max-age=0, must-revalidate",
        b"Vary: Accept-Encoding, Accept-Language",
        b'ETag: "5f2c-1b9d8e7a6c5f4"',
        b"X-Content-Type-Options: nosniff",
        b"X-Frame-Options: DENY",
        b"X-Request-Cost: 12",
        b"\r\n",
    ]
)


class _Floor:
    def on_url(self, url: bytes) -> None:
        pass

    def on_header(self, name: bytes, value: bytes) -> None:
        pass


def cases() -> dict[str, Callable[[], object]]:
    """Name and call of each."""
    request = workload.request("4bf92f3577b34da6a3ce929d0e0e4736")
    floor, asked, answered = (
        httptools.HttpRequestParser(_Floor()),
        RequestReader(),
        ResponseReader(),
    )
    head = RequestReader().read(request)
    answer = ResponseReader().read(ANSWER)
    edits = Edits(workload.PATH, "shop.example.com")
    framing = b"Content-Length: 901\r\n"
    return {
        "request head, llhttp alone": lambda: floor.feed_data(request),
        "request head, read": lambda: asked.read(request),
        "request head, written": lambda: encode_request(head, edits, [], b""),
        "response head, read": lambda: answered.read(ANSWER),
        "response head, written": lambda: encode_response(answer, NO_EDITS, [], framing),
    }


def main() -> None:
    """Print one line for each case."""
    for name, call in cases().items():
        number = 20_000
        best = min(timeit.repeat(call, number=number, repeat=7))
        print(f"{name:28} {best / number * 1e6:8.2f} µs")


if __name__ == "__main__":
    main()
