from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from proxy.collector.exporters.console.tree import Span, render

TRACE = bytes(range(16))
MS = 1_000_000


def span(
    number: int,
    parent: int,
    times: tuple[float, float],
    kind: str = "server",
    name: str = "GET /orders/{id}",
    failed: bool = False,
    attributes: Mapping[str, str] | None = None,
) -> Span:
    return Span(
        trace_id=TRACE,
        span_id=number.to_bytes(8, "big"),
        parent_id=parent.to_bytes(8, "big") if parent else b"",
        name=name,
        kind=kind,
        start=int(times[0] * MS),
        end=int(times[1] * MS),
        failed=failed,
        attributes=attributes or {},
    )


def test_a_request_with_a_retry() -> None:
    upstream = {"spangate.upstream": "orders", "server.address": "10.0.0.1", "server.port": "80"}
    text = render(
        [
            span(
                3,
                1,
                (60, 96),
                "client",
                "GET",
                attributes={
                    **upstream,
                    "http.response.status_code": "200",
                    "http.request.resend_count": "1",
                },
            ),
            span(
                2,
                1,
                (4, 52),
                "client",
                "GET",
                failed=True,
                attributes={**upstream, "error.type": "connection_reset"},
            ),
            span(
                1,
                0,
                (0, 96),
                attributes={"http.response.status_code": "200", "spangate.route": "orders"},
            ),
        ]
    )
    assert text.splitlines() == [
        "trace 000102030405060708090a0b0c0d0e0f  3 spans  96.0 ms  1 failed",
        "GET /orders/{id}  server  200               orders                    "
        "96.0 ms  ████████████████████████",
        "├─ GET            client  connection_reset  orders 10.0.0.1:80        "
        "48.0 ms  ·████████████···········",
        "└─ GET            client  200               orders 10.0.0.1:80 try 2  "
        "36.0 ms  ···············█████████",
    ]


def test_branches_of_deeper_levels() -> None:
    text = render(
        [
            span(1, 0, (0, 10)),
            span(2, 1, (1, 4)),
            span(3, 2, (2, 3)),
            span(4, 1, (5, 8)),
            span(5, 4, (6, 7)),
        ]
    )
    assert [line.partition("GET")[0] for line in text.splitlines()[1:]] == [
        "",
        "├─ ",
        "│  └─ ",
        "└─ ",
        "   └─ ",
    ]


def test_the_status_is_not_said_twice() -> None:
    attributes = {"http.response.status_code": "503", "error.type": "503"}
    assert render([span(1, 0, (0, 1), failed=True, attributes=attributes)]).count("503") == 1


def test_failures_are_red_on_a_terminal() -> None:
    assert "\x1b[31m" in render([span(1, 0, (0, 1), failed=True)], colour=True)
    assert "\x1b[31m" not in render([span(1, 0, (0, 1))], colour=True)


def test_durations() -> None:
    def shown(ms: float) -> str:
        return render([span(1, 0, (0, ms))]).splitlines()[0].split("  ")[-1]

    assert [shown(ms) for ms in (0.05, 0.1, 12.34, 999, 1500)] == [
        "50 µs",
        "0.1 ms",
        "12.3 ms",
        "999.0 ms",
        "1.50 s",
    ]


@given(
    st.lists(
        st.tuples(st.integers(1, 8), st.integers(0, 8), st.integers(0, 100), st.integers(0, 100)),
        min_size=1,
        max_size=12,
    )
)
def test_any_family_of_spans_is_drawn(rows: list[tuple[int, int, int, int]]) -> None:
    """Ids that repeat, point to themselves or in a circle: no endless loop, equal line widths."""
    spans = [span(n, p, (start, start + took)) for n, p, start, took in rows]
    lines = render(spans).splitlines()[1:]
    assert len(lines) == len(spans)
    assert len({len(line) for line in lines}) == 1
