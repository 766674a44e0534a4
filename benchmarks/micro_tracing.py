"""What trace context costs a request: nanoseconds for each call, best of several rounds.

python -m benchmarks.micro_tracing
"""

from __future__ import annotations

import random
import timeit
from collections.abc import Callable

from proxy.tracing import baggage, ids, w3c
from proxy.tracing.decision import start
from proxy.tracing.propagate import Extractor, Injector
from proxy.tracing.sampling import Sampler
from proxy.tracing.trust import Networks

TRACE = b"4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = b"00f067aa0ba902b7"
STATE = b"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
W3C = {b"host": b"shop.example", b"traceparent": b"00-" + TRACE + b"-" + SPAN + b"-01"}
W3C_STATE = {**W3C, b"tracestate": STATE}
B3 = {b"host": b"shop.example", b"b3": TRACE + b"-" + SPAN + b"-1"}
B3_MULTI = {
    b"host": b"shop.example",
    b"x-b3-traceid": TRACE,
    b"x-b3-spanid": SPAN,
    b"x-b3-sampled": b"1",
}
NOTHING = {b"host": b"shop.example"}


def measure(call: Callable[[], object], number: int = 50_000, rounds: int = 7) -> float:
    """Nanoseconds for one call, the loop's own cost taken off."""
    empty = min(timeit.repeat(lambda: None, number=number, repeat=rounds))
    full = min(timeit.repeat(call, number=number, repeat=rounds))
    return (full - empty) / number * 1e9


def cases() -> dict[str, Callable[[], object]]:
    both = Extractor(["w3c", "b3"])
    one = Injector(["w3c"])
    three = Injector(["w3c", "b3", "b3multi"])
    context = both.extract(W3C_STATE)
    parent = Sampler("parent", 0.1)
    bits = random.Random(1).getrandbits
    networks = Networks(["127.0.0.0/8", "10.0.0.0/8", "fc00::/7"])
    long_state = b",".join(b"vendor%02d=%s" % (n, b"v" * 100) for n in range(32))

    def warm() -> object:
        found = both.extract(W3C)
        return one.inject(TRACE, SPAN, True, False, found)

    return {
        "extract w3c": lambda: both.extract(W3C),
        "extract w3c + tracestate": lambda: both.extract(W3C_STATE),
        "extract b3": lambda: both.extract(B3),
        "extract b3 multi": lambda: both.extract(B3_MULTI),
        "extract nothing": lambda: both.extract(NOTHING),
        "inject w3c": lambda: one.inject(TRACE, SPAN, True, True, None),
        "inject w3c + tracestate": lambda: one.inject(TRACE, SPAN, True, True, context),
        "inject w3c, b3, b3multi": lambda: three.inject(TRACE, SPAN, True, True, context),
        "extract + inject w3c": warm,
        "start, parent": lambda: start(W3C, True, both, parent, "link", bits),
        "start, root": lambda: start(NOTHING, True, both, parent, "link", bits),
        "start, stranger": lambda: start(W3C, False, both, parent, "link", bits),
        "tracestate, 32 members": lambda: w3c.parse_state(long_state),
        "baggage": lambda: baggage.passed_on(b"tenant=a,user=b;ttl=1"),
        "trace id": lambda: ids.trace_id(bits),
        "span id": lambda: ids.span_id(bits),
        "networks, warm": lambda: networks.holds("10.1.2.3"),
    }


def main() -> None:
    for name, call in cases().items():
        print(f"{name:28} {measure(call):8.0f} ns")


if __name__ == "__main__":
    main()
