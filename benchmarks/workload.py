"""What every proxy is asked, and what it must answer: one request and one response, realistic.

The requests differ only in their trace ids: with one id for all, a sampler that decides by the id
would record everything or nothing. The ids are spread evenly over the 56 bits that W3C Trace
Context level 2 calls random, so that a ratio of 0.1 samples exactly a tenth of them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

PATH = "/api/v1/orders/184467?expand=items,customer"
COUNT = 2000  # distinct trace ids; together they fit into the second-level cache

# 13 fields, as a browser behind a content network sends them.
FIELDS = (
    ("Host", "shop.example.com"),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"),
    ("Accept", "application/json, text/plain, */*"),
    ("Accept-Language", "en-GB,en;q=0.8,de;q=0.5"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Authorization", "Bearer " + "eyJhbGciOiJSUzI1NiJ9.".ljust(180, "x")),
    ("Cookie", "session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; consent=analytics"),
    ("Referer", "https://shop.example.com/account/orders"),
    ("Origin", "https://shop.example.com"),
    ("Sec-Fetch-Mode", "cors"),
    ("Sec-Fetch-Site", "same-origin"),
    ("X-Client-Version", "web/2026.7.1"),
)  # and traceparent

RESPONSE_FIELDS = 11


def _body() -> bytes:
    items = [
        {"sku": f"SKU-{n:05d}", "name": f"Article number {n}", "quantity": n, "cents": 1999 * n}
        for n in range(1, 11)
    ]
    order = {"id": 184467, "status": "shipped", "currency": "EUR", "items": items, "note": ""}
    order["note"] = "." * (901 - len(json.dumps(order)))
    return json.dumps(order).encode()


BODY = _body()


def request(trace_id: str, span_id: str = "00f067aa0ba902b7", *, path: str = PATH) -> bytes:
    """One GET with all thirteen fields, sampled by the caller."""
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in FIELDS)]
    lines.append(f"traceparent: 00-{trace_id}-{span_id}-01")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def trace_ids(count: int = COUNT) -> list[str]:
    """`count` ids whose last 56 bits are spread evenly, in an order without a pattern."""
    source = random.Random(20260101)
    step = (1 << 56) // count
    ids = [
        f"{source.getrandbits(72) | 1 << 71:018x}{n * step + step // 2:014x}" for n in range(count)
    ]
    source.shuffle(ids)
    return ids


def write(path: Path, requests: Sequence[bytes] = ()) -> int:
    """`requests`, or all of the workload, one after the other into `path`; the size of each."""
    requests = requests or [request(trace_id) for trace_id in trace_ids()]
    path.write_bytes(b"".join(requests))
    return len(requests[0])
