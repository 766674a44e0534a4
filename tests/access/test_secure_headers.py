"""Lines that make browsers careful: which there are, and who has the last word."""

from __future__ import annotations

import pytest

from proxy.access.secure_headers import HSTS, NAMES, SecureLines, lacking
from proxy.config.access_model import SecureHeaders
from proxy.http.edits import NO_EDITS, Edits
from proxy.http.head import made_response

USUAL = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"strict-origin-when-cross-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
}


def test_the_usual_ones() -> None:
    made = SecureLines(SecureHeaders())
    assert dict(made.of("http")) == USUAL
    assert dict(made.of("https")) == {HSTS: b"max-age=31536000; includeSubDomains", **USUAL}


def test_each_can_be_changed_or_left_out() -> None:
    said = SecureHeaders(hsts="", frame_options="", content_security_policy="default-src 'self'")
    lines = dict(SecureLines(said).of("https"))
    assert HSTS not in lines
    assert b"x-frame-options" not in lines
    assert lines[b"content-security-policy"] == b"default-src 'self'"


@pytest.mark.parametrize("name", [b"X-Frame-Options", b"x-frame-options"])
def test_what_the_answer_has_wins(name: bytes) -> None:
    head = made_response(200, [(name, b"SAMEORIGIN")], 0)
    lines = dict(lacking(SecureLines(SecureHeaders()).of("http"), head, NO_EDITS))
    assert b"x-frame-options" not in lines
    assert len(lines) == len(USUAL) - 1


def test_what_the_route_adds_wins() -> None:
    edits = Edits()
    edits.add(b"referrer-policy", b"no-referrer")
    lines = lacking(SecureLines(SecureHeaders()).of("http"), made_response(200, [], 0), edits)
    assert b"referrer-policy" not in dict(lines)


def test_no_key_is_forgotten() -> None:
    assert set(NAMES) | {"hsts"} == set(SecureHeaders.__struct_fields__)
