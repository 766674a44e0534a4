"""What workers ask the hub about issuers of OpenID Connect, and what it answers."""

from __future__ import annotations

from typing import Any

import msgspec

KIND = b"oidc"  # of the question
UNAVAILABLE = "unavailable"


class Question(msgspec.Struct, frozen=True, array_like=True):
    """Where browsers are sent; with a `code`, who has come back from there."""

    issuer: str
    client_id: str
    now: float  # Unix seconds
    client_secret: str = ""  # "" = a public client
    code: str = ""
    verifier: str = ""  # of PKCE
    nonce: str = ""
    redirect_uri: str = ""
    named: str = ""  # the issuer that the browser's return named (RFC 9207), "" = none


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """Of the hub. Tokens stay there."""

    reason: str = ""  # why not, in a word
    authorization: str = ""  # the endpoint
    end_session: str = ""  # the same, "" = it has none
    claims: dict[str, Any] = {}
    scopes: list[str] | None = None  # that were granted; None = it does not say: those asked for


def pack(value: Question | Answer) -> bytes:
    return msgspec.msgpack.encode(value)


def question(packed: bytes) -> Question:
    """ValueError for what `pack` has not made."""
    return _questions.decode(packed)


def answer(packed: bytes | None) -> Answer:
    """None = the hub has not answered."""
    return _answers.decode(packed) if packed else Answer(UNAVAILABLE)


_questions = msgspec.msgpack.Decoder(Question)
_answers = msgspec.msgpack.Decoder(Answer)
