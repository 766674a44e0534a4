"""Issuers of OpenID Connect, asked here for all workers: where they are, who a code stands for.

What an issuer says of itself (OpenID Connect Discovery 1.0) is kept for an hour, and for longer
while it is down. Tokens are verified here and go no further: a worker gets the claims. A question
says all that is needed for its answer, so that nothing here goes by a configuration which a worker
may not have yet.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from typing import Any
from urllib.parse import quote_plus

import msgspec

from proxy.access.jws import Unsound
from proxy.access.keyset import KeySet
from proxy.access.oidc_ask import KIND, UNAVAILABLE, Answer, Question, pack, question
from proxy.access.oidc_token import KEY_UNKNOWN, verify
from proxy.config import access_jwks, packed_keys
from proxy.hub.asks import Asks
from proxy.hub.oidc_fetch import Client, is_safe
from proxy.tasks import spawn

log = logging.getLogger("spangate")

FRESH = 3600.0  # seconds that a document and keys count
AGAIN = 5.0  # seconds until an issuer that did not answer is asked again
KEYS_AGAIN = 30.0  # seconds between two fetches for keys that are unknown
MOST = 256  # issuers that are known at once; of more the eldest is forgotten

CODE = "code"  # the issuer does not take the code
_PATH = "/.well-known/openid-configuration"


class Document(msgspec.Struct, frozen=True):
    """What an issuer says of itself; of it what is used."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    end_session_endpoint: str = ""
    token_endpoint_auth_methods_supported: list[str] = msgspec.field(
        default_factory=lambda: ["client_secret_basic"]
    )
    authorization_response_iss_parameter_supported: bool = False


class Tokens(msgspec.Struct, frozen=True):
    """The answer of a token endpoint; of it what is used."""

    id_token: str
    scope: str | None = None


class Issuer:
    """One issuer. All who ask at once wait for one answer."""

    def __init__(self, name: str, client: Client) -> None:
        self.name = name
        self._client = client
        self._document: Document | None = None
        self._keys: KeySet | None = None
        self._document_until = self._keys_until = self._no_keys_until = float("-inf")  # monotonic
        self._finding: asyncio.Task[None] | None = None
        self._words = ""  # of the last failure

    async def document(self) -> Document | None:
        """None = it has not answered yet."""
        if time.monotonic() >= self._document_until:
            if self._finding is None:
                self._finding = spawn(self._find(), "find an issuer")
            await asyncio.wait([self._finding])
        return self._document

    async def claims(self, asked: Question, token: str) -> dict[str, Any]:
        """Of a verified ID token. Unsound if it is not valid, or its keys are not known."""
        for attempt in (0, 1):
            keys = await self._current_keys(again=attempt > 0)
            if keys is None:
                raise Unsound(UNAVAILABLE)
            try:
                return verify(
                    token.encode(), keys, self.name, asked.client_id, asked.nonce, asked.now
                )
            except Unsound as error:
                if error.reason != KEY_UNKNOWN or attempt:
                    raise
        raise AssertionError

    async def _find(self) -> None:
        try:
            came = await self._client.ask(self.name.rstrip("/") + _PATH)
            why = came.why
            if not why:
                found, why = _judged(came.body, self.name)
                self._document = found or self._document
            self._document_until = time.monotonic() + (AGAIN if why else FRESH)
            self.tell(why)
        finally:
            self._finding = None

    async def _current_keys(self, again: bool) -> KeySet | None:
        now = time.monotonic()
        is_due = now >= self._keys_until or (again and now >= self._no_keys_until)
        if is_due and self._document is not None:
            came = await self._client.ask(self._document.jwks_uri)
            keys, why = await asyncio.to_thread(_keys_of, came.body) if not came.why else (None, "")
            self._keys = keys or self._keys
            if again:
                self._no_keys_until = now + KEYS_AGAIN
            self._keys_until = now + (FRESH if keys else AGAIN)
            self.tell(came.why or why)
        return self._keys

    def tell(self, why: str) -> None:
        """Log a failure once, and that it is over."""
        if why != self._words:
            if why:
                log.warning("issuer %s: %s", self.name, why, extra={"key": "oidc.failed"})
            else:
                log.info("issuer %s answers", self.name, extra={"key": "oidc.answers"})
        self._words = why


