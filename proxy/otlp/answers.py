"""Answers of OTLP/HTTP: status, header fields and body, for successes and refusals."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import NamedTuple

from proxy import __version__
from proxy.http.date import imf_fixdate
from proxy.otlp.inflate import ENCODINGS
from proxy.otlp.partial import Rejected, response_bytes, response_json
from proxy.otlp.refusal import (
    NO_CODING,
    NO_METHOD,
    UNAUTHENTICATED,
    Refusal,
    status_bytes,
    status_json,
)

PROTOBUF, JSON = "application/x-protobuf", "application/json"
_SERVER = f"spangate/{__version__}"
_REASONS = {status.value: status.phrase for status in HTTPStatus}


class Answer(NamedTuple):
    """`headers` are without Content-Length and Date."""

    status: int
    headers: dict[str, str]
    body: bytes


def taken(signal: str, rejected: Rejected | None, *, is_json: bool) -> Answer:
    body = response_json(signal, rejected) if is_json else response_bytes(rejected)
    return Answer(200, {"Content-Type": JSON if is_json else PROTOBUF, "Server": _SERVER}, body)


def refused(refusal: Refusal, challenge: str, *, is_json: bool) -> Answer:
    reason = refusal.reason
    body = (status_json if is_json else status_bytes)(reason, refusal.message)
    headers = {"Content-Type": JSON if is_json else PROTOBUF, "Server": _SERVER}
    if reason.retry:
        headers["Retry-After"] = str(max(1, round(reason.retry)))
    if reason is NO_METHOD:
        headers["Allow"] = "POST, OPTIONS"
    if reason is NO_CODING:  # RFC 9110 §15.5.16
        headers["Accept-Encoding"] = ", ".join(ENCODINGS)
    if reason is UNAUTHENTICATED:
        headers["WWW-Authenticate"] = f'{challenge} realm="otlp"'
    return Answer(reason.http, headers, body)


def encoded(answer: Answer) -> bytes:
    """On the wire, as HTTP/1.1."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
    head = f"HTTP/1.1 {answer.status} {_REASONS[answer.status]}\r\n{fields}"
    date = imf_fixdate(int(time.time()))
    return b"%bContent-Length: %d\r\nDate: %b\r\n\r\n%b" % (
        head.encode("latin-1"),
        len(answer.body),
        date,
        answer.body,
    )
