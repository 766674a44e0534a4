"""Accept: which kind a client gets (RFC 9110 §12.5.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http.accept import KINDS, best, wants_text, weights


@pytest.mark.parametrize(
    ("accept", "liked"),
    [
        (None, (1000, 1000, 1000)),
        (b"", (1000, 1000, 1000)),
        (b"*/*", (1000, 1000, 1000)),
        (b"*/*;q=0", (0, 0, 0)),
        (b"text/*", (0, 1000, 1000)),
        (b"text/*;q=0.3, text/html;q=0.1", (0, 100, 300)),
        (b"application/*;q=0.2", (200, 0, 0)),
        (b"application/problem+json", (1000, 0, 0)),
        (b"application/vnd.x+json;q=0.5, text/plain;q=0.4", (500, 0, 400)),
        (b"application/xhtml+xml", (0, 1000, 0)),
        (b"text/html;level=1;q=0.7", (0, 700, 0)),
        (b"text/html;q=1.1, */*;q=0.5", (500, 500, 500)),
        (b"text/html;q=, text/plain", (0, 0, 1000)),
        (b"text/html, text/html;q=0", (0, 1000, 0)),
        (b"image/png", (0, 0, 0)),
        (b"nonsense", (1000, 1000, 1000)),
        (b"a/b/c;q=1", (1000, 1000, 1000)),
        (b"x/y," * 64 + b"text/html", (0, 0, 0)),  # beyond what is looked at
    ],
)
def test_how_well_each_kind_is_liked(accept: bytes | None, liked: tuple[int, int, int]) -> None:
    assert weights(accept) == liked


def test_the_best_of_what_is_offered() -> None:
    assert best(b"text/html, */*;q=0.8", ["json", "text"]) == "json"
    assert best(b"text/html", ["json", "text"]) is None
    assert best(None, ["text", "html"]) == "html"
    assert best(b"*/*;q=0", KINDS) is None
    assert wants_text(b"text/html,*/*;q=0.8") and not wants_text(b"*/*") and not wants_text(None)


@given(st.binary(max_size=2000))
def test_any_bytes_are_an_accept(accept: bytes) -> None:
    assert all(0 <= weight <= 1000 for weight in weights(accept))
    assert best(accept, KINDS) in (*KINDS, None)