class Oidc:
    """Of one hub."""

    def __init__(self, asks: Asks) -> None:
        self._client = Client()
        self._issuers: dict[str, Issuer] = {}
        asks.handlers[KIND] = self.answer

    async def answer(self, packed: bytes) -> bytes:
        """To a worker's question."""
        asked = question(packed)
        issuer = self._issuer(asked.issuer)
        document = await issuer.document()
        if document is None:
            return pack(Answer(UNAVAILABLE))
        if not asked.code:
            where = document.authorization_endpoint
            return pack(Answer(authorization=where, end_session=document.end_session_endpoint))
        try:
            return pack(await self._exchange(asked, issuer, document))
        except Unsound as error:
            return pack(Answer(error.reason))

    async def close(self) -> None:
        await self._client.close()

    def _issuer(self, name: str) -> Issuer:
        issuer = self._issuers.get(name)
        if issuer is None:
            if len(self._issuers) >= MOST:
                del self._issuers[next(iter(self._issuers))]
            issuer = self._issuers[name] = Issuer(name, self._client)
        return issuer

    async def _exchange(self, asked: Question, issuer: Issuer, document: Document) -> Answer:
        """A code for who has logged in."""
        if document.authorization_response_iss_parameter_supported and not asked.named:
            raise Unsound("issuer")  # RFC 9207 §2.4: another issuer's answer (mix-up)
        form, authorization = credentials(asked, document)
        came = await self._client.ask(document.token_endpoint, form, authorization)
        if 400 <= came.status < 500 and came.status != 429:
            issuer.tell(f"its token endpoint answered {came.status}{_error(came.body)}")
            raise Unsound(CODE)
        if came.why:
            issuer.tell(f"its token endpoint: {came.why}")
            raise Unsound(UNAVAILABLE)
        try:
            tokens = msgspec.json.decode(came.body, type=Tokens)
        except (ValueError, RecursionError):
            raise Unsound("malformed") from None
        try:
            claims = await issuer.claims(asked, tokens.id_token)
        except Unsound as error:
            issuer.tell(f"its ID token is not valid: {error.reason}")
            raise
        scopes = None if tokens.scope is None else tokens.scope.split()
        return Answer(claims=claims, scopes=scopes)


def credentials(asked: Question, document: Document) -> tuple[dict[str, str], str]:
    """The form of a token request, and the value of its Authorization (RFC 6749 §2.3.1, §4.1.3)."""
    form = {
        "grant_type": "authorization_code",
        "code": asked.code,
        "redirect_uri": asked.redirect_uri,
        "code_verifier": asked.verifier,
    }
    ways = document.token_endpoint_auth_methods_supported
    if asked.client_secret and ("client_secret_basic" in ways or "client_secret_post" not in ways):
        pair = f"{quote_plus(asked.client_id)}:{quote_plus(asked.client_secret)}"
        return form, "Basic " + base64.b64encode(pair.encode()).decode()
    form["client_id"] = asked.client_id
    if asked.client_secret:
        form["client_secret"] = asked.client_secret
    return form, ""


def _judged(body: bytes, name: str) -> tuple[Document | None, str]:
    """The document, or why it does not count (Discovery §4.3)."""
    try:
        found = msgspec.json.decode(body, type=Document)
    except (ValueError, RecursionError):
        return None, "its openid-configuration lacks something, or is no JSON"
    if found.issuer != name:
        return None, "its openid-configuration is of another issuer"
    urls = (found.authorization_endpoint, found.token_endpoint, found.jwks_uri)
    if not all(map(is_safe, urls)) or not is_safe(found.end_session_endpoint or name):
        return None, "its openid-configuration has an endpoint that is not https://"
    return found, ""


def _keys_of(body: bytes) -> tuple[KeySet | None, str]:
    try:
        keys, _ = access_jwks.parse(body)
    except ValueError as error:
        return None, f"its keys are no use: {error}"
    if not keys:
        return None, "it has no key that can be used"
    return KeySet(packed_keys.pack(keys)), ""


def _error(body: bytes) -> str:
    """The word of RFC 6749 §5.2, if it is one."""
    words = ("invalid_grant", "invalid_client", "invalid_request", "unauthorized_client")
    return next((f" ({word})" for word in words if f'"{word}"'.encode() in body), "")
